"""The book's figures: `plots` draw on matplotlib axes, `slider` makes pictures that answer without a kernel."""

from gst_tutorial.figures.plots import *  # noqa: F403
from gst_tutorial.figures.slider import figure_frames, show, slider_figure

__all__ = ["figure_frames", "show", "slider_figure"]
