"""Checks for the exercises of chapter 7, see `gst_tutorial.book.exercises`."""

from __future__ import annotations

from gst_tutorial.book.exercises.answers import Check, interval, milestones_in_all_runs, own_study, same_in_arms
from gst_tutorial.book.exercises.tabled import Letter, NotYet, Number
from gst_tutorial.config import RunConfig


def _careful_engineer(answer) -> str:
    if not isinstance(answer, RunConfig):
        raise NotYet("The answer should be a gst.RunConfig, such as gst.RunConfig().replace(...).")
    recipe = answer.recipe
    wanted = {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01, "augment": "shift_noise"}
    for name, value in wanted.items():
        if getattr(recipe, name) != value:
            raise NotYet(f"{name}={getattr(recipe, name)!r}, but the exercise asks for {value!r}.")
    if answer.intervention != "prune" or answer.at_init:
        raise NotYet(f"intervention={answer.intervention!r} does not prune permanently during training.")
    if answer.layers != ("conv4",) or answer.prune_fraction != 0.8:
        raise NotYet(f"layers={answer.layers}, prune_fraction={answer.prune_fraction}: 80% of conv4 is to go.")
    if answer.plan[0][2].epochs != (5, 23):
        raise NotYet(f"The events fall on epochs {answer.plan[0][2].epochs}; two are wanted, at 5 and 23.")
    return "Run it on a few seeds, with and without pruning, before you believe the result."


def _own_study(answer) -> str:
    frame, found = own_study(answer, "decay, pruned", "decay")
    same = {"epochs": 30, "optimizer": "adamw", "weight_decay": 3.0}
    pruned = {"intervention": "prune", "target": "random", "prune_fraction": 0.8, "layers": "conv4"}
    events = {"n_events": 2, "start": 3, "end": 12}
    same_in_arms(frame, {"decay": same | {"intervention": "none"}, "decay, pruned": same | pruned | events})
    milestones_in_all_runs(frame, (20, 26))
    return f"{interval(found)}. Without decay the same pruning gains: compare section 7.2."


CHECKS: dict[str, Check] = {
    "7.1": _careful_engineer,
    "7.2": Number(
        0.999**600,
        2,
        "After 600 steps about half is left: a weight that the data don't support slowly fades.",
        {
            0.4: "Each step takes 0.1% of what is left at that moment, not of the first value: the factors multiply.",
            0.001: "That is what one step takes away, the learning rate times the decay. What is left after 600 steps?",
            0.999: "That is what one step leaves. 600 steps multiply that factor 600 times.",
        },
        fraction=True,
    ),
    "7.3": Number(
        1.0,
        0,
        "A fifth of 5 points: the same relative benefit looks four times smaller where less is left to gain.",
        {
            4.0: "4 points would be most of the 5 that are wrong: a benefit counts relative to what is left to gain.",
            0.2: "That is the share of the errors removed in the first pipeline. Apply it to the second one's errors.",
            20.0: "That is the share of the errors removed in the first pipeline, in percent. Apply it to the second's.",
            3.8: "The gain does not scale with the accuracy but with the errors that are left.",
        },
    ),
    "7.4": Letter(
        "c",
        "Both methods then had the same chance, and neither was judged on the seeds on which it was tuned.",
        {
            "a": "The pruned method was tuned for this pipeline and the unpruned one was not: the better tuned method wins.",
            "b": "The best of many tries on the reported seeds is the luckiest one, too: it will look worse on new seeds.",
        },
    ),
    "7.5": _own_study,
}
