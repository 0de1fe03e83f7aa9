"""Division of states into passes that several starts share.

A pass begins at the layer of its first start; states of later starts run along from there, so that
a start joins a pass only if the wasted work is smaller than the fixed cost of a pass of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

# Fixed cost of a pass, and of every layer in it, in tokens that one layer could carry meanwhile
# (SmolLM2-135M on a CPU).
PASS_COST = 36
LAYER_COST = 18

Batch = list[tuple[str, slice]]


def joint_passes(
    sizes: Mapping[str, tuple[int, int]],
    stop: int,
    states_per_pass: int,
    *,
    tokens_per_state: int = 1,
) -> Iterator[Batch]:
    """Divide states among passes.

    Args:
        sizes: number of states and layer of each start, in order of depth.
        stop: layer at which the passes end.
        states_per_pass: largest number of states of a pass.
        tokens_per_state: tokens that a pass runs for each state.

    Yields:
        Starts of one pass with their rows among the states of the start, in order of depth.
    """
    batch: Batch = []
    n_states = first = 0
    for start, (size, layer) in sizes.items():
        for rows in even_slices(size, states_per_pass):
            n_rows = rows.stop - rows.start
            own_pass = PASS_COST + LAYER_COST * (stop - layer)
            is_full = n_states + n_rows > states_per_pass
            if batch and (is_full or n_rows * tokens_per_state * (layer - first) > own_pass):
                yield batch
                batch, n_states = [], 0
            if not batch:
                first = layer
            batch.append((start, rows))
            n_states += n_rows
    if batch:
        yield batch


def even_slices(n: int, most: int) -> Iterator[slice]:
    """Divide a range into slices of equal size, up to one, and of at most `most`.

    >>> [rows.stop - rows.start for rows in even_slices(7, 3)]
    [3, 2, 2]
    """
    n_slices = -(-n // most)
    for index in range(n_slices):
        yield slice(-(-n * index // n_slices), -(-n * (index + 1) // n_slices))
