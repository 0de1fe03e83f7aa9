"""Contracting bands of many draws, against an exhaustive search."""

import numpy as np

from transformer_dynamics.perturbation import contracting_band


def test_bands_of_many_draws_at_once():
    generator = np.random.default_rng(5)
    draws = generator.standard_normal((40, 9))
    draws[:, 7:] = np.nan
    draws[7, :2] = np.nan
    first, last = contracting_band(draws, margin=0.05)
    for row, begin, end in zip(draws, first, last, strict=True):
        gains = {
            (i, j): -(row[i : j + 1] + 0.05).sum()
            for i in range(9)
            for j in range(i, 9)
            if np.isfinite(row[i : j + 1]).all()
        }
        assert (begin, end) == max(gains, key=gains.get)
