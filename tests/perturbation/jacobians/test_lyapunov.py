"""Lyapunov exponents of maps whose exponents are known."""

import numpy as np
import pytest

from transformer_dynamics.errors import InputError
from transformer_dynamics.perturbation import (
    lyapunov_exponents,
)


def test_lyapunov_of_a_diagonal_map():
    found = lyapunov_exponents([np.diag([3.0, 0.2])] * 10)
    np.testing.assert_allclose(found, np.log([3.0, 0.2]))


def test_lyapunov_of_the_logistic_map():
    x, steps = 0.3, []
    for _ in range(20_000):
        steps.append([[4 - 8 * x]])
        x = 4 * x * (1 - x)
    assert lyapunov_exponents(steps)[0] == pytest.approx(np.log(2), abs=0.01)


def test_lyapunov_of_the_henon_map():
    x, y, steps = 0.1, 0.1, []
    for step in range(20_100):
        if step >= 100:
            steps.append([[-2.8 * x, 1.0], [0.3, 0.0]])
        x, y = 1 - 1.4 * x * x + y, 0.3 * x
    found = lyapunov_exponents(steps)
    assert found[0] == pytest.approx(0.419, abs=0.01)
    assert found.sum() == pytest.approx(np.log(0.3), abs=1e-9)


def test_lyapunov_refuses_what_is_no_chain():
    with pytest.raises(InputError, match="step, unit, unit"):
        lyapunov_exponents(np.eye(3))
