"""Profiles of claims over relative depth, with the bands of their evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr

from transformer_dynamics.comparison.claims.differences import untestable
from transformer_dynamics.comparison.claims.estimates import Resampling
from transformer_dynamics.comparison.compared_run import ComparedRun
from transformer_dynamics.comparison.profiles import (
    ENDS,
    OFFSETS,
    OVER_TEXTS,
    Curve,
    Profile,
    curve_of,
)
from transformer_dynamics.plots.backend import Lines
from transformer_dynamics.registry import CLAIMS
from transformer_dynamics.stats.bootstrap import percentile_interval


def claim_profiles(
    runs: Sequence[ComparedRun], claims: Sequence[str], resampling: Resampling
) -> list[Profile]:
    """Profiles of the claims that are a curve over depth, with their 95 % bands.

    Of claims with the same profile only the first is given.
    """
    profiles, shown = [], set()
    for name in claims:
        claim: Any = CLAIMS.all().get(name)
        is_curve = claim is not None and len(claim.dims) == 1 and claim.dims[0] in OFFSETS
        if not is_curve or claim.profile in shown:
            continue
        shown.add(claim.profile)
        missing = {run.name: reason for run in runs if (reason := untestable(run, name))}
        having = [run for run in runs if run.name not in missing]
        found = [_of_claim(claim, run, resampling) for run in having]
        curves = tuple(curve for curve in found if curve is not None)
        if len(curves) > 1:
            title = f"{name}. {claim.statement.rstrip('.')}"
            label = _label(claim, having)
            profiles.append(Profile(name, title, label, OVER_TEXTS, curves, missing))
    return profiles


def _label(claim: Any, runs: Sequence[ComparedRun]) -> str:
    """Label of a claim's profile, with its unit, as in the claim's own figure."""
    for run in runs:
        stored = run.tested.get(claim.id)
        if stored is not None and "profile" in stored.evidence:
            drawings = claim.drawings(stored.evidence)
            return next(each.y_label for each in drawings if isinstance(each, Lines))
    return str(claim.statistic if claim.curve is None else claim.curve.y_label)


def _of_claim(claim: Any, run: ComparedRun, resampling: Resampling) -> Curve | None:
    stored = run.tested.get(claim.id)
    if stored is not None and "profile" in stored.evidence:
        evidence = stored.evidence
        ends = [evidence[f"profile{end}"].values for end in ENDS]
        return curve_of(run, evidence["profile"], evidence["profile"].values, *ends)
    subject = run.subject(claim.id)
    if subject is None:
        return None
    own = resampling.of_run(run, claim, subject).profiles
    low, high = percentile_interval(own[1:])
    values = xr.DataArray(own[0], dims=claim.dims, coords=claim.coordinates(subject.data))
    return curve_of(run, values, values.values, low, high)
