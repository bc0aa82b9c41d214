"""Studies: grids of runs, from their definition (`study`, `book`, `paper`) to their recorded results."""

from gst_tutorial.studies.book import get, names

__all__ = ["get", "names"]
