"""JSON file of a comparison: all that its page shows, with null for undefined numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from transformer_dynamics.comparison.claims.differences import Difference
from transformer_dynamics.comparison.claims.in_runs import ClaimInRuns, Tested
from transformer_dynamics.comparison.compared import RunsCompared
from transformer_dynamics.comparison.profiles import Curve, Profile
from transformer_dynamics.comparison.similarities import Similarity
from transformer_dynamics.environment import version

FORMAT = "transformer-dynamics comparison 1"


def as_json(compared: RunsCompared) -> dict[str, Any]:
    """The comparison in plain values.

    Keys: `runs`, `reference` (name of the first), `claims` (with `runs` and `differences`),
    `profiles` and `claim_profiles` (with a curve for each run), `similarity` (with matrices
    `(site, other_site)`), and the settings.
    """
    names = compared.names
    value = {
        "format": FORMAT,
        "version": version(),
        "n_bootstrap": compared.n_bootstrap,
        "seed": compared.seed,
        "reference": names[0],
        "runs": [run.description() for run in compared.runs],
        "claims": [_claim(claim, names) for claim in compared.claims],
        "profiles": [_profile(profile) for profile in compared.profiles],
        "claim_profiles": [_profile(profile) for profile in compared.claim_profiles],
        "similarity": [_similarity(similarity) for similarity in compared.similarities],
    }
    # NaN is no JSON.
    plain: dict[str, Any] = json.loads(
        json.dumps(value, default=_listed), parse_constant=lambda _: None
    )
    return plain


def _listed(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _claim(claim: ClaimInRuns, names: Sequence[str]) -> dict[str, Any]:
    return {
        "id": claim.id,
        "statement": claim.statement,
        "statistic": claim.statistic,
        "runs": [_tested(*pair) for pair in zip(names, claim.tested, strict=True)],
        "differences": [_difference(each) for each in claim.differences],
    }


def _tested(run: str, tested: Tested) -> dict[str, Any]:
    verdict = tested.verdict
    nulls = {}
    if verdict is not None:
        nulls = {
            name: {**each, "decides": verdict.nulls[name].decides}
            for name, each in verdict.as_json()["nulls"].items()
        }
    return {
        "run": run,
        "value": tested.value,
        "interval": list(tested.interval),
        "verdict": tested.word,
        "why": tested.reason if verdict is None else verdict.why,
        "nulls": nulls,
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "run": difference.run,
        "value": difference.value,
        "interval": list(difference.interval),
        "paired": difference.is_paired,
        "resampling": difference.resampling,
        "reason": difference.reason,
    }


def _profile(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "label": profile.label,
        "interval": profile.interval,
        "missing": profile.missing,
        "curves": [_curve(curve) for curve in profile.curves],
    }


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "run": curve.run,
        "relative_depth": curve.depth,
        "site": list(curve.labels),
        "value": curve.value,
        "low": curve.low,
        "high": curve.high,
        "n_samples": curve.n_samples,
    }


def _similarity(similarity: Similarity) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "runs": [similarity.first, similarity.other],
        "reason": similarity.reason,
    }
    result = similarity.result
    if result is None:
        return entry
    numbers = {str(name): values.values for name, values in result.data_vars.items()}
    labels = ("site", "other_site", "matched_site", "relative_depth", "quarter")
    counts = {name: int(result.attrs[name]) for name in ("n_samples", "n_texts")}
    return {**entry, **counts, **{name: result[name].values for name in labels}, **numbers}
