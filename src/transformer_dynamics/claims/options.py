"""Sizes of a test of claims: numbers of draws, twins and threads, and the smallest recording."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from transformer_dynamics.claims.verdict import LEVEL
from transformer_dynamics.errors import InputError
from transformer_dynamics.model.labels import FINAL
from transformer_dynamics.nulls.reruns import N_TWINS

N_BOOTSTRAP = 999
LEAST_DRAWS = 199
LEAST_SAMPLES, LEAST_SUBLAYERS = 3, 6


@dataclass(frozen=True, kw_only=True)
class ClaimOptions:
    """Numbers of draws, twins and threads in a test of claims.

    Attributes:
        n_null: largest number of draws of each null. Drawing ends earlier where 20 draws exceed the
            recording, and after 40 draws where the verdict does not depend on the null: it is only
            shown, or an interval or another null settles the verdict. The smallest possible p-value
            is 1/(n_null + 1). By default the number with which a single claim among those
            tested together can be supported after adjustment.
        n_bootstrap: bootstrap draws over texts, or over groups of texts where these are known.
        n_twins: number of untrained twins, each with its own seed.
        n_threads: number of draws made at the same time; by default the number of processors.
    """

    n_null: int | None = None
    n_bootstrap: int = N_BOOTSTRAP
    n_twins: int = N_TWINS
    n_threads: int | None = None

    def draws(self, n_claims: int) -> int:
        """Largest number of draws of each null, for claims that are tested together."""
        return draws_needed(n_claims) if self.n_null is None else self.n_null


def draws_needed(n_claims: int) -> int:
    """Number of draws with which one claim among several can be supported when no other one is.

    Its smallest p-value, 1/(draws + 1), times the number of claims is then at most 5 %.

    >>> draws_needed(1), draws_needed(18)
    (199, 359)
    """
    return max(LEAST_DRAWS, math.ceil(n_claims / LEVEL) - 1)


def check_size(n_samples: int, sites: Sequence[str], options: ClaimOptions) -> None:
    """Refuse recordings and options with which claims cannot be tested.

    Raises:
        InputError: too few samples or sites, or too few draws.
    """
    n_null, n_bootstrap = options.n_null, options.n_bootstrap
    if (n_null is not None and n_null < 1) or n_bootstrap < 2:
        raise InputError(
            f"got n_null={n_null}, n_bootstrap={n_bootstrap}; they are at least 1 and 2: "
            "td.evaluate_claims(recording, options=td.ClaimOptions("
            f"n_null={LEAST_DRAWS}, n_bootstrap={N_BOOTSTRAP}))"
        )
    n_sublayers = len([site for site in sites if site != FINAL])
    if n_samples < LEAST_SAMPLES or n_sublayers < LEAST_SUBLAYERS:
        raise InputError(
            f"got {n_samples} samples and {n_sublayers} sublayers; claims over depth need at "
            f"least {LEAST_SAMPLES} samples (texts) and {LEAST_SUBLAYERS} sublayers: "
            "td.record(model, td.load_texts('wikipedia-sample', n=256))"
        )
