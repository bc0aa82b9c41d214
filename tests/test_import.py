"""`import gst_tutorial` gives the public names, quickly, and loads nothing heavy."""

import inspect
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import gst_tutorial as gst

HEAVY = ("matplotlib", "ipywidgets", "torchvision", "sklearn", "mnist1d", "IPython")
PROBE = f"""
import json, sys, time
start = time.process_time()
import gst_tutorial
print(json.dumps([time.process_time() - start, [name for name in {HEAVY} if name in sys.modules]]))
"""


def fresh_import() -> tuple[float, list[str]]:
    """Processor seconds of the import in a new process, and the heavy modules it loaded."""
    environment = {**os.environ, "PYTHONPATH": str(Path(gst.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_import_is_light_and_takes_less_than_two_and_a_half_seconds():
    seconds = []
    while len(seconds) < 3 and (not seconds or min(seconds) >= 2.5):  # best of three: the machine may be busy
        processor_seconds, heavy = fresh_import()
        assert heavy == []
        seconds.append(processor_seconds)
    assert min(seconds) < 2.5


def test_public_modules_are_the_documented_ones_only():
    modules = {name for name in gst.__all__ if isinstance(getattr(gst, name), types.ModuleType)}
    assert all(f"gst.{name}" in gst.__doc__ for name in modules)


def test_every_public_function_and_class_is_ours_and_has_a_docstring():
    for name in gst.__all__:
        thing = getattr(gst, name)
        if not isinstance(thing, types.ModuleType):
            assert thing.__module__.startswith("gst_tutorial.")
            assert inspect.getdoc(thing)


def test_a_star_import_and_dir_give_the_same_names():
    names: dict = {}
    exec("from gst_tutorial import *", names)
    assert set(names) - {"__builtins__"} == set(gst.__all__) == set(dir(gst)) - {"__version__"}


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="prune_filtres"):
        _ = gst.prune_filtres
