"""Moments give what the stored recording gives, merge, and resume."""

import numpy as np
import pytest
import xarray as xr

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import InputError, RecordingError, UndefinedWarning
from transformer_dynamics.measures.units.gaussian_information import gaussian_information
from transformer_dynamics.recording.moments import histograms
from transformer_dynamics.recording.moments import streaming as stream
from transformer_dynamics.recording.moments.moments import Moments, open_moments
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.record import record
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.attributes import attribute

SHARDS = RecordingOptions(shard_samples=50)


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama")


@pytest.fixture(scope="module")
def lists():
    return tiny.token_lists(60)


@pytest.fixture(scope="module")
def stored(model, lists):
    return record(model, lists, "all", options=SHARDS)


@pytest.fixture(scope="module")
def moments(model, lists):
    return record(model, lists, "all", keep="moments", options=SHARDS)


def assert_close(found, expected, rtol=1e-6):
    scale = np.nanmax(np.abs(expected))
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-12 * scale)


def test_the_same_correlation_and_gaussian_information(stored, moments):
    assert moments.shape == stored.shape
    for measure in (
        td.units.correlation,
        lambda given: td.units.mutual_information(given, estimator="gaussian"),
    ):
        found, expected = measure(moments), measure(stored)
        for name in found.data_vars:
            assert_close(found[name].values, expected[name].values)
        xr.testing.assert_equal(found["step"], expected["step"])


def test_the_same_principal_components(stored, moments):
    for massive in (False, True):
        found = td.dimension.pca(moments, n_components=3, standardize_massive=massive)
        expected = td.dimension.pca(stored, n_components=3, standardize_massive=massive)
        assert set(expected) - set(found) == {"score"}
        for name in found.data_vars:
            assert_close(found[name].values, expected[name].values)
        assert attribute(found, "massive_unit") == attribute(expected, "massive_unit")
        assert found.td.drawings


@pytest.mark.parametrize("name", ["paths.kinematics", "paths.path_geometry", "units.density"])
def test_the_same_means_and_deviations_of_what_takes_one_sample(name, stored, moments):
    found = moments.means(name)
    expected = td.registry.MEASURES.get(name).function(stored)
    for variable, values in expected.data_vars.items():
        assert_close(found[variable].values, values.mean("sample").values)
        assert_close(found[f"{variable}_sd"].values, values.std("sample").values)
        assert (found[f"{variable}_count"] == stored.shape[0]).all()


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8, 0.9, 0.95, 0.99])
def test_rank_correlation_of_a_bivariate_normal(rho):
    """Known answer -1/2 ln(1 - r^2), and the copula estimator on any monotone transform."""
    rng = np.random.default_rng(1)
    states = rng.standard_normal((40_000, 2, 3))
    states[:, 1] = rho * states[:, 0] + np.sqrt(1 - rho**2) * states[:, 1]
    moments = Moments.of(Recording.from_array(np.exp(states)))
    np.testing.assert_allclose(moments.rank_correlation(), rho, atol=0.012)
    information = td.units.mutual_information(moments)["information"].values
    np.testing.assert_allclose(information, -0.5 * np.log(1 - rho**2), atol=0.02)


def test_copula_information_of_a_model_is_near_that_of_its_states(stored, moments):
    found = td.units.mutual_information(moments)["mean"].values
    expected = td.units.mutual_information(stored)["mean"].values
    np.testing.assert_allclose(found[1:], expected[1:], rtol=0.1)  # site 0 has few distinct states


def test_moments_of_two_halves_merge_to_those_of_the_whole(model, lists):
    """Text by text, since states depend in their last digit on what runs beside them."""
    alone = RecordingOptions(shard_samples=150, batch_tokens=1)
    moments = record(model, lists, "all", keep="moments", options=alone)
    first = record(model, lists[:30], "all", keep="moments", options=alone)
    on_grid = RecordingOptions(shard_samples=150, batch_tokens=1, grid=first)
    second = record(model, lists[30:], "all", keep="moments", options=on_grid)
    whole = first.merge(second)
    assert whole.n_samples == moments.n_samples
    assert len(whole.provenance["merged"]) == 2
    for name in whole.dataset.data_vars:
        assert_close(whole.dataset[name].values, moments.dataset[name].values)
    for name, gathered in whole.per_sample.items():
        for variable in gathered.data_vars:
            assert_close(gathered[variable].values, moments.per_sample[name][variable].values)


def test_merging_keeps_digits_beside_a_large_mean():
    """A mean of 1e6 standard deviations, where sums of squares would keep four digits."""
    values = 1e6 + np.random.default_rng(0).standard_normal((400, 3, 4))
    parts = [Recording.from_array(values[rows]) for rows in (slice(0, 150), slice(150, 400))]
    first = Moments.of(parts[0])
    merged = first.merge(Moments.of(parts[1], grid=first))
    expected = np.cov(values[:, 1].T, bias=True)
    assert_close(merged.products.within[1] / 400, expected, rtol=1e-7)


def test_constant_units_are_undefined_and_said_so():
    values = np.random.default_rng(0).standard_normal((30, 3, 4))
    values[..., 1] = 0.1
    moments = Moments.of(Recording.from_array(values))
    with pytest.warns(UndefinedWarning, match="2 of 8 values of correlation"):
        assert np.isnan(td.units.correlation(moments)["correlation"].values[:, 1]).all()
    assert np.isnan(moments.rank_correlation()[:, 1]).all()
    values[0, 1] = 0.0
    moments = Moments.of(Recording.from_array(values))
    with pytest.warns(UndefinedWarning, match="left out of its means"):
        means = moments.means("paths.kinematics")
    assert list(means["cosine_count"].values) == [29, 29]
    assert np.isfinite(means["cosine"]).all()


def test_unit_covariances_give_correlations_but_no_components(stored):
    moments = Moments.of(stored, covariance="unit")
    assert_close(
        td.units.correlation(moments)["correlation"].values,
        td.units.correlation(stored)["correlation"].values,
    )
    with pytest.raises(InputError, match="covariance='full'"):
        td.dimension.pca(moments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.means("orbits.rotation_counts"), "hold no means of 'orbits.rotation_counts'"),
        (
            lambda m: td.units.mutual_information(m, estimator="ksg"),
            "other estimators need the states",
        ),
        (lambda m: m.merge(Moments.of(Recording.from_array(np.eye(9)[None]))), "of other sites"),
    ],
)
def test_what_moments_cannot_give_is_refused(call, message, moments):
    with pytest.raises((RecordingError, InputError), match=message):
        call(moments)


def test_other_bins_do_not_merge(stored):
    halves = [stored.isel(sample=rows) for rows in (slice(0, 100), slice(100, 200))]
    one, other = (Moments.of(half) for half in halves)
    with pytest.raises(RecordingError, match="grid=first"):
        one.merge(other)


def test_too_large_covariances_are_refused_before_the_forward_pass(model, lists, monkeypatch):
    monkeypatch.setattr(stream, "MOST_BYTES", 1000)
    monkeypatch.setattr(stream, "shard_states", None)
    with pytest.raises(RecordingError, match="covariance='unit'"):
        record(model, lists, keep="moments")


def test_interrupted_moments_resume_and_are_identical(model, lists, tmp_path, monkeypatch):
    large = RecordingOptions(shard_samples=200)
    whole = record(model, lists, "all", keep="moments", out=tmp_path / "a.zarr", options=large)
    original, ran = stream.shard_states, []

    def stop(job, shard, count=None):
        if shard == 2 and len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(shard)
        return original(job, shard, count)

    monkeypatch.setattr(stream, "shard_states", stop)
    call = {"keep": "moments", "out": tmp_path / "b.zarr", "options": large}
    with pytest.raises(KeyboardInterrupt):
        record(model, lists, "all", **call)
    assert not (tmp_path / "b.zarr").exists()
    monkeypatch.setattr(
        stream, "shard_states", lambda *given: (ran.append(given[1]), original(*given))[1]
    )
    resumed = record(model, lists, "all", **call)
    assert ran == list(range(len(ran)))
    assert resumed.dataset.identical(whole.dataset)
    for name, gathered in whole.per_sample.items():
        assert resumed.per_sample[name].identical(gathered)
    assert open_moments(tmp_path / "b.zarr").dataset.identical(whole.dataset)
    with pytest.raises(RecordingError, match=r"another recording \(positions"):
        record(model, lists, "last", **call)
    with pytest.raises(RecordingError, match="no recording"):
        td.open_recording(tmp_path / "b.zarr")


def test_what_is_no_moments_is_refused(tmp_path, stored):
    with pytest.raises(RecordingError, match="there are no moments at"):
        open_moments(tmp_path / "none.zarr")
    stored.save(tmp_path / "states.zarr")
    with pytest.raises(RecordingError, match="holds no moments"):
        open_moments(tmp_path / "states.zarr")


def test_binning_table_ends_at_one():
    assert histograms.rank_correlation(np.eye(histograms.BINS)) == pytest.approx(1.0)
    assert histograms.rank_correlation(np.ones((16, 16))) == pytest.approx(0.0, abs=1e-12)
    assert gaussian_information(histograms.rank_correlation(np.ones((16, 16)))) < 1e-12
