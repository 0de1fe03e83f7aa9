"""Every broken file is found by name, and nothing else."""

import json
import shutil

import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk.verification import verify

FOUR = td.RecordingOptions(shard_samples=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run's folder: a recording of five shards, and moments."""
    run = tmp_path_factory.mktemp("verified") / "run"
    td.record(tiny.model("llama"), tiny.token_lists(20), out=run / "recording.zarr", options=FOUR)
    recording = td.open_recording(run / "recording.zarr")
    (run / "nulls").mkdir()
    recording.save(run / "nulls" / "untrained-0.zarr")
    td.Moments.of(recording, covariance="unit").save(run / "moments.zarr")
    return run


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def flip(path):
    content = bytearray(path.read_bytes())
    content[40] ^= 4
    path.write_bytes(content)


def chunk(recording, place):
    return recording / "activation" / "c" / str(place) / "0" / "0"


def test_a_whole_run_has_no_faults(run):
    found = verify(run)
    assert [each.path.name for each in found] == [
        "moments.zarr",
        "recording.zarr",
        "untrained-0.zarr",
    ]
    assert [each.kind for each in found] == ["moments", "recording", "recording"]
    assert found[1].n_files == 5
    assert not any(each.faults for each in found)


def test_every_broken_chunk_is_named(run):
    recording = run / "recording.zarr"
    flip(chunk(recording, 1))
    chunk(recording, 2).unlink()
    chunk(recording, 4).write_bytes(b"short")
    (found,) = verify(recording)
    assert {name: fault.split()[0] for name, fault in found.faults.items()} == {
        "activation/c/1/0/0": "altered",
        "activation/c/2/0/0": "missing",
        "activation/c/4/0/0": "5",
    }


def test_a_broken_label_is_named(run):
    label = next((run / "recording.zarr" / "token_id" / "c").rglob("[0-9]*"))
    label.write_bytes(b"?")
    (found,) = verify(run / "recording.zarr")
    assert list(found.faults) == ["token_id"]


def test_a_growing_recording_may_lack_chunks_but_not_hold_broken_ones(run, tmp_path):
    growing = tmp_path / "g.zarr.partial"
    growing.mkdir()
    (growing / "settings.json").write_text("{}")
    store = shutil.copytree(run / "recording.zarr", growing / "recording.zarr")
    chunk(store, 0).unlink()
    (found,) = verify(tmp_path / "g.zarr")
    assert (found.kind, found.n_files, found.n_missing) == ("growing recording", 4, 1)
    assert not found.faults
    flip(chunk(store, 3))
    (found,) = verify(growing)
    assert list(found.faults) == ["recording.zarr/activation/c/3/0/0"]


def test_no_recording_is_an_error(tmp_path):
    with pytest.raises(RecordingError, match="there is no recording in"):
        verify(tmp_path)
    with pytest.raises(RecordingError, match="there is no recording in"):
        verify(tmp_path / "absent.zarr")


def test_the_command_ends_with_1_where_something_is_broken(run, tdyn):
    status, text, _ = tdyn("verify", run, "--json")
    assert status == 0
    assert [each["broken"] for each in json.loads(text.splitlines()[-1])["stores"]] == [{}] * 3
    flip(chunk(run / "recording.zarr", 1))
    status, text, errors = tdyn("verify", run)
    assert status == 1
    assert "altered" in text
    assert "1 files are broken" in " ".join(errors.split())


def test_the_command_merges_and_refuses_what_does_not_belong_together(run, tdyn, tmp_path):
    model = tiny.model("llama")
    td.record(model, [[1, 2], [3]], out=tmp_path / "b.zarr", options=FOUR)
    words = ("merge", run / "recording.zarr", tmp_path / "b.zarr", "--out", tmp_path / "c.zarr")
    status, text, errors = tdyn(*words)
    assert status == 0, errors
    assert "22 samples" in text
    assert td.open_recording(tmp_path / "c.zarr").shape[0] == 22
    again = (*words[:3], tmp_path / "b.zarr", "--out", tmp_path / "d.zarr")
    status, _, errors = tdyn(*again)
    assert status == 1
    assert "--keep-duplicates" in errors
    assert tdyn(*again, "--keep-duplicates")[0] == 0
