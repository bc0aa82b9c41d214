"""The browser of `tools.browser`, for the tests of the book."""

from tools.browser import *  # noqa: F403
