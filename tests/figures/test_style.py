"""One look per concept: found by name or by factors, never by a part of a label."""

import subprocess
import sys

import pandas as pd
import pytest

import gst_tutorial as gst
from gst_tutorial.book.figures.style import LOOKS, look, look_name
from gst_tutorial.interventions import INTERVENTIONS
from gst_tutorial.pruning import TARGETS


def test_every_target_and_intervention_has_a_look_of_its_own():
    assert {*TARGETS, "none", "prune at init"} <= set(LOOKS)
    assert {name.replace("_", " ") for name in INTERVENTIONS} <= set(LOOKS)
    for cue in ("marker", "linestyle"):
        assert len({(style["color"], style[cue]) for style in LOOKS.values()}) == len(LOOKS)


@pytest.mark.parametrize(
    ("factors", "name"),
    [
        ({"method": "prune", "target": "largest"}, "largest"),
        ({"method": "zero", "target": "random"}, "zero"),
        ({"method": "none", "target": "smallest"}, "none"),
        ({"target": "random"}, "random"),
        ({"method": "prune"}, "prune"),
        (pd.Series({"method": "prune at init", "target": "smallest"}), "prune at init"),
        ("shrink, unseen", "rescale"),
    ],
)
def test_look_comes_from_the_method_or_else_from_the_target(factors, name):
    assert look_name(factors) == name
    assert look(factors) == LOOKS[name]


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [
        ("largest, 40%", ValueError, "'largest, 40%' is not known. Did you mean 'largest'"),
        ({"method": "zeros"}, ValueError, "method='zeros' is not known. Did you mean 'zero'"),
        ({"method": "prune", "target": "biggest"}, ValueError, "target='biggest' is not known"),
        ({"method": "prune", "target": None}, ValueError, "target=None"),
        (3, TypeError, "must be a name or the factors"),
    ],
)
def test_unknown_look_suggests_the_nearest_name(key, error, words):
    with pytest.raises(error, match=words):
        look(key)


def test_every_arm_of_every_recorded_study_has_a_look():
    for name in gst.recorded_names():
        for _, row in gst.recorded(name).drop_duplicates("label").iterrows():
            look(row)


def test_importing_the_figures_loads_no_plotting_library():
    program = "import sys, gst_tutorial.book.figures as f; f.look('none'); assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_public_name_of_the_figures_is_there():
    assert all(hasattr(gst.figures, name) for name in gst.figures.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'half_width'"):
        gst.figures.half_width  # noqa: B018
