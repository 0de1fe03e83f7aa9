"""Test claims on a recording: `td.test_claims(recording, model=model)`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import LEVEL, Claim, NullComparison, Verdict, largest_p
from transformer_dynamics.claims.evidence import (
    Gathered,
    Subject,
    as_dataset,
    compare,
    gather,
    subject_of,
)
from transformer_dynamics.errors import InputError
from transformer_dynamics.inference.bootstrap import percentile_interval
from transformer_dynamics.inference.significance import benjamini_hochberg
from transformer_dynamics.perturbation.systems import systems as make_systems
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import CLAIMS, NULLS, PERTURBATIONS
from transformer_dynamics.residual.labels import FINAL

BEYOND_NO_NULL = "reproduced, not beyond null"
N_NULL = 199
N_BOOTSTRAP = 499


def test_claims(
    recording: Recording,
    *,
    model: object = None,
    model_nulls: Mapping[str, Recording] | None = None,
    perturbed: Mapping[str, xr.Dataset] | None = None,
    claims: Sequence[str] | None = None,
    n_null: int = N_NULL,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    n_threads: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Verdict]:
    """Test claims on the sublayers of a recording (every site but the final one).

    Args:
        recording: the recording.
        model: its model, or anything that `td.load_model` takes. The untrained twin and the
            shuffled texts are recorded with it; without it and without `model_nulls` these nulls
            are left out and every verdict says so.
        model_nulls: those recordings, by name of the null, where they were made already.
        perturbed: results of perturbations by name, where they were made already; with `model` the
            others that claims look at are made, with their defaults.
        claims: ids of the claims to test; by default all that are registered, those that perturb
            the model only where `model` or `perturbed` allows it.
        n_null: draws of each null; the least possible p-value is 1/(n_null + 1).
        n_bootstrap: draws of the bootstrap over texts.
        seed: the same seed gives the same bits.
        n_threads: draws at a time; by default the number of processors.
        on_progress: called with draws done and draws in all.

    Returns:
        One verdict per claim.

    Raises:
        InputError: too few samples or sites, numbers of draws below 1, or a claim that perturbs
            the model, which was not given; no such claim; a null's recording of other samples.
    """
    check_size(recording.shape[0], recording.sites, n_null, n_bootstrap)
    sublayers = recording.sublayers.load()
    made = dict(perturbed or {})
    tested = _chosen(claims, made, model)
    reruns = dict(model_nulls or {})
    _require_paired(recording, reruns)
    if model is not None:
        model = _loaded(model)
        plain = [claim for claim in tested if claim.perturbation is None]
        for name in sorted({null for claim in plain for null in claim.all_nulls} - set(reruns)):
            if NULLS.get(name).needs_model:
                reruns[name] = NULLS.get(name).function(recording, model=model, seed=seed)
        made |= _perturbed(tested, made, recording, model, reruns.get("untrained"), seed)
    nulls = {name: null.sublayers.load() for name, null in reruns.items()}
    subjects = {claim.id: subject_of(claim, sublayers, nulls, made) for claim in tested}
    gathered = gather(
        tested,
        subjects,
        sublayers,
        n_null=n_null,
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
            f"{', '.join(known)}: td.test_claims(recording, claims=['C1'])"
        )
    claims: list[Claim] = [known[name] for name in wanted]
    able = [
        claim for claim in claims if claim.perturbation in {None, *perturbed} or model is not None
    ]
    if names is not None and len(able) < len(claims):
        refused = ", ".join(claim.id for claim in claims if claim not in able)
        raise InputError(
            f"{refused} perturb the model, which was not given: td.test_claims(recording, "
            f"model=model, claims={list(names)})"
        )
    return able


def _loaded(model: Any) -> Any:
    from transformer_dynamics.models import as_model

    return as_model(model)


def _require_paired(recording: Recording, nulls: Mapping[str, Recording]) -> None:
    """Refuse a null's recording whose samples are not those of the recording, in its order."""
    for name, null in nulls.items():
        other = [
            key
            for key in ("text", "position")
            if key in recording.dataset.coords
            and key in null.dataset.coords
            and not np.array_equal(recording.dataset[key].values, null.dataset[key].values)
        ]
        if null.shape[0] != recording.shape[0] or other:
            raise InputError(
                f"the recording of the null {name!r} has {null.shape[0]} samples and the recording "
                f"{recording.shape[0]}, which must be the same ones in the same order; make it of "
                f"this recording: td.nulls.{name}(recording, model=model)"
            )


def _perturbed(
    claims: Sequence[Claim],
    made: Mapping[str, xr.Dataset],
    recording: Recording,
    model: Any,
    twin: Recording | None,
    seed: int,
) -> dict[str, xr.Dataset]:
    """Results of the perturbations that claims look at and that are not made yet."""
    names = {claim.perturbation for claim in claims if claim.perturbation is not None} - set(made)
    if not names:
        return {}
    systems = make_systems(model, recording, twin=twin, seed=seed)
    n_there = len(np.unique(recording.text_index))
    results = {}
    for name in sorted(names):
        perturbation = PERTURBATIONS.get(name)
        n_texts = min(perturbation.n_texts, n_there)
        results[name] = perturbation.function(systems, n_texts=n_texts, seed=seed)
    return results


def check_size(n_samples: int, sites: Sequence[str], n_null: int, n_bootstrap: int) -> None:
    """Refuse what claims cannot be tested on, before anything is recorded or drawn.

    Raises:
        InputError: too few samples or sites, or numbers of draws that are too small.
    """
    if n_null < 1 or n_bootstrap < 2:
        raise InputError(
            f"got n_null={n_null}, n_bootstrap={n_bootstrap}; they are at least 1 and 2: "
            f"td.test_claims(recording, n_null={N_NULL}, n_bootstrap={N_BOOTSTRAP})"
        )
    n_sublayers = len([site for site in sites if site != FINAL])
    if n_samples < 3 or n_sublayers < 6:
        raise InputError(
            f"got {n_samples} samples and {n_sublayers} sublayers; claims over depth need at "
            "least 3 samples (texts) and 6 sublayers"
        )


def _verdict(
    claim: Claim,
    gathered: Gathered,
    comparisons: Mapping[str, NullComparison],
    adjusted_p: float,
    subject: Subject,
) -> Verdict:
    value = float(claim.summary(gathered.plain[np.newaxis])[0])
    low, high = (float(end) for end in percentile_interval(claim.summary(gathered.bootstrap)))
    evidence = as_dataset(claim, gathered, subject)
    near, far = (low, high) if claim.direction == "greater" else (-high, -low)
    threshold = claim.threshold if claim.direction == "greater" else -claim.threshold
    if not np.isfinite([value, low, high]).all():
        verdict = "undecided"
    elif far <= threshold:
        verdict = "not reproduced"
    elif near <= threshold:
        verdict = "undecided"
    else:
        verdict = "supported" if adjusted_p <= LEVEL else BEYOND_NO_NULL
    return Verdict(
        claim.id,
        claim.statement,
        claim.statistic,
        value,
        (low, high),
        comparisons,
        verdict,
        _why(claim, verdict, (value, low, high), comparisons, adjusted_p)
        + _sentence(claim.remark(subject.data, evidence))
        + _sentence(claim.caveat),
        evidence,
    )


def _why(
    claim: Claim,
    verdict: str,
    numbers: tuple[float, float, float],
    comparisons: Mapping[str, NullComparison],
    adjusted_p: float,
) -> str:
    deciding = {name: comparisons[name] for name in claim.nulls if name in comparisons}
    greater = claim.direction == "greater"
    groups: dict[str, Callable[[float], bool]] = {
        "exceeds" if greater else "lies below": lambda p: p <= LEVEL,
        "does not exceed" if greater else "does not lie below": lambda p: p > LEVEL,
        "is not comparable with": math.isnan,
    }
    parts = []
    for words, belongs in groups.items():
        named = [_named(name, null) for name, null in deciding.items() if belongs(null.p)]
        if named:
            parts.append(f"it {words} {', '.join(named)}")
    text = _place(claim, verdict, numbers)
    if parts:
        sentence = "; ".join(parts)
        text += f" {sentence[0].upper()}{sentence[1:]}."
    if np.isfinite(adjusted_p):
        text += f" Adjusted over the claims, p = {adjusted_p:.3g}."
    if verdict == BEYOND_NO_NULL and all(null.p <= LEVEL for null in deciding.values()):
        text += " No deciding null gives as much; more draws of the nulls may lower that p."
    missing = [name for name in claim.nulls if name not in comparisons]
    if missing:
        text += f" Not tested against {', '.join(missing)}: no model was given."
    return text


def _place(claim: Claim, verdict: str, numbers: tuple[float, float, float]) -> str:
    """Where the interval lies."""
    value, low, high = numbers
    if not np.isfinite(numbers).all():
        return (
            f"The statistic ({value:.3g}) or its interval is not defined: the states do not vary, "
            "here or in some draw of texts, where it needs them to; more texts may mend that."
        )
    side = "above" if claim.direction == "greater" else "below"
    place = {
        "not reproduced": f"does not lie {side}",
        "undecided": f"is not wholly {side}",
    }.get(verdict, f"lies wholly {side}")
    return (
        f"The interval {low:.3g} to {high:.3g} about {value:.3g} {place} the claim's threshold "
        f"{claim.threshold:g}."
    )


def _named(name: str, null: NullComparison) -> str:
    return f"{name.replace('_', ' ')} ({null.mean:.3g} ± {null.sd:.2g}, p = {null.p:.3g})"


def _sentence(text: str) -> str:
    return f" {text}" if text else ""
