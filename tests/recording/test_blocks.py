"""A recording on disk is measured some samples, sites or units at a time, with the same results."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import xarray as xr

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.recording import recording as recordings
from transformer_dynamics.recording.recording import Recording, open_recording
from transformer_dynamics.registry import MEASURES


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A walk with a massive unit, a constant one and a state of zeros, in chunks of 7 samples."""
    values = np.random.default_rng(0).standard_normal((60, 6, 10)).cumsum(axis=1)
    values[..., 3] *= 50
    values[..., 4] = 2.0
    values[5, 2] = 0.0
    monkeypatch.setattr(recordings, "CHUNK_BYTES", 7 * 6 * 10 * 4)
    monkeypatch.setattr(recordings, "BLOCK_BYTES", 3000)
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


LIMITED = """
import resource, sys
import numpy as np
import dask, transformer_dynamics as td
td.units.correlation, td.population.pca, td.units.density
dask.config.set(scheduler="synchronous")
recording = td.open_recording(sys.argv[1])
# What is allocated once, whatever the size: stacks of the threads that read, buffers of the BLAS.
next(recording.blocks())
td.population.pca(td.Recording.from_array(np.random.default_rng(0).random((900, 2, 768))))
def data():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmData")) * 1024
limit = data() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
td.population.kinematics(recording), td.population.geometry(recording)
td.units.density(recording), td.units.correlation(recording)
td.units.mutual_information(recording, estimator="gaussian")
td.units.mutual_information(recording), td.population.pca(recording, n_components=2)
td.units.rotations(recording)
try:
    recording.load()
except MemoryError:
    print("does not fit")
"""


def test_a_recording_of_five_times_the_memory_limit_is_measured(tmp_path):
    """The limit is on what is allocated beyond what importing takes."""
    shape = (8000, 12, 768)
    rng = np.random.default_rng(0)
    Recording.from_array(np.zeros((1, *shape[1:]), dtype=np.float32)).dataset.drop_vars(
        ["activation", "text"]
    ).to_zarr(tmp_path / "large.zarr", mode="w", consolidated=False)
    array = recordings.create_states(tmp_path / "large.zarr", shape, np.float32, 200)
    for start in range(0, shape[0], 200):
        array[start : start + 200] = rng.standard_normal((200, *shape[1:])).cumsum(axis=1)
    n_bytes = int(np.prod(shape)) * 4
    limit = n_bytes // 5
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "large.zarr"), str(limit)],
        capture_output=True,
        text=True,
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        check=False,
    )
    assert ran.stdout == "does not fit\n", ran.stderr[-2000:]
