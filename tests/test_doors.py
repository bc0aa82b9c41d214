"""The public functions: a bad call ends at once in an error that names the argument, and no wrong number comes out of one."""

import math
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import gst_tutorial as gst
from gst_tutorial import interventions, networks, statistics

sys.path.insert(0, str(Path(__file__).parent))
import doors

CALLS = 2000  # `python -m tests.doors 15000` makes more


def test_of_thousands_of_bad_calls_hardly_one_ends_in_an_error_that_names_no_argument_and_none_hangs(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("GST_CACHE", str(tmp_path))
    counts, found = doors.attack(CALLS)
    assert counts["hung"] == 0, found
    assert len(found) < 0.0066 * CALLS, found
    assert counts["taken"] < 0.06 * CALLS  # there is junk that fits: None for an option, 3 for a number


def test_every_good_call_is_taken():
    for name, (function, arguments) in doors.good_calls().items():
        try:
            function(**arguments)
        except Exception as error:
            pytest.fail(f"{name}: {error!r}")


def lost() -> nn.Module:
    """A network whose training has diverged."""
    model = doors.network()
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(math.nan)
    return model


def logits_of_every_place() -> nn.Module:
    return nn.Conv1d(1, 3, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: gst.accuracy(lost(), d.x_test, d.y_test), "model: some of its logits are NaN"),
        (
            lambda d: gst.correct(logits_of_every_place(), d.x_test, d.y_test),
            r"model must give logits \(B, n_classes\)",
        ),
        (lambda d: gst.correct(doors.network(), d.x_test, d.y_test[:, None]), r"y is \(12, 1\)"),
        (lambda d: gst.correct(doors.network(), d.x_test, d.y_test + 1), "y has classes from 1 to 3, and the model 3"),
        (lambda d: gst.flatness.flat_radius(lost(), d.x_test, d.y_test, [1.0] * 86), "diverged"),
        (lambda d: gst.flatness.measure_flatness(doors.network(), d, matched_loss=math.nan), "matched_loss=nan"),
        (lambda d: statistics.verdict(statistics.Estimate("gain", 1.0, 0.5, 1.5, 20), scale=-1), "scale=-1"),
        (
            lambda d: interventions.WeightNoise(nn.Conv1d(1, 2, 3), 0.1, 3, torch.Generator()),
            "needs a network with filter masks",
        ),
        (
            lambda d: interventions.add_gaussian(
                gst.prunable_layers(doors.network())["conv2"], torch.tensor([0]), 1.0, torch.Generator(), "fitler"
            ),
            "reference='fitler' is not known. Did you mean 'filter'",
        ),
    ],
)
def test_what_would_be_a_wrong_number_is_an_error(call, message):
    with pytest.raises((ValueError, TypeError, FloatingPointError), match=message):
        call(doors.data())


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda d: gst.studies.get(3), "name"),
        (lambda d: gst.studies.get("tradeof"), "name"),
        (lambda d: gst.recorded("tradeoff", kind=[1]), "kind"),
        (lambda d: gst.load(object, 20, 20), "name"),
        (lambda d: gst.RunConfig(schedule={"a": 1}), "schedule"),
        (lambda d: gst.RunConfig(schedule=np.zeros(3)), "schedule"),
        (lambda d: gst.RunConfig(schedule=object), "schedule"),
        (lambda d: gst.RunConfig(layers=10**5000), "layers"),
        (lambda d: gst.RunConfig(measures=doors.Unprintable()), "measures"),
        (lambda d: gst.RunConfig.from_dict({"recipe": "fitler"}), "recipe"),
        (lambda d: gst.RunConfig.from_dict([1]), "fields"),
        (lambda d: gst.RunConfig(seed=10**5000), "seed"),
        (lambda d: gst.RunConfig(evaluate_every=10**5000), "evaluate_every"),
        (lambda d: gst.filter_scores(doors.network(), "conv2", score=lambda layer: 1), "score"),
        (lambda d: gst.figures.figure_frames(lambda figure: 0, [1]), "draw"),
        (lambda d: gst.train(nn.Identity(), d), "model"),
        (lambda d: gst.train(doors.network(), d, callbacks=torch.tensor(1)), "callbacks"),
        (lambda d: gst.Study("s", "?", arms={"a": 1}), "arms"),
        (lambda d: gst.ResultStore("/proc/no/such"), "path"),
        (lambda d: interventions.norms(torch.zeros(3), torch.tensor([0])), "weight"),
    ],
)
def test_the_error_names_the_argument(call, argument):
    with pytest.raises((TypeError, ValueError, OSError), match=rf"\b{argument}\b"):
        call(doors.data())


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: networks.conv1d_net(width=10**400), "width"),
        (lambda: networks.resnet56(width=1e300), "width"),
        (lambda: networks.vgg11(width=10**9), "width"),
        (lambda: gst.RunConfig(width=10**400), "width"),
        (lambda: gst.PruneSchedule(0, 10**9, 1), "end"),
        (lambda: gst.kept_filters(10, 0.5, 10**30), "n_events"),
        (lambda: gst.FilterMask(10**12), "n_filters"),
        (lambda: gst.load(n_train=10**30), "n_train"),
    ],
)
def test_numbers_that_would_fill_the_memory_are_refused_at_once(call, argument):
    start = time.perf_counter()
    with pytest.raises(ValueError, match=f"{argument}="):
        call()
    assert time.perf_counter() - start < 1
