"""Data sets as tensors in memory: `Dataset`, `load`, and `SOURCES`, the table of those that have a name."""

from gst_tutorial.data._torchvision import torchvision
from gst_tutorial.data.dataset import SOURCES, Dataset, Source, load

__all__ = ["SOURCES", "Dataset", "Source", "load", "torchvision"]
