"""Systems with known answers: recordings and flow maps."""

from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap
from transformer_dynamics.synthetic.random_states import independent_states, random_walk
from transformer_dynamics.synthetic.rotate_and_stretch import rotate_and_stretch_law
from transformer_dynamics.synthetic.rotations import rotation, spiral
from transformer_dynamics.synthetic.straight_paths import contraction, line, ping_pong

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
