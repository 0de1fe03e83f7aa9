"""Flow field in the plane: mean displacement of perturbed states over the next sites.

For states x on a grid in the plane, the rest of the clean state kept, the displacement in the plane
over the next k sites, mean over texts:

    V (F(s -> s + k)(x) - x)

Cost: k sites per state. Source: after arXiv 2502.12131.
Documentation: docs/measures/perturbation.flow_field.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.perturbation.driver import (
    Experiment,
    Progress,
    chosen_texts,
    over_texts,
)
from transformer_dynamics.perturbation.states.displacement import (
    grid_scores,
    in_plane,
    plane_of,
    states_at,
)
from transformer_dynamics.perturbation.systems import System, model_and_one_twin
from transformer_dynamics.registry import perturbation
from transformer_dynamics.storage.attributes import STREAM

DIMS = ("site", "point", "component")


@perturbation(
    "perturbation.flow_field",
    title="Flow field in the plane of the first two principal components",
    source="after arXiv 2502.12131",
)
def flow_field(
    systems: Sequence[System],
    *,
    n_texts: int = 5,
    n: int = 10,
    n_sites: int = 2,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Compute the mean displacement in the plane over the next sites, at every depth.

    Args:
        systems: the model first, then its untrained twins; each in its own plane.
        n_texts: number of texts that the displacement is averaged over.
        n: points a side of the grid, which spans the range of the texts' scores at each site.
        n_sites: number of sites of the displacement; 2 is a layer with attention and MLP.
        seed: seed of the choice of texts.
        on_progress: called with texts done and texts in all.

    Returns:
        `point_score` and `displacement` `(system, site, point, component)`, in stream units, for
        every site that `n_sites` follow; `displacement_sd`, the standard deviation over texts
        (denominator: texts).

    Raises:
        InputError: too many texts, or fewer sites.
    """
    systems = model_and_one_twin(systems)
    texts = chosen_texts(systems, n_texts, seed)
    sites = systems[0].sites
    _check(n_sites, sites)

    def prepare(system: System) -> Experiment:
        recording = system.recording.load_if_small()
        axes = plane_of(recording)
        grids = {
            site: grid_scores(axes.project(states_at(recording, site)), n)
            for site in sites[:-n_sites]
        }

        def experiment(text: int) -> dict[str, xr.Dataset]:
            flow = system.flow(text)
            displacements = []
            for index, (site, grid) in enumerate(grids.items()):
                stop = sites[index + n_sites]
                perturbed = in_plane(flow.clean[index], grid, axes)
                (carried,) = np.moveaxis(flow.advance(perturbed, site, stop, keep=[stop]), 1, 0)
                displacements.append(axes.project(carried) - axes.project(perturbed))
            variables = {
                "point_score": (DIMS, np.stack(list(grids.values()))),
                "displacement": (DIMS, np.stack(displacements)),
            }
            return {system.name: xr.Dataset(variables, coords={"site": list(grids)})}

        return experiment

    result = over_texts(systems, texts, prepare, on_progress=on_progress)
    return _over_samples(result).assign_attrs(n_sites=n_sites, n_texts=n_texts)


def _check(n_sites: int, sites: Sequence[str]) -> None:
    if not 1 <= n_sites < len(sites):
        raise InputError(
            f"got n_sites={n_sites}; the system has {len(sites)} sites: flow_field(systems, "
            "n_sites=2)"
        )


def _over_samples(result: xr.Dataset) -> xr.Dataset:
    """Mean and standard deviation over texts."""
    displacement = result["displacement"]
    pooled = xr.Dataset(
        {
            "point_score": result["point_score"].isel(sample=0, drop=True),
            "displacement": displacement.mean("sample"),
            "displacement_sd": displacement.std("sample"),
        }
    )
    for variable in pooled.data_vars.values():
        variable.attrs = {"units": STREAM}
    return pooled.drop_vars(["text", "group"], errors="ignore")
