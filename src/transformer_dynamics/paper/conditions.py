"""Conditions of the panels: the recordings of a model and its controls, and shared results.

A condition is a recording of the same shape as the model's: the model itself (first), its shuffled
texts, its untrained twin, the matched random walk. Results that several panels share are computed
once per condition. Panels show the 2L sublayers, without the final site, as in arXiv 2502.12131.
The teleport of panel 4D needs a flow map of the paper's prompt, which only a model has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from transformer_dynamics.errors import TdynError
from transformer_dynamics.measures.dimension.autoencoder import autoencoder
from transformer_dynamics.measures.dimension.pca import pca
from transformer_dynamics.measures.orbits.phase_plane import phase_portrait
from transformer_dynamics.measures.paths.kinematics import kinematics
from transformer_dynamics.measures.units.correlation import correlation
from transformer_dynamics.measures.units.information import mutual_information
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.nulls.random_walk import random_walk
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.paper.teleport import PROMPT, teleport_prompt
from transformer_dynamics.perturbation.driver import stacked
from transformer_dynamics.perturbation.systems import MODEL, UNTRAINED
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.stats.bootstrap import percentile_interval, text_weights, uniform_weights

if TYPE_CHECKING:
    from transformer_dynamics.model.language_model import Model

SOURCE = "arXiv 2502.12131"
SHUFFLED, RANDOM_WALK = "shuffled_tokens", "random_walk"
ORDER = (MODEL, SHUFFLED, UNTRAINED, RANDOM_WALK)
# The kernel estimate takes a second per ten units of a thousand texts.
N_KDE_UNITS = 64
N_COMPONENTS = 100
BOTTLENECK = 2
N_BOOTSTRAP = 499
# Bootstrap draws held in memory at a time.
DRAWS_AT_A_TIME = 50


@dataclass(frozen=True, eq=False)
class Condition:
    """One recording and the results that panels share.

    Attributes:
        name: `model`, or the name of the control.
        recording: states at all sites.
        flow: flow map of the paper's prompt, if there is a model.
        seed: seed of splits, initial weights and bootstrap.
    """

    name: str
    recording: Recording
    flow: FlowMap | None = None
    seed: int = 0

    @cached_property
    def sublayers(self) -> Recording:
        """States at all sites but the final one, in memory if they are small enough."""
        return self.recording.sublayers.load_if_small()

    @cached_property
    def correlation(self) -> xr.Dataset:
        """`units.correlation` of the sublayers."""
        return correlation(self.sublayers)

    @cached_property
    def kinematics(self) -> xr.Dataset:
        """`paths.kinematics` of the sublayers."""
        return kinematics(self.sublayers)

    @cached_property
    def copula(self) -> xr.Dataset:
        """`units.mutual_information` of the sublayers, all units, Gaussian copula."""
        return mutual_information(self.sublayers)

    @cached_property
    def kde_recording(self) -> Recording:
        """Sublayers of `N_KDE_UNITS` evenly spaced units, labeled by the coordinate `unit`."""
        n_units = self.sublayers.shape[2]
        units = np.unique(
            np.linspace(0, n_units - 1, min(N_KDE_UNITS, n_units)).round().astype(int)
        )
        return Recording(self.sublayers.dataset.isel(unit=units).assign_coords(unit=units))

    @cached_property
    def kde(self) -> xr.Dataset:
        """`units.mutual_information` of subsampled units with the paper's kernel estimate."""
        return mutual_information(self.kde_recording, estimator="kde")

    @cached_property
    def portrait(self) -> xr.Dataset:
        """`orbits.phase_portrait` of the sublayers: mean traces and their gradients."""
        return phase_portrait(self.sublayers)

    @cached_property
    def autoencoder(self) -> xr.Dataset:
        """`dimension.autoencoder` of the sublayers with the paper's bottleneck."""
        return autoencoder(self.sublayers, bottlenecks=(BOTTLENECK,), seed=self.seed)

    @cached_property
    def pca(self) -> xr.Dataset:
        """`dimension.pca` of the sublayers, up to 100 components."""
        n_samples, n_sites, n_units = self.sublayers.shape
        most = min(n_units, n_samples * n_sites)
        return pca(self.sublayers, n_components=min(N_COMPONENTS, most))

    @cached_property
    def teleport(self) -> xr.Dataset | None:
        """Panel 4D's experiment; None without a flow map."""
        if self.flow is None:
            return None
        return teleport_prompt(self.flow, self.recording, self.pca)

    def bootstrapped(
        self, statistic: Callable[[Recording, Floats], Floats], n_draws: int = N_BOOTSTRAP
    ) -> tuple[Floats, Floats, Floats]:
        """Compute a statistic of the sublayers with its 95 % interval over texts.

        Args:
            statistic: function of a recording and weights `(draw, sample)`; `(draw, ...)`.
            n_draws: number of bootstrap draws; 0 for the value alone.

        Returns:
            Value, low and high, each `(...)`; the interval is NaN without draws, and for one
            text.
        """
        value = statistic(self.sublayers, uniform_weights(self.sublayers.shape[0]))[0]
        texts = self.sublayers.groups
        if n_draws == 0 or len(np.unique(texts)) < 2:
            return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
        weights = text_weights(texts, n_draws, seed=self.seed)
        blocks = np.array_split(weights, -(-n_draws // DRAWS_AT_A_TIME))
        draws = np.concatenate([statistic(self.sublayers, block) for block in blocks])
        return value, *percentile_interval(draws)


def paper_conditions(
    recording: Recording,
    controls: Mapping[str, Recording] | None = None,
    *,
    model: Model | None = None,
    seed: int = 0,
) -> list[Condition]:
    """Make the conditions of a run: the model, the recorded controls, and a random walk.

    Args:
        recording: recording of the model.
        controls: recordings of the same shape by name, as `shuffled_tokens` and `untrained`.
        model: the model, for the flow maps of the prompt; without it panel 4D is left out.
        seed: seed of the walk, the shuffled prompt, the untrained twin, splits and bootstrap.

    Returns:
        In the order model, shuffled tokens, untrained, random walk, as far as given.
    """
    recordings = {
        MODEL: recording,
        **(controls or {}),
        RANDOM_WALK: random_walk(recording, seed=seed),
    }
    flows = {} if model is None else _flows(model, seed)
    return [
        Condition(name, recordings[name], flows.get(name), seed)
        for name in ORDER
        if name in recordings
    ]


def _flows(model: Model, seed: int) -> dict[str, FlowMap]:
    """Flow maps of the prompt by condition; none if the model has no flow map or no tokenizer."""
    try:
        (ids,) = model.inputs([PROMPT]).token_lists
        flow = model.flow_map(ids, bos="never")
        twin = model.untrained_twin(seed).flow_map(ids, bos="never")
        mixed = model.flow_map(_shuffled(ids, model.tokenizer, seed), bos="never")
    except TdynError:
        return {}
    return {MODEL: flow, UNTRAINED: twin, SHUFFLED: mixed}


def _shuffled(ids: Sequence[int], tokenizer: Any, seed: int) -> list[int]:
    """Permute the tokens; a begin token stays in front."""
    n_fixed = int(ids[0] == getattr(tokenizer, "bos_token_id", None))
    rest = np.random.default_rng(seed).permutation(np.array(ids[n_fixed:], dtype=np.int64))
    return [*ids[:n_fixed], *rest.tolist()]


def over_conditions(
    conditions: Sequence[Condition], one: Callable[[Condition], xr.Dataset]
) -> xr.Dataset:
    """Compute the result of every condition and join them along `condition`."""
    return stacked({condition.name: one(condition) for condition in conditions}, "condition")


def each_condition(result: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """Iterate over the conditions: name in words, and result."""
    for name in result["condition"].values.tolist():
        yield name.replace("_", " "), result.sel(condition=name)
