"""Live controls, for a kernel with ipywidgets 7.7 (Colab) or newer."""

from gst_tutorial.book.widgets.prune_explorer import Exploration, explore, prune_explorer
from gst_tutorial.book.widgets.run_explorer import run_explorer

__all__ = ["Exploration", "explore", "prune_explorer", "run_explorer"]
