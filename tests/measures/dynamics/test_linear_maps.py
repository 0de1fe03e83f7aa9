"""Linear depth dynamics: known systems, no skill without structure, PyDMD and Ridge as oracles."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from transformer_dynamics import synthetic
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.dynamics.linear.common_maps import (
    CommonMoment,
    StepPairs,
    one_maps,
)
from transformer_dynamics.measures.dynamics.linear.regression import cross_validated_ridge
from transformer_dynamics.measures.dynamics.linear.step_maps import fit_step
from transformer_dynamics.measures.dynamics.linear_maps import linear_maps
from transformer_dynamics.numerics.linalg.eigenvectors import leading_directions
from transformer_dynamics.numerics.splits import text_folds
from transformer_dynamics.plots.dynamics.linear_maps import draw_linear
from transformer_dynamics.recording.recording import Recording

RNG = np.random.default_rng(0)


def follow(matrices, n_samples=80, noise=0.0, seed=0):
    """States that follow one matrix per step (outputs in rows)."""
    generator = np.random.default_rng(seed)
    states = [generator.standard_normal((n_samples, matrices[0].shape[0]))]
    for matrix in matrices:
        drawn = generator.standard_normal(states[0].shape)
        states.append(states[-1] @ matrix.T + noise * drawn)
    return Recording.from_array(np.stack(states, axis=1))


def turning(angle, growth):
    return growth * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def block(*parts):
    size = sum(len(part) for part in parts)
    whole, at = np.zeros((size, size)), 0
    for part in parts:
        whole[at : at + len(part), at : at + len(part)] = part
        at += len(part)
    return whole


INVARIANT = block(turning(0.3, 1.0), turning(1.1, 0.9), np.array([[0.7]]))


def test_eigenvalues_of_a_time_invariant_system_are_recovered():
    result = linear_maps(follow([INVARIANT] * 8))
    expected = np.array([np.exp(0.3j), np.exp(-0.3j), 0.9 * np.exp(1.1j), 0.9 * np.exp(-1.1j), 0.7])
    for fit in ("one_map", "one_map_equal_weights", "one_map_of_deviations"):
        found = result.sel(fit=fit)
        np.testing.assert_allclose(found["eigenvalue_modulus"], np.abs(expected), atol=1e-6)
        np.testing.assert_allclose(found["eigenvalue_angle"], np.angle(expected), atol=1e-6)
    # Every update is foretold, and one map does as well as a map per step.
    assert (result["r2"] > 0.9999).all()
    assert (result["reduced_error"] < 1e-4).all()
    assert (result["rolled_explained"].sel(rank=8).values[0, 1:] > 0.999).all()


def test_maps_of_a_time_invariant_system_are_equal_and_its_own():
    recording = follow([INVARIANT] * 4)
    values = recording.values
    for step in range(4):
        before, after = values[:, step], values[:, step + 1]
        folds = text_folds(recording.text_index, 4)
        found = fit_step(before, after, folds, n_components=5)
        np.testing.assert_allclose(found.matrix.T, INVARIANT, atol=1e-5)


def test_a_map_per_step_beats_one_map_where_the_law_changes():
    matrices = [np.linalg.qr(RNG.standard_normal((6, 6)))[0] for _ in range(8)]
    result = linear_maps(follow(matrices, noise=0.1))
    errors = result["reduced_error"]
    assert (errors.sel(model="per_step") < 0.1).all()
    for model in ("one_map", "one_map_equal_weights", "one_map_of_deviations"):
        assert (errors.sel(model=model) > 5 * errors.sel(model="per_step")).all()


def test_one_map_of_deviations_does_not_need_the_mean_path_to_follow_from_it():
    recording = follow([INVARIANT] * 8)
    path = np.random.default_rng(4).standard_normal((1, 9, 5)).cumsum(axis=1) * 3
    result = linear_maps(Recording.from_array(recording.values + path))
    assert (result["reduced_error"].sel(model="one_map_of_deviations") < 1e-4).all()
    assert (result["reduced_error"].sel(model="one_map_equal_weights") > 0.5).any()


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_foretold_of_pure_noise_steps(seed):
    walk = synthetic.random_walk(n_samples=100, n_sites=12, n_units=10, seed=seed)
    result = linear_maps(walk)
    for baseline in ("mean_step", "scaled"):
        skill = result["r2"].sel(baseline=baseline)
        assert skill.mean() < 0.01
        assert skill.max() < 0.06
        # At the level of single steps the interval excludes zero no more often than by chance.
        assert (result["r2_low"].sel(baseline=baseline) > 0).sum() <= 1
    assert (result["rolled_explained"].sel(rank=8) <= result["parallel_explained"] + 0.02).any()


def test_independent_states_regress_to_the_mean_and_show_nothing_else():
    states = synthetic.independent_states(n_samples=200, n_sites=8, n_units=10, seed=1)
    result = linear_maps(states)
    np.testing.assert_allclose(result["r2"].sel(baseline="mean_step"), 0.5, atol=0.06)
    assert result["r2"].sel(baseline="scaled").mean() < 0.01
    # Nothing of a state is left one site later: the model is the mean path, staying is worse.
    assert np.nanmax(np.abs(result["rolled_explained"].sel(rank=16))) < 0.02
    np.testing.assert_allclose(np.nanmean(result["parallel_explained"]), -1.0, atol=0.15)


def test_the_rank_of_a_system_is_found():
    """Updates that move three directions alone: rank 4 is all there is, and 2 is not."""
    generator = np.random.default_rng(6)
    directions = np.linalg.qr(generator.standard_normal((12, 3)))[0]
    matrices = []
    for _ in range(8):
        mixed = 0.9 * np.linalg.qr(generator.standard_normal((3, 3)))[0] - np.eye(3)
        matrices.append(np.eye(12) + directions @ mixed @ directions.T)
    result = linear_maps(follow(matrices, n_samples=120))
    by_rank = 1 - result["rolled_mean"].isel(start=0)
    assert by_rank.sel(rank=4) < 1e-4
    assert by_rank.sel(rank=2) > 1e-3
    assert 1 - result["parallel_explained"].mean() > by_rank.sel(rank=1) > by_rank.sel(rank=2)


def test_ridge_is_that_of_scikit_learn():
    inputs, targets = RNG.standard_normal((40, 6)) * [5, 4, 3, 2, 1, 0.1], RNG.random((40, 3))
    found, _ = cross_validated_ridge(inputs, targets, np.zeros(40), penalties=[0.3])
    absolute = 0.3 * len(inputs) * inputs.var(axis=0).mean()
    oracle = Ridge(alpha=absolute).fit(inputs, targets)
    np.testing.assert_allclose(found.matrix, oracle.coef_.T, atol=1e-10)
    np.testing.assert_allclose(found(inputs), oracle.predict(inputs), atol=1e-10)


def test_the_penalty_is_that_of_a_grid_search_over_the_same_folds():
    inputs = RNG.standard_normal((60, 8))
    inputs = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    targets = inputs @ RNG.standard_normal((8, 2)) + 4 * RNG.standard_normal((60, 2))
    folds = text_folds(np.arange(60), 4)
    penalties = np.geomspace(1e-3, 1e2, 11)
    _, penalty = cross_validated_ridge(inputs, targets, folds, penalties=penalties)
    # The penalty is relative to the variance of the training inputs, fold by fold.
    errors = np.zeros(11)
    for fold in range(4):
        out = folds == fold
        scale = (~out).sum() * inputs[~out].var(axis=0).mean()
        for place, choice in enumerate(penalties):
            model = Ridge(alpha=choice * scale).fit(inputs[~out], targets[~out])
            errors[place] += ((model.predict(inputs[out]) - targets[out]) ** 2).sum()
    assert penalty == pytest.approx(penalties[errors.argmin()])
    search = GridSearchCV(
        Ridge(), {"alpha": penalties * 45}, cv=PredefinedSplit(folds), scoring="r2"
    ).fit(inputs, targets)
    assert 0.3 < search.best_params_["alpha"] / 45 / penalty < 3.5


def test_dynamic_modes_are_those_of_pydmd():
    pydmd = pytest.importorskip("pydmd")
    values = follow([INVARIANT] * 8, n_samples=3, noise=0.05).values
    before, after = values[:, :-1].reshape(-1, 5), values[:, 1:].reshape(-1, 5)
    # PyDMD has no offset; without a mean there is none to fit.
    before, after = before - before.mean(axis=0), after - after.mean(axis=0)
    oracle = pydmd.DMD(svd_rank=-1, exact=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle.fit(before.T, after.T)
    found = np.linalg.eigvals(one_maps([StepPairs.of(before, after)])[0].matrix.T)
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(oracle.eigs), atol=1e-8)


@pytest.mark.parametrize("shape", [(50, 7), (5, 20)])
def test_leading_directions_are_right_singular_vectors(shape):
    values = RNG.standard_normal(shape)
    expected = np.linalg.svd(values, full_matrices=False)[2][:3]
    found = leading_directions(values, 3)[1]
    np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(np.abs((found * expected).sum(axis=1)), 1.0, atol=1e-9)
    repeated = leading_directions(np.repeat(values[:1], 4, axis=0), 3)[1]
    np.testing.assert_allclose(repeated @ repeated.T, np.eye(len(repeated)), atol=1e-9)


def test_common_components_weigh_sites_alike():
    """A late site a thousand times as large does not decide alone."""
    early, late = RNG.standard_normal((2, 200))
    values = np.zeros((200, 2, 3))
    values[:, 0, 0], values[:, 1, 1] = early, 1e3 * late
    moment = CommonMoment(values.mean(axis=(0, 1)))
    for site in range(2):
        moment.add(values[:, site])
    basis = moment.axes(2).basis
    assert np.linalg.norm(basis[2]) < 1e-6
    plain = np.linalg.svd(values.reshape(-1, 3))[2][0]
    assert abs(plain[1]) > 0.999


def test_samples_of_one_text_are_never_on_both_sides():
    texts = np.repeat(np.arange(10), 3)
    folds = text_folds(texts, 4, seed=2)
    assert all(len(set(folds[texts == text])) == 1 for text in range(10))
    assert set(folds) == {0, 1, 2, 3}
    # Copies of a sample under one text's name cannot be remembered.
    states = synthetic.random_walk(n_samples=20, n_sites=5, n_units=6, seed=3).values
    copies = Recording.from_array(
        np.repeat(states, 3, axis=0), coords={"text": np.repeat(np.arange(20), 3)}
    )
    assert linear_maps(copies)["r2"].sel(baseline="scaled").max() < 0.25


def test_the_same_seed_gives_the_same_bits_and_another_other_folds():
    walk = synthetic.random_walk(n_samples=30, n_sites=6, n_units=5, seed=3)
    assert linear_maps(walk, seed=1).identical(linear_maps(walk, seed=1))
    assert not linear_maps(walk, seed=1).equals(linear_maps(walk, seed=2))


def test_small_and_degenerate_recordings():
    tiny = synthetic.random_walk(n_samples=12, n_sites=7, n_units=16)
    result = linear_maps(tiny)
    assert result.sizes["component"] == 4
    assert all(drawing.figure() for drawing in draw_linear(result))
    still = Recording.from_array(np.ones((8, 4, 3)))
    with pytest.warns(UndefinedWarning, match="leaves no error") as caught:
        result = linear_maps(still)
    assert len(caught) == 1
    assert np.isnan(result["r2"]).all()
    with pytest.warns(UndefinedWarning, match="fewer than 3"):
        assert np.isnan(linear_maps(tiny_of(2))["r2"]).all()
    # On a line all samples take the mean step's size in their own direction, which the state tells.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        linear_maps(synthetic.line(n_samples=20, n_sites=5, n_units=4))


def tiny_of(n_samples):
    return synthetic.random_walk(n_samples=n_samples, n_sites=5, n_units=4)


def test_maps_for_all_depths_of_states_that_stand_still():
    still = np.ones((5, 2))
    *of_states, of_deviations = one_maps([StepPairs.of(still, still)] * 2)
    for fitted in of_states:
        np.testing.assert_allclose(fitted(still), 1.0)
    np.testing.assert_allclose(of_deviations(np.zeros((5, 2))), 0.0)


def test_errors_name_the_call_that_works():
    walk = tiny_of(8)
    with pytest.raises(InputError, match="starts="):
        linear_maps(walk, starts=["nowhere"])
    with pytest.raises(InputError, match="n_folds=4"):
        linear_maps(walk, n_folds=1)
    with pytest.raises(InputError, match="n_components=50"):
        linear_maps(walk, n_components=0)
    with pytest.raises(InputError, match="at least 2 sites"):
        linear_maps(synthetic.random_walk(n_sites=1))


def test_figures_say_what_they_show_and_what_they_need():
    for drawing in draw_linear(linear_maps(follow([INVARIANT] * 4, noise=0.1))):
        assert drawing.caption
        assert drawing.interpretation
        for label in (drawing.x_label, drawing.y_label):
            assert label.endswith(")")
        assert drawing.plot().get_title()
