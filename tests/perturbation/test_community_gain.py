"""Gains of linear flows are known, and so is how they go with a boundary position."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

import known
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.units.partitions import unit_communities
from transformer_dynamics.perturbation import System, community_gain
from transformer_dynamics.perturbation.jacobians.community_gain import rank_correlation, unit_gains
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
    gains, _ = unit_gains(LinearFlowMap(steps), "1.state")
    np.testing.assert_allclose(gains[0], np.linalg.norm(steps[1], axis=0))
    product = np.linalg.multi_dot(steps[12:0:-1])
    np.testing.assert_allclose(gains[1], np.linalg.norm(product, axis=0))


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


def test_a_gain_of_variance_or_strength_alone_leaves_no_partial_correlation():
    """Variance drives both: the plain correlation is there, the partial one is not."""
    rng = np.random.default_rng(0)
    variance = rng.standard_normal(400)
    first, second = variance + 0.3 * rng.standard_normal((2, 400))
    assert rank_correlation(first, second).value > 0.8
    partial = rank_correlation(first, second, [variance])
    assert abs(partial.value) < 0.15
    assert partial.p > 0.05


def test_rank_correlation_is_that_of_scipy_and_p_is_calibrated():
    rng = np.random.default_rng(1)
    pairs = rng.integers(0, 12, (200, 2, 30)).astype(float)
    found = [
        rank_correlation(*pair, n_permutations=39, seed=seed) for seed, pair in enumerate(pairs)
    ]
    expected = [spearmanr(*pair).statistic for pair in pairs]
    np.testing.assert_allclose([each.value for each in found], expected, atol=1e-9)
    # 5 % of 200, with three binomial standard deviations.
    assert sum(each.p <= 0.05 for each in found) <= 10 + 3 * np.sqrt(9.5)


def test_partial_correlation_is_that_of_residuals():
    rng = np.random.default_rng(2)
    given = rng.standard_normal((2, 50))
    first, second = given.sum(axis=0) + rng.standard_normal((2, 50))
    ranks = np.argsort(np.argsort([first, second, *given], axis=1), axis=1).astype(float)
    design = np.column_stack([np.ones(50), *ranks[2:]])
    left = [each - design @ np.linalg.lstsq(design, each)[0] for each in ranks[:2]]
    value = rank_correlation(first, second, list(given)).value
    assert value == pytest.approx(np.corrcoef(left)[0, 1])


@pytest.mark.parametrize(
    ("first", "given"),
    [
        (np.ones(20), []),
        (np.arange(20.0), [np.arange(20.0)]),
        (np.where(np.arange(20) < 4, np.arange(20.0), np.nan), []),
    ],
    ids=["constant", "explained", "too few"],
)
def test_rank_correlations_without_an_answer_are_nan(first, given):
    second = np.random.default_rng(0).permutation(20.0 * np.arange(20))
    assert np.isnan(rank_correlation(first, second, given)).all()


def test_equal_gains_are_announced_as_undefined():
    with pytest.warns(UndefinedWarning, match="6 of 6 rank correlations") as caught:
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
