"""Data sets as tensors in memory: `Dataset`, `load`, and `SOURCES`, the table of those that have a name."""

from gst_tutorial.data.dataset import Dataset, load

__all__ = ["Dataset", "load"]
