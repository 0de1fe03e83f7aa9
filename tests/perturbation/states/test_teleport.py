"""States replaced in many texts: linear systems, and a tiny model run by hand."""

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from known import N_SITES, N_UNITS, contraction, system
from transformer_dynamics.errors import InputError
from transformer_dynamics.perturbation import teleport
from transformer_dynamics.perturbation.depths import quarter_sites
from transformer_dynamics.perturbation.states.displacement import grid_scores
from transformer_dynamics.perturbation.systems import systems


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
    states = grid @ scores["loading"].values + scores["mean"].values
    carried = flow.advance(states, "1.pre_mlp")
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
