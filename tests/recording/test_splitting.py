"""Batches that do not fit into memory run in halves: nothing is lost, and it is said once."""

import json

import numpy as np
import pytest
import torch

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk import shards, splitting
from transformer_dynamics.recording.job import make_job

LISTS = tiny.token_lists(20)
OPTIONS = td.RecordingOptions(shard_samples=5)
LARGEST = max(map(len, LISTS)) * 2

ERRORS = {
    "device": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    "processor": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 99 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99"),
    "numpy": MemoryError(),
}


@pytest.fixture
def small(request, monkeypatch):
    """Memory for `LARGEST` tokens and no more; the sizes that were run."""
    original, ran = shards._batch_states, []

    def limited(model, batch):
        if batch.tokens.size > LARGEST:
            raise getattr(request, "param", ERRORS["device"])
        ran.append(batch.tokens.size)
        return original(model, batch)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "_batch_states", limited)
        yield ran


@pytest.fixture(scope="module")
def model():
    return tiny.model()


@pytest.fixture(scope="module")
def whole(model):
    return td.record(model, LISTS, options=OPTIONS)


def agree(recording, other):
    scale = np.linalg.norm(other.values, axis=2, keepdims=True)
    assert (np.abs(recording.values - other.values) / scale).max() < 1e-5


def test_halves_are_the_batch():
    (batch,) = make_job(tiny.model(), LISTS[:6], "all").plan.batches(0)
    one, other = batch.halves()
    np.testing.assert_array_equal(np.concatenate([one.texts, other.texts]), batch.texts)
    assert set(one.row) | set(other.row) == set(batch.row)
    assert len(one.row) + len(other.row) == len(batch.row)
    for half in (one, other):
        assert half.tokens.shape == (len(half.texts), half.lengths.max())
        for row, source, place in zip(half.row, half.source, half.place, strict=True):
            (index,) = np.flatnonzero(batch.row == row)
            whole = batch.tokens[batch.source[index]]
            assert half.tokens[source, place] == whole[batch.place[index]]
            assert half.texts[source] == batch.texts[batch.source[index]]


@pytest.mark.parametrize("small", ERRORS.values(), ids=ERRORS, indirect=True)
def test_a_batch_without_room_runs_in_halves(model, whole, small, tmp_path):
    with pytest.warns(UserWarning, match="memory does not suffice for a batch of") as warned:
        stored = td.record(model, LISTS, out=tmp_path / "r.zarr", options=OPTIONS)
    assert len(warned) == 1
    assert max(small) <= LARGEST
    agree(stored, whole)
    plan = make_job(model, LISTS, options=OPTIONS).plan
    sizes = [max(batch.tokens.size for batch in plan.batches(shard)) for shard in range(4)]
    split = stored.provenance["split_batches"]
    assert split["shards"] == [shard for shard in range(4) if sizes[shard] > split["batch_tokens"]]
    assert {shard for shard in range(4) if sizes[shard] > LARGEST} <= set(split["shards"])
    described = json.loads((tmp_path / "r.zarr" / "zarr.json").read_text())
    assert described["attributes"]["provenance"] == stored.dataset.attrs["provenance"]


def test_a_recording_in_memory_says_the_same(model, whole, small):
    with pytest.warns(UserWarning, match="memory does not suffice"):
        recording = td.record(model, LISTS, options=OPTIONS)
    agree(recording, whole)
    assert recording.provenance["split_batches"]["shards"]


def test_a_recording_without_splits_does_not_mention_them(whole):
    assert "split_batches" not in whole.provenance


def test_moments_name_the_shards(model, whole, small, tmp_path):
    with pytest.warns(UserWarning, match="memory does not suffice"):
        moments = td.record(model, LISTS, keep="moments", out=tmp_path / "m.zarr", options=OPTIONS)
    assert moments.provenance["split_batches"]["shards"]
    np.testing.assert_allclose(moments.dataset["mean"], whole.values.mean(axis=0), atol=1e-5)


def test_a_resumed_recording_knows_the_splits_before(model, tmp_path, monkeypatch):
    original = splitting.Splits.run

    def stop(self, run, batch, shard):
        if shard == 2:
            raise KeyboardInterrupt
        return original(self, run, batch, shard)

    def tight(model, batch, run=shards._batch_states):
        if len(batch.texts) > 2:
            raise ERRORS["device"]
        return run(model, batch)

    with monkeypatch.context() as patch:
        patch.setattr(splitting.Splits, "run", stop)
        patch.setattr(shards, "_batch_states", tight)
        with (
            pytest.raises(KeyboardInterrupt),
            pytest.warns(UserWarning, match="memory does not suffice"),
        ):
            td.record(model, LISTS, out=tmp_path / "r.zarr", options=OPTIONS)
    # Now there is room.
    recording = td.record(model, LISTS, out=tmp_path / "r.zarr", options=OPTIONS)
    assert recording.provenance["split_batches"]["shards"] == [0, 1]


def test_a_text_that_does_not_fit_alone_is_named(model, small):
    lists = [[1, 2], list(range(1, LARGEST + 3)), [3]]
    with (
        pytest.raises(RecordingError, match=rf"text 1 of {LARGEST + 2} tokens does not fit"),
        pytest.warns(UserWarning, match="memory does not suffice"),
    ):
        td.record(model, lists)


def test_other_errors_of_the_model_are_not_hidden(model, monkeypatch):
    def fail(*_):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(shards, "_batch_states", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        td.record(model, LISTS)
