"""How every benchmark measures, and what a row of its table holds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def alternating(
    ours: Callable[[], object],
    peer: Callable[[], object],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
    long: float = float("inf"),
) -> tuple[float, float]:
    """Median seconds of each, measured in turns so that a busy moment of the machine hits both.

    Args:
        clock: `time.process_time` counts processor time, which other processes disturb less.
        long: seconds after which a side is not repeated.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats):
        for which in (0, 1) if repeat % 2 == 0 else (1, 0):
            start = clock()
            (ours, peer)[which]()
            times[which].append(clock() - start)
        if max(times[0][0], times[1][0]) > long:
            break
    return statistics.median(times[0]), statistics.median(times[1])


def row(name: str, ours: str, peer: str, seconds: tuple[float, float] | None, note: str = "", **more) -> dict:
    """A row of the table; ratio is peer over ours, so more than 1 says that ours is faster.

    Args:
        seconds: of ours and of the peer; None for rows about something else, which give their `ratio` in `more`.
    """
    own, other = seconds or (float("nan"), float("nan"))
    found = {"benchmark": name, "ours": ours, "peer": peer, "ours_seconds": own, "peer_seconds": other}
    return {**found, "ratio": other / own, **more, "note": note}
