"""The networks of the book, and `NETWORKS`, the table of those that a config can name."""

from gst_tutorial.networks.cifar import resnet18, resnet20, resnet56, vgg11
from gst_tutorial.networks.small import conv1d_net, conv2d_net

__all__ = ["conv1d_net", "conv2d_net", "resnet18", "resnet20", "resnet56", "vgg11"]
