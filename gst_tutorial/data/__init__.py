"""Data sets as tensors in memory: `Dataset`, `load`, and `DATASETS`, the table of data sets that have a name."""

from gst_tutorial.data.dataset import DATASETS, Dataset, DatasetEntry, load
from gst_tutorial.data.images import torchvision

__all__ = ["DATASETS", "Dataset", "DatasetEntry", "load", "torchvision"]
