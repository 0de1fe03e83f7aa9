"""Calibration: on recordings drawn from the matched random walk, findings are rare.

200 recordings, drawn from the matched random walk of a recording whose steps grow, which are
mixed in space, and whose samples share a path. Each claim may be called supported in at most 5 %
of them; the allowance is the 99.9 % quantile of a binomial with that rate. C6, whose draws cost
more, has a test of its own.
"""

from collections import Counter

import numpy as np
from scipy import stats

import transformer_dynamics as td
from transformer_dynamics.nulls import random_walk
from transformer_dynamics.recording.recording import Recording

N_RECORDINGS = 200
CLAIMS_HERE = ["C1", "C2", "C3", "C4", "C5", "C6-turns", "C7", "C12", "C13"]


def base_recording() -> Recording:
    generator = np.random.default_rng(11)
    mixing = generator.standard_normal((8, 8)) / np.sqrt(8)
    growth = 1.12 ** np.arange(14)[:, None]
    own = generator.standard_normal((24, 14, 8)) @ mixing
    shared = generator.standard_normal((1, 14, 8))
    return Recording.from_array(np.cumsum((own + shared) * growth, axis=1))


def test_claims_are_rarely_supported_on_the_null_itself():
    base = base_recording()
    supported, significant = Counter(), Counter()
    for seed in range(N_RECORDINGS):
        verdicts = td.test_claims(
            random_walk(base, seed=seed),
            claims=CLAIMS_HERE,
            n_null=39,
            n_bootstrap=49,
            seed=seed,
            n_threads=1,
        )
        for verdict in verdicts:
            supported[verdict.id] += verdict.verdict == "supported"
            significant[verdict.id] += verdict.nulls["random_walk"].p <= 0.05
    allowed = stats.binom.ppf(0.999, N_RECORDINGS, 0.05)
    assert all(count <= allowed for count in supported.values()), supported
    # The comparison with the walk itself is calibrated too, not only the verdict that needs more:
    # it neither fires too often nor never.
    assert all(count <= allowed for count in significant.values()), significant
    assert sum(significant.values()) > 0
