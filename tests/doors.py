"""Bad calls of the public functions, at random: each must end at once, in an error that names the argument.

    python -m tests.doors 15000    # prints the table

A good call of each function stands in `good_calls`; a bad one replaces one of its arguments by something from `JUNK`. What a
function takes after all (there is junk that fits) is counted as taken.
"""

import collections
import contextlib
import functools
import io
import math
import os
import random
import re
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch
from scipy.sparse.linalg import aslinearoperator
from torch import nn

import gst_tutorial as gst
from gst_tutorial import interventions, networks, statistics
from gst_tutorial.flatness.loss import SampleLoss
from gst_tutorial.graph.make_prunable import mask_convolutions_alone
from gst_tutorial.pruning import as_schedule

SECONDS = 20  # a bad call that takes longer hangs


class Unprintable:
    """What somebody else's class may do."""

    def __repr__(self):
        raise RuntimeError("no")


class Endless:
    """Has no last element."""

    def __iter__(self):
        while True:
            yield 1


JUNK = [
    None, True, "", "fitler", "conv9", b"x", -1, 0, 1.5, -2.5, 3, 10**9, 10**30, 10**400, 10**5000, math.nan, math.inf, -math.inf, 1j,
    [], (), {}, [1, "a"], [None], (-1, -1), (10**9, 10**9), {"a": 1}, {1, 2}, range(3), slice(1), object(), object, Unprintable(), Endless(),
    (lambda: 1), (lambda *a, **k: "no"), torch.tensor(math.nan), torch.zeros(3, 2), torch.zeros(0), torch.tensor([10**9]), torch.full((4,), math.nan),
    torch.zeros(2, dtype=torch.complex64), np.array(["a"]), np.zeros(3), np.array([math.nan] * 4), np.float64("nan"), np.int64(-3), nn.Linear(2, 2),
    nn.Identity(), pd.DataFrame(), pd.DataFrame({"seed": ["a", "b"], "label": [1, 2]}), pd.Series(["a"]), Path("/nowhere"), "\x00", "é" * 10_000,
]  # fmt: skip


def network():
    return gst.conv1d_net(n_classes=3, channels=(3, 4), strides=(2, 2), input_shape=(1, 8))


def data() -> gst.Dataset:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(12, 1, 8, generator=generator), torch.arange(12) % 3
    return gst.Dataset("small", x, y, x.clone(), y.clone(), 3)


def runs() -> pd.DataFrame:
    rows = [
        (f"arm {a}", s, a, 0.1 * a + 0.01 * s * (1 + a), 0.5 + 0.1 * a + 0.02 * s) for a in range(3) for s in range(4)
    ]
    frame = pd.DataFrame(rows, columns=["label", "seed", "dose", "instability", "final_accuracy"])
    return frame.assign(
        method=["none"] * 4 + ["prune"] * 8, target="smallest", train_accuracy=0.9, n_train=1000, width=1.0
    )


@functools.cache
def gains() -> pd.DataFrame:
    return statistics.gains(runs(), "arm 0")


def good_calls() -> dict:
    """{name: (function, arguments)}, made anew for each call: some functions change what they are given."""
    model, set_, frame = network(), data(), runs()
    x, y, layer = set_.x_test, set_.y_test, gst.prunable_layers(model)["conv2"]
    sample = dict(model=model, x=x, y=y)
    # So few weights that their Hessian is made dense; it points from one class to the other, so that scaling lowers the loss.
    line, two = nn.Sequential(nn.Flatten(), nn.Linear(8, 2)), gst.Dataset("two", x, y % 2, x, y % 2, 2)
    with torch.no_grad():
        line[1].weight.copy_(torch.stack([x[y % 2 == k].mean((0, 1)) for k in (0, 1)]))
    straight, vector = dict(model=line, x=x, y=y % 2), np.ones(18)
    generator = torch.Generator().manual_seed(0)
    units = torch.tensor([0, 2])
    estimate = statistics.Estimate("gain", 0.02, 0.01, 0.03, 20)
    values = np.array([0.1, 0.2, 0.25, 0.3])
    operator = aslinearoperator(np.diag([3.0, 2.0, 1.0]))
    flat, s, i, f = gst.flatness, statistics, interventions, gst.figures
    config = gst.RunConfig(data="digits", model="conv2d", n_train=20, n_test=20)
    arm = gst.Arm(config, {"way": "none"})
    few = dict(n_train_examples=6, n_test_examples=6, k=2, n_probes=2)
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"/>'
    site = i.Site(model, layer, units, torch.tensor([1, 3]), generator)
    plain = nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3))
    signal = dict(
        n_classes=3, channels=(3, 4), strides=(1, 2), input_shape=(1, 8), dropout=0.1, filter_dropout=0.1, width=1.0
    )
    picture = dict(n_classes=3, input_shape=(1, 8, 8), width=0.05, dropout=0.1, filter_dropout=0.1)
    calls = [
        (gst.FilterMask, dict(n_filters=4)),
        (gst.make_prunable, dict(model=plain, example_input=x[:2], layers=["0"], verbose=False)),
        (gst.prunable_layers, dict(model=model)),
        (gst.sparsity, dict(model=model, layers=["conv2"])),
        (mask_convolutions_alone, dict(model=model)),
        (gst.PruneSchedule, dict(start=1, end=5, retrain_period=2)),
        (as_schedule, dict(epochs=(1, 2, 5))),
        (gst.choose_filters, dict(scores=torch.rand(4), candidates=torch.ones(4, dtype=torch.bool), n_chosen=2, target="random", generator=generator)),
        (gst.filter_scores, dict(model=model, layer="conv2", score="activation", x=x)),
        (gst.kept_filters, dict(n_filters=10, prune_fraction=0.5, n_events=3)),
        (gst.prune_filters, dict(model=model, layer="conv2", prune_fraction=0.5, score="activation", target="largest", generator=generator, x=x)),
        (gst.prune_filters, dict(model=model, layer="conv2", keep=2)),
        (gst.restore_filters, dict(model=model, layer="conv2", indices=units)),
        (gst.accuracy, dict(**sample, batch_size=5)),
        (gst.correct, dict(**sample, batch_size=5)),
        (gst.instability_of, dict(before=0.8, after=0.6, n_examples=100)),
        (_measured, dict(evaluate=lambda: 0.5, n_examples=100)),
        (gst.compact, dict(model=model, skip_uncuttable=True)),
        (gst.load, dict(name="mnist1d", n_train=20, n_test=20, seed=0, image_size=None)),
        (networks.conv1d_net, signal),
        (networks.conv2d_net, signal | {"input_shape": (1, 8, 8)}),
        *[(getattr(networks, name), picture) for name in ("vgg11", "resnet18", "resnet20")],
        (SampleLoss, dict(**straight, batch_size=5, loss=nn.functional.cross_entropy)),
        (flat.hessian_operator, straight),
        (flat.hessian_eigenvalues, dict(**straight, k=2, which="LM", tol=1e-3, return_vectors=False)),
        (flat.hessian_trace, dict(**straight, n_probes=2, seed=0)),
        (flat.filter_normalized_operator, dict(**straight, scales=vector)),
        (flat.filter_normalized_sharpness, dict(**straight, n_probes=2, seed=0)),
        (flat.gradient_covariance_trace, dict(**straight, chunk_size=4)),
        (flat.flat_radius, dict(**straight, directions=vector, rise=0.1, max_epsilon=0.1)),
        (flat.perturbation_curve, dict(**straight, directions=vector, epsilons=[0.1])),
        (flat.loss_surface, dict(**straight, direction_1=vector, direction_2=vector, epsilons=[0.1])),
        (flat.random_directions, dict(model=line, n=2, seed=0, filter_normalized=True)),
        (flat.match_loss, dict(**straight, target_loss=0.69, batch_size=5)),
        (flat.ScaledLogits, dict(model=line, scale=2.0)),
        (flat.measure_curvature, dict(model=line, dataset=two, **few, matched_loss=0.69, seed=0)),
        (flat.measure_sharpness, dict(model=line, dataset=two, **few, matched_loss=0.69, seed=0)),
        (flat.measure_flatness, dict(model=line, dataset=two, **few, matched_loss=0.69, seed=0)),
        (flat.top_eigenvalues, dict(operator=operator, k=2, which="LA", tol=1e-3, max_restarts=5, precision=1e-7, check_residuals=True, return_vectors=False)),
        (flat.hutchinson_trace, dict(operator=operator, n_probes=2, seed=0, deflate=None)),
        (i.scale_weights, dict(layer=layer, units=units, factor=0.5)),
        (i.add_gaussian, dict(layer=layer, units=units, size=1.0, generator=generator, reference="filter", kept=torch.tensor([1]))),
        (i.norms, dict(weight=layer.conv.weight, units=units)),
        (i.set_norms, dict(weight=layer.conv.weight, units=units, wanted=torch.ones(2))),
        *[(functools.partial(each, site), dict(size=0.5)) for each in (i.scale, i.rescale, i.gaussian, i.gaussian_same_norm)],
        (i.Interventions("zero", 3).begin, dict(site=site)),
        (i.Interventions, dict(name="scale", steps_per_epoch=3, n_batches=2, size=0.5, restore="values")),
        (i.WeightNoise, dict(model=model, size=0.1, steps_per_epoch=3, generator=generator)),
        (i.usual_size, dict(name="scale")),
        (s.correlation, dict(frame=frame, x="instability", y="final_accuracy", kind="pearson", cluster="seed")),
        (s.within_seed_correlations, dict(frame=frame, x="instability", y="final_accuracy", kind="kendall", cluster="seed")),
        (s.within_seed_correlation, dict(frame=frame, x="instability", y="final_accuracy", kind="kendall", cluster="seed")),
        (s.paired_differences, dict(frame=frame, a="arm 1", b="arm 0", value="final_accuracy", by="label")),
        (s.paired_difference, dict(frame=frame, a={"dose": 1}, b="arm 0", value="final_accuracy", by="label")),
        (s.mean_estimate, dict(values=values, name="gain")),
        (s.means, dict(frame=frame, by="label", value="final_accuracy")),
        (s.equivalence, dict(values=values, bound=0.1)),
        (s.holm, dict(p_values={"a": 0.01, "b": 0.03})),
        (s.power, dict(effect=0.01, sd=0.02, n_seeds=20)),
        (s.gains, dict(frame=frame, baseline="arm 0", value="final_accuracy", by="label")),
        (s.optimum, dict(frame=frame, dose="dose", value="final_accuracy")),
        (s.conclusion, dict(estimate=estimate)),
        (s.verdict, dict(estimate=estimate, unit=" points", scale=100)),
        (s.verdicts, dict(estimates={"a": estimate}, scale=100)),
        (f.slider_figure, dict(frames=[svg, svg], labels=["a", "b"], texts=["one", "two"], name="fig", title="t", control_label="c", second=None, start=0, caption="")),
        (f.figure_frames, dict(draw=lambda figure, value: None, values=[1], size=(2, 2))),
        (f.show, dict(figure_html="<p>")),
        (f.look, dict(key="largest")),
        (f.house_style, dict(width=5.0)),
        (f.accuracy_against_instability, dict(frame=frame, ax=None, by="label", names=False)),
        (f.means, dict(frame=frame, x="dose", y="final_accuracy", ax=None, name="none", scale=1.0)),
        (f.forest, dict(estimates={"a": estimate}, ax=None, scale=1.0, unit="")),
        (f.gains_against_instability, dict(table=gains(), ax=None, name="none")),
        (s.gains_by_width, dict(frame=frame[frame.label != "arm 2"])),
        (f.filter_scores, dict(scores=np.arange(4.0), chosen=np.array([True, False, False, True]), ax=None)),
        (gst.exercises.grade, dict(exercise="1.4", answer="c")),
        (gst.widgets.explore, dict(model=model, data=set_, layer="conv2", prune_fraction=0.5, score="l2", target="smallest", n_examples=10)),
        (gst.Recipe, dict(optimizer="sgd", learning_rate=0.1, batch_size=4, epochs=1, milestones=(1,), gamma=0.1, weight_decay=0.1, momentum=0.9, label_smoothing=0.1, augment="none", label_noise=0.1, sam_radius=0.0, weight_noise=0.0, precision="float32", compiled=False)),
        (gst.train, dict(model=model, dataset=set_, recipe=gst.Recipe(epochs=1), seed=0, callbacks=(), optimizer=None)),
        (gst.RunConfig, dict(data="mnist1d", n_train=20, n_test=20, data_seed=0, model="conv1d", width=1.0, dropout=0.1, filter_dropout=0.1, intervention="prune", layers=("conv4",), prune_fraction=0.5, schedule=gst.PruneSchedule(1, 5, 2), score="l2", target="random", measures=("flatness",), evaluate_every=2, device="cpu", seed=0)),
        (gst.Arm, dict(config=config, factors={"way": "none"})),
        (gst.Study, dict(name="small", sentence="Is it?", arms=[arm], seeds=(0, 1))),
        (gst.ResultStore, dict(path=Path(tempfile.gettempdir()) / "doors")),
        (gst.recorded, dict(name="tradeoff", kind="runs")),
        (gst.studies.get, dict(name="tradeoff")),
    ]  # fmt: skip
    return {
        f"{getattr(function, 'func', function).__qualname__} {k}": (function, given)
        for k, (function, given) in enumerate(calls)
    }


def _measured(evaluate, n_examples):
    with gst.measure_instability(evaluate, n_examples) as event:
        pass
    return event


def _too_long(*_):
    raise TimeoutError


def bad_call(name: str, argument: str, junk) -> tuple[str, str]:
    """("named", "taken", "hung" or "unnamed", what happened)."""
    function, arguments = good_calls()[name]
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            function(**arguments | {argument: junk})
        return "taken", ""
    except TimeoutError:
        return "hung", ""
    except BaseException as error:
        try:
            text = f"{type(error).__name__}: {error}"
        except Exception:
            text = type(error).__name__
        expected = isinstance(error, (TypeError, ValueError, FileNotFoundError, FloatingPointError))
        return ("named" if expected and re.search(rf"\b{argument}\b", text) else "unnamed"), text
    finally:
        signal.alarm(0)
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")


def attack(n: int, seed: int = 0) -> tuple[collections.Counter, list]:
    """Outcomes of `n` bad calls, and those that were not named nor taken: (function, argument, junk, what happened)."""
    draw = random.Random(seed)
    counts, found = collections.Counter(), []
    arguments = [(name, argument) for name, (_, given) in good_calls().items() for argument in given]
    for _ in range(n):
        (name, argument), junk = draw.choice(arguments), draw.randrange(len(JUNK))
        outcome, text = bad_call(name, argument, JUNK[junk])
        counts[outcome] += 1
        if outcome in ("hung", "unnamed"):
            found.append((name, argument, junk, text))
    return counts, found


if __name__ == "__main__":
    matplotlib.use("agg")
    start = time.perf_counter()
    counts, found = attack(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    for name, argument, junk, text in found:
        print(f"{name}({argument}=JUNK[{junk}] {type(JUNK[junk]).__name__}): {text[:150]!r}")
    print(dict(counts), f"{time.perf_counter() - start:.0f} s")
    os._exit(0)
