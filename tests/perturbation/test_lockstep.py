"""Searches that run together end where each ends alone."""

import threading

import numpy as np
import pytest
import scipy.optimize

from transformer_dynamics.perturbation.lockstep import minimize_together

STARTS = np.array([[-1.2, 1.0], [3.0, -2.0], [0.0, 0.5]])
OPTIONS = [{"maxiter": 50}, {"maxiter": 3}, {"maxiter": 50, "ftol": 0.0}]


def rosenbrock(_, points):
    values = [scipy.optimize.rosen(point) for point in points]
    return np.array(values), np.stack([scipy.optimize.rosen_der(point) for point in points])


def test_each_search_is_the_search_alone():
    found = minimize_together(rosenbrock, STARTS, OPTIONS)
    for start, options, search in zip(STARTS, OPTIONS, found, strict=True):
        alone = scipy.optimize.minimize(
            scipy.optimize.rosen,
            start,
            jac=scipy.optimize.rosen_der,
            method="L-BFGS-B",
            options=options,
        )
        np.testing.assert_array_equal(search.x, alone.x)
        assert (search.nit, search.nfev, search.success) == (alone.nit, alone.nfev, alone.success)


def test_one_evaluation_answers_all_searches_that_go_on():
    asked = []

    def noted(searches, points):
        asked.append(list(searches))
        return rosenbrock(searches, points)

    found = minimize_together(noted, STARTS, OPTIONS)
    assert len(asked) == max(search.nfev for search in found)
    for index, search in enumerate(found):
        assert [index in each for each in asked].count(True) == search.nfev
        assert all(index in each for each in asked[: search.nfev])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_all_searches(error):
    n_calls, n_threads = [], threading.active_count()

    def failing(searches, points):
        n_calls.append(1)
        if len(n_calls) == 3:
            raise error("third call")
        return rosenbrock(searches, points)

    with pytest.raises(error, match="third call"):
        minimize_together(failing, STARTS, OPTIONS)
    assert len(n_calls) == 3
    assert threading.active_count() == n_threads
