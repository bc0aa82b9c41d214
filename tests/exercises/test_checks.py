"""Exercises: an untouched stub fails its check, a solution passes, and a plausible wrong answer gets a sentence that helps."""

import importlib
import re

import numpy as np
import pytest
from scipy import stats

import gst_tutorial as gst
from gst_tutorial.book.exercises import CHECKS, check, grade
from gst_tutorial.book.exercises.answers import Interval
from gst_tutorial.book.exercises.tabled import Measured, Number
from gst_tutorial.statistics import Estimate

HIT = gst.RunConfig(  # exercise 4.3 without its point: nothing is given back
    intervention="zero",
    layers=("conv3", "conv4"),
    target="random",
    draws="afresh",
    prune_fraction=0.25,
    schedule=gst.PruneSchedule(2, 18, 2),
)


def outputs_by_exercise(notebooks):
    """{exercise: [what its check printed in each cell that calls it]} over all stored notebooks."""
    printed = {}
    for notebook in notebooks.values():
        for cell in notebook.cells:
            called = re.search(r"exercises\.check\(\"([\d.]+)\"", cell.source) if cell.cell_type == "code" else None
            if called:
                text = "".join(output.get("text", "") for output in cell.outputs)
                verdict = re.search(r"^(Right|Not yet)\..*", text, flags=re.MULTILINE)  # the sentence may go on below
                printed.setdefault(called[1], []).append(verdict[0] if verdict else text)
    return printed


def test_each_untouched_stub_fails_and_each_solution_passes(notebooks):
    for exercise, (stub, solution) in outputs_by_exercise(notebooks).items():
        assert stub.startswith("Not yet."), f"{exercise}: the untouched stub printed {stub!r}"
        assert solution.startswith("Right."), f"{exercise}: the solution printed {solution!r}"


def test_every_check_belongs_to_an_exercise_of_a_chapter_that_is_there(notebooks):
    written = set(outputs_by_exercise(notebooks))
    chapters = {exercise.split(".")[0] for exercise in written}
    assert {exercise for exercise in CHECKS if exercise.split(".")[0] in chapters} == written


def test_checks_of_every_chapter_s_file_are_called_by_their_numbers(root):
    for path in root.glob("gst_tutorial/book/exercises/[a-z]*.py"):
        if path.stem in ("answers", "box", "tabled"):
            continue
        table = importlib.import_module(f"gst_tutorial.book.exercises.{path.stem}").CHECKS
        assert len({exercise.split(".")[0] for exercise in table}) == 1, f"{path.name} is about one chapter"
        assert table.items() <= CHECKS.items(), f"{path.name} is missing in gst_tutorial/book/exercises.py"


@pytest.mark.parametrize("exercise", [name for name, check in CHECKS.items() if isinstance(check, (Number, Measured))])
def test_right_number_passes_and_each_known_mistake_gets_its_sentence(exercise):
    number = getattr(CHECKS[exercise], "table", CHECKS[exercise])
    for right in (
        number.expected,
        round(number.expected, number.decimals),
        round(number.expected, number.decimals + 2),
    ):
        assert grade(exercise, right) == (True, number.right)
    for wrong, sentence in number.wrong.items():
        assert grade(exercise, wrong) == (False, sentence)
    assert not grade(exercise, number.expected + 1000)[0]
    assert "NaN" in grade(exercise, float("nan"))[1]


@pytest.mark.parametrize(
    ("exercise", "answer", "solved", "hint"),
    [
        ("2.2", 0.88, True, "ceiling"),  # 0.875, rounded up
        ("2.2", 0.87, True, "ceiling"),  # 0.875, rounded down
        ("2.2", 0.86, False, "Close."),
        ("2.2", 87.5, False, "divide by 100"),
        ("2.1", 27.4, False, "divide by 100"),
        ("2.1", 0.28, False, "round to 2 decimals"),
        ("7.2", 0.55, True, "half is left"),
        ("4.2", -0.12, False, "round to 1 decimal."),
        ("8.1", 12.8, False, "never in part"),
        ("10.1", 110_593, False, "none of the mistakes"),  # a count is exact
        ("1.1", (106, 84, 62, 39), True, "39"),
        ("1.1", [106, 84, 62, 40], False, "straight line"),
    ],
)
def test_rounding_and_percent_get_a_fitting_answer(exercise, answer, solved, hint):
    right, sentence = grade(exercise, answer)
    assert right == solved
    assert hint in sentence


def test_letter_may_be_a_capital_in_brackets():
    assert grade("1.4", "(C)")[0]


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("1.1", [106, 84, 62, 38], "rounded up"),
        ("1.1", [22, 44, 66, 89], "those left"),
        ("1.1", [1, 2], "4 whole numbers"),
        ("1.2", -0.798, "cannot be negative"),
        ("1.2", "a lot", "should be a number"),
        ("1.2", float("nan"), "NaN"),
        ("1.3", lambda layer, model, x: layer.norm.weight.detach(), "absolute value"),
        ("1.3", lambda layer, model, x: layer.norm.weight.abs(), "gradient"),
        ("1.3", lambda layer, model, x: 1 / 0, "ZeroDivisionError"),
        ("1.4", "a", "one network"),
        ("1.4", "z", "one of the letters"),
        ("2.3", gst.PruneSchedule(5, 23, 9), "smaller ones"),
        ("2.3", gst.PruneSchedule(5, 23, 2), "smaller ones"),
        ("2.3", gst.PruneSchedule(4, 23, 1), "first should be 5"),
        ("2.4", "c", "Retraining longer"),
        ("3.3", "negative", "should be a number"),
        ("3.4", gst.RunConfig(intervention="prune", prune_fraction=0.8), "there should be nine"),
        ("4.3", gst.RunConfig(intervention="prune"), "intervention='prune'"),
        ("4.3", gst.RunConfig(intervention="zero"), "both conv3 and conv4"),
        ("4.3", HIT, "which field gives them"),
        ("4.3", HIT.replace(restore="values", n_batches=10), "after a single batch"),
        ("4.3", HIT.replace(restore="values", n_batches=1, target="smallest"), "fresh random quarter"),
        ("4.3", HIT.replace(restore="values", n_batches=1, prune_fraction=0.5), "a quarter of each layer"),
        ("4.3", 0.25, "should be a gst.RunConfig"),
        ("4.4", 0, "without its interval"),
        ("4.4", 0.026, "without its interval"),
        ("5.5", -0.19, "without its interval"),
    ],
)
def test_plausible_wrong_answer_gets_a_helpful_sentence(exercise, answer, hint):
    solved, sentence = grade(exercise, answer)
    assert not solved
    assert hint in sentence


@pytest.mark.parametrize("exercise", [name for name, check in CHECKS.items() if isinstance(check, Interval)])
def test_interval_is_judged_by_seeds_width_sign_and_unit(exercise):
    check = CHECKS[exercise]
    middle, half = (check.low + check.high) / 2, 1.3 * check.sd  # about as wide as five seeds make it

    def graded(value, half, n_seeds=5):
        return grade(exercise, Estimate("mine", value, value - half, value + half, n_seeds))

    assert graded(middle, half)[0]
    for estimate, hint in {
        (0.0, 0.0): "no interval around",
        (middle, half, 3): "3 seeds",
        (middle, half / 10): "narrower",
        (middle, 4 * half): "wider",
        (-middle, half): "the other way round",
        (100 * middle, 100 * half): check.units,
        (middle + 5 * half * (1 if middle > 0 else -1), half): "misses what other seeds gave",
        (0.0, check.sd / 2.5): "misses what other seeds gave",
    }.items():
        solved, sentence = graded(*estimate)
        assert not solved and hint in sentence, (estimate, sentence)


def test_check_prints_one_sentence_and_returns_nothing(capsys):
    assert check("2.1", 0.274) is None
    assert capsys.readouterr().out.startswith("Right. ")
    check("2.1", None)
    assert capsys.readouterr().out.startswith("Not yet. Replace None")


def test_unknown_exercise_is_refused():
    with pytest.raises(ValueError, match=r"exercise='9\.9'"):
        check("9.9", 1)


def _capstone(exercise):
    """The two configs of a chapter's last exercise, as its text gives them, and the number that is compared."""
    if exercise == "4.4":
        short = gst.RunConfig().replace(epochs=30, milestones=(20, 26), evaluate_every=30)
        events = {"schedule": gst.PruneSchedule(2, 18, 2), "draws": "afresh", "target": "random", "prune_fraction": 0.5}
        return short.replace(intervention="zero", **events), short, lambda frame: frame.final_accuracy
    plain = gst.RunConfig().replace(epochs=12, milestones=(8, 11), measures=("sharpness",), evaluate_every=12)
    return plain.replace(sam_radius=0.1), plain, lambda frame: np.log10(frame.test_matched_normalized_trace)


@pytest.mark.parametrize("exercise", ["4.4", "5.5"])
def test_four_of_the_seeds_that_an_interval_was_measured_on_agree_with_it(exercise):
    treated, plain, of = _capstone(exercise)
    frame = gst.sweep(gst.Study("reference", "?", {"a": treated, "b": plain}, seeds=range(200, 204)), n_jobs=1)
    values = frame.assign(value=of(frame)).pivot(index="seed", columns="label", values="value")
    difference, given = values.a - values.b, CHECKS[exercise]
    assert abs(difference.mean() - (given.low + given.high) / 2) < 3 * given.sd / 2
    # The interval and the spread that are written down are of one sample of fifteen.
    assert (given.high - given.low) / 2 == pytest.approx(stats.t.ppf(0.975, 14) * given.sd / 15**0.5, rel=0.1)
