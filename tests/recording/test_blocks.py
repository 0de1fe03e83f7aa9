"""A recording on disk is measured some samples, sites or units at a time, with the same results."""

import warnings
from functools import partial

import dask
import numpy as np
import pytest
import xarray as xr

import transformer_dynamics as td
from memory import least_peak, peak
from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.recording.disk import chunks, states
from transformer_dynamics.registry import MEASURES


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A walk with a massive unit, a constant one and a state of zeros, in chunks of 7 samples."""
    values = np.random.default_rng(0).standard_normal((60, 6, 10)).cumsum(axis=1)
    values[..., 3] *= 50
    values[..., 4] = 2.0
    values[5, 2] = 0.0
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 7 * 6 * 10 * 4)
    monkeypatch.setattr(states, "BLOCK_BYTES", 3000)
    recording = Recording.from_array(
        values.astype(np.float32),
        sites=["0.pre_attn", "0.pre_mlp", "1.pre_attn", "1.pre_mlp", "2.pre_attn", "final"],
    )
    recording.save(tmp_path / "walk.zarr")
    return open_recording(tmp_path / "walk.zarr")


def test_blocks_cover_the_recording_in_whole_chunks(stored):
    whole = stored.load().values
    opened = Recording(stored.dataset.chunk({"sample": 7}))
    assert not opened.in_memory
    assert [rows.stop - rows.start for rows, _ in opened.blocks()] == [7] * 8 + [4]
    np.testing.assert_array_equal(np.concatenate([block for _, block in opened.blocks()]), whole)
    for axis, blocks in ((1, opened.site_blocks()), (2, opened.unit_blocks())):
        pieces = [block for _, block in blocks]
        assert len(pieces) > 1
        np.testing.assert_array_equal(np.concatenate(pieces, axis=axis), whole)
    assert opened.digest == Recording.from_array(whole, sites=opened.sites).digest


def test_loading_leaves_the_recording_on_disk(stored):
    loaded = stored.load()
    assert loaded.in_memory
    assert not stored.in_memory
    np.testing.assert_array_equal(loaded.values, stored.values)


def test_what_is_in_memory_is_one_block():
    recording = Recording.from_array(np.ones((3, 4, 5)))
    for blocks in (recording.blocks(), recording.unit_blocks(), recording.site_blocks()):
        ((_, values),) = blocks
        assert values is recording.values


@pytest.mark.parametrize("name", sorted(MEASURES.all()))
def test_every_measure_gives_the_same_on_disk(name, stored, tmp_path):
    measure = MEASURES.get(name).function
    with warnings.catch_warnings(record=True) as expected_warnings:
        warnings.simplefilter("always")
        expected = measure(open_recording(tmp_path / "walk.zarr").load())
    with warnings.catch_warnings(record=True) as found_warnings:
        warnings.simplefilter("always")
        found = measure(stored)
    assert "values" not in stored.__dict__  # it was never read as a whole
    assert not stored.in_memory
    assert set(found.variables) == set(expected.variables)
    for variable in expected.data_vars:
        assert found[variable].dims == expected[variable].dims
        assert found[variable].attrs == expected[variable].attrs
        one, other = found[variable].values, expected[variable].values
        if one.dtype.kind == "f":
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6 * np.nanmax(np.abs(other)))
        else:
            np.testing.assert_array_equal(one, other)
    for coordinate in expected.coords:
        xr.testing.assert_equal(found[coordinate], expected[coordinate])
    kinds = [[each.category for each in caught] for caught in (found_warnings, expected_warnings)]
    assert kinds[0] == kinds[1]
    assert kinds[0] in ([], [UndefinedWarning])


MEASURED = {
    "kinematics": td.paths.kinematics,
    "geometry": td.paths.path_geometry,
    "density": td.units.density,
    "correlation": td.units.correlation,
    "gaussian information": partial(td.units.mutual_information, estimator="gaussian"),
    "copula information": td.units.mutual_information,
    "pca": partial(td.dimension.pca, n_components=2),
    "rotations": td.orbits.rotation_counts,
}
LARGE = (4000, 24, 192)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """74 MB on disk in 40 chunks."""
    path = tmp_path_factory.mktemp("large") / "large.zarr"
    rng = np.random.default_rng(0)
    Recording.from_array(np.zeros((1, *LARGE[1:]), dtype=np.float32)).dataset.drop_vars(
        ["activation", "text"]
    ).to_zarr(path, mode="w", consolidated=False)
    array = chunks.create_states(path, LARGE, np.float32, 100, 100)
    for start in range(0, LARGE[0], 100):
        steps = rng.standard_normal((100, *LARGE[1:]), dtype=np.float32)
        array[start : start + 100] = steps.cumsum(axis=1)
    return path


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of an eleventh of the large recording, where recordings of gigabytes have 16 MB."""
    monkeypatch.setattr(states, "BLOCK_BYTES", int(np.prod(LARGE)) * 4 // 11)
    # One thread: how many chunks are held at once depends on no number of cores.
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.mark.parametrize("name", MEASURED)
def test_a_recording_of_five_times_the_memory_limit_is_measured(name, large, small_blocks):
    recording = open_recording(large)
    MEASURED[name](recording.isel(sample=slice(0, 200)))  # modules that are imported late
    limit = recording.activation.nbytes // 5
    assert least_peak(lambda: MEASURED[name](recording), limit) < limit


def test_a_measure_that_loads_the_recording_exceeds_the_memory_limit(large, small_blocks):
    """The control: what the tests above would find if a measure read everything at once."""
    recording = open_recording(large)
    assert peak(lambda: td.units.correlation(recording.load())) > recording.activation.nbytes
