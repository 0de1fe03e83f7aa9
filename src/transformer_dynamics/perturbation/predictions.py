"""Divergence of the next token's distribution from the unperturbed one.

KL(clean || state) = sum over tokens of p_clean (ln p_clean - ln p_state), in nats. Tokens to which
the unperturbed run gives probability zero add nothing.

Cost: logits over the vocabulary per state. Limit: flow maps without tokens are refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats

# Log-probabilities of the states of one pass, which has at least `LEAST_STATES`.
PASS_BYTES = 48 * 2**20
LEAST_STATES = 8


def divergences(flow: FlowMap, states: Floats, start: str) -> Floats:
    """KL(clean || state) of the next token's distributions, `(state)`, in nats.

    Args:
        flow: flow map of one text.
        states: `(state, unit)`, at `start`; NaN gives NaN.
        start: site of the states.

    Raises:
        InputError: as `FlowMap.log_probabilities`.
    """
    clean = flow.log_probabilities(flow.clean[-1:], flow.sites[-1])[0]
    probability = np.exp(clean)
    possible = probability > 0  # 0 log 0 = 0
    chosen = slice(None) if possible.all() else possible
    probability = probability[chosen]
    expected = float(clean[chosen] @ probability)
    kl = np.full(len(states), np.nan)
    finite = np.flatnonzero(np.isfinite(states).all(axis=1))
    n_rows = max(LEAST_STATES, PASS_BYTES // clean.nbytes)
    for begin in range(0, finite.size, n_rows):
        rows = finite[begin : begin + n_rows]
        perturbed = flow.log_probabilities(states[rows], start)[:, chosen]
        kl[rows] = np.maximum(expected - perturbed @ probability, 0.0)
    return kl


def divergences_of_starts(flow: FlowMap, states: Mapping[str, Floats]) -> dict[str, Floats]:
    """KL(clean || state) by start, `(state)`, in nats; states travel in the same passes.

    Args:
        flow: flow map of one text.
        states: `(state, unit)` by start; NaN gives NaN.

    Raises:
        InputError: as `FlowMap.advance_many` and `FlowMap.log_probabilities`.
    """
    last = flow.sites[-1]
    is_finite = {start: np.isfinite(each).all(axis=1) for start, each in states.items()}
    finite = {start: each[is_finite[start]] for start, each in states.items()}
    carried = flow.advance_many(
        {start: each for start, each in finite.items() if len(each)}, last, keep=[last]
    )
    ends = {start: np.full(each.shape, np.nan) for start, each in states.items()}
    for start, each in carried.items():
        ends[start][is_finite[start]] = each[:, 0]
    values = divergences(flow, np.concatenate(list(ends.values())), last)
    sizes = np.cumsum([len(each) for each in ends.values()])[:-1]
    return dict(zip(ends, np.split(values, sizes), strict=True))


def relative_divergences(flow: FlowMap, ends: Floats) -> list[dict[str, Floats]]:
    """KL of final states, and its ratio to the same of zero update.

    Args:
        flow: flow map of one text.
        ends: states at the last site `(system, kind, start, state, unit)`, for the flow and for
            zero update.

    Returns:
        By system, `kl`, `kl_zero_update` and `kl_ratio` `(kind, start)`: geometric means over
        states, in nats, and their ratio, NaN if the denominator is zero.
    """
    kl = divergences(flow, ends.reshape(-1, flow.n_units), flow.sites[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = np.exp(np.log(kl.reshape(ends.shape[:-1])).mean(axis=-1))
        ratios = np.where(pooled[1] > 0, pooled / pooled[1], np.nan)
    return [
        {"kl": each, "kl_zero_update": pooled[1], "kl_ratio": ratio}
        for each, ratio in zip(pooled, ratios, strict=True)
    ]
