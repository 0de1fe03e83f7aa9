"""States put elsewhere: known answers on linear systems, and a tiny model."""

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from known import N_SITES, N_UNITS, contraction, system
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.nulls.flow_maps import zero_update
from transformer_dynamics.numerics.principal_axes import PrincipalAxes
from transformer_dynamics.perturbation import teleport, track_states
from transformer_dynamics.perturbation.states.displacement import displaced, grid_scores
from transformer_dynamics.perturbation.systems import quarter_sites, systems
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

AXES = PrincipalAxes(np.zeros(N_UNITS), np.eye(N_UNITS)[:2], np.ones(2), 2.0)
STATES = np.array([[1.0, 2.0, 0.0, 5.0], [0.0, -3.0, 1.0, 1.0]])


def test_zero_update_recovers_nothing_and_yet_falls_relative_to_a_growing_norm():
    grown = LinearFlowMap(np.stack([3.0 * np.eye(N_UNITS)] * 4))
    found = track_states(zero_update(grown), STATES, "1.state", axes=AXES, tokens=False)
    np.testing.assert_allclose(found["recovery_ratio"], 1.0, rtol=1e-12)
    np.testing.assert_allclose(found["plane_recovery_ratio"], 1.0, rtol=1e-12)
    expected = np.repeat([3.0 ** -np.arange(4)], 2, axis=0)
    np.testing.assert_allclose(found["relative_recovery"], expected, rtol=1e-12)


def test_a_contraction_recovers_by_half_at_each_step():
    flow = LinearFlowMap.contraction(6, N_UNITS, 0.5)
    found = track_states(flow, STATES, "2.state", axes=AXES, tokens=False)
    expected = np.repeat([0.5 ** np.arange(4)], 2, axis=0)
    for name in ("recovery_ratio", "plane_recovery_ratio"):
        np.testing.assert_allclose(found[name], expected, rtol=1e-12)
    np.testing.assert_allclose(found["relative_recovery"], 1.0, rtol=1e-12)
    np.testing.assert_allclose(found["distance"][:, 0], np.linalg.norm(STATES - 0.25, axis=1))


def test_what_leaves_the_plane_is_seen_in_all_dimensions_only():
    # The first unit is moved into the third, which lies outside the plane.
    matrix = np.eye(N_UNITS)
    matrix[[0, 2]] = matrix[[2, 0]]
    flow = LinearFlowMap([matrix])
    put = flow.clean[0] + [[2.0, 1.0, 0.0, 0.0]]
    found = track_states(flow, put, "0.state", axes=AXES, tokens=False).isel(state=0, site=-1)
    assert float(found["recovery_ratio"]) == pytest.approx(1.0)
    assert float(found["plane_recovery_ratio"]) == pytest.approx(1 / np.sqrt(5))


def test_a_state_put_where_it_stands_has_no_ratio_and_says_so():
    flow = LinearFlowMap.contraction(3, N_UNITS, 0.5)
    with pytest.warns(UndefinedWarning, match=r"3 of 3 of recovery_ratio.*stands already"):
        found = track_states(flow, flow.clean[:1], "0.state", axes=AXES, tokens=False)
    assert np.isnan(found["recovery_ratio"]).all()
    assert (found["distance"] == 0).all()


def test_displacements_keep_what_they_say():
    generator = np.random.default_rng(0)
    clean, others = generator.standard_normal(N_UNITS), generator.standard_normal((9, N_UNITS))
    grid = grid_scores(AXES.project(others), 3)
    put = {
        kind: displaced(kind, clean, grid, AXES, others, generator)
        for kind in ("grid", "shift", "random", "towards")
    }
    np.testing.assert_array_equal(put["grid"][:, 2:], 0.0)  # what is off the plane is erased
    np.testing.assert_allclose(put["shift"][:, 2:], np.tile(clean[2:], (9, 1)))
    np.testing.assert_allclose(AXES.project(put["shift"]), grid)
    sizes = np.linalg.norm(put["shift"] - clean, axis=1)
    for kind in ("random", "towards"):
        np.testing.assert_allclose(np.linalg.norm(put[kind] - clean, axis=1), sizes)
    aims = (put["towards"] - clean) / sizes[:, None]
    cosines = aims @ ((others - clean) / np.linalg.norm(others - clean, axis=1)[:, None]).T
    np.testing.assert_allclose(cosines.max(axis=1), 1.0)


def test_nowhere_to_go_towards_is_said():
    clean = np.ones(N_UNITS)
    with pytest.raises(InputError, match="no other text has another state"):
        displaced("towards", clean, np.ones((4, 2)) * 3, AXES, np.ones((5, N_UNITS)), None)


def test_many_texts_against_zero_update():
    result = teleport([contraction(0.5), contraction(0.9, "untrained")], n_texts=4, n=3, n_other=2)
    assert result["system"].values.tolist() == ["model", "zero_update", "untrained"]
    assert result["start"].values.tolist() == [
        "0.state",
        "1.state",
        "2.state",
        "4.state",
    ]
    for name, factor in (("model", 0.5), ("zero_update", 1.0), ("untrained", 0.9)):
        for start in result["start"].values:
            place = result["site"].values.tolist().index(start)
            ratios = result["recovery_ratio"].sel(system=name, start=start)
            assert np.isnan(ratios[..., :place]).all()
            expected = factor ** np.arange(N_SITES - place)
            np.testing.assert_allclose(
                ratios[..., place:], np.broadcast_to(expected, (4, 4, len(expected))), rtol=1e-9
            )


def test_sites_stay_in_order_of_depth_with_two_digits():
    found = teleport([system(np.stack([0.9 * np.eye(N_UNITS)] * 12))], n_texts=2, n=2, n_other=2)
    assert found["start"].values.tolist() == list(quarter_sites(found["site"].values.tolist()))
    assert found["site"].values.tolist() == [f"{site}.state" for site in range(13)]


@pytest.fixture(scope="module")
def both():
    model = tiny.model()
    recording = td.record(model, tiny.token_lists(8))
    return systems(model, recording, n_twins=2)


def test_a_model_is_followed_as_by_hand(both):
    result = teleport(both, n_texts=2, n=3, kinds=["grid"], starts=["1.pre_mlp"], seed=1)
    text = int(result["text"][1])
    flow = both[0].flow(text)
    scores = td.dimension.pca(both[0].recording.sublayers, n_components=2)
    grid = grid_scores(scores["score"].sel(site="1.pre_mlp").values.astype(float), 3)
    put = grid @ scores["loading"].values + scores["mean"].values
    carried = flow.advance(put, "1.pre_mlp")
    distance = np.linalg.norm(carried - flow.clean[3:], axis=2)
    expected = np.exp(np.log(distance / distance[:, :1]).mean(axis=0))
    found = result["recovery_ratio"].isel(sample=1, kind=0, start=0).sel(system="model")
    np.testing.assert_allclose(found[3:], expected, rtol=1e-4)
    clean = flow.log_probabilities(flow.clean[-1:], "final")
    others = flow.log_probabilities(carried[:, -1], "final")
    divergence = (np.exp(clean) * (clean - others)).sum(axis=1).mean()
    kl = result["kl"].isel(sample=1, kind=0, start=0).sel(system="model")
    assert float(kl) == pytest.approx(divergence, rel=1e-4)


def test_the_same_seed_gives_the_same_bits(both):
    one, other = (teleport(both, n_texts=2, n=2, n_other=2, seed=3) for _ in range(2))
    assert one.drop_attrs().identical(other.drop_attrs())


def test_figures(both):
    result = teleport(both, n_texts=3, n=2, n_other=2)
    for drawing in result.td.drawings:
        assert "(" in drawing.x_label
        assert drawing.figure().data
        assert drawing.plot().get_title()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_texts": 99}, "holds 8 texts"),
        ({"n_texts": 2, "starts": ["nowhere"]}, "'nowhere'"),
        ({"n_texts": 2, "kinds": ["sideways"]}, "'sideways'"),
        ({"n_texts": 2, "n": 1}, "at least 2 points"),
    ],
)
def test_bad_input(both, options, message):
    with pytest.raises(InputError, match=message):
        teleport(both, **options)


def test_a_recording_of_another_model_is_refused(both):
    with pytest.raises(InputError, match="whole recording"):
        systems(tiny.model("gpt_neox"), both[0].recording)
