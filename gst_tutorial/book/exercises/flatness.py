"""Checks for the exercises of chapter 5, see `gst_tutorial.book.exercises`."""

from __future__ import annotations

import math

from gst_tutorial.book.exercises.answers import Check, Interval
from gst_tutorial.book.exercises.tabled import Letter, Number

CHECKS: dict[str, Check] = {
    "5.1": Number(
        0.2,
        2,
        "Half of 0.1 squared times 40: the trace is the price of weight noise.",
        {
            0.4: "The second-order term has a factor of one half.",
            2.0: "0.1 is the standard deviation; the covariance holds its square.",
            4.0: "0.1 is the standard deviation; the covariance holds its square. And there is a factor of one half.",
            0.01: "Half the variance is 0.005; it is still to be multiplied by the trace of the Hessian.",
        },
    ),
    "5.2": Number(
        10.0,
        0,
        "Nine times flatter, and not one prediction has changed.",
        {
            30.0: "Each of the two derivatives brings a factor of 3.",
            810.0: "The weights grew, so the same step is a smaller change: the curvature falls.",
            270.0: "The weights grew, so the same step is a smaller change: the curvature falls, with the square.",
            90.0: "The function stays; its curvature per unit of weight does not.",
        },
    ),
    "5.3": Number(
        math.exp(-0.1) * (1 - math.exp(-0.1)),
        3,
        "Close to the loss itself: as the loss goes to 0, so does the curvature.",
        {
            math.exp(-0.1): "That is the probability of the right class.",
            1 - math.exp(-0.1): "That is 1 - p, the length of the first derivative.",
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
    # SAM of radius 0.1 minus none, 12 epochs, seeds 200 to 214: -0.19 [-0.21, -0.17].
    "5.5": Interval(
        low=-0.207,
        high=-0.174,
        sd=0.03,
        right="Ten to that power is the factor: about two thirds as sharp, with both traps avoided.",
        units="Take log10 of the trace before the difference, run by run.",
        measured="fifteen other seeds",
    ),
}
