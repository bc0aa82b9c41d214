"""When pruning events come: `Schedule`, the epochs that end with one."""

from __future__ import annotations

import itertools
from typing import Annotated, Any

from gst_tutorial import _arguments as check
from gst_tutorial._fields import Count, Index, checked_by, config_class

INIT = "init"  # instead of a schedule: prune before training


def _increasing(argument: str, epochs: Any) -> tuple[int, ...]:
    epochs = tuple(check.integer(argument, epoch, 0, check.MOST) for epoch in check.many(argument, epochs, "epochs"))
    if not epochs:
        raise ValueError(
            "schedule=(): the schedule is empty, so nothing would happen. Use intervention='none' for that."
        )
    if any(a >= b for a, b in itertools.pairwise(epochs)):
        raise ValueError(f"schedule={check.shown(epochs)} must be epochs that increase.")
    return epochs


@config_class
class Schedule:
    """Pruning events after the training of these epochs (0-based). `PruneSchedule` spaces them evenly.

    Attributes:
        epochs: the epochs that end with an event, increasing.
        end: no event comes after this epoch. Default: the last event's.
        retrain_period: epochs from one event to the next; the shortest, where they differ. Default: as in `epochs`.

    >>> Schedule((5, 7, 23)).n_events
    3
    >>> Schedule((5, 14, 23))
    PruneSchedule(start=5, end=23, retrain_period=9)

    Raises:
        ValueError, TypeError: epochs that do not increase, or `end` and `retrain_period` that contradict them.
    """

    epochs: Annotated[tuple[int, ...], checked_by(_increasing)]
    end: Index = None  # type: ignore[assignment]  (found from the epochs)
    retrain_period: Count = None  # type: ignore[assignment]

    def __post_init__(self):
        end, period = self.epochs[-1], min((b - a for a, b in itertools.pairwise(self.epochs)), default=1)
        for name, found in (("end", end), ("retrain_period", period)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, found)
        if not self.is_regular and (self.end, self.retrain_period) != (end, period):
            raise ValueError(
                f"end={self.end} and retrain_period={self.retrain_period} contradict epochs={self.epochs}."
            )

    @property
    def start(self) -> int:
        """The first event's epoch."""
        return self.epochs[0]

    @property
    def n_events(self) -> int:
        """Number of pruning events."""
        return len(self.epochs)

    @property
    def is_regular(self) -> bool:
        """True if the events are evenly spaced and fill the time until `end`."""
        return self.epochs == tuple(range(self.start, self.end + 1, self.retrain_period))

    def to_dict(self) -> dict:
        """Plain JSON types; `as_schedule` is the inverse. Hashes of runs are made of it."""
        if self.is_regular:
            return {"start": self.start, "end": self.end, "retrain_period": self.retrain_period}
        return {"epochs": self.epochs}

    def __repr__(self) -> str:
        if self.is_regular:
            return f"PruneSchedule(start={self.start}, end={self.end}, retrain_period={self.retrain_period})"
        return f"Schedule({self.epochs})"


def PruneSchedule(start: int, end: int, retrain_period: int) -> Schedule:
    """Return the `Schedule` of events after epochs `start`, `start + retrain_period`, ... up to `end` (0-based).

    >>> PruneSchedule(start=5, end=23, retrain_period=9).epochs
    (5, 14, 23)

    Raises:
        ValueError, TypeError: a number out of its range, or `start` after `end`.
    """
    start = check.integer("start", start, 0, check.MOST)
    end = check.integer("end", end, 0, check.MOST)
    retrain_period = check.integer("retrain_period", retrain_period, 1, check.MOST)
    if start > end:
        raise ValueError(f"start={start} is after end={end}; a schedule needs start <= end.")
    return Schedule(tuple(range(start, end + 1, retrain_period)), end, retrain_period)


def as_schedule(value: Any) -> Schedule:
    """Return the `Schedule` for a schedule, its `to_dict`, a sequence of epochs, or any object with `epochs`.

    Raises:
        ValueError, TypeError: none of these.
    """
    if isinstance(value, Schedule):
        return value
    if isinstance(value, dict) and set(value) == {"epochs"}:
        return Schedule(value["epochs"])
    if isinstance(value, dict):
        for name in value.keys() ^ {"start", "end", "retrain_period"}:
            raise ValueError(
                f"schedule={check.shown(value)} must have epochs, or start, end and retrain_period ({name})."
            )
        return PruneSchedule(**value)
    return Schedule(getattr(value, "epochs", value))
