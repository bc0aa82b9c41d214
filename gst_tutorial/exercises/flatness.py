"""Checks for the exercises of chapter 5, see `gst_tutorial.exercises`."""

from __future__ import annotations

from gst_tutorial.exercises.answers import Check, Letter, Number

CHECKS: dict[str, Check] = {
    "5.1": Number(
        0.1,
        0.001,
        "The radius falls with the square root of the curvature: four times as sharp is half as far.",
        {
            0.01: "That is the square of the radius.",
            0.0707: "The parabola has a factor of one half: 20 / 2 times the square of the radius is 0.1.",
            0.005: "The loss rises with the square of the distance, and there is a factor of one half.",
        },
    ),
    "5.2": Number(
        10.0,
        0.01,
        "Nine times flatter, and not one prediction has changed.",
        {
            30.0: "Each of the two derivatives brings a factor of 3.",
            810.0: "The weights grew, so the same step is a smaller change: the curvature falls.",
            270.0: "The weights grew, so the same step is a smaller change: the curvature falls, with the square.",
            90.0: "The function stays; its curvature per unit of weight does not.",
        },
    ),
    "5.3": Number(
        0.0861,
        0.001,
        "Close to the loss itself: as the loss goes to 0, so does the curvature.",
        {
            0.9048: "That is the probability of the right class.",
            0.0952: "That is 1 - p, the length of the first derivative.",
            0.09: "The loss is 0.1, not the probability of a mistake: p = exp(-0.1).",
            0.1: "That is the approximation for small losses; the question asks for three decimals.",
        },
    ),
    "5.4": Letter(
        "a",
        "At 100% accuracy the loss can still shrink, and the Hessian with it: compare at equal loss first.",
        {
            "b": "The trace holds all eigenvalues already; what else differs between the two networks?",
            "c": "An axis shows the same numbers; what could make them differ although no decision does?",
        },
    ),
}
