"""Systems whose every answer is known: linear flows about the states of a recording."""

import numpy as np

from transformer_dynamics.model.labels import transformer_labels
from transformer_dynamics.perturbation import System
from transformer_dynamics.recording import Recording
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

N_TEXTS, N_SITES, N_UNITS = 6, 6, 4


def system(matrices, name="model", seed=0):
    """Texts that begin at random states and all follow the same matrices."""
    firsts = np.random.default_rng(seed).standard_normal((N_TEXTS, np.shape(matrices)[-1]))
    flows = [LinearFlowMap(matrices, first=first) for first in firsts]
    states = np.stack([flow.clean for flow in flows])
    recording = Recording.from_array(states, sites=flows[0].sites)
    return System(name, recording, flows.__getitem__)


def contraction(factor, name="model"):
    return system(np.stack([factor * np.eye(N_UNITS)] * (N_SITES - 1)), name)


def layered(factors, name="model", seed=0, n_units=N_UNITS):
    """Layers of two sublayers that multiply the state of each text by factors `(text, layer)`."""
    halves = np.sqrt(np.repeat(factors, 2, axis=1))
    sites = transformer_labels(halves.shape[1] // 2)
    firsts = np.random.default_rng(seed).standard_normal((len(halves), n_units))
    flows = []
    for row, first in zip(halves, firsts, strict=True):
        flow = LinearFlowMap(row[:, None, None] * np.eye(n_units), first=first)
        flow.sites = tuple(sites)
        flows.append(flow)
    recording = Recording.from_array(np.stack([flow.clean for flow in flows]), sites=sites)
    return System(name, recording, flows.__getitem__)
