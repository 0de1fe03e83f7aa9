"""Truncation: how many directions of the states the next token's distribution needs.

The state x of a text at a site is put back as its projection on K orthonormal directions:

    singular           the first K left singular vectors of the site's states, uncentered
    mean_and_random    the first of them, which nearly is the mean state, and K - 1 random ones
    random             K random ones

    x_K = U_K U_K' x,    KL(clean || x_K) of the next token's distribution, nats
    kept share           |x_K|^2 / |x|^2

at one site, or after every layer on the way (`start` is then `every layer`, as in the paper).
The singular vectors are those of texts that are not cut: with as many vectors as texts a state of
their own would be kept whole. The scale is the KL of another text's final state.

A small KL at one site does not show that the state is low-dimensional: the layers behind read the
context again. A large KL of random directions does not show it either, since they lose the mean
state; what is special about the singular ones is how they fare beside `mean_and_random`.

Cost: per text, K and kind a token from the site on, and a row of the vocabulary; one decomposition
of (text, text) per site. Source: arXiv 2410.01545 (25 % of the units in GPT-2 medium; KL(x_K ||
clean)); one site at a time, the controls and held-out texts: ours, the KL that of `teleport`. Not
handled: truncation of earlier tokens, whose keys and values stay those of the clean run.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.dynamics.singular_bases import singular_basis
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.predictions import divergences
from transformer_dynamics.perturbation.states.displacement import states_at
from transformer_dynamics.perturbation.systems import (
    Progress,
    ProgressCounter,
    System,
    chosen_texts,
    gathered,
    layer_sites,
    model_and_one_twin,
    quarter_sites,
    texts_of,
)
from transformer_dynamics.registry import perturbation

KINDS = ("singular", "mean_and_random", "random")
EVERY_LAYER = "every layer"
RANKS = (1, 4, 16, 64, 128, 256, 384)
DIVERGENCE = {"units": "nats", "definition": "KL of the clean next-token distribution from it"}
KEPT = {"units": "1", "denominator": "|x|^2 of the state at the site"}


def truncated(state: Floats, vectors: Floats, rank: int) -> Floats:
    """The projection of a state on the first K of some orthonormal vectors, `(unit)`.

    Args:
        state: `(unit)`.
        vectors: `(unit, component)`.
        rank: K, at least 1; NaN where there are not so many vectors.

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
    """Cut states to K directions at several depths and after every layer, in many texts.

    Args:
        systems: the model first, then baselines with other weights.
        n_texts: how many texts are cut, drawn from those of the recording, at most half of them:
            the others give the directions.
        ranks: K; by default those of `RANKS` that are below the number of units.
        starts: sites; by default the first of layers 0, L/4 - 1, L/2 - 1, 3L/4 - 1, L - 1.
        seed: of the choice of texts and of the random directions.
        on_progress: called with texts done and texts in all.

    Returns:
        `kl`, `kept_share` `(system, sample, kind, start, rank)`, the last `start` being
        `every layer`, whose `kept_share` is that at the last site, beside the clean
        state, and may exceed 1; `unrelated_kl`
        `(system, sample)`: of another text's final state. NaN, with one `UndefinedWarning`, where
        the other texts span fewer than K directions, and `kl` where a system predicts no tokens.

    Raises:
        InputError: unknown sites, ranks below 1 or above the units, too many texts, or one text
            only, which leaves none to take directions from.
    """
    systems = model_and_one_twin(systems)
    sites, n_units = systems[0].sites, systems[0].recording.shape[2]
    places = tuple(starts or quarter_sites(sites))
    whole = [rank for rank in RANKS if rank < n_units]
    cuts = whole if ranks is None else list(ranks)
    unknown = sorted(set(places) - set(sites))
    if unknown or not cuts or not all(1 <= rank <= n_units for rank in cuts):
        raise InputError(
            f"got starts={list(places)}, ranks={cuts}; starts are sites of the recording and ranks "
            f"lie from 1 to {n_units}: truncation(systems, starts=[{sites[0]!r}], ranks=[1])"
        )
    n_there = len(texts_of(systems))
    if n_there < 2:
        raise InputError(
            "got a recording of one text; directions are taken from the others: "
            "td.record(model, texts) with two texts at least"
        )
    chosen_texts(systems, n_texts, seed)  # refuses what is not there
    texts = chosen_texts(systems, min(n_texts, n_there // 2), seed)
    work = ProgressCounter(len(systems) * len(texts), on_progress)
    results = {}
    for system in systems:
        cut = _Cut(system, texts, places, cuts, seed)
        results[system.name] = [cut.measured(text) for text in work.each(texts)]
    result = gathered(results, texts, systems[0].recording)
    undefined = int(np.isnan(result["kl"].values).sum())
    if undefined:
        warnings.warn(
            f"undefined (NaN): {undefined} of {result['kl'].size} divergences; that is where the "
            "other texts' states span fewer directions, or a system predicts no tokens",
            UndefinedWarning,
            stacklevel=3,
        )
    return result


class _Cut:
    """The directions of one system's sites, and what cutting to them does to a text."""

    def __init__(
        self,
        system: System,
        texts: Sequence[int],
        starts: Sequence[str],
        ranks: Sequence[int],
        seed: int,
    ) -> None:
        self.system, self.starts, self.ranks = system, starts, ranks
        self.layers = layer_sites(system.sites)[1:]
        self.generator = np.random.default_rng(seed)
        recording = system.recording
        others = ~np.isin(recording.groups, recording.groups_of(texts))
        if not others.any():
            raise InputError(
                f"got n_texts={len(texts)}, and the {recording.grouping} of these texts are all "
                "that the recording holds, so there is nothing to take directions from; record "
                "more of them: td.record(model, texts)"
            )
        self.finals = states_at(system.recording, system.sites[-1])[others]
        most, n_units = max(ranks), system.recording.shape[2]
        drawn = np.linalg.qr(self.generator.standard_normal((n_units, most)))[0]
        self.vectors: dict[str, list[Floats]] = {}
        for site in dict.fromkeys((*starts, *self.layers)):
            states = states_at(system.recording, site)[others]
            basis = singular_basis(states, most).vectors
            joined = np.linalg.qr(np.hstack([basis[:, :1], drawn]))[0][:, :most]
            self.vectors[site] = [basis, joined, drawn]

    def measured(self, text: int) -> xr.Dataset:
        """One text, `(kind, start, rank)`."""
        flow = self.system.flow(text)
        shape = (len(KINDS), len(self.starts) + 1, len(self.ranks))
        kl, kept = np.full((2, *shape), np.nan)
        for column, start in enumerate(self.starts):
            clean = flow.clean[flow.sites.index(start)]
            put = self._projected(np.tile(clean, (len(KINDS), len(self.ranks), 1)), start)
            kl[:, column], kept[:, column] = self._told(flow, put, clean, start)
        put = self._everywhere(flow)
        kl[:, -1], kept[:, -1] = self._told(flow, put, flow.clean[-1], flow.sites[-1])
        other = self.finals[self.generator.integers(len(self.finals), size=1)]
        unrelated = np.nan
        if self.system.predicts:
            unrelated = float(divergences(flow, other, flow.sites[-1])[0])
        dims = ("kind", "start", "rank")
        return xr.Dataset(
            {
                "kl": (dims, kl, DIVERGENCE),
                "kept_share": (dims, kept, KEPT),
                "unrelated_kl": ((), unrelated, DIVERGENCE),
            },
            coords={
                "kind": list(KINDS),
                "start": [*self.starts, EVERY_LAYER],
                "rank": list(self.ranks),
            },
        )

    def _projected(self, states: Floats, site: str) -> Floats:
        """Each of `(kind, rank, unit)` on its own directions."""
        return np.stack(
            [
                [
                    truncated(state, vectors, rank)
                    for state, rank in zip(row, self.ranks, strict=True)
                ]
                for row, vectors in zip(states, self.vectors[site], strict=True)
            ]
        )

    def _told(self, flow: FlowMap, put: Floats, clean: Floats, start: str) -> tuple[Floats, Floats]:
        """KL and kept share of states `(kind, rank, unit)`."""
        power = float(clean @ clean)
        kept = (put**2).sum(axis=-1) / (power if power > 0 else np.nan)
        if not self.system.predicts:
            return np.full(kept.shape, np.nan), kept
        return divergences(flow, put.reshape(-1, clean.size), start).reshape(kept.shape), kept

    def _everywhere(self, flow: FlowMap) -> Floats:
        """States at the last site that were cut after every layer, `(kind, rank, unit)`."""
        clean = flow.clean[flow.sites.index(self.layers[0])]
        states = np.tile(clean, (len(KINDS), len(self.ranks), 1))
        for place, site in enumerate(self.layers):
            if place:
                there = np.isfinite(states).all(axis=-1)
                before = self.layers[place - 1]
                if there.any():
                    states[there] = flow.advance(states[there], before, site, keep=[site])[:, 0]
            states = self._projected(states, site)
        return states
