"""Recordings too small or too plain to measure give finite numbers, NaN that is announced, or a
refusal that says how many are needed; never infinity.
"""

import re
import warnings

import numpy as np
import pytest

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import MEASURES


def walk(n_samples, n_sites, n_units=4):
    steps = np.random.default_rng(0).standard_normal((n_samples, n_sites, n_units))
    return steps.cumsum(axis=1)


def with_constant_unit():
    values = walk(8, 6)
    values[:, :, 1] = 2.5
    return values


def with_repeated_site():
    values = walk(8, 6)
    values[:, 3] = values[:, 2]
    return values


DEGENERATE = {
    "one sample": walk(1, 6),
    "two samples": walk(2, 6),
    "three samples": walk(3, 6),
    "identical samples": np.repeat(walk(1, 6), 6, axis=0),
    "a constant unit": with_constant_unit(),
    "a repeated site": with_repeated_site(),
    "constant states": np.ones((8, 6, 4)),
    "zero states": np.zeros((8, 6, 4)),
    "one site": walk(8, 1),
    "two sites": walk(8, 2),
    "one unit": walk(8, 6, 1),
}


def measured(function, values):
    try:
        return function(Recording.from_array(values)), ""
    except InputError as error:
        return None, str(error)


def undefined(result):
    return {
        name: int(np.isnan(values).sum())
        for name, values in result.data_vars.items()
        if values.dtype.kind == "f"
    }


@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("name", list(MEASURES.all()))
def test_degenerate_recordings(name, case):
    function = MEASURES.get(name).function
    values = DEGENERATE[case]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result, refusal = measured(function, values)
    if result is None:
        assert re.search(r"\d|two|three|four|more|least", refusal)
        return
    assert {warning.category for warning in caught} <= {UndefinedWarning}
    for variable, array in result.variables.items():
        assert array.dtype.kind != "f" or not np.isinf(array.values).any(), variable
    if not caught:
        # Triangles and lags that a healthy recording of this shape leaves empty as well.
        healthy = function(Recording.from_array(walk(*values.shape)))
        assert undefined(result) == undefined(healthy)
