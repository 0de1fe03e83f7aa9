"""Files of a recording: one for each shard, as Zarr itself writes it; the first layout opens."""

import json

import numpy as np
import pytest
import xarray as xr
import zarr

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk import chunks
from transformer_dynamics.recording.disk.chunks import states_folder
from transformer_dynamics.recording.disk.shard_files import shard_file_bytes, write_shard_file

LISTS = tiny.token_lists(20)
OPTIONS = td.RecordingOptions(shard_samples=8)
FEW_ROWS = 3 * 7 * 16 * 4  # bytes of a chunk of three samples of the tiny model


@pytest.fixture(scope="module")
def model():
    return tiny.model()


def write_first_layout(recording, path, rows):
    """Write a recording as earlier versions did: one file for each chunk."""
    recording.dataset.drop_vars("activation").drop_encoding().to_zarr(path, consolidated=False)
    array = zarr.create_array(
        path,
        name="activation",
        shape=recording.shape,
        chunks=(rows, *recording.shape[1:]),
        dtype=recording.values.dtype,
        fill_value=float("nan"),
        compressors=[zarr.codecs.Crc32cCodec()],
        dimension_names=chunks.DIMS,
    )
    array[:] = recording.values


@pytest.mark.parametrize("n_samples", [24, 17, 16, 3, 1])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_a_shard_file_is_what_zarr_writes(n_samples, dtype, tmp_path):
    values = np.random.default_rng(0).standard_normal((n_samples, 3, 5)).astype(dtype)
    array = chunks.create_states(tmp_path / "z.zarr", (24, 3, 5), dtype, 8, 24)
    array[:n_samples] = values
    write_shard_file(tmp_path / "0", values, 8, 3)
    written = (states_folder(tmp_path / "z.zarr") / "0" / "0" / "0").read_bytes()
    own = (tmp_path / "0").read_bytes()
    assert len(own) == shard_file_bytes(n_samples, 8 * 15 * array.dtype.itemsize, 8, 3)
    assert own == written


def test_a_recording_has_one_file_for_each_shard(model, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", FEW_ROWS)
    recording = td.record(model, LISTS, out=tmp_path / "r.zarr", options=OPTIONS)
    files = [path for path in states_folder(tmp_path / "r.zarr").rglob("*") if path.is_file()]
    assert sorted(path.parts[-3] for path in files) == ["0", "1", "2"]  # shards of nine samples
    # A chunk is read alone: blocks of three samples.
    assert [rows.stop - rows.start for rows, _ in recording.blocks()] == [3] * 6 + [2]
    in_memory = td.record(model, LISTS, options=OPTIONS)
    np.testing.assert_array_equal(recording.values, in_memory.values)
    # Any reader of Zarr reads it.
    opened = xr.open_zarr(tmp_path / "r.zarr", consolidated=False)
    np.testing.assert_array_equal(opened["activation"].values, recording.values)


def test_saved_recordings_have_few_files(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 2 * 3 * 4 * 8)
    values = np.random.default_rng(0).standard_normal((70, 3, 4))
    recording = td.Recording.from_array(values)
    recording.save(tmp_path / "s.zarr")
    files = [path for path in states_folder(tmp_path / "s.zarr").rglob("*") if path.is_file()]
    assert len(files) == 3  # 16 chunks of 2 samples in each
    np.testing.assert_array_equal(td.open_recording(tmp_path / "s.zarr").values, values)


def test_a_recording_of_the_first_layout_opens_and_is_not_made_again(model, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", FEW_ROWS)
    recording = td.record(model, LISTS, options=OPTIONS)
    write_first_layout(recording, tmp_path / "old.zarr", 3)
    opened = td.open_recording(tmp_path / "old.zarr")
    assert [rows.stop - rows.start for rows, _ in opened.blocks()] == [3] * 6 + [2]
    assert opened.digest == recording.digest
    assert opened.provenance == recording.provenance
    again = td.record(model, LISTS, out=tmp_path / "old.zarr", options=OPTIONS)
    np.testing.assert_array_equal(again.values, recording.values)
    opened.save(tmp_path / "new.zarr")
    assert td.open_recording(tmp_path / "new.zarr").digest == recording.digest


def test_a_broken_file_of_the_first_layout_is_named_and_kept(model, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", FEW_ROWS)
    write_first_layout(td.record(model, LISTS, options=OPTIONS), tmp_path / "old.zarr", 3)
    (states_folder(tmp_path / "old.zarr") / "2" / "0" / "0").unlink()
    named = (
        r"1 of 7 files .* activation/c/2/0/0 \(samples 6 to 8\) is missing; it has the layout of"
    )
    with pytest.raises(RecordingError, match=named):
        td.open_recording(tmp_path / "old.zarr")
    with pytest.raises(RecordingError, match=named):
        td.record(model, LISTS, out=tmp_path / "old.zarr", options=OPTIONS)
    assert len(list(states_folder(tmp_path / "old.zarr").iterdir())) == 7


def test_an_unfinished_recording_of_the_first_layout_is_refused(model, tmp_path):
    recording = td.record(model, LISTS, options=OPTIONS)
    folder = tmp_path / "r.zarr.partial"
    folder.mkdir()
    write_first_layout(recording, folder / "recording.zarr", 4)
    (folder / "settings.json").write_text(json.dumps(recording.provenance))
    with pytest.raises(RecordingError, match=r"begun by another version .* delete it"):
        td.record(model, LISTS, out=tmp_path / "r.zarr", options=OPTIONS)
    assert (folder / "recording.zarr").exists()
