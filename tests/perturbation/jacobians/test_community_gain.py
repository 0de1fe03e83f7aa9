"""Gains of linear flows are known, and so is their correlation with the boundary position."""

import numpy as np
import pytest
import xarray as xr

import known
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.units.partitions import unit_communities
from transformer_dynamics.perturbation import System, community_gain
from transformer_dynamics.perturbation.jacobians.community_gain import unit_gains
from transformer_dynamics.recording import Recording
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

N_STEPS, N_GROUPS, N_TOGETHER = 15, 6, 10


TRUE = np.repeat(np.arange(N_GROUPS), N_TOGETHER)


def mixed(seed=0):
    """Units of six groups, each with a share of its own of the next group's latent."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((300, N_GROUPS))
    share = rng.uniform(0, 0.6, TRUE.size)
    states = (1 - share) * latent[:, TRUE] + share * latent[:, (TRUE + 1) % N_GROUPS]
    states += 0.3 * rng.standard_normal(states.shape)
    return states * rng.permutation(np.geomspace(0.5, 2, TRUE.size))


def system_of(gain, states, name="model"):
    """Every step multiplies unit u by gain[u], around states that are the same at all sites."""
    flow = LinearFlowMap(np.stack([np.diag(gain)] * N_STEPS))
    values = np.repeat(states[:, np.newaxis], N_STEPS + 1, axis=1)
    return System(name, Recording.from_array(values, sites=flow.sites), lambda text: flow)


@pytest.fixture
def boundary():
    return unit_communities(mixed()).boundary


def test_gains_of_a_diagonal_flow_are_its_entries():
    gain = np.linspace(0.5, 1.5, TRUE.size)
    result = community_gain([system_of(gain, mixed())], starts=["0.state", "10.state"])
    np.testing.assert_allclose(result["gain"].sel(horizon="layer")[0], [[gain] * 2] * 2)
    far = result["gain"].sel(horizon="12 sublayers", system="model").isel(sample=0)
    np.testing.assert_allclose(far, [gain**12, gain**5])
    assert result["stop"].values.tolist() == [["1.state", "11.state"], ["12.state", "15.state"]]
    np.testing.assert_allclose(result["mean_gain"], result["gain"].mean("sample"))


def test_gains_are_column_norms_of_products():
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((13, 5, 5)) / 2
    flow = LinearFlowMap(steps)
    recording = Recording.from_array(np.stack([flow.clean] * 2), sites=flow.sites)
    system = System("model", recording, lambda text: flow)
    gains, stops = unit_gains(system, 0, ["1.state"])
    np.testing.assert_allclose(gains[0, 0], np.linalg.norm(steps[1], axis=0))
    product = np.linalg.multi_dot(steps[12:0:-1])
    np.testing.assert_allclose(gains[1, 0], np.linalg.norm(product, axis=0))
    assert stops == [("2.state", "13.state")]
    # A horizon that ends within a layer: two sites a layer, of which the last is left out.
    labels = (*(f"{layer}.{kind}" for layer in range(7) for kind in ("pre_attn", "pre_mlp")),)
    flow.sites = (*labels[:13], "final")
    recording = Recording.from_array(np.stack([flow.clean] * 2), sites=flow.sites)
    gains, stops = unit_gains(System("model", recording, lambda text: flow), 0, ["1.pre_attn"])
    product = np.linalg.multi_dot(steps[12:1:-1])
    np.testing.assert_allclose(gains[1, 0], np.linalg.norm(product, axis=0))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_gain_that_goes_with_the_boundary_is_found_and_one_that_does_not_is_not(boundary, sign):
    rising = np.exp(0.1 * sign * boundary)
    shuffled = np.random.default_rng(3).permutation(rising)
    pair = [system_of(rising, mixed()), system_of(shuffled, mixed(), "untrained")]
    result = community_gain(pair, starts=["0.state", "5.state"])
    model, other = (result.sel(system=name) for name in ("model", "untrained"))
    for name in ("spearman", "partial_spearman"):
        np.testing.assert_allclose(model[name], sign)
        np.testing.assert_allclose(model[f"{name}_p"], 2 / 200)
        assert (np.abs(other[name]) < 0.3).all()
        assert (other[f"{name}_p"] > 0.05).all()
        assert (model[f"{name}_null_low"] < 0).all()
        assert (model[f"{name}_null_high"] > 0).all()
    np.testing.assert_allclose(model["boundary"].isel(start=0), boundary)
    assert (sign * model["community_spearman"] > 0.7).all()


def test_equal_gains_are_announced_as_undefined():
    with pytest.warns(UndefinedWarning, match="6 of 6 values of the rank correlations") as caught:
        result = community_gain([system_of(np.ones(TRUE.size), mixed())], starts=["0.state"])
    assert len(caught) == 1
    assert np.isnan(result["spearman"]).all()


def test_results_follow_the_seed(boundary):
    system = system_of(1 + boundary, mixed())
    first, again = (community_gain([system], starts=["3.state"], seed=5) for _ in range(2))
    xr.testing.assert_identical(first, again)


@pytest.mark.parametrize(
    "parameters", [{"starts": ["final"]}, {"starts": []}, {"n_permutations": 0}, {"n_texts": 99}]
)
def test_what_it_cannot_take(parameters):
    with pytest.raises(InputError):
        community_gain([known.contraction(0.5)], **parameters)
