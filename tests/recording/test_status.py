"""The status of a folder names what is done, running, stale and failed."""

import json
import os
import socket
import time

import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError, TdynError
from transformer_dynamics.experiment.status import folder_status
from transformer_dynamics.recording.disk import shards
from transformer_dynamics.recording.workers.identity import Identity

FOUR = td.RecordingOptions(shard_samples=4)
LISTS = tiny.token_lists(20)


@pytest.fixture
def growing(tmp_path, monkeypatch):
    """A recording of five shards whose fourth failed; two are recorded at a known rate."""
    original = shards.shard_states

    def fails(job, shard, count=None):
        if shard == 2:
            raise RecordingError("no memory")
        return original(job, shard, count)

    monkeypatch.setattr(shards, "shard_states", fails)
    with pytest.raises(RecordingError, match="no memory"):
        td.record(tiny.model("llama"), LISTS, out=tmp_path / "r.zarr", options=FOUR)
    monkeypatch.setattr(shards, "shard_states", original)
    folder = tmp_path / "r.zarr.partial"
    for shard, when in ((0, 1000.0), (1, 1010.0)):
        os.utime(
            folder / "recording.zarr" / "activation" / "c" / str(shard) / "0" / "0", (when, when)
        )
    return folder


def claim(folder, shard, identity, age=0.0):
    path = folder / "claims" / f"{shard}.json"
    path.write_text(json.dumps({**vars(identity), "started": "2026-11-26T20:00:00+00:00"}))
    now = time.time() - age
    os.utime(path, (now, now))


def test_a_growing_recording_names_its_shards(growing):
    here = Identity.here("cpu")
    claim(growing, 3, here)
    claim(growing, 4, Identity("other-1", "other", 1, "another machine", "cuda:0"), age=3600)
    (store,) = folder_status(growing).stores
    assert store.state == "running"
    assert (store.n_samples, store.n_shards, store.shards_done) == (20, 5, 2)
    tokens = [sum(map(len, LISTS[start : start + 4])) for start in range(0, 20, 4)]
    assert store.tokens_done == pytest.approx(sum(tokens[:2]) / sum(tokens))
    assert [(each.shard, each.host, each.device) for each in store.running] == [
        (3, socket.gethostname(), "cpu")
    ]
    assert [(each.shard, each.host) for each in store.stale] == [(4, "other")]
    assert [(each.shard, each.error) for each in store.failed] == [(2, "RecordingError: no memory")]
    assert store.tokens_per_second == pytest.approx(tokens[1] / 10)
    assert store.seconds_left == pytest.approx(sum(tokens[2:]) / (tokens[1] / 10))


def test_without_a_worker_it_is_stopped(growing):
    (store,) = folder_status(growing.with_name("r.zarr")).stores
    assert store.state == "stopped"
    assert store.seconds_left is None
    assert not store.running
    assert not store.stale


def test_a_finished_recording_is_done(growing):
    td.record(tiny.model("llama"), LISTS, out=growing.with_name("r.zarr"), options=FOUR)
    (store,) = folder_status(growing.with_name("r.zarr")).stores
    assert (store.state, store.n_samples, store.tokens_done) == ("done", 20, 1.0)


def test_a_run_shows_its_stages(growing):
    run = growing.parent
    ledger = {
        "stages": {
            "record": {"seconds": 4.0, "ended": "2026-11-26T20:00:00+00:00"},
            "claims": {"seconds": 9.0, "ended": "2026-11-26T20:01:00+00:00"},
        },
        "pending": [{"stage": "perturbation.basin", "seconds": 75.0}],
        "refused": {"perturbation.recovery": "the model is no decoder"},
    }
    (run / "run.json").write_text(json.dumps(ledger))
    found = folder_status(run)
    assert [each.state for each in found.stores] == ["stopped"]
    assert [(each.name, each.state) for each in found.stages] == [
        ("record", "done"),
        ("claims", "done"),
        ("perturbation.basin", "to come"),
        ("perturbation.recovery", "left out"),
    ]
    assert found.stages[-1].why == "the model is no decoder"


def test_the_present_folder_is_a_folder_too(growing, monkeypatch):
    monkeypatch.chdir(growing.parent)
    assert [each.state for each in folder_status(".").stores] == ["stopped"]
    monkeypatch.chdir(growing)
    assert [each.state for each in folder_status(".").stores] == ["stopped"]


def test_what_is_neither_is_refused(tmp_path):
    with pytest.raises(TdynError, match="there is no recording in"):
        folder_status(tmp_path)
    file = tmp_path / "notes.txt"
    file.write_text("no recording")
    with pytest.raises(TdynError, match=r"there is no recording in .*notes\.txt"):
        folder_status(file)


def test_the_command_prints_it(growing, tdyn):
    claim(growing, 3, Identity.here("cpu"))
    status, text, errors = tdyn("status", growing)
    assert status == 0, errors
    for word in ("running", "failed"):
        assert word in text
    status, text, _ = tdyn("status", growing.with_name("r.zarr"), "--json")
    fields = json.loads(text.splitlines()[-1])
    assert fields["stores"][0]["running"][0]["shard"] == 3
    assert fields["stages"] == []
