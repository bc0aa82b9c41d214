"""Predictions of each kind, for the tests of the builder and of what it does in a browser."""

from gst_tutorial.book.figures import predict
from gst_tutorial.statistics import Estimate

HOSTILE = "</script><img src=x onerror=document.title='broken'> & \"quotes\" <b> $x$"
WHY = "Batch norm divides the weight's size out."
GAINS = {20: 0.5, 40: 1.5, 60: 3.0, 95: -6.0}


def estimate(points: float, half: float = 0.4) -> Estimate:
    return Estimate("gain", points / 100, (points - half) / 100, (points + half) / 100, 20)


POINTS = {"explanation": WHY, "scale": 100, "unit": " points"}


def bars(**changes) -> str:
    truth = {"the smallest": estimate(-2.0), "the largest": estimate(3.1), "random ones": -0.013}
    given = {
        "question": "Which filters?",
        "truth": truth,
        "name": "bars",
        "usual": "the smallest",
        "model": "They do little",
    }
    return predict(**{**given, **POINTS, **changes}).data


def ranges(**changes) -> str:
    options = {"higher": (1, 100), "no difference": (-1, 1), "lower": (-100, -1)}
    given = {"question": "Two events or nineteen?", "truth": estimate(0.2), "name": "ranges", "options": options}
    return predict(**{**given, **POINTS, "usual": "higher", "model": "A drop shakes", **changes}).data


def place(**changes) -> str:
    given = {"question": "How much?", "truth": estimate(3.1), "name": "place", "axis": (-10, 10), "label": "gain"}
    return predict(**{**given, **POINTS, "usual": -5, "model": "Less capacity", **changes}).data


def curve(**changes) -> str:
    given = {
        "question": "Draw it.",
        "truth": {x: estimate(gain) for x, gain in GAINS.items()},
        "name": "curve",
        "axis": (-10, 10),
        "label": "gain",
        "x_label": "removed",
        "x_unit": "%",
        "usual": {20: -1, 40: -2, 60: -3, 95: -9},
        "model": "Less capacity",
        "caption": "Drawn by the test.",
    }
    return predict(**{**given, **POINTS, **changes}).data


KINDS = {"bars": bars, "ranges": ranges, "place": place, "curve": curve}


def hostile() -> str:
    """Every text of every kind is hostile."""
    same = {"question": HOSTILE, "explanation": HOSTILE, "model": HOSTILE, "caption": HOSTILE, "unit": HOSTILE}
    option = HOSTILE + " usual"
    return (
        bars(**same, truth={option: 0.01, HOSTILE: 0.02}, usual=option)
        + ranges(**same, options={option: (-1, 0), HOSTILE: (0, 1)}, usual=option)
        + place(**same, label=HOSTILE)
        + curve(**same, label=HOSTILE, x_label=HOSTILE, x_unit=HOSTILE)
    )
