"""Power and calibration in small; `make calibration` makes the table of the documentation.

Each claim is supported on the system on which it is true, in each of two runs, and not in both runs
on recordings drawn from a null model that decides it. A claim at its level of 5 % is supported in
both with probability 0.0025; a null that is supported with probability q is found with q squared,
and a claim of which the power fell to q with 1 - q squared. The table has 25 and 200 runs.
"""

import numpy as np
import pytest

from transformer_dynamics.claims import ClaimOptions
from transformer_dynamics.claims.calibration import as_markdown
from transformer_dynamics.claims.power import TRUE, Share, share
from transformer_dynamics.claims.truths import TRUTHS
from transformer_dynamics.claims.truths_perturbed import PERTURBED
from transformer_dynamics.errors import InputError
from transformer_dynamics.registry import CLAIMS

WITH_TRUTH = {**TRUTHS, **PERTURBED}
N_RUNS = 2
# With 19 draws the smallest p is the level itself.
FEWEST = ClaimOptions(n_null=19, n_bootstrap=99, n_threads=1)


def test_every_claim_has_a_truth():
    assert set(WITH_TRUTH) == set(CLAIMS.all())


@pytest.mark.parametrize("claim", WITH_TRUTH)
def test_the_claim_is_supported_where_it_is_true(claim):
    found = share(claim, TRUE, N_RUNS, options=FEWEST)
    assert found.supported == N_RUNS, found


@pytest.mark.parametrize(
    ("claim", "null"), [(claim, null) for claim in WITH_TRUTH for null in CLAIMS.get(claim).nulls]
)
def test_the_claim_is_rarely_supported_on_its_null(claim, null):
    found = share(claim, null, N_RUNS, first_seed=100, options=FEWEST)
    assert found.supported < N_RUNS, found


def test_the_allowance_is_that_of_a_binomial():
    rows = [Share("C1", "words", null, 10, 9, 200) for null in ("random_walk", TRUE)]
    assert rows[0].allowed == pytest.approx(10 + 3.1 * np.sqrt(200 * 0.05 * 0.95), abs=2)
    assert rows[0].passes
    assert not rows[1].passes
    assert "| C1 | words | random walk | 5.0% | 4.5% | 200 |" in as_markdown(rows)


def test_unknown_claims_and_nulls_are_named():
    with pytest.raises(InputError, match="a null is 'truth' or one that decides"):
        share("C1", "zero_update", 3)
