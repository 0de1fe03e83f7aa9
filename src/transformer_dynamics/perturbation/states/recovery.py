"""Recovery: displacements of the last token's state at every layer, followed over depth.

Log ratios are those of `log_ratios`, perturbed states those of `displacement_plan`.

    KL ratio         KL(clean || perturbed) over the same of zero update, both in nats
    JVP log ratio    ln |J v| / |v|, J the Jacobian from s to t: the limit of small sizes

Horizons are counted in sites. Zero update keeps a displacement as it is: its log ratio is 0.
Cost: per text and start one pass of kinds x sizes x states, from that layer on. Source: arXiv
2502.12131 for the grid and the horizon of 12. Limit: only the last token's state is displaced.
Documentation: docs/measures/perturbation.recovery.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.depths import layer_sites
from transformer_dynamics.perturbation.driver import (
    Experiment,
    Progress,
    chosen_texts,
    over_texts,
    texts_followed,
)
from transformer_dynamics.perturbation.jacobians.contraction import Linearization
from transformer_dynamics.perturbation.predictions import relative_divergences
from transformer_dynamics.perturbation.states.displacement import KINDS
from transformer_dynamics.perturbation.states.displacement_plan import (
    UNIT_SIZE,
    Displacements,
    Plan,
)
from transformer_dynamics.perturbation.states.log_ratios import at_horizons, carried_log_ratios
from transformer_dynamics.perturbation.systems import ZERO_UPDATE, System, is_further_twin
from transformer_dynamics.registry import perturbation

SIZES = (0.1, 0.3, 1.0, 3.0)
HORIZONS = (2, 6, 12)
END = "end"
# Horizon of arXiv 2502.12131, for the Jacobians.
LINEAR_HORIZON = 12
# States per kind and start whose next token is predicted: logits over the vocabulary cost most.
KL_STATES = 2
# Kind whose next token is predicted for the second and later twins.
READOUT_KIND = "shift"
# Number of texts whose Jacobians over the horizon are computed.
N_JACOBIANS = 2
NO_DIFFERENCE = "where the states of the texts do not differ, a displacement has no size"
VARIABLES = {
    "log_ratio": {"units": "nats", "definition": "ln |x_t - c_t| / |x_s - c_s|"},
    "normalized_log_ratio": {"units": "nats", "definition": "log_ratio of x / rms(x)"},
    "log_ratio_path": {"units": "nats", "definition": "log_ratio at every site, size 1"},
    "initial_distance": {"units": "1", "denominator": "spread between texts at the site"},
    "spread": {"units": "stream units", "definition": "rms distance of texts from their mean"},
    "kl": {
        "units": "nats",
        "definition": "KL of the clean next-token distribution from it, size 1",
    },
    "kl_zero_update": {"units": "nats", "definition": "kl with the displacement kept as it was"},
    "kl_ratio": {"units": "1", "denominator": "kl_zero_update"},
    "jvp_log_ratio": {"units": "nats", "definition": f"ln |J v| / |v| over {LINEAR_HORIZON} sites"},
    "contracting_share": {
        "units": "1",
        "definition": f"singular values below 1 of the Jacobian over {LINEAR_HORIZON} sites",
        "denominator": "all singular values",
    },
}
# Dimensions of the variables without sites, by their number.
DIMS = {1: ("start",), 2: ("kind", "start"), 3: ("kind", "size", "start")}


@perturbation(
    "perturbation.recovery",
    title="Recovery: displacements at every layer, followed over depth",
    source="arXiv 2502.12131 for the grid and the horizon; depths, kinds, sizes, readout: ours",
)
def recovery(
    systems: Sequence[System],
    *,
    n_texts: int = 24,
    n_states: int = 2,
    sizes: Sequence[float] = SIZES,
    kinds: Sequence[str] = KINDS,
    starts: Sequence[str] | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Displace the last token's state at every layer in many texts, and follow it over depth.

    Args:
        systems: the model first, then its untrained twins; see `systems`. Zero update is added.
        n_texts: number of texts, drawn from the texts of the recording; the twins follow the first
            of them (see `texts_followed`).
        n_states: perturbed states of each kind; the same directions at every size.
        sizes: in units of the spread between texts, 1 among them.
        kinds: any of `grid`, `shift`, `random`, `towards`.
        starts: sites of the displacements; by default the first of every layer.
        seed: seed of the choice of texts and of directions.
        on_progress: called with texts done and texts in all.

    Returns:
        `log_ratio`, `normalized_log_ratio` `(system, sample, kind, size, start, horizon)`, the
        horizons being `2`, `6`, `12` sublayers and `end`, the last site; `initial_distance`
        `(system, sample, kind, size, start)`; at size 1 `log_ratio_path` `(system, kind, start,
        site)`, mean over texts, and, if a system predicts tokens, `kl`, `kl_zero_update`,
        `kl_ratio` `(system, sample, kind, start)`; `jvp_log_ratio` `(system, sample, start)` of
        the directions of `random`, and `contracting_share` `(sample, start)` of `N_JACOBIANS`
        texts, both of the first system; `spread` `(system, start)`. NaN beyond the last site, for
        texts that are not followed, for other sizes than 1 and `kl...` of other kinds than `shift`
        of the second and later twins, and, with one `UndefinedWarning`, if the texts do not differ.

    Raises:
        InputError: unknown sites or kinds, sizes that are not positive or lack 1, too many texts.
    """
    model, sites = systems[0], systems[0].sites
    plan = Plan(tuple(starts or layer_sites(sites)[:-1]), tuple(kinds), tuple(sizes), n_states)
    plan.check(sites)
    texts = chosen_texts(systems, n_texts, seed)
    linearization = Linearization(LINEAR_HORIZON, texts[:N_JACOBIANS])

    def prepare(system: System) -> Experiment:
        shown = plan if not is_further_twin(system.name) else replace(plan, sizes=(UNIT_SIZE,))
        displacements = Displacements(system, shown)
        linear = linearization if system is model else None
        return lambda text: _of_text(system, text, displacements, seed, linear)

    followed = texts_followed(systems, texts)
    whole = over_texts(systems, texts, prepare, followed=followed, on_progress=on_progress)
    names = [*(system.name for system in systems), ZERO_UPDATE]
    whole = whole.sel(system=names, size=list(plan.sizes))
    whole["contracting_share"] = whole["contracting_share"].sel(system=model.name, drop=True)
    whole["spread"] = whole["spread"].max("sample", keep_attrs=True)
    whole["log_ratio_path"] = whole["log_ratio_path"].mean("sample", keep_attrs=True)
    _warn(whole["log_ratio"].sel(system=model.name, horizon=END), linearization.refusals)
    return whole.assign_coords(site=list(sites))


def _of_text(
    system: System,
    text: int,
    displacements: Displacements,
    seed: int,
    linearization: Linearization | None,
) -> dict[str, xr.Dataset]:
    """One text's result by system name; with a linearization, of zero update as well."""
    flow, plan = system.flow(text), displacements.plan
    logs, initial, ends = carried_log_ratios(flow, displacements, (seed, text))
    ends = ends[..., : min(KL_STATES, plan.n_states), :]
    if is_further_twin(system.name) and READOUT_KIND in plan.kinds:
        ends[:, [kind != READOUT_KIND for kind in plan.kinds]] = np.nan
    divergence = relative_divergences(flow, ends) if system.predicts else [{}, {}]
    linear = share = undefined = np.full(len(plan.starts), np.nan)
    if linearization is not None:
        directions = displacements.random_directions(flow, (seed, text))
        linear = linearization.jvp_log_ratio(flow, plan.starts, directions)
        share = linearization.contracting_share(flow, plan.starts, text)
    answers = (
        {"jvp_log_ratio": linear, "contracting_share": share},
        {"jvp_log_ratio": 0.0 * linear, "contracting_share": undefined},
    )
    spread = np.array([displacements.spread[start] for start in plan.starts])
    shared = {"initial_distance": initial, "spread": spread}
    names = [system.name] if linearization is None else [system.name, ZERO_UPDATE]
    return {
        name: _described(flow, plan, logs[row], {**shared, **divergence[row], **answers[row]})
        for row, name in enumerate(names)
    }


def _described(flow: FlowMap, plan: Plan, logs: Floats, values: Mapping[str, Floats]) -> xr.Dataset:
    """Result with units, from log ratios `(reading, kind, size, start, site)` and the rest."""
    plain, normalized = (at_horizons(each, plan.starts, flow.sites, HORIZONS) for each in logs)
    variables = {
        "log_ratio": (("kind", "size", "start", "horizon"), plain),
        "normalized_log_ratio": (("kind", "size", "start", "horizon"), normalized),
        "log_ratio_path": (("kind", "start", "site"), logs[0][:, plan.unit]),
        **{name: (DIMS[each.ndim], each) for name, each in values.items()},
    }
    return xr.Dataset(
        {name: (*value, VARIABLES[name]) for name, value in variables.items()},
        coords={
            "kind": list(plan.kinds),
            "size": list(plan.sizes),
            "start": list(plan.starts),
            "horizon": [*map(str, HORIZONS), END],
        },
    )


def _warn(ends: xr.DataArray, refusals: Sequence[str]) -> None:
    undefined = int(ends.isnull().sum())
    reasons = [f"{undefined} of {ends.size} log ratios ({NO_DIFFERENCE})"] if undefined else []
    reasons += [f"variables that need Jacobians ({refusal})" for refusal in refusals]
    if reasons:
        warnings.warn(
            f"undefined (NaN): {'; '.join(reasons)}",
            UndefinedWarning,
            stacklevel=4,
        )
