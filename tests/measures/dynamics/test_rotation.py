import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import ortho_group

from transformer_dynamics import synthetic
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.dynamics.jpca import jpca
from transformer_dynamics.measures.dynamics.rotation import rotation
from transformer_dynamics.measures.dynamics.rotation_variables import WEIGHTINGS
from transformer_dynamics.measures.dynamics.tangling import tangling
from transformer_dynamics.model.labels import transformer_labels
from transformer_dynamics.plots.dynamics.rotation import draw_rotation
from transformer_dynamics.recording import Recording, open_recording

RECORDED, EQUAL = WEIGHTINGS


def smooth(seed, *, n_samples=40, n_sites=16, n_units=6):
    """A Gaussian process over depth, the same in mixtures of independent units."""
    rng = np.random.default_rng(seed)
    sites = np.arange(n_sites)
    likeness = np.exp(-((sites[:, np.newaxis] - sites) ** 2) / 18) + 1e-6 * np.eye(n_sites)
    numbers = rng.standard_normal((n_samples, n_sites, n_units))
    mixing = np.random.default_rng(99).standard_normal((n_units, n_units))
    return np.einsum("st,ntu->nsu", np.linalg.cholesky(likeness), numbers) @ mixing


def turning(n_samples=40, n_sites=16, noise=0.3, seed=0):
    """One plane that turns by 0.5 per step among smooth others, with a mean path."""
    rng = np.random.default_rng(seed)
    angle = 0.5 * np.arange(n_sites) + rng.uniform(0, 2 * np.pi, (n_samples, 1))
    plane = 3 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    rest = noise * smooth(seed, n_samples=n_samples, n_sites=n_sites)
    values = np.concatenate([plane, rest], axis=2) @ ortho_group.rvs(8, random_state=seed)
    return values + rng.standard_normal((n_sites, 8))


def test_pure_rotation_has_ratio_one_and_its_angle():
    result = rotation(synthetic.rotation(n_sites=31, n_units=6, turns=3.0), n_draws=5)
    np.testing.assert_allclose(result["r2_ratio"], 1)
    np.testing.assert_allclose(result["r2_free"], 1)
    np.testing.assert_allclose(result["frequency"], 2 * np.pi * 3 / 30)
    np.testing.assert_allclose(result["r2_skew_by_step"], 1)
    np.testing.assert_allclose(result["reduced_share"], 1)


def test_pure_decay_has_ratio_zero():
    recording = synthetic.contraction(n_sites=8, n_units=8, factor=0.7)
    with pytest.warns(UndefinedWarning) as caught:
        result = rotation(recording, n_draws=5)
    assert len(caught) == 1
    assert result["r2_free"].sel(weighting=RECORDED) > 0.999
    assert result["r2_ratio"].sel(weighting=RECORDED) < 1e-12
    # With sites of equal variance nothing is left that moves.
    assert np.isnan(result["r2_ratio"].sel(weighting=EQUAL))


def test_a_spiral_is_a_rotation_once_its_sites_are_of_equal_variance():
    recording = synthetic.spiral(n_sites=21, n_units=6, turns=2.0, growth=1.2)
    result = rotation(recording, n_draws=5)
    theta = 2 * np.pi * 2 / 20
    q = 1.2 * np.exp(1j * theta)
    exact = 2 * (q - 1) / (q + 1)
    np.testing.assert_allclose(
        result["r2_ratio"].sel(weighting=RECORDED), exact.imag**2 / abs(exact) ** 2, rtol=1e-6
    )
    np.testing.assert_allclose(result["r2_ratio"].sel(weighting=EQUAL), 1, rtol=2e-3)
    np.testing.assert_allclose(result["frequency"].sel(weighting=EQUAL, plane=1), theta, rtol=2e-3)


def test_a_turning_plane_is_found_and_exceeds_its_surrogates():
    values = turning()
    result = rotation(Recording.from_array(values.astype(np.float32)), n_draws=20)
    for weighting in WEIGHTINGS:
        here = result.sel(weighting=weighting)
        np.testing.assert_allclose(here["frequency"][0], 0.5, rtol=0.05)
        assert here["r2_ratio"] > 0.8
        scores = (values - values.mean(axis=0)) @ here["jpc_loading"].values.T
        held = np.square(scores).sum() / np.square(values - values.mean(axis=0)).sum()
        if weighting == RECORDED:
            np.testing.assert_allclose(here["jpc_share"], held, rtol=1e-4)
            np.testing.assert_allclose(here["jpc_score"], scores, atol=1e-4)
            np.testing.assert_allclose(
                here["jpc_share"], here["jpc_share_of_reduced"] * here["reduced_share"]
            )
    by_name = {str(name): result.sel(statistic=name) for name in result["statistic"].values}
    for name in ("r2_ratio", "r2_skew", "frequency"):
        for weighting in WEIGHTINGS:
            compared = by_name[f"{name}, {weighting}"]
            np.testing.assert_allclose(compared["p"], 1 / 21)
            assert compared["effect"] > 3


@pytest.mark.slow
def test_a_smooth_gaussian_process_does_not_exceed_its_surrogates():
    p = np.array(
        [
            rotation(Recording.from_array(smooth(5000 + seed)), n_draws=19, n_tangled=4, seed=seed)[
                "p"
            ]
            for seed in range(50)
        ]
    )
    # 50 tests at the level 1/20: more than 7 successes have a probability of 0.3 %.
    assert ((p <= 0.05).sum(axis=0) <= 7).all()
    assert (p.mean(axis=0) > 0.35).all()


def test_smoothness_alone_makes_a_ratio_that_the_surrogates_share():
    result = rotation(Recording.from_array(smooth(4)), n_draws=20)
    ratio = result.sel(statistic=f"r2_ratio, {RECORDED}")
    assert ratio["observed"] > 0.2
    assert abs(ratio["effect"]) < 3
    assert ratio["p"] > 0.05


def test_comparisons_by_hand():
    result = rotation(Recording.from_array(turning(noise=1.0)), n_draws=7)
    ratio = result.sel(statistic=f"r2_ratio, {EQUAL}")
    draws = result["null_r2_ratio"].sel(weighting=EQUAL).values
    observed = result["r2_ratio"].sel(weighting=EQUAL).item()
    assert draws.shape == (7,)
    np.testing.assert_allclose(ratio["observed"], observed)
    np.testing.assert_allclose(ratio["p"], (1 + (draws >= observed).sum()) / 8)
    np.testing.assert_allclose(ratio["effect"], (observed - draws.mean()) / draws.std(ddof=1))
    tangled = result.sel(statistic="tangling")
    draws = result["null_tangling"].mean("step").values
    np.testing.assert_allclose(tangled["observed"], result["tangling"].mean())
    np.testing.assert_allclose(tangled["p"], (1 + (draws <= tangled["observed"].item()).sum()) / 8)


def test_numbers_are_those_of_the_kernels_in_the_whole_space():
    # As many dimensions as units: reducing only turns the axes.
    values = turning(noise=1.0)
    result = rotation(Recording.from_array(values), n_components=8, n_draws=2)
    deviations = values - values.mean(axis=0)
    spread = np.sqrt(np.square(deviations).sum(axis=2).mean(axis=0))
    for weighting, paths in (
        (RECORDED, deviations),
        (EQUAL, deviations / spread[:, np.newaxis]),
    ):
        fit, here = jpca(paths), result.sel(weighting=weighting)
        np.testing.assert_allclose(here["r2_free"], fit.r2_free)
        np.testing.assert_allclose(here["r2_skew"], fit.r2_skew)
        np.testing.assert_allclose(here["frequency"], fit.frequency)
        np.testing.assert_allclose(here["r2_skew_by_step"], fit.r2_skew_by_step, atol=1e-9)
    assert result["tangled_sample"].values.tolist() == list(range(40))
    np.testing.assert_allclose(result["tangling"], tangling(values))
    np.testing.assert_allclose(result["mean_path_tangling"], tangling(values.mean(axis=0)))
    np.testing.assert_allclose(result["tangling_share"], 1)


def test_samples_whose_tangling_is_taken_are_a_seeded_choice():
    recording = Recording.from_array(turning(n_samples=30))
    first, again, other = (
        rotation(recording, n_tangled=5, n_draws=2, seed=seed) for seed in (1, 1, 2)
    )
    assert first.equals(again)
    assert first["tangling"].shape == (5, 15)
    assert first["tangled_sample"].values.tolist() != other["tangled_sample"].values.tolist()
    assert not np.array_equal(first["null_r2_skew"], other["null_r2_skew"])
    np.testing.assert_array_equal(first["r2_skew"], other["r2_skew"])


def test_a_smooth_flow_is_less_tangled_than_its_surrogates():
    rng = np.random.default_rng(8)
    angle = 0.4 * np.arange(20) + rng.uniform(0, 2 * np.pi, (40, 1))
    radius = rng.uniform(0.5, 2, (40, 1))
    values = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    tangled = rotation(Recording.from_array(values)).sel(statistic="tangling")
    np.testing.assert_allclose(tangled["p"], 1 / 21)
    assert tangled["effect"] < -3


@pytest.mark.parametrize("shape", [(12, 7, 16), (1, 2, 2), (2, 3, 5), (5, 4, 3)])
def test_small_recordings_go_through_with_at_most_one_warning(shape):
    values = np.random.default_rng(9).standard_normal(shape)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = rotation(Recording.from_array(values))
        for drawing in draw_rotation(result):
            drawing.plot()
            drawing.figure()
            plt.close()
    assert {warning.category for warning in caught} <= {UndefinedWarning}
    assert len(caught) <= 1
    assert len(caught) == (shape[0] == 1)
    assert np.isnan(result["r2_ratio"]).all() == (shape[0] == 1)
    assert result["frequency"].shape == (2, min(6, shape[2]) // 2)


def test_samples_that_agree_are_undefined_with_one_warning_at_the_caller():
    values = np.repeat(np.random.default_rng(10).standard_normal((1, 6, 5)), 4, axis=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = rotation(Recording.from_array(values))
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert caught[0].filename == __file__
    assert np.isnan(result["frequency"]).all()
    assert np.isnan(result["p"].values[:-1]).all()
    # The mean path is the only one, and the surrogates keep it.
    assert np.isfinite(result["tangling"]).all()
    assert np.isnan(result["effect"][-1])


def test_a_site_where_samples_agree_is_no_obstacle():
    values = turning()
    values[:, 0] = values[0, 0]
    result = rotation(Recording.from_array(values), n_draws=3)
    assert np.isfinite(result["r2_ratio"]).all()


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((3, 1, 4), {}, "two of each"),
        ((3, 4, 1), {}, "two of each"),
        ((3, 4, 4), {"n_components": 1}, "two dimensions"),
        ((3, 4, 4), {"n_draws": 1}, "two surrogates"),
        ((3, 4, 4), {"n_tangled": 0}, "n_tangled=64"),
    ],
)
def test_what_is_refused(shape, options, words):
    recording = Recording.from_array(np.random.default_rng(0).standard_normal(shape))
    with pytest.raises(InputError, match=words):
        rotation(recording, **options)


def test_states_that_are_not_finite_are_refused():
    values = turning()
    values[2, 3, 1] = np.inf
    with pytest.raises(InputError, match="not finite"):
        rotation(Recording.from_array(values))


def test_a_recording_on_disk_gives_the_same_and_nothing_is_changed(tmp_path):
    recording = Recording.from_array(turning())
    before = recording.values.copy()
    recording.save(tmp_path / "recording.zarr")
    result = rotation(open_recording(tmp_path / "recording.zarr"), n_draws=3)
    for name, array in rotation(recording, n_draws=3).data_vars.items():
        np.testing.assert_allclose(result[name], array, rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(recording.values, before)


def test_attrs_coordinates_and_drawings():
    values = turning(n_sites=9)
    result = rotation(Recording.from_array(values, sites=transformer_labels(4)), n_draws=4)
    assert result["step_kind"].values.tolist() == ["attention", "mlp"] * 4
    assert all(array.attrs["units"] for array in result.data_vars.values())
    assert result["r2_skew"].attrs["denominator"] != result["jpc_share"].attrs["denominator"]
    assert result.attrs["measure"] == "dynamics.rotation"
    shares, by_step, recorded, equal, tangled = drawings = draw_rotation(result)
    assert [row.role for row in shares.intervals] == ["model", "null"] * 4
    np.testing.assert_allclose(shares.intervals[0].value, result["r2_ratio"][0])
    assert len(by_step.series) == 4
    assert len(recorded.paths) == len(equal.paths) == 6
    np.testing.assert_array_equal(equal.paths[0].points, result["jpc_score"].values[1, 0])
    assert [line.role for line in tangled.series] == ["model", "detail", "null"]
    for drawing in drawings:
        assert drawing.caption
        assert drawing.interpretation
        assert drawing.plot().get_xlabel() == drawing.x_label
        assert drawing.figure().data
