"""Recordings in a store that fsspec reads, here the one in memory."""

import fsspec
import numpy as np
import pytest

import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError, TdynError
from transformer_dynamics.recording.disk import chunks
from transformer_dynamics.recording.disk.verification import verify
from transformer_dynamics.storage import addresses

VALUES = td.synthetic.random_walk(n_samples=40, n_sites=12, n_units=6, seed=0).values
ROWS = 4
ADDRESS = "memory://bucket/runs/r.zarr"


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A recording of three files of sixteen, sixteen and eight samples."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", ROWS * VALUES[0].nbytes)
    monkeypatch.setattr(chunks, "CHUNKS_PER_FILE", 4)
    td.recording.Recording.from_array(VALUES).save(tmp_path / "r.zarr")
    return tmp_path / "r.zarr"


@pytest.fixture
def store(local):
    """The same in the store; yields its file system."""
    system = fsspec.filesystem("memory")
    system.put(str(local), "/bucket/runs/r.zarr", recursive=True)
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def file(index):
    return f"/bucket/runs/r.zarr/activation/c/{index}/0/0"


def test_states_are_those_of_the_folder(store, local):
    recording = td.open_recording(ADDRESS)
    assert not recording.in_memory
    np.testing.assert_array_equal(recording.values, VALUES)
    assert recording.digest == td.open_recording(local).digest
    rows = [rows.stop - rows.start for rows, _ in td.open_recording(ADDRESS + "/").blocks()]
    assert sum(rows) == len(VALUES)
    np.testing.assert_array_equal(recording.sel(text=[3, 20]).values, VALUES[[3, 20]])


def test_measures_and_claims_are_those_of_the_folder(store, local):
    here, there = td.open_recording(local), td.open_recording(ADDRESS)
    np.testing.assert_array_equal(
        td.paths.kinematics(there)["speed"], td.paths.kinematics(here)["speed"]
    )
    few = td.ClaimOptions(n_null=19, n_bootstrap=99)
    verdicts = [
        td.evaluate_claims(each, claims=["C2", "C4"], options=few) for each in (here, there)
    ]
    assert [each.as_json() for each in verdicts[0]] == [each.as_json() for each in verdicts[1]]


def test_a_broken_file_is_named(store):
    whole = store.cat(file(1))
    store.pipe(file(1), whole[:-1])
    with pytest.raises(
        RecordingError, match=r"1 of 3 files .* activation/c/1/0/0 .* bytes instead"
    ):
        td.open_recording(ADDRESS)
    store.rm(file(1))
    with pytest.raises(RecordingError, match=r"activation/c/1/0/0 .* missing; copy it again"):
        td.open_recording(ADDRESS)
    store.pipe(file(1), whole[:40] + bytes([whole[40] ^ 4]) + whole[41:])
    with pytest.raises(RecordingError, match=r"activation/c/1/0/0 .* altered"):
        td.open_recording(ADDRESS).values  # noqa: B018


def test_a_store_without_a_listing_is_asked_for_each_file(store, monkeypatch):
    monkeypatch.setattr(type(store), "find", lambda *given, **options: {})
    np.testing.assert_array_equal(td.open_recording(ADDRESS).values, VALUES)
    store.rm(file(2))
    with pytest.raises(RecordingError, match=r"activation/c/2/0/0 .* missing"):
        td.open_recording(ADDRESS)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://bucket/none.zarr", "there is no recording at memory://bucket/none.zarr"),
        ("nosuch://bucket/r.zarr", "nosuch"),
        ("s3://bucket/r.zarr", r"pip install 'transformer-dynamics\[s3\]'"),
    ],
)
def test_what_cannot_be_read_is_refused(address, said, monkeypatch):
    if address.startswith("s3"):
        monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(RecordingError, match=said):
        td.open_recording(address)


def test_an_address_as_a_path_has_lost_a_slash(tmp_path):
    with pytest.raises(TdynError, match="give it as text"):
        addresses.place(tmp_path.__class__("s3://bucket/r.zarr"))


def test_writing_to_an_address_is_refused(store):
    recording = td.open_recording(ADDRESS)
    with pytest.raises(RecordingError, match="only folders and files of this machine"):
        recording.save("memory://bucket/copy.zarr")
    with pytest.raises(RecordingError, match="only folders and files of this machine"):
        td.merge_recordings([ADDRESS, recording], "memory://bucket/copy.zarr")


def test_recordings_of_two_stores_are_merged(store, local, tmp_path):
    other = td.recording.Recording.from_array(VALUES[:5] + 1)
    merged = td.merge_recordings([ADDRESS, other], tmp_path / "m.zarr")
    np.testing.assert_array_equal(merged.values, np.concatenate([VALUES, VALUES[:5] + 1]))


def test_verification_reads_the_store(store):
    (found,) = verify(ADDRESS)
    assert (found.kind, found.n_files, found.faults) == ("recording", 3, {})
    store.pipe(file(0), b"short")
    (found,) = verify(ADDRESS)
    assert list(found.faults) == ["activation/c/0/0/0"]


def test_the_command_measures_an_address(store, tdyn, tmp_path):
    out = tmp_path / "results.zarr"
    words = ("measure", ADDRESS, "--measures", "paths.kinematics")
    status, _, errors = tdyn(*words)
    assert status == 1
    assert "--out results.zarr" in " ".join(errors.split())
    status, _, errors = tdyn(*words, "--out", out)
    assert status == 0, errors
    assert (out / "paths.kinematics").exists()
