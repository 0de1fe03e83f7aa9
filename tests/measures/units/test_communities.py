"""Groups of units that are known are found; noise has none beyond its null."""

import sys

import networkx
import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from transformer_dynamics.errors import InputError, TdynError, UndefinedWarning
from transformer_dynamics.measures.units.communities import communities
from transformer_dynamics.measures.units.community_variables import even_sites
from transformer_dynamics.measures.units.partitions import (
    agreement,
    partition,
    positions,
    unit_communities,
)
from transformer_dynamics.measures.units.unit_graph import (
    absolute_correlation,
    strongest_neighbors,
    zero_filled_z_scores,
)
from transformer_dynamics.nulls import random_basis
from transformer_dynamics.recording import Recording

N_GROUPS, N_TOGETHER = 4, 16
TRUE = np.repeat(np.arange(N_GROUPS), N_TOGETHER)
QUICK = {"n_null": 3}


def blocks(*, n_samples=200, n_sites=2, correlation=0.8, seed=0):
    """Units of a group share a latent: |r| within a group is `correlation`, between groups 0."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n_samples, n_sites, N_GROUPS))
    noise = rng.standard_normal((n_samples, n_sites, TRUE.size))
    # Signs, since the graph takes |r|.
    signs = rng.choice([-1.0, 1.0], TRUE.size)
    return signs * (np.sqrt(correlation) * latent[..., TRUE] + np.sqrt(1 - correlation) * noise)


def with_unit_between(seed=0):
    """Blocks, and one more unit that is the sum of the first two groups' latents."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((200, N_GROUPS))
    states = np.sqrt(0.8) * latent[:, TRUE] + np.sqrt(0.2) * rng.standard_normal((200, TRUE.size))
    return np.column_stack([states, latent[:, 0] + latent[:, 1]])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_blocks_are_recovered_exactly(seed):
    result = communities(Recording.from_array(blocks(seed=seed)), **QUICK)
    for labels in result["community"].values:
        assert adjusted_rand_score(TRUE, labels) == 1
    np.testing.assert_array_equal(result["n_communities"], N_GROUPS)
    # Equal groups without edges between them.
    np.testing.assert_allclose(result["modularity"], 1 - 1 / N_GROUPS, atol=0.01)
    np.testing.assert_allclose(result["boundary"], 0, atol=0.05)
    np.testing.assert_array_equal(result["adjusted_rand"], 1)
    np.testing.assert_array_equal(result["adjusted_mutual_information"], 1)
    np.testing.assert_array_equal(result["rerun_adjusted_rand"], 1)
    assert (result["null_modularity"].max("draw") < result["modularity"] - 0.2).all()


def test_independent_units_have_the_modularity_of_their_null():
    states = np.random.default_rng(0).standard_normal((200, 3, 64))
    result = communities(Recording.from_array(states), n_null=10)
    draws = result["null_modularity"].sel(null="independent_units")
    assert (np.abs(result["modularity"] - draws.mean("draw")) < 4 * draws.std("draw")).all()
    # It is high all the same.
    assert (result["modularity"] > 0.15).all()


def test_a_random_basis_loses_the_groups():
    rotated = random_basis(Recording.from_array(blocks()), seed=3)
    result = communities(rotated, n_null=10)
    for labels in result["community"].values:
        assert adjusted_rand_score(TRUE, labels) < 0.1
    draws = result["null_modularity"].sel(null="random_basis")
    assert (np.abs(result["modularity"] - draws.mean("draw")) < 4 * draws.std("draw")).all()


def test_scale_offset_and_sign_of_units_change_nothing():
    states = blocks()
    scaled = states * np.geomspace(0.01, 1000, TRUE.size) * np.where(TRUE % 2, -1, 1) + 7
    one, other = (communities(Recording.from_array(each), **QUICK) for each in (states, scaled))
    np.testing.assert_array_equal(one["community"], other["community"])
    for name in ("boundary", "strength", "modularity", "correlation"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-9)


def test_the_unit_between_two_groups_has_the_greatest_boundary_position():
    found = unit_communities(with_unit_between())
    assert found.boundary.argmax() == TRUE.size
    assert 0.3 < found.boundary[-1] < 0.7
    assert np.median(found.boundary) == 0


def test_labels_are_in_order_of_size():
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], [6, 20, 12])
    states = rng.standard_normal((300, 3))[:, groups] + 0.3 * rng.standard_normal((300, 38))
    found = unit_communities(states, neighbors=5)
    np.testing.assert_array_equal(found.label, np.array([2, 0, 1])[groups])


def random_graph(seed=0, n_units=40):
    states = np.random.default_rng(seed).standard_normal((30, n_units))
    return strongest_neighbors(absolute_correlation(states), 5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_modularity_and_boundary_are_those_of_networkx(seed):
    graph = random_graph(seed)
    network = networkx.from_scipy_sparse_array(graph)
    for label in (partition(graph, seed=seed), np.random.default_rng(seed).integers(0, 4, 40)):
        groups = [set(np.flatnonzero(label == each).tolist()) for each in np.unique(label)]
        quality, boundary = positions(graph, label)
        assert quality == pytest.approx(networkx.community.modularity(network, groups))
        for unit, edges in network.adjacency():
            out = sum(
                edge["weight"] for other, edge in edges.items() if label[other] != label[unit]
            )
            total = network.degree(unit, weight="weight")
            assert boundary[unit] == pytest.approx(out / total)


def test_correlation_is_that_of_numpy():
    states = blocks()[:, 0]
    expected = np.abs(np.corrcoef(states.T)) - np.eye(TRUE.size)
    np.testing.assert_allclose(absolute_correlation(states), expected, atol=1e-12)


@pytest.mark.parametrize("neighbors", [1, 3, 39, 100])
def test_an_edge_is_among_the_strongest_of_either_unit(neighbors):
    weights = absolute_correlation(np.random.default_rng(0).standard_normal((30, 40)))
    graph = strongest_neighbors(weights, neighbors).toarray()
    np.testing.assert_array_equal(graph, graph.T)
    rank = (-weights).argsort(axis=1).argsort(axis=1)
    among = rank < neighbors
    np.testing.assert_array_equal(graph, np.where(among | among.T, weights, 0))


@pytest.mark.parametrize("method", ["louvain", "leiden"])
def test_partitions_follow_their_seed(method):
    if method == "leiden":
        pytest.importorskip("leidenalg", reason="needs the extra communities")
    graph = random_graph(n_units=80)
    first, again = (partition(graph, method=method, seed=4_000_000_000) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_leiden_agrees_on_blocks_and_is_not_worse_on_noise():
    pytest.importorskip("leidenalg", reason="needs the extra communities")
    found = unit_communities(blocks()[:, 0], method="leiden")
    assert adjusted_rand_score(TRUE, found.label) == 1
    graph = random_graph(n_units=200)
    louvain, leiden = (
        positions(graph, partition(graph, method=method))[0] for method in ("louvain", "leiden")
    )
    assert leiden > louvain - 0.02


def test_without_leidenalg_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "leidenalg", None)
    with pytest.raises(TdynError, match=r"pip install 'transformer-dynamics\[communities\]'"):
        communities(Recording.from_array(blocks()), method="leiden", **QUICK)


def test_units_that_do_not_vary_belong_to_no_community():
    states = blocks()
    states[:, :, 5] = 0.1
    with pytest.warns(UndefinedWarning, match=r"2 of 128 values of boundary") as caught:
        result = communities(Recording.from_array(states), **QUICK)
    assert len(caught) == 1
    assert (result["community"][:, 5] == -1).all()
    assert np.isnan(result["boundary"][:, 5]).all()
    assert np.isfinite(result["boundary"].drop_isel(unit=5)).all()
    np.testing.assert_array_equal(result["n_communities"], N_GROUPS)


def test_the_figure_shows_the_blocks_in_order():
    result = communities(Recording.from_array(blocks()), **QUICK)
    label = result["shown_community"].values
    assert (np.diff(label) >= 0).all()
    np.testing.assert_array_equal(label, result["community"][1, result["shown_unit"]])
    within = label[:, np.newaxis] == label
    shown = result["correlation"].values
    off_diagonal = ~np.eye(label.size, dtype=bool)
    assert shown[within & off_diagonal].min() > shown[~within].max()


def test_sites_are_those_asked_for_in_order_of_depth():
    recording = Recording.from_array(blocks(n_sites=7))
    result = communities(recording, sites=["5.state", "1.state", "5.state"], **QUICK)
    assert result["site"].values.tolist() == ["1.state", "5.state"]
    assert result["depth"].values.tolist() == [1, 5]
    assert result["pair"].values.tolist() == ["1.state to 5.state"]
    assert even_sites(recording.sites) == [f"{site}.state" for site in (0, 1, 2, 4, 5, 6)]


def test_agreement_of_partitions():
    one = np.repeat(np.arange(20), 20)
    renamed = 19 - one
    assert agreement(one, renamed) == (1, pytest.approx(1))
    shuffled = np.random.default_rng(0).permutation(one)
    assert np.abs(agreement(one, shuffled)).max() < 0.05
    partial = np.where(one == 3, -1, renamed)
    assert agreement(one, partial) == (1, pytest.approx(1))
    assert np.isnan(agreement(one, np.full(one.size, -1))).all()


def test_a_graph_without_edges_has_no_communities():
    graph = sparse.csr_array((3, 3))
    label = partition(graph)
    assert label.tolist() == [-1] * 3
    quality, boundary = positions(graph, label)
    assert np.isnan([quality, *boundary]).all()


def test_z_scores_of_a_constant_unit_are_zero():
    states = np.column_stack([np.arange(5.0), np.full(5, 0.1)])
    scores = zero_filled_z_scores(states)
    np.testing.assert_allclose(scores.var(axis=0), [1, 0])
    np.testing.assert_array_equal(scores[:, 1], 0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "walktrap"}, "one of louvain, leiden"),
        ({"neighbors": 0}, "got neighbors=0"),
        ({"n_null": 0}, "got n_null=0"),
        ({"sites": []}, r"sites=\[\]"),
        ({"n_samples": 0}, "n_samples=0"),
    ],
)
def test_what_it_cannot_take(parameters, message):
    with pytest.raises(InputError, match=message):
        communities(Recording.from_array(blocks()), **parameters)


def test_two_samples_have_no_correlations():
    with pytest.warns(UndefinedWarning, match="samples are fewer than three"):
        result = communities(Recording.from_array(blocks()), n_samples=2, **QUICK)
    assert (result["community"] == -1).all()
    assert (result["n_communities"] == 0).all()
    assert np.isnan(result["modularity"]).all()
    assert np.isnan(result["null_modularity"]).all()


def test_states_that_are_not_finite_and_unknown_sites_are_refused():
    states = blocks()
    states[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        communities(Recording.from_array(states))
    with pytest.raises(InputError, match=r"no site '9\.state'"):
        communities(Recording.from_array(blocks()), sites=["9.state"])
