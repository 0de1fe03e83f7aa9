"""Basin profiles of systems whose answers are known."""

import numpy as np
import pytest

from known import N_UNITS, contraction
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.perturbation import (
    basin,
    basin_profile,
)
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

RNG = np.random.default_rng(0)


def test_everything_is_inwards_in_a_contraction_and_nothing_in_an_expansion():
    aims = RNG.standard_normal((8, N_UNITS))
    for factor, share in ((0.5, 1.0), (1.0, 0.0), (2.0, 0.0)):
        flow = LinearFlowMap.contraction(4, N_UNITS, factor)
        found = basin_profile(flow, "0.state", "2.state", directions=aims, radii=[0.1, 1.0, 10.0])
        np.testing.assert_array_equal(found, share)


def test_half_of_a_saddle_is_inwards():
    flow = LinearFlowMap([np.diag([0.5, 1.5])])
    aims = RNG.standard_normal((4000, 2))
    found = basin_profile(flow, "0.state", "1.state", directions=aims, radii=[1.0])
    assert found[0] == pytest.approx(0.5, abs=0.03)


def test_a_basin_that_nobody_leaves_has_no_width():
    with pytest.warns(UndefinedWarning, match="does not cross one half"):
        result = basin([contraction(0.5)], n_texts=2, n_directions=4, radii=[0.1, 1.0])
    assert np.isnan(result["width"]).all()
    assert (result["inward_share"].sel(system="model") == 1).all()
    assert (result["inward_share"].sel(system="zero_update") == 0).all()
    assert [drawing.figure() for drawing in result.td.drawings]


def test_unknown_starts_are_refused():
    with pytest.raises(InputError, match=r"'nowhere' are no sites.*basin\(systems"):
        basin([contraction(0.5)], n_texts=2, starts=["nowhere"])
