"""Checks for the exercises of chapter 4, see `gst_tutorial.book.exercises`."""

from __future__ import annotations

from gst_tutorial.book.exercises.answers import Check, Interval
from gst_tutorial.book.exercises.tabled import Letter, NotYet, Number
from gst_tutorial.config import RunConfig


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


CHECKS: dict[str, Check] = {
    "4.1": Letter(
        "a",
        "Only the length changes, and training divides it out; evaluation, with its old running standard deviation, does not.",
        {
            "b": "A zeroed filter has no direction left: in training mode, too, its output becomes a constant.",
            "c": "Noise turns the filter's weights; batch norm divides out their length, not their direction.",
        },
    ),
    "4.2": Number(
        -0.1,
        1,
        "It outputs -0.1 for every signal, and the relu after it turns that into 0. With a larger shift it would keep "
        "sending a constant.",
        {
            0.1: "That is the shift, which is left in training mode. In evaluation mode the running mean is still subtracted.",
            0.0: "Only a mask silences a filter; batch norm still adds its shift and subtracts the running mean.",
            0.3: "The running mean is subtracted: the sign of its term is wrong.",
            -0.2: "That is the term of the running mean; batch norm's shift is still to be added.",
            -0.3: "Divide the running mean by the running deviation before the scale multiplies it.",
            -0.7: "The running mean is multiplied by the scale and divided by the running deviation.",
        },
    ),
    "4.3": _jolt_and_restore,
    # `jolt` against `short` of section 4.2, seeds 200 to 214: +2.6 points [+2.0, +3.2].
    "4.4": Interval(
        low=0.0196,
        high=0.0323,
        sd=0.0115,
        right="Nothing was removed from any of the jolted networks.",
        units="Leave the accuracies as shares of 1, as the sweep returns them; points are for figures.",
        measured="fifteen other seeds",
    ),
}
