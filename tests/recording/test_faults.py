"""Everything that can go wrong with a recording: the message, and that nothing was lost."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording import open_recording
from transformer_dynamics.recording.disk import shards, store
from transformer_dynamics.recording.disk.checks import broken_files
from transformer_dynamics.recording.job import make_job
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.positions import kept_positions
from transformer_dynamics.recording.record import record
from transformer_dynamics.recording.windows import windows
from transformer_dynamics.recording.workers import growing

FOUR = RecordingOptions(shard_samples=4)


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama")


@pytest.fixture(scope="module")
def lists():
    return tiny.token_lists(20)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def chunk(folder: Path, index: int) -> Path:
    return folder / "activation" / "c" / str(index) / "0" / "0"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncate, r"bytes instead of"),
        (Path.unlink, "missing"),
        (flip, "altered"),
    ],
)
def test_a_broken_chunk_is_named_and_its_shard_recorded_anew(
    damage, said, model, lists, tmp_path, monkeypatch
):
    out = tmp_path / "a.zarr"
    record(model, lists, out=out, options=FOUR)
    before = bytes_of(out)
    damage(chunk(out, 2))
    named = rf"1 of 5 files .* activation/c/2/0/0 \(samples 8 to 11\) is .*{said}"
    if damage is flip:  # sizes are looked at on opening, checksums on reading
        opened = open_recording(out)
        with pytest.raises(RecordingError, match=named):
            opened.values  # noqa: B018
        with pytest.raises(RecordingError, match=named):
            td.units.correlation(open_recording(out))
    else:
        with pytest.raises(RecordingError, match=named):
            open_recording(out)
    ran, original = [], shards.shard_states
    monkeypatch.setattr(
        shards, "shard_states", lambda *given: (ran.append(given[1]), original(*given))[1]
    )
    record(model, lists, out=out, options=FOUR)
    assert ran == [2]
    assert bytes_of(out) == before


def test_a_repair_that_is_interrupted_goes_on(model, lists, tmp_path, monkeypatch):
    out = tmp_path / "a.zarr"
    record(model, lists, out=out, options=FOUR)
    before = bytes_of(out)
    flip(chunk(out, 1))
    flip(chunk(out, 3))
    original = shards.shard_states

    def stop(job, shard, count=None):
        if shard == 3:
            raise KeyboardInterrupt
        return original(job, shard, count)

    monkeypatch.setattr(shards, "shard_states", stop)
    with pytest.raises(KeyboardInterrupt):
        record(model, lists, out=out, options=FOUR)
    with pytest.raises(RecordingError, match="an unfinished one is in"):
        open_recording(out)
    monkeypatch.setattr(shards, "shard_states", original)
    record(model, lists, out=out, options=FOUR)
    assert bytes_of(out) == before


def test_a_disk_that_fills_up_loses_nothing(model, lists, tmp_path):
    """A limit on the size of files stands for a full disk: the write itself fails."""
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(tiny.__file__).parent)!r})
import tiny
import transformer_dynamics as td
from transformer_dynamics.recording.disk import shards
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
original = shards.shard_states
def fill(job, shard, count=None):
    if shard == 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    return original(job, shard, count)
shards.shard_states = fill
try:
    td.record(
        tiny.model("llama"), tiny.token_lists(20), out={str(tmp_path / "a.zarr")!r},
        options=td.RecordingOptions(shard_samples=4),
    )
except td.errors.RecordingError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cannot write shard 3 to" in ran.stdout
    assert "make room and run the same command again" in ran.stdout
    published = tmp_path / "a.zarr.partial" / "recording.zarr" / "activation" / "c"
    assert sorted(path.name for path in published.iterdir()) == ["0", "1", "2"]
    record(model, lists, out=tmp_path / "a.zarr", options=FOUR)
    record(model, lists, out=tmp_path / "b.zarr", options=FOUR)
    assert bytes_of(tmp_path / "a.zarr") == bytes_of(tmp_path / "b.zarr")


def test_a_disk_too_small_is_refused_before_the_first_forward_pass(
    model, lists, tmp_path, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(shards, "shard_states", None)
    with pytest.raises(RecordingError, match=r"needs 0\.00 GB .*keep='moments'"):
        record(model, lists, out=tmp_path / "a.zarr")


def test_an_error_of_the_disk_names_the_shard(model, lists, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(growing, "write_shard_file", full)
    with pytest.raises(RecordingError, match=r"cannot write shard 0 .*No space left on device"):
        record(model, lists, out=tmp_path / "a.zarr")


def test_float16_storage_is_half_the_size_and_exact_to_its_precision(model, lists, tmp_path):
    half = RecordingOptions(storage="float16")
    small = record(model, lists, out=tmp_path / "half.zarr", options=half)
    exact = record(model, lists)
    assert small.values.dtype == np.float16
    np.testing.assert_allclose(small.values, exact.values, rtol=5e-4, atol=6e-8)
    # A checksum after the chunk, and an index of one chunk with its own.
    assert chunk(tmp_path / "half.zarr", 0).stat().st_size == exact.values.nbytes // 2 + 4 + 16 + 4
    with pytest.raises(RecordingError, match=r"another recording \(storage: float16"):
        record(model, lists, out=tmp_path / "half.zarr")


def test_float16_storage_refuses_what_it_cannot_hold(lists, tmp_path):
    model = tiny.model("llama")
    assert model.sites
    with torch.no_grad():
        model.hf_model.model.embed_tokens.weight[lists[5][-1]] = 7e4
    one = RecordingOptions(storage="float16", batch_tokens=1, shard_samples=1)
    first = next(index for index, ids in enumerate(lists) if ids[-1] == lists[5][-1])
    with pytest.raises(RecordingError, match=r"reached .* storage='float32'") as info:
        record(model, lists, out=tmp_path / "a.zarr", options=one)
    assert f"for text {first};" in str(info.value)
    assert not (tmp_path / "a.zarr").exists()
    assert np.isfinite(record(model, lists).values).all()


@pytest.mark.parametrize("positions", ["skip:3", "random:2"])
def test_positions_are_rows_of_the_whole(positions, model, lists):
    with (
        pytest.warns(UserWarning, match="have no position")
        if positions == "skip:3"
        else (pytest.MonkeyPatch.context())
    ):
        chosen = record(model, lists, positions)
    whole = record(model, lists, "all")
    kept = kept_positions(positions, lists, seed=0)
    assert chosen.shape[0] == sum(map(len, kept))
    for row in range(chosen.shape[0]):
        text, position = int(chosen.text_index[row]), int(chosen.dataset["position"][row])
        assert position in kept[text]
        same = (whole.text_index == text) & (whole.dataset["position"].values == position)
        np.testing.assert_allclose(chosen.values[row], whole.values[same][0], rtol=1e-4, atol=1e-5)
        assert int(chosen.dataset["token_id"][row]) == lists[text][position]
    if positions == "random:2":
        assert [len(places) for places in kept] == [min(2, len(ids)) for ids in lists]
        other = kept_positions(positions, lists, seed=1)
        assert any(not np.array_equal(a, b) for a, b in zip(kept, other, strict=True))


def test_a_mask_function_and_positions_by_hand_are_the_same(model, lists):
    masked = record(model, lists, lambda tokens: tokens % 2 == 0)
    places = [[i for i, token in enumerate(ids) if token % 2 == 0] for ids in lists]
    given = record(model, lists, places)
    np.testing.assert_array_equal(masked.values, given.values)
    assert (masked.dataset["token_id"].values % 2 == 0).all()
    null = td.nulls.untrained(masked, model=model, seed=1)
    np.testing.assert_array_equal(null.dataset["position"], masked.dataset["position"])


def test_windows_give_every_token_once_with_half_a_context_before_it():
    long = list(range(1, 200))
    for begin in (None, 1):
        parts = windows([[5, 6], long], 64, begin)[1:]
        covered = []
        for index, part in enumerate(parts):
            stop = parts[index + 1].first if index + 1 < len(parts) else len(long)
            given = list(part.tokens[part.place : part.place + stop - part.first])
            assert given == long[part.first : stop]
            assert part.place >= (0 if index == 0 else 30)
            assert len(part.tokens) == 64
            if begin is not None:
                assert part.tokens[0] == 1
            covered += given
        assert covered == long


def test_long_texts_run_in_windows(model):
    long = tiny.token_lists(1, longest=1)[0] + [3 + index % 50 for index in range(150)]
    window = RecordingOptions(too_long="window")
    last = record(model, [long, [4, 5]], options=window)
    assert list(last.dataset["position"].values) == [len(long) - 1, 1]
    tail = record(model, [long[-64:]])
    np.testing.assert_allclose(last.values[0], tail.values[0], rtol=1e-4, atol=1e-5)
    everything = record(model, [long], "all", options=window)
    assert list(everything.dataset["position"].values) == list(range(len(long)))
    assert everything.token_lists == (tuple(long),)
    head = record(model, [long[:64]], "all")
    np.testing.assert_allclose(everything.values[:64], head.values, rtol=1e-4, atol=1e-5)
    null = td.nulls.shuffled_tokens(everything, model=model, seed=0)
    assert null.shape == everything.shape


def test_a_shard_runs_each_text_once_where_it_can(model, lists):
    job = make_job(model, lists, "all")
    assert job.plan.n_shards == 1
    assert job.plan.n_tokens(0) == sum(map(len, lists))


def test_checks_find_nothing_in_a_whole_recording(model, lists, tmp_path):
    record(model, lists, out=tmp_path / "a.zarr", options=FOUR)
    assert broken_files(tmp_path / "a.zarr", read=True) == {}


def test_attention_that_the_caller_chose_stays_and_is_recorded(lists):
    hf_model = tiny.hf_model("llama")
    hf_model.set_attn_implementation("eager")
    recording = record(td.load_model(hf_model, tokenizer=tiny.tokenizer()), lists)
    assert recording.provenance["attention"] == "eager"
    assert hf_model.config._attn_implementation == "eager"
