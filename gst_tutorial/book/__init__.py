"""The book's own code: figures, widgets, exercises, its studies and their recorded results. The library never imports it."""
