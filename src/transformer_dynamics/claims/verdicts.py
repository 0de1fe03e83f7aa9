"""Test claims on a recording: `td.evaluate_claims(recording, model=model)`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import (
    LEVEL,
    Claim,
    Condition,
    NullComparison,
    Verdict,
    largest_p,
)
from transformer_dynamics.claims.evidence import (
    N_EXCEEDING,
    Estimate,
    Gathered,
    NullEvidence,
    as_dataset,
    gather,
)
from transformer_dynamics.claims.reasons import reasons
from transformer_dynamics.claims.subjects import Subject, rivals_of, subject_of
from transformer_dynamics.errors import InputError
from transformer_dynamics.model.labels import FINAL
from transformer_dynamics.nulls.reruns import untrained_twins
from transformer_dynamics.perturbation.systems import systems as make_systems
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import CLAIMS, NULLS, PERTURBATIONS
from transformer_dynamics.stats.false_discovery import benjamini_hochberg
from transformer_dynamics.stats.significance import sequential_p, student_p

BEYOND_NO_NULL = "reproduced, not beyond null"
N_BOOTSTRAP = 999
N_TWINS = 8
LEAST_DRAWS = 199
# A standard error below this share of the values is rounding.
ROUNDING = 1e-9


def draws_needed(n_claims: int) -> int:
    """The draws with which one claim among several can be supported though no other one is.

    Its least p-value, 1/(draws + 1), times the number of claims has to be at most 5 %.

    >>> draws_needed(1), draws_needed(18)
    (199, 359)
    """
    return max(LEAST_DRAWS, math.ceil(n_claims / LEVEL) - 1)


def evaluate_claims(
    recording: Recording,
    *,
    model: object = None,
    model_nulls: Mapping[str, Recording | Sequence[Recording]] | None = None,
    perturbed: Mapping[str, xr.Dataset] | None = None,
    claims: Sequence[str] | None = None,
    n_null: int | None = None,
    n_bootstrap: int = N_BOOTSTRAP,
    n_twins: int = N_TWINS,
    seed: int = 0,
    n_threads: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Verdict]:
    """Test claims on the sublayers of a recording (every site but the final one).

    Args:
        recording: the recording.
        model: its model, or anything that `td.load_model` takes. The untrained twins and the
            shuffled texts are recorded with it. Without it and without `model_nulls` these nulls
            are missing, and a claim that needs one of them is not supported.
        model_nulls: recordings of nulls that run a model, by name, where they were made already;
            for `untrained` one per seed.
        perturbed: results of perturbations by name, where they were made already; with `model` the
            others that claims are tested on are made, with their defaults.
        claims: ids of the claims to test; by default all that are registered, those that perturb
            the model only where `model` or `perturbed` allows it.
        n_null: the most draws of each null; fewer are made where 20 of them exceed the recording,
            and about 100 of a null that is only shown.
            The least possible p-value is 1/(n_null + 1). By default the draws that a single claim
            needs to be supported after adjustment over the claims tested together.
        n_bootstrap: draws of the bootstrap over texts, or over groups of texts where they are
            known.
        n_twins: untrained twins, each with a seed of its own.
        seed: the same seed gives the same bits.
        n_threads: draws at a time; by default the number of processors.
        on_progress: called with draws done and draws in all.

    Returns:
        One verdict per claim.

    Raises:
        InputError: too few samples or sites, numbers of draws that are too small, or a claim that
            perturbs the model, which was not given; no such claim; a null's recording of other
            samples.
    """
    check_size(recording.shape[0], recording.sites, n_null, n_bootstrap)
    made = dict(perturbed or {})
    tested = _chosen(claims, made, model)
    reruns: dict[str, Recording | Sequence[Recording]] = dict(model_nulls or {})
    rivals_of(recording, reruns)
    if model is not None:
        model = _loaded(model)
        reruns |= _reruns(tested, set(reruns), recording, model, (n_twins, seed))
        twins = reruns.get("untrained", ())
        made |= _perturbed(tested, set(made), recording, model, twins, (n_twins, seed))
    sublayers, nulls = recording.sublayers.load(), rivals_of(recording, reruns)
    subjects = {claim.id: subject_of(claim, sublayers, nulls, made) for claim in tested}
    gathered = gather(
        tested,
        subjects,
        sublayers,
        n_null=draws_needed(len(tested)) if n_null is None else n_null,
        n_bootstrap=n_bootstrap,
        seed=seed,
        n_threads=n_threads or os.cpu_count() or 1,
        on_progress=on_progress,
    )
    comparisons = {claim.id: compare(claim, gathered[claim.id]) for claim in tested}
    adjusted = benjamini_hochberg(
        np.array([largest_p(list(comparisons[claim.id].values())) for claim in tested])
    )
    return [
        _verdict(claim, gathered[claim.id], comparisons[claim.id], float(q), subjects[claim.id])
        for claim, q in zip(tested, adjusted, strict=True)
    ]


def _chosen(
    names: Sequence[str] | None, perturbed: Mapping[str, xr.Dataset], model: object
) -> list[Claim]:
    """The claims to test."""
    known = CLAIMS.all()
    wanted = list(known) if names is None else [names] if isinstance(names, str) else list(names)
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise InputError(
            f"there is no claim {', '.join(map(repr, unknown)) or 'named'}; there are "
            f"{', '.join(known)}: td.evaluate_claims(recording, claims=['C1'])"
        )
    claims: list[Claim] = [known[name] for name in wanted]
    able = [
        claim for claim in claims if claim.perturbation in {None, *perturbed} or model is not None
    ]
    if names is not None and len(able) < len(claims):
        refused = ", ".join(claim.id for claim in claims if claim not in able)
        raise InputError(
            f"{refused} perturb the model, which was not given: td.evaluate_claims(recording, "
            f"model=model, claims={list(names)})"
        )
    return able


def _loaded(model: Any) -> Any:
    from transformer_dynamics.model.loading import as_model

    return as_model(model)


def _reruns(
    claims: Sequence[Claim],
    there: set[str],
    recording: Recording,
    model: Any,
    twins_and_seed: tuple[int, int],
) -> dict[str, Recording | Sequence[Recording]]:
    """Recordings of the nulls that run the model and that are not there yet."""
    n_twins, seed = twins_and_seed
    named = {
        null for claim in claims if claim.perturbation is None for null in claim.all_nulls
    } - there
    made: dict[str, Recording | Sequence[Recording]] = {}
    for name in sorted(named):
        if name == "untrained":
            seeds = range(seed, seed + n_twins)
            made[name] = untrained_twins(recording, model=model, seeds=seeds)
        elif NULLS.get(name).needs_model:
            made[name] = NULLS.get(name).function(recording, model=model, seed=seed)
    return made


def _perturbed(
    claims: Sequence[Claim],
    there: set[str],
    recording: Recording,
    model: Any,
    twins: Recording | Sequence[Recording],
    twins_and_seed: tuple[int, int],
) -> dict[str, xr.Dataset]:
    """Results of the perturbations that claims are tested on and that are not there yet."""
    names = {claim.perturbation for claim in claims if claim.perturbation is not None} - there
    if not names:
        return {}
    several = (twins,) if isinstance(twins, Recording) else tuple(twins)
    n_twins, seed = twins_and_seed
    systems = make_systems(model, recording, twins=several, n_twins=n_twins, seed=seed)
    n_there = len(np.unique(recording.text_index))
    results = {}
    for name in sorted(names):
        perturbation = PERTURBATIONS.get(name)
        n_texts = min(perturbation.n_texts, n_there)
        results[name] = perturbation.function(systems, n_texts=n_texts, seed=seed)
    return results


def check_size(n_samples: int, sites: Sequence[str], n_null: int | None, n_bootstrap: int) -> None:
    """Refuse recordings and settings with which claims cannot be tested, before any work is done.

    Raises:
        InputError: too few samples or sites, or numbers of draws that are too small.
    """
    if (n_null is not None and n_null < 1) or n_bootstrap < 2:
        raise InputError(
            f"got n_null={n_null}, n_bootstrap={n_bootstrap}; they are at least 1 and 2: "
            f"td.evaluate_claims(recording, n_null={LEAST_DRAWS}, n_bootstrap={N_BOOTSTRAP})"
        )
    n_sublayers = len([site for site in sites if site != FINAL])
    if n_samples < 3 or n_sublayers < 6:
        raise InputError(
            f"got {n_samples} samples and {n_sublayers} sublayers; claims over depth need at "
            "least 3 samples (texts) and 6 sublayers"
        )


def compare(claim: Claim, gathered: Gathered) -> dict[str, NullComparison]:
    """Compare the statistic with each null."""
    least = 1 / (1 + len(gathered.bootstrap))
    return {
        name: _comparison(claim, null, decides=name in claim.nulls, least=least)
        for name, null in gathered.nulls.items()
    }


def _comparison(claim: Claim, null: NullEvidence, *, decides: bool, least: float) -> NullComparison:
    mean, count = float(null.statistics.mean()), len(null.statistics)
    difference = null.own - mean
    if null.spread == "draws":
        sd = _sd(null.statistics, null.own)
        p = sequential_p(
            null.own, null.statistics, direction=claim.direction, n_exceeding=N_EXCEEDING
        )
    else:
        many = null.n_groups
        error = _sd(null.differences, null.own) * math.sqrt(many / max(1, many - 1))
        sd, degrees = error * math.sqrt(many), many - 1
        if null.spread == "seeds":
            sd, degrees = _sd(null.statistics, null.own), count - 1
            error = math.hypot(sd * math.sqrt(1 + 1 / count), error)
        p = student_p(difference, error, degrees, direction=claim.direction, least=least)
        count = count if null.spread == "seeds" else many
    effect = difference / sd if sd > 0 else math.nan
    return NullComparison(mean, sd, p, effect, decides, null.spread, count, null.own)


def _sd(draws: np.ndarray[Any, np.dtype[np.float64]], value: float) -> float:
    """Standard deviation of the draws that are defined; NaN where less than half of them are.

    A draw of a few texts may hold none of the texts that a statistic needs. 0 for rounding.
    """
    defined = draws[np.isfinite(draws)]
    if len(defined) < max(2, len(draws) / 2):
        return math.nan
    sd = float(np.std(defined, ddof=1))
    return sd if sd > ROUNDING * max(abs(value), abs(float(defined.mean()))) else 0.0


def place_of(rule: Claim | Condition, estimate: Estimate) -> str:
    """Place of an interval: `beyond` the threshold, `across` it, `short` of it, `undefined`."""
    low, high = estimate.interval
    if not np.isfinite([estimate.value, low, high]).all():
        return "undefined"
    near, far = (low, high) if rule.direction == "greater" else (-high, -low)
    threshold = rule.threshold if rule.direction == "greater" else -rule.threshold
    if far <= threshold:
        return "short"
    return "across" if near <= threshold else "beyond"


def untested(claim: Claim, comparisons: Mapping[str, NullComparison]) -> list[str]:
    """Deciding nulls that the claim was not compared with, or with one untrained twin only."""
    missing = [name for name in claim.nulls if name not in comparisons]
    alone = comparisons.get("untrained")
    if alone is not None and alone.decides and alone.spread != "seeds":
        missing.append("untrained")
    return missing


def _verdict(
    claim: Claim,
    gathered: Gathered,
    comparisons: Mapping[str, NullComparison],
    adjusted_p: float,
    subject: Subject,
) -> Verdict:
    evidence = as_dataset(claim, gathered, subject)
    rules: list[tuple[Claim | Condition, Estimate]] = [
        (claim, gathered.estimate),
        *zip(claim.conditions, gathered.conditions, strict=True),
    ]
    places = [place_of(rule, estimate) for rule, estimate in rules]
    if "undefined" in places:
        verdict = "undecided"
    elif "short" in places:
        verdict = "not reproduced"
    elif "across" in places:
        verdict = "undecided"
    elif any(null.decides and not null.p <= LEVEL for null in comparisons.values()):
        verdict = BEYOND_NO_NULL
    elif untested(claim, comparisons):
        verdict = "undecided"
    else:
        verdict = "supported" if adjusted_p <= LEVEL else BEYOND_NO_NULL
    told = reasons(
        claim,
        [
            (rule, place, estimate.value, estimate.interval)
            for (rule, estimate), place in zip(rules, places, strict=True)
        ],
        comparisons,
        adjusted_p,
        untested(claim, comparisons),
    )
    notes = [told, claim.note(subject.data, evidence), claim.caveat]
    return Verdict(
        claim.id,
        claim.statement,
        claim.statistic,
        gathered.estimate.value,
        gathered.estimate.interval,
        comparisons,
        verdict,
        " ".join(note for note in notes if note),
        evidence,
    )
