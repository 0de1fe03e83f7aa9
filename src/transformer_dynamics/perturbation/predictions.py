"""Divergence of the next token's distribution from the unperturbed one.

KL(clean || state) = sum over tokens of p_clean (ln p_clean - ln p_state), in nats. Tokens that the
clean run excludes outright add nothing.

Cost: a row of the vocabulary per state. Not handled: flows without tokens, which are refused.
"""

from __future__ import annotations

import numpy as np

from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats

# States of which the next token is predicted at a time: a vocabulary is large.
STATES_PER_PASS = 32


def divergences(flow: FlowMap, states: Floats, start: str) -> Floats:
    """KL(clean || state) of the next token's distributions, `(state)`, in nats.

    Args:
        flow: the flow map of one text.
        states: `(state, unit)`, at `start`; NaN gives NaN.
        start: the site where they stand.

    Raises:
        InputError: as `FlowMap.log_probabilities`.
    """
    clean = flow.log_probabilities(flow.clean[-1:], flow.sites[-1])[0]
    told = np.exp(clean) > 0  # tokens excluded outright add nothing: 0 log 0 = 0
    chances, reference = np.exp(clean[told]), clean[told]
    found = np.full(len(states), np.nan)
    there = np.flatnonzero(np.isfinite(states).all(axis=1))
    for begin in range(0, there.size, STATES_PER_PASS):
        rows = there[begin : begin + STATES_PER_PASS]
        others = flow.log_probabilities(states[rows], start)[:, told]
        found[rows] = np.maximum((reference - others) @ chances, 0.0)
    return found
