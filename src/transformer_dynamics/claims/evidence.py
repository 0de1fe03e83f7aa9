"""Gather the evidence for claims: bootstrap over texts, and the draws of every null.

Draws of one null are shared by all the claims that name it, since drawing costs more than
measuring. Each draw has a seed of its own, made from the run's seed, the null's name and the
draw's number, so the numbers do not depend on how the draws are spread over threads.

Nulls that run a model (untrained twin, shuffled tokens) are one recording each and not a
distribution, and so are all nulls of claims that look at a perturbation's result. Against them the
statistic is compared text by text: the p-value is the bootstrap's share of draws over texts in
which the recording does not exceed the null, mean and standard deviation are those of the null's
bootstrap.

Cost: for each null `n_null` times drawing it and measuring it. Memory: two recordings per thread.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import threadpoolctl
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.attributes import plain_attributes
from transformer_dynamics.claims.claim import Claim, Floats, NullComparison
from transformer_dynamics.inference.bootstrap import (
    percentile_interval,
    text_weights,
    uniform_weights,
)
from transformer_dynamics.inference.significance import effect_size, monte_carlo_p
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import NULLS

# A null that scatters less than this over its mean does not scatter but for rounding.
ROUNDING = 1e-9


@dataclass
class Gathered:
    """What is known of one claim so far.

    Attributes:
        plain: the profile, `(...)`.
        bootstrap: its bootstrap draws, `(draw, ...)`.
        nulls: profile of each null's draws, `(draw, ...)`.
        paired: bootstrap draws of nulls that are one recording, with the recording's own weights.
        pictures: the claim's picture of each null's first draw.
    """

    plain: Floats
    bootstrap: Floats
    nulls: dict[str, Floats] = field(default_factory=dict)
    paired: dict[str, Floats] = field(default_factory=dict)
    pictures: dict[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """What a claim is tested on.

    Attributes:
        data: the recording, or a perturbation's result on the model.
        nulls: those of its nulls that are one recording or result each, by name.
        text_index: the text of each sample, `(sample)`.
    """

    data: Any
    nulls: Mapping[str, Any]
    text_index: NDArray[np.int64]


def subject_of(
    claim: Claim,
    recording: Recording,
    model_nulls: Mapping[str, Recording],
    perturbed: Mapping[str, xr.Dataset],
) -> Subject:
    """What the claim looks at."""
    if claim.perturbation is None:
        return Subject(recording, model_nulls, recording.text_index)
    nulls = dict(claim.subjects(perturbed[claim.perturbation]))
    data = nulls.pop("model")
    return Subject(data, nulls, np.arange(data.sizes["sample"]))


def gather(
    claims: Iterable[Claim],
    subjects: Mapping[str, Subject],
    recording: Recording,
    *,
    n_null: int,
    n_bootstrap: int,
    seed: int,
    n_threads: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Gathered]:
    """Profiles of the recording, its bootstrap and its nulls, by claim id."""
    claims = list(claims)
    drawn_weights = draw_seed(seed, "bootstrap", 0)
    gathered = {}
    for claim in claims:
        subject = subjects[claim.id]
        weights = text_weights(subject.text_index, n_bootstrap, seed=drawn_weights)
        one = uniform_weights(len(subject.text_index))
        plain = claim.profile(subject.data, one)[0]
        gathered[claim.id] = Gathered(plain, claim.profile(subject.data, weights))
        for name in claim.all_nulls:
            if name in subject.nulls:
                found = gathered[claim.id]
                found.nulls[name] = claim.profile(subject.nulls[name], one)
                found.paired[name] = claim.profile(subject.nulls[name], weights)
                if claim.picture is not None:
                    found.pictures[name] = claim.picture(subject.nulls[name])
    groups = _groups([claim for claim in claims if claim.perturbation is None])
    total, done = n_null * len(groups), 0
    # One thread per draw and one BLAS thread each: draws are independent, matrix products small.
    with threadpoolctl.threadpool_limits(1, user_api="blas"), _pool(n_threads) as pool:
        for group in groups:
            source = group.source(recording)
            tasks = [
                pool.submit(group.profiles, source, draw_seed(seed, group.name, number))
                for number in range(n_null)
            ]
            drawn = []
            for task in tasks:
                drawn.append(task.result())
                done += 1
                if on_progress is not None:
                    on_progress(done, total)
            for place, claim in enumerate(group.claims):
                profiles = np.stack([profiles[place] for profiles in drawn])
                gathered[claim.id].nulls[group.name] = profiles
                if claim.picture is not None and group.own is None:
                    first = group.draw(source, draw_seed(seed, group.name, 0))
                    gathered[claim.id].pictures[group.name] = claim.picture(first)
    return gathered


@contextmanager
def _pool(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that, on an error or Ctrl-C, finish what they are at and begin nothing more."""
    pool = ThreadPoolExecutor(n_threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Group:
    """A null and the claims that look at the same draws of it."""

    name: str
    source: Callable[[Recording], Recording]
    claims: tuple[Claim, ...]
    own: Callable[[Recording, int], Floats] | None = None

    def draw(self, recording: Recording, seed: int) -> Recording:
        drawn: Recording = NULLS.get(self.name).function(recording, seed=seed)
        return drawn

    def profiles(self, recording: Recording, seed: int) -> list[Floats]:
        if self.own is not None:
            return [self.own(recording, seed)]
        drawn = self.draw(recording, seed)
        weights = uniform_weights(drawn.shape[0])
        return [claim.profile(drawn, weights)[0] for claim in self.claims]


def _groups(claims: list[Claim]) -> list[_Group]:
    shared: dict[tuple[str, Callable[[Recording], Recording]], list[Claim]] = {}
    groups = []
    for claim in claims:
        for name in claim.all_nulls:
            if not NULLS.get(name).needs_model:
                shared.setdefault((name, claim.drawn_from), []).append(claim)
        groups += [
            _Group(name, claim.drawn_from, (claim,), own) for name, own in claim.own_nulls.items()
        ]
    return [_Group(name, source, tuple(users)) for (name, source), users in shared.items()] + groups


def draw_seed(seed: int, name: str, number: int) -> int:
    """The seed of one draw: the same wherever and in whatever order it is drawn."""
    entropy = (seed, zlib.crc32(name.encode()), number)
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def compare(claim: Claim, gathered: Gathered) -> dict[str, NullComparison]:
    """The statistic against each null."""
    value = float(claim.summary(gathered.plain[np.newaxis])[0])
    comparisons = {}
    for name, profiles in gathered.nulls.items():
        if name in gathered.paired:
            null = claim.summary(gathered.paired[name])
            difference = claim.summary(gathered.bootstrap) - null
            # How often a difference of nothing lies on the claimed side of the differences.
            p = monte_carlo_p(0.0, -difference, direction=claim.direction)
            mean = float(claim.summary(profiles)[0])
            sd = _sd(null)
            effect = (value - mean) / sd if sd > ROUNDING * abs(mean) else np.nan
        else:
            null = claim.summary(profiles)
            p = monte_carlo_p(value, null, direction=claim.direction)
            mean = float(null.mean())
            sd = _sd(null)
            effect = float(effect_size(value, null))
        comparisons[name] = NullComparison(
            mean, sd, float(p), float(effect), decides=name in claim.nulls
        )
    return comparisons


def _sd(draws: Floats) -> float:
    """Standard deviation; NaN where it is not defined."""
    if len(draws) < 2 or not np.isfinite(draws).all():
        return float("nan")
    return float(np.std(draws, ddof=1))


DESCRIBED = {
    "profile_low": "2.5 % of the bootstrap over texts",
    "null_low": "2.5 % of the null's draws, or of its bootstrap where it is one recording",
    "null_statistic": "of each draw, or of each bootstrap draw of a null of one recording",
    "null_example": "the first draw",
}


def as_dataset(claim: Claim, gathered: Gathered, subject: Subject) -> xr.Dataset:
    """The evidence as one Dataset, from which the figures are drawn."""
    names = sorted(gathered.nulls, key=lambda name: (name not in claim.nulls, name))
    low, high = percentile_interval(gathered.bootstrap)
    bands = [percentile_interval(gathered.paired.get(name, gathered.nulls[name])) for name in names]
    statistics = {
        name: claim.summary(gathered.paired.get(name, gathered.nulls[name])) for name in names
    }
    longest = max((len(values) for values in statistics.values()), default=0)
    draws = np.full((len(names), longest), np.nan)
    for row, name in enumerate(names):
        draws[row, : len(statistics[name])] = statistics[name]
    shape = (0, *gathered.plain.shape)

    def stacked(parts: list[Any]) -> Floats:
        return np.stack(parts) if parts else np.empty(shape)

    null_dims = ("null", *claim.dims)
    described = {
        "claim": claim.id,
        "statistic": claim.statistic,
        "source": claim.source,
        "deciding": list(claim.nulls),
    }
    evidence = xr.Dataset(
        {
            "profile": (claim.dims, gathered.plain),
            "profile_low": (claim.dims, low),
            "profile_high": (claim.dims, high),
            "null_profile": (null_dims, stacked([gathered.nulls[n].mean(axis=0) for n in names])),
            "null_low": (null_dims, stacked([band[0] for band in bands])),
            "null_high": (null_dims, stacked([band[1] for band in bands])),
            "null_example": (null_dims, stacked([gathered.nulls[n][0] for n in names])),
            "statistic": claim.summary(gathered.plain[np.newaxis])[0],
            "bootstrap_statistic": ("bootstrap", claim.summary(gathered.bootstrap)),
            "null_mean": ("null", [claim.summary(gathered.nulls[n]).mean() for n in names]),
            "null_statistic": (("null", "draw"), draws),
        },
        coords={"null": np.array(names, dtype=object), **claim.coords(subject.data)},
        attrs=plain_attributes({**DESCRIBED, **described}),
    )
    if claim.picture is None:
        return evidence
    own = claim.picture(subject.data)
    pictures = np.stack([gathered.pictures.get(name, np.full_like(own, np.nan)) for name in names])
    return evidence.assign(
        picture=(claim.picture_dims, own), null_picture=(("null", *claim.picture_dims), pictures)
    )
