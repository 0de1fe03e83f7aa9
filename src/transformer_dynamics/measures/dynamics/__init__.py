"""Laws from one site to the next: linear maps, rotation, rotate-and-stretch."""

from transformer_dynamics.measures.dynamics.jpca import jpca
from transformer_dynamics.measures.dynamics.linear_maps import linear_maps
from transformer_dynamics.measures.dynamics.rotate_and_stretch import rotate_and_stretch
from transformer_dynamics.measures.dynamics.rotation import rotation
from transformer_dynamics.measures.dynamics.tangling import tangling

__all__ = ["jpca", "linear_maps", "rotate_and_stretch", "rotation", "tangling"]
