"""Jacobians over a horizon of known systems."""

import numpy as np

from transformer_dynamics.perturbation.jacobians.contraction import contracting_shares
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap


def test_the_share_of_directions_that_contract():
    matrices = [np.diag(factors) for factors in ([0.5, 0.5, 2, 2], [0.5, 3, 0.25, 3], np.ones(4))]
    flow = LinearFlowMap(matrices)
    shares = contracting_shares(flow, ["0.state", "1.state", "2.state"], 2)
    # 0.25, 1.5, 0.5, 6; then 0.5, 3, 0.25, 3; the last start has no two sites before it ends.
    np.testing.assert_array_equal(shares, [0.5, 0.5, np.nan])
