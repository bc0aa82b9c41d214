"""Checks for the exercises of chapter 2, see `gst_tutorial.book.exercises`."""

from __future__ import annotations

from scipy import stats

from gst_tutorial._lazy import masks, torch
from gst_tutorial.book.exercises.answers import Check, interval, own_network, own_numbers
from gst_tutorial.book.exercises.tabled import Letter, NotYet, Number
from gst_tutorial.schedules import Schedule
from gst_tutorial.scores import filter_scores


def _stable_schedule(answer) -> str:
    if not isinstance(answer, Schedule):
        raise NotYet("The answer should be a gst.PruneSchedule(start, end, retrain_period).")
    if answer.start != 5 or answer.epochs[-1] != 23:
        raise NotYet(f"Its events are {answer.epochs}; the first should be 5 and the last 23.")
    if answer.n_events < 19:
        raise NotYet(f"{answer.n_events} events take {0.9 / answer.n_events:.0%} each; make more, smaller ones.")
    return f"{answer.n_events} events of {0.9 / answer.n_events:.1%} of the layer each."


def selectivity_against_ebn(seed: int) -> float:
    """Kendall's correlation over the filters of conv4 between selectivity and E[BN], in the network of a seed."""
    model, data = own_network(seed)
    caught: list[torch.Tensor] = []
    mask = masks.prunable_layers(model)["conv4"].mask
    handle = mask.register_forward_hook(lambda module, inputs, output: caught.append(output))
    with torch.no_grad(), masks.evaluation_mode(model):
        model(data.x_test)
    handle.remove()
    active = caught[0].relu().mean(2)  # (T, C)
    classes = torch.stack([active[data.y_test == label].mean(0) for label in range(data.n_classes)])
    selectivity = classes.max(0).values / classes.mean(0)  # (C,)
    return float(stats.kendalltau(selectivity, filter_scores(model, "conv4", "ebn")).statistic)


def _specialists(answer) -> str:
    found = own_numbers(answer, selectivity_against_ebn, 0.01, "The sign is turned: correlate with E[BN] itself.")
    says = {
        1: "Filters with a large E[BN] are the more selective: our reading fails.",
        -1: "Filters with a small E[BN] are more selective. That fits our reading; it does not prove it.",
        0: "That is too few networks to decide.",
    }[found.sign]
    return f"{interval(found, points=False).capitalize()}. {says}"


CHECKS: dict[str, Check] = {
    "2.1": Number(
        (0.84 - 0.61) / 0.84,
        2,
        "27% of the accuracy was lost at that moment.",
        {
            0.23: "That is the drop in points. Divide by the accuracy before.",
            0.23 / 0.61: "Divide by the accuracy before the event, not after.",
            0.61 / 0.84: "That is the share that survived, the stability.",
        },
        fraction=True,
    ),
    "2.2": Number(
        1 - 0.1 / 0.8,
        2,
        "Instability has a ceiling below 1, because guessing is sometimes right.",
        {
            1.0: "Even a network that guesses is right one time in ten.",
            0.7: "Divide the drop by 0.8.",
        },
        fraction=True,
    ),
    "2.3": _stable_schedule,
    "2.4": Letter(
        "b",
        "The error falls with the square root of the number of test examples: four times as many, half the error.",
        {
            "a": "The network is in evaluation mode: the same examples get the same answers, four times.",
            "c": "Retraining longer changes what is measured, not how precisely.",
        },
    ),
    "2.5": _specialists,
}
