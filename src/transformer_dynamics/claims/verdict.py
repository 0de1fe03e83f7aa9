"""The outcome of testing one claim: value, interval, comparisons with the nulls, verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.storage.attributes import attribute

LEVEL = 0.05
BEYOND_NO_NULL = "reproduced, not beyond null"
VERDICTS = ("supported", BEYOND_NO_NULL, "not reproduced", "undecided")
NUMBERS = ("mean", "sd", "p", "effect", "value")
ValueInterval = tuple[float, tuple[float, float]]


@dataclass(frozen=True)
class NullComparison:
    """Comparison of the statistic with one null.

    Attributes:
        mean: mean of the statistic under the null.
        sd: its standard deviation over `spread`.
        p: one-sided p-value.
        effect: (value - mean)/sd; NaN where the null has no spread.
        decides: whether the verdict depends on it.
        spread: source of `sd`: `draws` of the null, `seeds` of the untrained twin, or `texts`, the
            differences between recording and null.
        count: number of draws, seeds or texts.
        value: statistic of the recording on the samples that it shares with the null.
        estimator: source of p: `sequential`, h over the number of draws up to the h-th that reached
            the recording; `monte carlo`, (1 + draws that reached it)/(1 + draws); `student`; empty
            in files of earlier versions.
    """

    mean: float
    sd: float
    p: float
    effect: float
    decides: bool
    spread: str = "draws"
    count: int = 0
    value: float = math.nan
    estimator: str = ""


@dataclass(frozen=True)
class Verdict:
    """The outcome of testing a claim.

    Attributes:
        id: id of the claim.
        statement: the claim as one sentence.
        statistic: definition of the number.
        value: statistic of the recording.
        interval: its 95 % bootstrap interval over texts, or over groups of texts.
        nulls: comparison with each null.
        verdict: one of `VERDICTS`.
        why: reason for the verdict in a few sentences.
        evidence: profile and statistic of the recording and of each null, for the figures.
        conditions: value and interval of each further condition of the claim, in its order.
        note: sentences of `why` that do not depend on the adjustment.
    """

    id: str
    statement: str
    statistic: str
    value: float
    interval: tuple[float, float]
    nulls: Mapping[str, NullComparison]
    verdict: str
    why: str
    evidence: xr.Dataset
    conditions: tuple[ValueInterval, ...] = ()
    note: str = ""

    def ordered_nulls(self) -> list[tuple[str, NullComparison]]:
        """The nulls by name, the deciding ones first."""
        return sorted(self.nulls.items(), key=lambda item: (not item[1].decides, item[0]))

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], evidence: xr.Dataset) -> Verdict:
        """Verdict of an entry in `claims.json`."""
        deciding = set(attribute(evidence, "deciding", ()))
        nulls = {
            name: NullComparison(
                **{key: _float(null[key]) for key in NUMBERS},
                decides=name in deciding,
                spread=null["spread"],
                count=null["count"],
                estimator=null.get("estimator", ""),
            )
            for name, null in entry["nulls"].items()
        }
        texts = {key: entry[key] for key in ("id", "statement", "statistic", "verdict", "why")}
        value, interval = _value_interval(entry)
        return cls(
            **texts,
            value=value,
            interval=interval,
            nulls=nulls,
            evidence=evidence,
            conditions=tuple(map(_value_interval, attribute(evidence, "conditions", ()))),
            note=attribute(evidence, "note", ""),
        )

    def as_json(self) -> dict[str, Any]:
        """Entry in `claims.json`; an undefined number is null."""
        nulls = {
            name: {
                **{key: _number(getattr(comparison, key)) for key in NUMBERS},
                "spread": comparison.spread,
                "count": comparison.count,
                "estimator": comparison.estimator,
            }
            for name, comparison in self.nulls.items()
        }
        return {
            "id": self.id,
            "statement": self.statement,
            "statistic": self.statistic,
            "value": _number(self.value),
            "interval": [_number(end) for end in self.interval],
            "nulls": nulls,
            "verdict": self.verdict,
            "why": self.why,
        }


def largest_p(comparisons: Iterable[NullComparison]) -> float:
    """Intersection-union p-value: the largest p of the deciding nulls.

    NaN where one of them is NaN or no null decides.
    """
    deciding = [comparison.p for comparison in comparisons if comparison.decides]
    return float(np.max(deciding)) if deciding else math.nan


def _value_interval(entry: Mapping[str, Any]) -> ValueInterval:
    low, high = map(_float, entry["interval"])
    return _float(entry["value"]), (low, high)


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
