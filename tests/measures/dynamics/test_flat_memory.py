"""Measures of dynamics hold a few sites at a time, and give the results of plain formulas."""

import errno

import numpy as np
import pytest
import scipy.linalg
from sklearn.linear_model import Ridge

import transformer_dynamics as td
from memory import least_peak, peak
from transformer_dynamics import synthetic
from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dynamics.linear.common_maps import StepPairs, one_maps
from transformer_dynamics.numerics import by_site as site_files
from transformer_dynamics.numerics.by_site import by_site
from transformer_dynamics.numerics.splits import text_folds
from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.recording.disk import chunks
from transformer_dynamics.stats import bootstrap

N_SITES, N_UNITS = 13, 64


@pytest.fixture(scope="module")
def walks(tmp_path_factory):
    """Walks of 256 and 1024 samples on disk, in chunks of 256 KiB."""
    folder, patch = tmp_path_factory.mktemp("walks"), pytest.MonkeyPatch()
    patch.setattr(chunks, "CHUNK_BYTES", 2**18)
    opened = []
    for n_samples in (256, 1024):
        steps = np.random.default_rng(0).standard_normal((n_samples, N_SITES, N_UNITS))
        walk = Recording.from_array(steps.cumsum(axis=1).astype(np.float32))
        walk.save(folder / f"{n_samples}.zarr")
        opened.append(folder / f"{n_samples}.zarr")
    patch.undo()
    return opened


CALLS = {
    "linear_maps": lambda recording: td.dynamics.linear_maps(recording, n_folds=2),
    "rotate_and_stretch": lambda recording: td.dynamics.rotate_and_stretch(recording, lags=(1, 8)),
    "rotation": lambda recording: td.dynamics.rotation(recording, n_draws=2, n_tangled=16),
}


@pytest.mark.parametrize("name", CALLS)
def test_memory_grows_by_less_than_the_added_states(name, walks):
    CALLS[name](open_recording(walks[0]).isel(unit=slice(0, 8)))  # modules that are imported late
    few, many = (lambda path=path: CALLS[name](open_recording(path)) for path in walks)
    limit = min(peak(few), peak(few)) + 0.75 * (1024 - 256) * N_SITES * N_UNITS * 4
    assert least_peak(many, limit) < limit


def test_a_loaded_recording_exceeds_the_limit(walks):
    """The control: the growth that the test above finds if all states are read at once."""
    few, many = (peak(lambda path=path: open_recording(path).load()) for path in walks)
    assert many - few > 0.95 * (1024 - 256) * N_SITES * N_UNITS * 4


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_sites_on_disk_are_those_in_memory(dtype, monkeypatch, tmp_path):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 7 * 4 * 5 * np.dtype(dtype).itemsize)
    values = np.random.default_rng(1).standard_normal((150, 4, 5)).astype(dtype)
    Recording.from_array(values).save(tmp_path / "states.zarr")
    for recording in (open_recording(tmp_path / "states.zarr"), Recording.from_array(values)):
        with by_site(recording) as states:
            assert (states.shape, states.dtype) == (values.shape, values.dtype)
            for site in (3, 0, 2, 2):
                np.testing.assert_array_equal(states.site(site), values[:, site])
                np.testing.assert_array_equal(states.site(site, slice(20, 90)), values[20:90, site])
            np.testing.assert_array_equal(np.stack(list(states), axis=1), values)
            rows = [np.arange(150)[block] for block in states.row_blocks()]
            np.testing.assert_array_equal(np.concatenate(rows), np.arange(150))
    assert "values" not in recording.isel(sample=[0]).__dict__


def test_a_temporary_file_that_lost_its_end_is_not_read_as_whole(walks):
    with by_site(open_recording(walks[0])) as states:
        states.source.truncate(256 * 4 * N_UNITS * (N_SITES - 1) + 12)
        np.testing.assert_array_equal(states.site(0), open_recording(walks[0]).values[:, 0])
        with pytest.raises(OSError, match="gave 12 of 65536 bytes of a site"):
            states.site(N_SITES - 1)


def test_a_full_disk_names_the_folder_and_the_calls_that_work(monkeypatch, walks):
    def full(recording, file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(site_files, "_write_sites", full)
    with (
        pytest.raises(InputError, match=r"256 samples.*TMPDIR=/scratch.*recording\.load\(\)"),
        by_site(open_recording(walks[0])),
    ):
        pass


def test_maps_from_factors_are_the_least_squares_of_all_pairs(monkeypatch):
    """With few rows at a time, against one least-squares fit to all pairs with their weights."""
    generator = np.random.default_rng(2)
    scores = generator.standard_normal((300, 7, 4)) * np.geomspace(1, 1e-3, 4) + 2.0
    scores = scores.cumsum(axis=1)
    module = "transformer_dynamics.measures.dynamics.linear.common_maps."
    monkeypatch.setattr(module + "BLOCK_ROWS", 50)
    monkeypatch.setattr(module + "STEPS_TOGETHER", 2)
    steps = [StepPairs.of(scores[:, step], scores[:, step + 1]) for step in range(6)]
    before, after = scores[:, :-1], scores[:, 1:]
    updates = after - before
    power = ((updates - updates.mean(axis=0)) ** 2).sum(axis=(0, 2))
    equal = np.repeat(np.sqrt(1 / power)[np.newaxis], 300, axis=0)[..., np.newaxis]
    one, fitted, of_deviations = one_maps(steps)
    ones = np.ones_like(equal)
    for found, roots in ((one, ones), (fitted, equal)):
        design = np.concatenate([before, ones], axis=2) * roots
        oracle = scipy.linalg.lstsq(design.reshape(-1, 5), (after * roots).reshape(-1, 4))[0]
        np.testing.assert_allclose(found.matrix, oracle[:4], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            found(before[:, 3]), before[:, 3] @ oracle[:4] + oracle[4], rtol=1e-9
        )
    deviations = [((part - part.mean(axis=0)) * equal).reshape(-1, 4) for part in (before, after)]
    oracle = scipy.linalg.lstsq(*deviations)[0]
    np.testing.assert_allclose(of_deviations.matrix, oracle, rtol=1e-9, atol=1e-9)


def plain_errors(values, groups, penalty, n_components, n_folds=4):
    """Squared errors of the predictors and of the paths from site 0 by rank, whole arrays."""
    folds = text_folds(groups, n_folds)
    n_samples, n_sites, _ = values.shape
    errors = np.zeros((4, n_sites - 1, n_samples))
    rolled = np.zeros((6, n_sites))
    for fold in range(n_folds):
        train, test = values[folds != fold], values[folds == fold]
        paths = np.repeat((test[:, 0] - train[:, 0].mean(axis=0))[np.newaxis], 6, axis=0)
        for step in range(n_sites - 1):
            mean, states = train[:, step].mean(axis=0), train[:, step] - train[:, step].mean(axis=0)
            updates = train[:, step + 1] - train[:, step]
            update = updates.mean(axis=0)
            scale = (states * (updates - update)).sum() / (states**2).sum()
            basis = np.linalg.svd(states, full_matrices=False)[2][:n_components].T
            inputs = states @ basis
            alpha = penalty[fold, step] * (inputs**2).sum() / n_components
            ridge = Ridge(alpha=alpha, solver="svd").fit(inputs, updates - update - scale * states)

            def moved(deviations, scale=scale, ridge=ridge, basis=basis):
                return scale * deviations + ridge.predict(deviations @ basis)

            held_out = test[:, step] - mean
            target = test[:, step + 1] - test[:, step]
            predicted = (0.0, update, update + scale * held_out, update + moved(held_out))
            for row, each in enumerate(predicted):
                errors[row, step, folds == fold] = ((target - each) ** 2).sum(axis=1)
            leading = np.linalg.svd(moved(states), full_matrices=False)[2].T
            for row, rank in enumerate((1, 2, 4, 8, 16, 32)):
                directions = leading[:, :rank]
                paths[row] += moved(paths[row]) @ directions @ directions.T
            left = test[:, step + 1] - train[:, step + 1].mean(axis=0) - paths
            rolled[:, step + 1] += (left**2).sum(axis=(1, 2))
    return errors, rolled


@pytest.mark.parametrize("shape", [(60, 6, 12), (60, 5, 80)])
def test_linear_maps_equal_whole_array_formulas(shape):
    """More samples than units, and fewer."""
    mixing = np.random.default_rng(7).standard_normal((shape[2], shape[2])) / shape[2]
    walk = np.random.default_rng(6).standard_normal(shape).cumsum(axis=1) + 1.0
    for site in range(1, shape[1]):
        walk[:, site] += walk[:, site - 1] @ mixing
    recording = Recording.from_array(walk)
    found = td.dynamics.linear_maps(recording, n_components=5)
    errors, rolled = plain_errors(walk, recording.groups, found["penalty"].values, 5)
    np.testing.assert_allclose(found["squared_error"], errors.mean(axis=2), rtol=1e-9)
    weights = bootstrap.text_weights(recording.groups, 499)
    drawn = np.einsum("pkn,bn->bpk", errors, weights)
    shares = 1 - drawn[:, 3:] / drawn[:, :3]
    np.testing.assert_allclose(found["r2"], 1 - errors[3].mean(1) / errors[:3].mean(2), atol=1e-9)
    for name, end in (("r2_low", 0.025), ("r2_high", 0.975)):
        np.testing.assert_allclose(found[name], np.quantile(shares, end, axis=0), atol=1e-9)
    folds = text_folds(recording.groups, 4)
    spread = np.zeros(shape[1])
    for fold in range(4):
        mean = walk[folds != fold].mean(axis=0)
        spread += ((walk[folds == fold] - mean) ** 2).sum(axis=(0, 2))
    expected = 1 - rolled[:, 1:] / spread[1:]
    explained = found["rolled_explained"].isel(start=0).values[:, 1:]
    np.testing.assert_allclose(explained, expected, rtol=1e-9, atol=1e-9)


def test_starts_may_come_in_any_order():
    walk = synthetic.random_walk(n_samples=30, n_sites=6, n_units=5, seed=3)
    names = [walk.sites[site] for site in (3, 0)]
    mixed, one = (td.dynamics.linear_maps(walk, starts=starts) for starts in (names, names[:1]))
    for name in ("rolled_explained", "stay_explained", "parallel_explained"):
        np.testing.assert_allclose(mixed[name][0], one[name][0], rtol=1e-12)
        assert np.isfinite(mixed[name][1]).sum() > np.isfinite(mixed[name][0]).sum()
