import warnings

import numpy as np
import pytest
from sklearn.decomposition import PCA

from transformer_dynamics import synthetic
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.dimension.components.held_out_squares import (
    held_out_squares,
    varying_directions,
)
from transformer_dynamics.measures.dimension.held_out_pca import held_out_pca
from transformer_dynamics.numerics.splits import split_texts
from transformer_dynamics.plots.dimension.pca import draw_held_out
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.attributes import attribute

RECORDED, STANDARDIZED = "as recorded", "massive units standardized"


def states(n_samples=60, n_sites=4, n_units=12, seed=0):
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((n_units, n_units)) * 0.7 ** np.arange(n_units)
    path = 3 * rng.standard_normal((n_sites, n_units)).cumsum(axis=0)
    return path + rng.standard_normal((n_samples, n_sites, n_units)) @ mixing.T


def measured(values, counts=(1, 2, 5), **options):
    return held_out_pca(Recording.from_array(values), n_components=counts, **options)


@pytest.mark.parametrize(("n_fitted", "n_units"), [(30, 8), (700, 8), (10, 40)])
def test_kernel_agrees_with_scikit_learn(n_fitted, n_units):
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((n_fitted + 300, n_units)) * np.linspace(3, 0.5, n_units) + 100
    fitted, scored = rows[:n_fitted], rows[n_fitted:]
    captured, whole = held_out_squares(fitted, scored, (1, 3, 5))
    np.testing.assert_allclose(whole, ((scored - fitted.mean(axis=0)) ** 2).sum(axis=1))
    for place, count in enumerate((1, 3, 5)):
        oracle = PCA(count, svd_solver="full").fit(fitted)
        rebuilt = oracle.inverse_transform(oracle.transform(scored))
        error = ((scored - rebuilt) ** 2).sum(axis=1)
        np.testing.assert_allclose(captured[:, place], whole - error, rtol=1e-6)


def test_measure_agrees_with_scikit_learn_in_all_readings():
    values = states()
    result = measured(values)
    fitted, scored = split_texts(np.arange(60))
    pooled = PCA(5, svd_solver="full").fit(values[fitted].reshape(-1, 12))
    for site in range(4):
        own = PCA(5, svd_solver="full").fit(values[fitted, site])
        mean = values[fitted, site].mean(axis=0)
        for count in (1, 2, 5):
            readings = {
                "about_global_mean": (pooled.mean_, pooled.components_),
                "about_site_mean": (mean, pooled.components_),
                "own_components": (mean, own.components_),
            }
            for name, (center, components) in readings.items():
                away = values[scored, site] - center
                share = ((away @ components[:count].T) ** 2).sum() / (away**2).sum()
                found = result[f"explained_{name}"].sel(massive=RECORDED, n_components=count)
                np.testing.assert_allclose(found[site], share, rtol=1e-9, err_msg=name)
    away = values[scored] - pooled.mean_
    share = ((away @ pooled.components_[:2].T) ** 2).sum() / (away**2).sum()
    over_all = result.sel(massive=RECORDED, reading="about global mean", n_components=2)
    np.testing.assert_allclose(over_all["overall"], share)
    assert over_all["overall_low"] < over_all["overall"] < over_all["overall_high"]


def test_a_plane_is_held_by_two_components_and_no_fewer():
    rng = np.random.default_rng(0)
    plane = rng.standard_normal((40, 5, 2)) @ np.linalg.qr(rng.standard_normal((20, 2)))[0].T
    result = measured(plane + 3, counts=(1, 2, 10))["overall"].sel(massive=RECORDED)
    np.testing.assert_allclose(result.sel(n_components=[2, 10]), 1)
    assert (result.sel(n_components=1) < 0.8).all()


def test_noise_is_explained_by_chance_alone_and_in_sample_would_not_be():
    noise = synthetic.independent_states(n_samples=80, n_sites=4, n_units=50).values
    result = measured(noise, counts=(10,))
    own = result["overall"].sel(massive=RECORDED, reading="own components").item()
    assert own == pytest.approx(10 / 50, abs=0.03)
    fitted, _ = split_texts(np.arange(80))
    captured, whole = held_out_squares(noise[fitted, 0], noise[fitted, 0], (10,))
    assert captured.sum() / whole.sum() > 0.5


def test_denominators_can_be_opposites():
    """The path runs along one unit, texts differ along others."""
    rng = np.random.default_rng(0)
    values = 0.1 * rng.standard_normal((30, 6, 9))
    values[:, :, 0] = 10.0 * np.arange(6)
    result = measured(values, counts=(1,))["overall"].sel(massive=RECORDED, n_components=1)
    assert result.sel(reading="about global mean") > 0.99
    assert result.sel(reading="about site mean") < 0.01


def test_massive_units_are_told_apart():
    values = np.random.default_rng(3).standard_normal((80, 4, 30))
    values[:, :, 7] *= 200
    result = measured(values, counts=(1,))
    assert attribute(result, "massive_unit") == [7]
    own = result["overall"].sel(reading="own components", n_components=1)
    assert own.sel(massive=RECORDED) > 0.99
    assert own.sel(massive=STANDARDIZED) < 0.15
    fitted, _ = split_texts(np.arange(80))
    rows = values[fitted].reshape(-1, 30)
    scale = np.ones(30)
    scale[7] = np.sqrt(np.median(rows.var(axis=0)) / rows.var(axis=0)[7])
    expected = measured(values * scale, counts=(1,))
    for name in ("overall", "explained_about_global_mean"):
        np.testing.assert_allclose(
            result[name].sel(massive=STANDARDIZED), expected[name].sel(massive=RECORDED)
        )
    drawings = draw_held_out(result)
    assert "massive units standardized" in drawings[1].title


def test_samples_of_a_text_stay_together():
    """Twins in one text: were they split apart, held-out rows would be known."""
    rng = np.random.default_rng(0)
    values = np.repeat(rng.standard_normal((20, 3, 60)), 2, axis=0)
    together = Recording.from_array(values, coords={"text": np.repeat(np.arange(20), 2)})
    apart = Recording.from_array(values)
    shares = [
        held_out_pca(recording, n_components=[9])["overall"]
        .sel(massive=RECORDED, reading="own components")
        .item()
        for recording in (together, apart)
    ]
    assert shares[0] < 0.3 < 0.4 < shares[1]


def test_too_many_components_and_no_variance_are_undefined():
    values = states(12, 3, 16)
    values[:, 1] = 0.1
    with pytest.warns(UndefinedWarning, match="fewer components than asked for") as caught:
        result = measured(values, counts=(1, 5, 6, 20))
    assert len(caught) == 1
    own = result["explained_own_components"].sel(massive=RECORDED)
    assert np.isnan(own.sel(n_components=[6, 20])).all()
    assert np.isfinite(own[[0, 2]].sel(n_components=[1, 5])).all()
    assert np.isnan(own[1]).all()
    pooled = result["explained_about_global_mean"].sel(massive=RECORDED)
    assert np.isfinite(pooled.sel(n_components=[1, 5, 6])).all()
    assert np.isnan(pooled.sel(n_components=20)).all()


def test_default_numbers_draw_on_a_tiny_recording():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedWarning)
        result = held_out_pca(Recording.from_array(states(12, 7, 16)))
    for drawing in draw_held_out(result):
        assert drawing.plot().get_ylabel().endswith("(1)")
        assert drawing.caption
        assert drawing.interpretation
        assert drawing.figure().data


def test_the_same_recording_on_disk_and_seeds(tmp_path):
    from transformer_dynamics.recording import open_recording

    recording = Recording.from_array(states())
    recording.save(tmp_path / "r.zarr")
    one = held_out_pca(recording, n_components=[2], seed=1)
    two = held_out_pca(open_recording(tmp_path / "r.zarr"), n_components=[2], seed=1)
    other = held_out_pca(recording, n_components=[2], seed=2)
    np.testing.assert_array_equal(one["overall"], two["overall"])
    assert (one["overall"] != other["overall"]).all()


def test_errors_say_what_works():
    with pytest.raises(InputError, match="at least one text"):
        measured(states(1))
    with pytest.raises(InputError, match="at least 1"):
        measured(states(), counts=(0,))
    with pytest.raises(InputError, match="not finite"):
        measured(np.where(states() > 5, np.nan, states()))
    with pytest.raises(InputError, match="n_directions=4"):
        varying_directions(np.ones((3, 8)), 4)
