"""Systems whose answers are known: recordings and flow maps."""

from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap
from transformer_dynamics.synthetic.recordings import (
    contraction,
    independent_states,
    line,
    ping_pong,
    random_walk,
    rotation,
    spiral,
)
from transformer_dynamics.synthetic.rotate_and_stretch import rotate_and_stretch_law

__all__ = [
    "LinearFlowMap",
    "contraction",
    "independent_states",
    "line",
    "ping_pong",
    "random_walk",
    "rotate_and_stretch_law",
    "rotation",
    "spiral",
]
