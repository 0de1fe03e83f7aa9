"""Experiments with the model in the loop: perturbed states, Jacobians, edits of layers.

A flow map carries states of a text's last token from one site to a later one while the context is
held fixed. The functions here perturb such states and follow them (`states`), decode them (`lens`),
differentiate the map (`jacobians`), or skip and swap layers (`layers`). Each registered
perturbation runs over many texts, for the model and its controls, and returns one result with a
dimension `system`:

    systems = td.perturbation.systems(model, recording)
    result = td.perturbation.teleport(systems, n_texts=20)

`states.prompt.teleport` is the same experiment for one prompt.
"""

from transformer_dynamics.perturbation.jacobians.community_gain import community_gain
from transformer_dynamics.perturbation.jacobians.lens import jacobian_lens
from transformer_dynamics.perturbation.jacobians.lyapunov import lyapunov_exponents
from transformer_dynamics.perturbation.jacobians.over_texts import jacobians
from transformer_dynamics.perturbation.jacobians.ranks import composed_ranks, effective_rank
from transformer_dynamics.perturbation.jacobians.spectra import spectra
from transformer_dynamics.perturbation.jacobians.spectrum import spectrum
from transformer_dynamics.perturbation.jacobians.steps import step_jacobians
from transformer_dynamics.perturbation.layers import skip_and_swap
from transformer_dynamics.perturbation.lens import logit_lens
from transformer_dynamics.perturbation.states.basin import basin, basin_profile
from transformer_dynamics.perturbation.states.contracting_band import contracting_band
from transformer_dynamics.perturbation.states.flow_field import flow_field
from transformer_dynamics.perturbation.states.recovery import recovery
from transformer_dynamics.perturbation.states.slow_points import find_slow_points, slow_points
from transformer_dynamics.perturbation.states.teleport import teleport
from transformer_dynamics.perturbation.states.tracking import track_states
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
    "logit_lens",
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
