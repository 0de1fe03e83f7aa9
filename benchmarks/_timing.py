"""Seconds of things measured side by side: interleaved rounds, medians, ratios within a round.

The tasks of one round run close together in time, where whatever else the machine does is most
alike: so a ratio is taken within each round, and only then its median over rounds. Every round
begins with another task, so that slow drifts favor none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Task = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: what was measured.
        ratios: its seconds over those of the baseline of the same round, `(round,)`.
        seconds: median over rounds.
        baseline: what it stands beside.
        baseline_seconds: median over rounds, scaled up to the whole.
        measured_on: what the baseline was measured on.
        difference: largest difference of the numbers, over the largest number; None for the one
            that the others are compared with.
    """

    name: str
    ratios: NDArray[np.float64]
    seconds: float
    baseline: str
    baseline_seconds: float
    measured_on: str
    difference: float | None


@dataclass(frozen=True)
class Timings:
    """Seconds of each task `(round,)`, and what it returned the last time."""

    seconds: dict[str, NDArray[np.float64]]
    results: dict[str, Any]

    def median(self, task: str) -> float:
        """Median seconds of a task."""
        return float(np.median(self.seconds[task]))

    def ratios(self, task: str, other: str) -> NDArray[np.float64]:
        """Seconds of one task over those of another in the same round, `(round,)`."""
        return self.seconds[task] / self.seconds[other]


def interleaved(tasks: Mapping[str, Task], rounds: int) -> Timings:
    """Run every task once a round."""
    seconds = {name: np.empty(rounds) for name in tasks}
    results: dict[str, Any] = {}
    names = list(tasks)
    for index in range(rounds):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            results[name] = tasks[name]()
            seconds[name][index] = time.perf_counter() - start
    return Timings(seconds, results)


def relative_difference(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """Largest difference of two arrays over the largest magnitude; NaN if a number is NaN."""
    if ours.shape != theirs.shape:
        raise ValueError(f"shapes differ: {ours.shape} and {theirs.shape}")
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())
