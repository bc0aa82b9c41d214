"""Building blocks of the exercises' checks: judge an interval, a study or a function, and explain what is wrong with it.

A check is a function of an answer. It returns the sentence that closes the exercise, or raises `NotYet` with a hint. Numbers
and choices are tables (see `tabled`), an `Interval` is data as well; other checks are functions.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import stats

from gst_tutorial import statistics
from gst_tutorial._lazy import instability, masks, nn, torch
from gst_tutorial.book.exercises.tabled import NotYet, a_number
from gst_tutorial.data import Dataset
from gst_tutorial.pruning import prune_filters

Check = Callable[..., str]


class NotAFunction(NotYet):
    """Raised if an exercise asks for a function and got something else. A grader cannot run one outside its notebook."""


@dataclass(frozen=True)
class Interval:
    """A check of an experiment that the user has run.

    It accepts an `Estimate` whose *interval* has a plausible width and overlaps one that was measured on other seeds. A
    number without its interval cannot be judged.

    Attributes:
        low, high: 95% interval of the same paired difference on the seeds that `measured` names.
        sd: its standard deviation over those seeds.
        right: the sentence that follows the verdict.
        units: the hint for an answer that is far too large, such as one in percentage points.
        measured: the seeds on which `low`, `high` and `sd` were measured, in words.
        n_seeds: the smallest number of seeds that is accepted.
    """

    low: float
    high: float
    sd: float
    right: str
    units: str
    measured: str
    n_seeds: int = 5

    def __call__(self, answer) -> str:
        if not isinstance(answer, statistics.Estimate):
            raise NotYet(
                f"The answer should be an Estimate, as gst.statistics.paired_difference gives it, not "
                f"{type(answer).__name__}: a number without its interval cannot be judged."
            )
        if answer.n_seeds < self.n_seeds:
            raise NotYet(f"It rests on {answer.n_seeds} seeds; take at least {self.n_seeds}.")
        if not answer.low < answer.value < answer.high:
            raise NotYet(f"[{answer.low:g}, {answer.high:g}] is no interval around {answer.value:g}.")
        half = (answer.high - answer.low) / 2
        expected = float(stats.t.ppf(0.975, answer.n_seeds - 1)) * self.sd / math.sqrt(answer.n_seeds)
        if max(abs(answer.value), half) > 10 * max(abs(self.low), abs(self.high), expected):
            raise NotYet(self.units)
        if not expected / 4 < half < 3 * expected:
            raise NotYet(
                f"The interval is {'narrower' if half < expected else 'wider'} than {answer.n_seeds} seeds can make it: pair "
                "the runs by seed, one difference each, and use Student's t."
            )
        if answer.low > self.high or answer.high < self.low:
            if answer.low <= -self.low and answer.high >= -self.high:
                raise NotYet("The sign is the other way round: which of the two arms is subtracted?")
            raise NotYet("The interval misses what other seeds gave: compare the two configs, field by field.")
        return f"{statistics.conclusion(answer).capitalize()}, and it agrees with {self.measured}. {self.right}"


def verdict_fits(said, found: statistics.Estimate) -> None:
    """Raise `NotYet` unless the user's verdict, a word of `statistics.conclusion`, follows from the interval."""
    words = {word.removesuffix(" from zero") for word in statistics.CONCLUSIONS.values()}
    word = str(said).strip().lower().removesuffix(" from zero")
    if word not in words:
        raise NotYet(f"The verdict should be one of {', '.join(sorted(map(repr, words)))}, not {said!r}.")
    if word != statistics.conclusion(found):
        raise NotYet(f"Look at the interval of {found.name} again: does it hold zero, and if not, on which side is it?")


def own_study(answer, a: str, b: str, n_seeds: int = 5) -> tuple[pd.DataFrame, statistics.Estimate]:
    """Check a user's own sweep: return its frame and the estimate of arm `a` minus arm `b`.

    Args:
        answer: (frame, verdict), the frame that `gst.sweep` returned and a word of `statistics.conclusion` that fits it.
        a, b: labels of two arms.
        n_seeds: number of seeds that both arms must have finished.
    """
    if not isinstance(answer, (tuple, list)) or len(answer) != 2 or not isinstance(answer[0], pd.DataFrame):
        raise NotYet("The answer should be (frame, verdict): the frame that gst.sweep returned, and a text.")
    frame, verdict = answer
    if missing := {"label", "seed", "hash", "final_accuracy", "instability", "epochs"} - set(frame.columns):
        raise NotYet(f"The frame should be that of gst.sweep; it lacks {', '.join(sorted(missing))}.")
    if lacking := {a, b} - set(frame.label):
        raise NotYet(f"The study should have the arms {a!r} and {b!r}; {' and '.join(sorted(lacking))} is not there.")
    differences = statistics.paired_differences(frame, a, b)
    if len(differences) < n_seeds:
        raise NotYet(f"Only {len(differences)} seeds have both arms; {n_seeds} were to be fixed before the first run.")
    found = statistics.mean_estimate(differences, f"{a} minus {b}")
    verdict_fits(verdict, found)
    return frame, found


def same_in_arms(frame: pd.DataFrame, arms: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `NotYet` unless all runs of each arm have the given values in the given columns."""
    for arm, wanted in arms.items():
        runs = frame[frame.label == arm]
        for column, value in wanted.items():
            found = runs[column].unique() if column in runs else []
            if list(found) != [value]:
                given = ", ".join(map(repr, (getattr(each, "item", lambda e=each: e)() for each in found))) or "nothing"
                raise NotYet(f"In the arm {arm!r}, {column} is {given}; the exercise asks for {value!r}.")


def milestones_in_all_runs(frame: pd.DataFrame, milestones: tuple[int, ...]) -> None:
    """Raise `NotYet` unless the learning rate falls after these epochs in every run; a frame read from CSV has text."""
    if any(re.findall(r"\d+", str(found)) != list(map(str, milestones)) for found in frame.milestones):
        epochs = " and ".join(map(str, milestones))
        raise NotYet(f"The learning rate should fall at epochs {epochs} in all runs: milestones={milestones}.")


def interval(found: statistics.Estimate, points: bool = True) -> str:
    """Write an estimate with its interval for a closing sentence; accuracies in percentage `points`."""
    scale, digits, unit = (100, 1, " points") if points else (1, 2, "")
    value, low, high = (f"{scale * each:+.{digits}f}" for each in (found.value, found.low, found.high))
    return f"{found.name}: {value}{unit} [{low}, {high}], {found.n_seeds} seeds"


def function(answer, call: str):
    """Return `answer` if it can be called; `call` is how its exercise is checked."""
    if not callable(answer):
        raise NotAFunction(f"The answer should be the function itself: {call}, without calling it.")
    return answer


def scores_by(answer, layer: masks.PrunableLayer, call: str) -> torch.Tensor:
    """Return the scores `(C,)` that a user-supplied function computes for a layer; `call` shows how to check it."""
    scores = function(answer, call)(layer, None, None)
    if scores is None:
        raise NotYet("The function returns None so far.")
    scores, n = torch.as_tensor(scores), layer.mask.n_filters
    if scores.shape != (n,):
        raise NotYet(
            f"The score should be one number per filter, shape ({n},) in this test; it is {tuple(scores.shape)}."
        )
    return scores


def own_numbers(answer, again: Callable[[int], float], tolerance: float, wrong_way: str, n_seeds: int = 6):
    """Check numbers from a user's own runs: return their mean with its interval.

    Args:
        answer: ({seed: number}, verdict), with a word of `statistics.conclusion` that fits the interval as verdict.
        again: repeats the run of a seed and returns its number; it is called for the last seed.
        tolerance: largest accepted difference between the two.
        wrong_way: the hint for a number with the wrong sign.
        n_seeds: the smallest number of seeds that is accepted.
    """
    if not isinstance(answer, (tuple, list)) or len(answer) != 2 or not isinstance(answer[0], Mapping):
        raise NotYet("The answer should be (numbers by seed, verdict): ({0: ..., 1: ..., ...}, 'above zero').")
    numbers, said = answer
    if len(numbers) < n_seeds:
        raise NotYet(
            f"There are {len(numbers)} numbers; at least {n_seeds} are asked for, each with a seed of its own."
        )
    if not all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in numbers):
        raise NotYet("The keys should be the seeds, whole numbers from 0 up.")
    numbers = {seed: a_number(value) for seed, value in numbers.items()}
    if any(abs(value) > 1 for value in numbers.values()):
        raise NotYet("Each number lies between -1 and 1; accuracies are shares here, not percentages.")
    if len(set(numbers.values())) == 1:
        raise NotYet("All numbers are the same. Does each have its own seed?")
    found = statistics.mean_estimate(list(numbers.values()), "the mean")
    verdict_fits(said, found)
    seed = list(numbers)[-1]
    expected = again(seed)
    if abs(numbers[seed] - expected) > tolerance:
        turned = abs(numbers[seed] + expected) <= tolerance
        raise NotYet(
            wrong_way
            if turned
            else f"Done again, seed {seed} gives another number: compare recipe, layers, share and score."
        )
    return found


def instability_of(trained: nn.Module, data: Dataset, layer: str, prune_fraction: float, **choice) -> float:
    """Measure the instability on the test examples of pruning a copy of a network; `choice` as in `gst.prune_filters`."""
    model = copy.deepcopy(trained)
    with instability.measure_instability(lambda: instability.correct(model, data.x_test, data.y_test)) as event:
        prune_filters(model, layer, prune_fraction, **choice)
    return event.instability


def own_network(seed: int):
    """Train the network that the exercises of chapters 1 and 2 ask for; return it and its data."""
    from gst_tutorial.config import RunConfig
    from gst_tutorial.experiment import run

    result = run(RunConfig(seed=seed).replace(epochs=15, milestones=(), evaluate_every=15))
    return result.model, result.dataset
