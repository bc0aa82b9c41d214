"""Data sets as tensors in memory: `Dataset`, `load`, and `SOURCES`, the table of data sets that have a name."""

from gst_tutorial.data.dataset import SOURCES, Dataset, Source, load
from gst_tutorial.data.images import torchvision

__all__ = ["SOURCES", "Dataset", "Source", "load", "torchvision"]
