"""States cut to K directions: a linear head whose answer is known, and a tiny model."""

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from known import N_UNITS, contraction
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.perturbation.driver import chosen_texts
from transformer_dynamics.perturbation.predictions import divergences
from transformer_dynamics.perturbation.states.truncation import truncated, truncation
from transformer_dynamics.perturbation.systems import System
from transformer_dynamics.plots.perturbation.truncation import draw_truncation
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

RNG = np.random.default_rng(0)


class Headed(LinearFlowMap):
    """A linear flow whose final state is the logits."""

    def _log_probabilities(self, states, start):
        logits = self._advance(states, start, self.sites[-1], self.sites[-1:])[:, 0]
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


class Predicting(System):
    predicts = True


def headed_systems(states):
    """One flow per text that doubles its state at the first of two steps."""
    steps = np.stack([2 * np.eye(states.shape[1]), np.eye(states.shape[1])])
    flows = [Headed(steps, first=state) for state in states]
    recording = Recording.from_array(np.stack([flow.clean for flow in flows]), sites=flows[0].sites)
    return [Predicting("model", recording, flows.__getitem__)]


def test_kl_is_that_of_the_projected_logits():
    flow = Headed([2 * np.eye(3)], first=[1.0, -0.5, 0.3])
    vectors = np.linalg.qr(RNG.standard_normal((3, 3)))[0]
    perturbed = np.stack([truncated(flow.clean[0], vectors, rank) for rank in (1, 2, 3)])
    found = divergences(flow, perturbed, "0.state")
    p = np.exp(flow.clean[1]) / np.exp(flow.clean[1]).sum()
    for state, kl in zip(perturbed, found, strict=True):
        q = np.exp(2 * state) / np.exp(2 * state).sum()
        assert kl == pytest.approx((p * np.log(p / q)).sum(), abs=1e-12)
    assert found[-1] < 1e-12
    assert np.isnan(divergences(flow, np.full((1, 3), np.nan), "0.state")).all()


def test_states_in_a_plane_need_two_directions_of_the_others_and_all_of_random_ones():
    plane = np.linalg.qr(RNG.standard_normal((6, 2)))[0]
    states = RNG.standard_normal((12, 2)) @ plane.T * 3
    with pytest.warns(UndefinedWarning, match="span fewer directions") as caught:
        result = truncation(headed_systems(states), n_texts=5, ranks=[1, 2, 4, 6])
    assert len(caught) == 1
    singular = result.sel(system="model", kind="singular")
    np.testing.assert_allclose(singular["kl"].sel(rank=2), 0.0, atol=1e-9)
    np.testing.assert_allclose(singular["kept_share"].sel(rank=2), 1.0)
    assert (singular["kl"].sel(rank=1).mean("sample") > 0.05).all()
    assert np.isnan(singular["kl"].sel(rank=4)).all()
    for kind in ("random", "mean_and_random"):
        drawn = result.sel(system="model", kind=kind)
        np.testing.assert_allclose(drawn["kl"].sel(rank=6), 0.0, atol=1e-9)
        assert (drawn["kl"].sel(rank=4).mean("sample") > 1e-3).all()
        assert (np.diff(drawn["kept_share"].values, axis=-1) > 0).all()
    same = result["kl"].sel(rank=1, system="model")
    np.testing.assert_allclose(same.sel(kind="mean_and_random"), same.sel(kind="singular"))


def test_random_directions_keep_their_share_of_a_state():
    states = np.random.default_rng(7).standard_normal((800, 20))
    result = truncation(headed_systems(states), n_texts=400, ranks=[5], starts=["0.state"])
    kept = result["kept_share"].sel(kind="random").values
    assert kept.mean() == pytest.approx(0.25, abs=0.02)


def test_a_text_does_not_give_its_own_directions():
    """All states lie on one axis but that of a text that is cut, at a right angle to them."""
    chosen = chosen_texts(headed_systems(np.ones((6, 3))), 3, 0)
    states = np.tile([1.0, 0.0, 0.0], (6, 1))
    states[chosen[1]] = [0.0, 2.0, 0.0]
    result = truncation(headed_systems(states), n_texts=3, ranks=[1])
    assert result["text"].values.tolist() == chosen
    kept = result["kept_share"].sel(system="model", kind="singular", rank=1).values
    np.testing.assert_allclose(kept, np.array([1.0, 0.0, 1.0])[:, None].repeat(kept.shape[1], 1))


def test_cutting_after_every_layer_compounds():
    """A direction cut at the first site and turned into the plane later is lost."""
    turn = np.roll(np.eye(3), 1, axis=0)
    firsts = np.array([[1.0, 0.0, 0.0]]) * RNG.uniform(1, 2, (8, 1))
    firsts[:, 1] = 0.5
    flows = [Headed(np.stack([turn, turn]), first=first) for first in firsts]
    values = np.stack([flow.clean for flow in flows])
    systems = [
        Predicting("model", Recording.from_array(values, sites=flows[0].sites), flows.__getitem__)
    ]
    result = truncation(systems, n_texts=3, ranks=[1, 2]).sel(system="model", kind="singular")
    np.testing.assert_allclose(result["kl"].sel(rank=2), 0.0, atol=1e-9)
    one = result["kl"].sel(rank=1)
    text = int(result["text"].values[0])
    others = np.delete(np.arange(8), result["text"].values)
    state = values[text, 0]
    for site in (1, 2):
        state = turn @ state
        axis = np.linalg.svd(values[others, site])[2][0]
        state = axis * (axis @ state)
    p, q = (np.exp(v) / np.exp(v).sum() for v in (values[text, 2], state))
    expected = (p * np.log(p / q)).sum()
    assert one.sel(start="every layer").values[0] == pytest.approx(expected, rel=1e-9)


@pytest.fixture(scope="module")
def tested():
    model = tiny.model()
    recording = td.record(model, tiny.token_lists(24))
    pair = td.perturbation.systems(model, recording, n_twins=1)
    return pair, truncation(pair, n_texts=3, ranks=[1, 4, 16])


def test_on_a_model_all_directions_change_nothing(tested):
    _, result = tested
    whole = result["kl"].sel(rank=16)
    np.testing.assert_allclose(whole.sel(kind="random"), 0.0, atol=1e-5)
    later = whole.sel(kind="singular").isel(start=slice(1, None))
    np.testing.assert_allclose(later, 0.0, atol=1e-5)
    assert whole["start"].values[-1] == "every layer"
    assert (result["kl"].sel(rank=1, system="model").mean("sample") > 1e-3).all()
    assert (result["unrelated_kl"].sel(system="model") > 0).all()


def test_kl_is_that_of_the_model_run_by_hand(tested):
    pair, result = tested
    start = result["start"].values.tolist()[1]
    text = int(result["text"].values[0])
    flow = pair[0].flow(text)
    states = pair[0].recording.activation.sel(site=start).values.astype(float)
    others = np.delete(states, result["text"].values, axis=0)
    vectors = np.linalg.svd(others)[2][:4].T
    clean = states[text]
    cut = vectors @ (vectors.T @ clean)
    p, q = np.exp(flow.log_probabilities(np.stack([clean, cut]), start))
    expected = (p * np.log(p / q)).sum()
    found = result["kl"].sel(system="model", kind="singular", start=start, rank=4).values[0]
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_same_seed_gives_the_same_bits(tested):
    pair, result = tested
    assert truncation(pair, n_texts=3, ranks=[1, 4, 16]).identical(result)
    other = truncation(pair, n_texts=3, ranks=[1, 4, 16], seed=1)
    assert not other["kl"].equals(result["kl"])


def test_progress_and_figures(tested):
    pair, result = tested
    steps = []
    truncation(pair, n_texts=2, ranks=[2], on_progress=lambda *done: steps.append(done))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for drawing in draw_truncation(result):
        assert drawing.figure()
        assert drawing.caption
        assert drawing.interpretation
        assert drawing.plot().get_ylabel().endswith("(nats)")


def test_without_tokens_there_is_no_kl():
    with pytest.warns(UndefinedWarning, match="predicts no tokens") as caught:
        result = truncation([contraction(0.5)], n_texts=3)
    assert len(caught) == 1
    assert np.isnan(result["kl"]).all()
    assert result["rank"].values.tolist() == [1]
    assert N_UNITS == 4


@pytest.mark.parametrize("bad", [{"ranks": [0]}, {"ranks": [5]}, {"starts": ["nowhere"]}])
def test_errors_name_the_call_that_works(bad):
    with pytest.raises(InputError, match="lie from 1 to 4"):
        truncation([contraction(0.5)], n_texts=2, **bad)


def test_one_text_leaves_none_to_take_directions_from():
    alone = headed_systems(RNG.standard_normal((1, 3)))
    with pytest.raises(InputError, match="two texts at least"):
        truncation(alone, n_texts=1)
