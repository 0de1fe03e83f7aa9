"""The model in the loop: what becomes of other states, step Jacobians, layers left out or swapped.

Each module holds array kernels and functions of one flow map, and one registered perturbation that
runs them over many texts, for the model and its controls, in
one result with a dimension `system`:

    systems = td.perturbation.systems(model, recording)
    result = td.perturbation.teleport(systems, n_texts=20)
"""

from transformer_dynamics.perturbation.jacobians.community_gain import community_gain
from transformer_dynamics.perturbation.jacobians.lens import jacobian_lens
from transformer_dynamics.perturbation.jacobians.lyapunov import lyapunov_exponents
from transformer_dynamics.perturbation.jacobians.over_texts import (
    jacobians,
    spectra,
    step_jacobians,
)
from transformer_dynamics.perturbation.jacobians.spectrum import (
    composed_ranks,
    effective_rank,
    spectrum,
)
from transformer_dynamics.perturbation.layers import skip_and_swap
from transformer_dynamics.perturbation.states.contracting_band import contracting_band
from transformer_dynamics.perturbation.states.flow_field import basin, basin_profile, flow_field
from transformer_dynamics.perturbation.states.recovery import recovery
from transformer_dynamics.perturbation.states.slow_points import find_slow_points, slow_points
from transformer_dynamics.perturbation.states.teleport import teleport, track_states
from transformer_dynamics.perturbation.states.truncation import truncation
from transformer_dynamics.perturbation.systems import System, systems

__all__ = [
    "System",
    "basin",
    "basin_profile",
    "community_gain",
    "composed_ranks",
    "contracting_band",
    "effective_rank",
    "find_slow_points",
    "flow_field",
    "jacobian_lens",
    "jacobians",
    "lyapunov_exponents",
    "recovery",
    "skip_and_swap",
    "slow_points",
    "spectra",
    "spectrum",
    "step_jacobians",
    "systems",
    "teleport",
    "track_states",
    "truncation",
]
