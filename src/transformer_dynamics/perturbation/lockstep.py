"""Minimize several functions at the same time, with their evaluations together.

Each search is L-BFGS of scipy in a thread of its own, as if it ran alone. All searches that go on
ask for the next value before any is computed, so that one pass of a model answers all of them, in
the calling thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import numpy as np
import scipy.optimize

from transformer_dynamics.numerics.arrays import Floats

# Values and gradients `(search)`, `(search, parameter)` at the points of the searches with these
# indices.
Evaluate = Callable[[Sequence[int], Floats], tuple[Floats, Floats]]


def minimize_together(
    evaluate: Evaluate, starts: Floats, options: Sequence[dict[str, Any]]
) -> list[scipy.optimize.OptimizeResult]:
    """Minimize a function from each start by L-BFGS-B.

    Args:
        evaluate: function of indices of searches, ascending, and their points `(search,
            parameter)`; it returns the values and the gradients there.
        starts: first point of each search, `(search, parameter)`.
        options: options of scipy for each search.

    Returns:
        Result of each search.

    >>> def bowls(searches, points):
    ...     return ((points - 1) ** 2).sum(axis=1) / 2, points - 1
    >>> found = minimize_together(bowls, np.array([[3.0], [4.0]]), [{}, {}])
    >>> [each.x.round(6).tolist() for each in found]
    [[1.0], [1.0]]
    """
    asked: SimpleQueue[tuple[int, Floats | None]] = SimpleQueue()
    answers: list[SimpleQueue[Any]] = [SimpleQueue() for _ in starts]

    def search(index: int) -> scipy.optimize.OptimizeResult:
        def answered(point: Floats) -> tuple[float, Floats]:
            asked.put((index, point.copy()))
            answer = answers[index].get()
            if answer is None:
                raise _Stopped
            return answer  # type: ignore[no-any-return]

        try:
            found: scipy.optimize.OptimizeResult = scipy.optimize.minimize(
                answered,
                starts[index],
                jac=True,
                method="L-BFGS-B",
                options=options[index],  # type: ignore[call-overload]
            )
            return found
        finally:
            asked.put((index, None))

    with ThreadPoolExecutor(max(1, len(starts))) as threads:
        searches = [threads.submit(search, index) for index in range(len(starts))]
        try:
            _answer(evaluate, asked, answers)
        except BaseException:
            for answer in answers:
                answer.put(None)
            raise
    return [each.result() for each in searches]


def _answer(
    evaluate: Evaluate,
    asked: SimpleQueue[tuple[int, Floats | None]],
    answers: Sequence[SimpleQueue[Any]],
) -> None:
    """Answer the questions of all searches together until the last one has ended."""
    n_running = len(answers)
    while n_running:
        received = dict(asked.get() for _ in range(n_running))
        points = {index: point for index, point in sorted(received.items()) if point is not None}
        n_running = len(points)
        if points:
            values, gradients = evaluate(list(points), np.stack(list(points.values())))
            for index, value, gradient in zip(points, values, gradients, strict=True):
                answers[index].put((float(value), gradient))


class _Stopped(Exception):
    """Raised in a search whose questions are not answered any more."""
