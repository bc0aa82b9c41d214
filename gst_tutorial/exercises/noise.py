"""Checks for the exercises of chapter 4, see `gst_tutorial.exercises`."""

from __future__ import annotations

from gst_tutorial.config import RunConfig
from gst_tutorial.exercises.answers import Check, Letter, NotYet, Number, number


def _jolt_and_restore(answer) -> str:
    if not isinstance(answer, RunConfig):
        raise NotYet("The answer should be a gst.RunConfig; start from `jolt` and use .replace(...).")
    if answer.intervention != "zero":
        raise NotYet(
            f"intervention={answer.intervention!r}: the filters are to be zeroed and stay in the network, as in `jolt`."
        )
    if sorted(answer.layers) != ["conv3", "conv4"]:
        raise NotYet(f"layers={answer.layers}: both conv3 and conv4 are to be hit.")
    fractions = {fraction for _, fraction, _ in answer.plan}
    if fractions != {0.25}:
        raise NotYet(f"prune_fraction={answer.prune_fraction}: a quarter of each layer is to be hit.")
    if answer.draws != "afresh" or answer.target != "random":
        raise NotYet("Every event should hit a fresh random quarter: keep draws='afresh' and target='random'.")
    if answer.restore != "values":
        raise NotYet("The filters still have to relearn what they knew; which field gives them their old values?")
    if answer.n_batches != 1:
        raise NotYet(
            f"n_batches={answer.n_batches}; the filters should have their old values back after a single batch."
        )
    return "If this helps as much as `jolt`, relearning is not the reason either. Now run it: with several seeds."


def _robustness(answer) -> str:
    difference = number(answer, 0.0, 1.0)
    if difference < -0.02:
        found = "The jolted network loses less: it is flatter along such jolts, as the derivation suggests."
    elif difference > 0.02:
        found = "The jolted network loses more: it is not flatter along the very jolts it was trained with."
    else:
        found = "No difference worth the name: here the jolts left no trace in this measure."
    return f"{found} One pair of networks; chapter 5 counts."


CHECKS: dict[str, Check] = {
    "4.1": Number(
        0.2,
        0.005,
        "Half of 0.1 squared times 40: the trace is the price of weight noise.",
        {
            0.4: "The second-order term has a factor of one half.",
            2.0: "0.1 is the standard deviation; the covariance holds its square.",
            4.0: "0.1 is the standard deviation; the covariance holds its square. And there is a factor of one half.",
            0.01: "Half the variance is 0.005; it is still to be multiplied by the trace of the Hessian.",
        },
    ),
    "4.2": Number(
        0.25,
        0.002,
        "f (1 - f) / (1 - f)^2 = f / (1 - f): at f = 1/2 already 1, noise as large as the signal.",
        {
            0.16: "That is the variance of the coin, f (1 - f). "
            "Dividing by 1 - f divides the variance by (1 - f) squared.",
            0.2: "f (1 - f) was divided by 1 - f once; a factor enters a variance with its square.",
            0.5: "That is the standard deviation; the question asks for the variance.",
        },
    ),
    "4.3": Letter(
        "a",
        "Only the length changes, and training divides it out; evaluation, with its old running deviation, does not.",
        {
            "b": "A zeroed filter has no direction left: in training mode, too, its output becomes a constant.",
            "c": "Noise turns the filter's weights; batch norm divides out their length, not their direction.",
        },
    ),
    "4.4": _jolt_and_restore,
    "4.5": _robustness,
}
