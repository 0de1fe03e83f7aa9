"""Truncation: divergence of the prediction after projecting a state on K directions.

    singular           the first K left singular vectors of the site's states, uncentered
    mean_and_random    the first of them, nearly the mean state, and K - 1 random directions
    random             K random directions

    x_K = U_K U_K' x,    KL(clean || x_K) of the next token's distribution, nats

at one site, or after every layer. Cost: per text, K and kind a token from the site on; one
decomposition of (text, text) per site. Source: arXiv 2410.01545; one site at a time, controls and
held-out texts: ours. Documentation: docs/measures/perturbation.truncation.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dynamics.singular_bases import singular_basis
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats, warn_undefined
from transformer_dynamics.perturbation.depths import layer_sites, quarter_sites
from transformer_dynamics.perturbation.driver import (
    Experiment,
    Progress,
    chosen_texts,
    over_texts,
    texts_of,
)
from transformer_dynamics.perturbation.predictions import divergences, divergences_of_starts
from transformer_dynamics.perturbation.states.displacement import states_at
from transformer_dynamics.perturbation.systems import System, model_and_one_twin
from transformer_dynamics.registry import perturbation

KINDS = ("singular", "mean_and_random", "random")
EVERY_LAYER = "every layer"
RANKS = (1, 4, 16, 64, 128, 256, 384)
DIVERGENCE = {"units": "nats", "definition": "KL of the clean next-token distribution from it"}
KEPT = {"units": "1", "denominator": "|x|^2 of the state at the site"}


def truncated(state: Floats, vectors: Floats, rank: int) -> Floats:
    """Projection of a state on the first K of some orthonormal vectors, `(unit)`.

    Args:
        state: `(unit)`.
        vectors: `(unit, component)`.
        rank: K, at least 1; NaN if there are fewer vectors.

    >>> truncated(np.array([3.0, 4.0]), np.eye(2), 1), truncated(np.ones(1), np.eye(1), 2)
    (array([3., 0.]), array([nan]))
    """
    chosen = vectors[:, :rank]
    if chosen.shape[1] < rank:
        return np.full(state.size, np.nan)
    projected: Floats = chosen @ (state @ chosen)
    return projected


@perturbation(
    "perturbation.truncation",
    title="Truncation of states to their leading directions",
    source="arXiv 2410.01545; random directions and held-out texts: ours",
)
def truncation(
    systems: Sequence[System],
    *,
    n_texts: int = 6,
    ranks: Sequence[int] | None = None,
    starts: Sequence[str] | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Truncate states to K directions at several depths and after every layer, in many texts.

    Args:
        systems: the model first, then its untrained twins.
        n_texts: number of truncated texts, drawn from the texts of the recording, at most half of
            them: the others give the directions.
        ranks: K; by default those of `RANKS` below the number of units.
        starts: sites; by default the first of layers 0, L/4 - 1, L/2 - 1, 3L/4 - 1, L - 1.
        seed: seed of the choice of texts and of the random directions.
        on_progress: called with texts done and texts in all.

    Returns:
        `kl`, `kept_share` `(system, sample, kind, start, rank)`; the last `start` is `every layer`,
        whose `kept_share` is relative to the clean state at the last site and may exceed 1;
        `unrelated_kl` `(system, sample)`: of another text's final state. NaN, with one
        `UndefinedWarning`, if the other texts span fewer than K directions, and `kl` if a system
        predicts no tokens.

    Raises:
        InputError: unknown sites, ranks below 1 or above the units, too many texts, or a recording
            of one text.
    """
    systems = model_and_one_twin(systems)
    chosen, cuts = _checked(systems[0], starts, ranks)
    n_shared = len(texts_of(systems))
    if n_shared < 2:
        raise InputError(
            "got a recording of one text; directions are taken from the others: "
            "td.record(model, texts) with two texts at least"
        )
    chosen_texts(systems, n_texts, seed)  # refuses too many texts
    texts = chosen_texts(systems, min(n_texts, n_shared // 2), seed)

    def prepare(system: System) -> Experiment:
        directions = _Directions(system, texts, chosen, cuts, seed)
        return lambda text: {system.name: directions.measured(text)}

    result = over_texts(systems, texts, prepare, on_progress=on_progress)
    warn_undefined(
        {"kl": result["kl"].values},
        "the states of the other texts span fewer directions, or a system predicts no tokens",
        stacklevel=3,
    )
    return result


def _checked(
    system: System, starts: Sequence[str] | None, ranks: Sequence[int] | None
) -> tuple[tuple[str, ...], list[int]]:
    """Sites and ranks, by default as `truncation` says."""
    sites, n_units = system.sites, system.recording.shape[2]
    chosen = tuple(starts or quarter_sites(sites))
    cuts = [rank for rank in RANKS if rank < n_units] if ranks is None else list(ranks)
    unknown = sorted(set(chosen) - set(sites))
    if unknown or not cuts or not all(1 <= rank <= n_units for rank in cuts):
        raise InputError(
            f"got starts={list(chosen)}, ranks={cuts}; starts are sites of the recording and ranks "
            f"lie from 1 to {n_units}: truncation(systems, starts=[{sites[0]!r}], ranks=[1])"
        )
    return chosen, cuts


class _Directions:
    """Directions at the sites of one system, taken from texts that are not truncated."""

    def __init__(
        self,
        system: System,
        texts: Sequence[int],
        starts: Sequence[str],
        ranks: Sequence[int],
        seed: int,
    ) -> None:
        self._system, self._starts, self._ranks = system, starts, ranks
        self._layers = layer_sites(system.sites)[1:]
        self._generator = np.random.default_rng(seed)
        recording = system.recording.load_if_small()
        is_other = ~np.isin(recording.groups, recording.groups_of(texts))
        if not is_other.any():
            raise InputError(
                f"got n_texts={len(texts)}, and the recording holds no {recording.grouping} but "
                "those of these texts, so that no text is left to give directions; record more: "
                "td.record(model, texts)"
            )
        self._finals = states_at(recording, system.sites[-1])[is_other]
        most, n_units = max(ranks), recording.shape[2]
        drawn = np.linalg.qr(self._generator.standard_normal((n_units, most)))[0]
        self._vectors: dict[str, list[Floats]] = {}
        for site in dict.fromkeys((*starts, *self._layers)):
            basis = singular_basis(states_at(recording, site)[is_other], most).vectors
            joined = np.linalg.qr(np.hstack([basis[:, :1], drawn]))[0][:, :most]
            self._vectors[site] = [basis, joined, drawn]

    def measured(self, text: int) -> xr.Dataset:
        """One text truncated at every start and after every layer, `(kind, start, rank)`."""
        flow = self._system.flow(text)
        clean = {start: flow.clean[flow.sites.index(start)] for start in self._starts}
        states = {
            start: self._projected(self._copies(each), start) for start, each in clean.items()
        }
        after_all = self._after_every_layer(flow)
        kept = [_kept_share(states[start], each) for start, each in clean.items()]
        kept.append(_kept_share(after_all, flow.clean[-1]))
        other = self._finals[self._generator.integers(len(self._finals), size=1)]
        unrelated, kl = np.nan, np.full((len(kept), *after_all.shape[:2]), np.nan)
        if self._system.predicts:
            flat = {start: each.reshape(-1, flow.n_units) for start, each in states.items()}
            kl[:-1] = [
                each.reshape(after_all.shape[:2])
                for each in divergences_of_starts(flow, flat).values()
            ]
            ends = np.concatenate([after_all.reshape(-1, flow.n_units), other])
            *of_all, unrelated = divergences(flow, ends, flow.sites[-1])
            kl[-1] = np.reshape(of_all, after_all.shape[:2])
        dims = ("kind", "start", "rank")
        return xr.Dataset(
            {
                "kl": (dims, np.moveaxis(kl, 0, 1), DIVERGENCE),
                "kept_share": (dims, np.stack(kept, axis=1), KEPT),
                "unrelated_kl": ((), float(unrelated), DIVERGENCE),
            },
            coords={
                "kind": list(KINDS),
                "start": [*self._starts, EVERY_LAYER],
                "rank": list(self._ranks),
            },
        )

    def _copies(self, state: Floats) -> Floats:
        """One state for every kind and rank, `(kind, rank, unit)`."""
        return np.tile(state, (len(KINDS), len(self._ranks), 1))

    def _projected(self, states: Floats, site: str) -> Floats:
        """Each of `(kind, rank, unit)` projected on its own directions."""
        return np.stack(
            [
                [
                    truncated(state, vectors, rank)
                    for state, rank in zip(row, self._ranks, strict=True)
                ]
                for row, vectors in zip(states, self._vectors[site], strict=True)
            ]
        )

    def _after_every_layer(self, flow: FlowMap) -> Floats:
        """States at the last site, truncated after every layer, `(kind, rank, unit)`."""
        states = self._copies(flow.clean[flow.sites.index(self._layers[0])])
        for layer, site in enumerate(self._layers):
            if layer:
                is_finite = np.isfinite(states).all(axis=-1)
                before = self._layers[layer - 1]
                if is_finite.any():
                    states[is_finite] = flow.advance(states[is_finite], before, site, keep=[site])[
                        :, 0
                    ]
            states = self._projected(states, site)
        return states


def _kept_share(states: Floats, clean: Floats) -> Floats:
    """Share of a clean state's squared norm in states `(kind, rank, unit)`, `(kind, rank)`."""
    squared_norm = float(clean @ clean)
    share: Floats = (states**2).sum(axis=-1) / (squared_norm if squared_norm > 0 else np.nan)
    return share
