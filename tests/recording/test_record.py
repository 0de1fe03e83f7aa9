"""Recordings on disk and in memory: equal, resumable, refused when they differ."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from transformer_dynamics.errors import RecordingError, TdynError
from transformer_dynamics.recording import open_recording
from transformer_dynamics.recording.disk import shards
from transformer_dynamics.recording.job import make_job
from transformer_dynamics.recording.moments import streaming
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.record import record

N_TEXTS = 20
FOUR = RecordingOptions(shard_samples=4)
OPTIONS = {field.name for field in fields(RecordingOptions)}


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama")


@pytest.fixture(scope="module")
def texts():
    return tiny.words(tiny.token_lists(N_TEXTS))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_last_token_states_of_each_text_in_the_order_of_the_texts(model, texts):
    recording = record(model, texts)
    assert recording.shape == (N_TEXTS, 7, 16)
    lists = tiny.token_lists(N_TEXTS)
    assert recording.token_lists == tuple(map(tuple, lists))
    np.testing.assert_array_equal(recording.dataset["position"], [len(ids) - 1 for ids in lists])
    np.testing.assert_array_equal(recording.dataset["token_id"], [ids[-1] for ids in lists])
    assert list(recording.dataset["token"].values) == [f"w{ids[-1]}" for ids in lists]
    with torch.inference_mode():
        alone = model.trunk(input_ids=tiny.tokens([lists[3]]), output_hidden_states=True)
    np.testing.assert_allclose(
        recording.values[3, 2], alone.hidden_states[1][0, -1].cpu(), rtol=1e-5, atol=1e-5
    )


def test_strings_and_token_lists_give_the_same_states(model, texts):
    strings, lists = record(model, texts), record(model, tiny.token_lists(N_TEXTS))
    np.testing.assert_array_equal(strings.values, lists.values)


def test_padding_changes_nothing(model, texts):
    alone = record(model, texts, options=RecordingOptions(batch_tokens=1))
    together = record(model, texts, options=RecordingOptions(batch_tokens=10_000))
    scale = np.linalg.norm(alone.values, axis=2, keepdims=True)
    assert (np.abs(alone.values - together.values) / scale).max() < 1e-5


def test_all_positions_contain_the_last_ones(model, texts):
    everything, last = (
        record(model, texts, "all", options=RecordingOptions(shard_samples=16)),
        record(model, texts),
    )
    ends = everything.dataset["position"].values == (
        everything.dataset["n_tokens"].values[everything.text_index] - 1
    )
    np.testing.assert_allclose(everything.values[ends], last.values, rtol=1e-4, atol=1e-5)
    assert everything.shape[0] == sum(map(len, tiny.token_lists(N_TEXTS)))


def test_disk_equals_memory(model, texts, tmp_path):
    stored = record(
        model, texts, out=tmp_path / "a.zarr", options=RecordingOptions(shard_samples=6)
    )
    np.testing.assert_array_equal(
        stored.values, record(model, texts, options=RecordingOptions(shard_samples=6)).values
    )
    assert stored.texts == tuple(texts)
    assert stored.provenance["weights"] == model.weight_hash
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_open_recording_needs_no_torch(model, texts, tmp_path):
    record(model, texts, out=tmp_path / "a.zarr")
    code = (
        "import sys, transformer_dynamics as td\n"
        f"r = td.open_recording({str(tmp_path / 'a.zarr')!r})\n"
        "assert r.shape == (20, 7, 16), r.shape\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_interrupted_recording_resumes_and_is_identical(model, texts, tmp_path, monkeypatch):
    record(model, texts, out=tmp_path / "whole.zarr", options=FOUR)
    ran = []
    original = shards.shard_states

    def stop_at_third(job, shard, on_tokens=None):
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(shard)
        return original(job, shard, on_tokens)

    monkeypatch.setattr(shards, "shard_states", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        record(
            model, texts, out=tmp_path / "broken.zarr", options=RecordingOptions(shard_samples=4)
        )
    assert not (tmp_path / "broken.zarr").exists()
    with pytest.raises(RecordingError, match="unfinished one is in"):
        open_recording(tmp_path / "broken.zarr")
    monkeypatch.setattr(shards, "shard_states", lambda *a: (ran.append(a[1]), original(*a))[1])
    record(model, texts, out=tmp_path / "broken.zarr", options=FOUR)
    assert ran == [0, 1, 2, 3, 4]
    assert bytes_of(tmp_path / "broken.zarr") == bytes_of(tmp_path / "whole.zarr")


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
import tiny
from transformer_dynamics.recording.disk import shards
from transformer_dynamics.recording.workers import growing
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.record import record

model, texts, out = tiny.model("llama"), tiny.words(tiny.token_lists({n})), Path({out!r})
model.sites, model.weight_hash

def record_until(step, last, there):
    module = shards if hasattr(shards, step) else growing
    original = getattr(module, step)
    def wait_there(first, second, *rest):
        if str(getattr(second, "name", second)) == str(last):
            os.write(there, b"there")
            signal.pause()
        return original(first, second, *rest)
    setattr(module, step, wait_there)
    record(model, texts, out=out, options=RecordingOptions(shard_samples=2))

for step, shard in {instants!r}:
    read, write = os.pipe()
    # No thread runs in this process before it forks: all recording happens in its children.
    process = os.fork()
    if process == 0:
        record_until(step, shard, write)
        os._exit(1)
    os.close(write)
    assert os.read(read, 5) == b"there"
    os.kill(process, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(process, 0)[1])
    assert not out.exists()
    published = out.with_name(out.name + ".partial").glob("recording.zarr/activation/c/*")
    assert sorted(int(path.name) for path in published) == list(range(shard))
"""


@pytest.mark.skipif(tiny.DEVICE != "cpu", reason="a process that uses a GPU cannot fork")
def test_kill_9_at_three_instants_then_the_same_call_again(model, texts, tmp_path):
    """Before any shard is run, after a file is written and before it is moved, near the end."""
    whole, out = tmp_path / "whole.zarr", tmp_path / "killed.zarr"
    record(model, texts, out=whole, options=RecordingOptions(shard_samples=2))
    instants = [("shard_states", 0), ("_moved", 3), ("shard_states", 9)]
    here = str(Path(tiny.__file__).parent)
    code = KILLED.format(tests=here, n=N_TEXTS, out=str(out), instants=instants)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    record(model, texts, out=out, options=RecordingOptions(shard_samples=2))
    assert bytes_of(out) == bytes_of(whole)


def test_finished_recording_is_not_made_again(model, texts, tmp_path, monkeypatch):
    record(model, texts, out=tmp_path / "a.zarr")
    monkeypatch.setattr(shards, "shard_states", None)
    again = record(model, texts, out=tmp_path / "a.zarr")
    assert again.shape[0] == N_TEXTS


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"texts": ["w1 w2"]}, "tokens"),
        ({"model": tiny.model("llama", seed=1)}, "weights"),
        ({"positions": "all"}, "positions"),
    ],
)
def test_another_recording_in_the_folder_is_refused(change, named, model, texts, tmp_path):
    out = tmp_path / "a.zarr"
    record(model, texts, out=out)
    call = {"model": model, "texts": texts, "positions": "last", **change}
    with pytest.raises(RecordingError, match=rf"another recording \(.*{named}"):
        record(call["model"], call["texts"], call["positions"], out=out)
    assert open_recording(out).shape[0] == N_TEXTS


def test_second_writer_of_moments_is_refused(model, texts, tmp_path):
    with (
        streaming._only_writer(tmp_path / "a.zarr"),
        pytest.raises(RecordingError, match="another process records moments"),
    ):
        record(model, texts, keep="moments", out=tmp_path / "a.zarr")


def test_states_that_become_nan_are_refused_with_text_and_site(texts, tmp_path):
    model = tiny.model("llama")
    assert model.sites  # proved before the weights break
    with torch.no_grad():
        model.hf_model.model.embed_tokens.weight[37] = torch.nan
    lists = tiny.token_lists(N_TEXTS)
    first = next(i for i, ids in enumerate(lists) if 37 in ids)
    with pytest.raises(RecordingError, match=r"NaN or infinite states at the site 0\.pre_") as info:
        record(
            model,
            texts,
            out=tmp_path / "a.zarr",
            options=RecordingOptions(batch_tokens=1, shard_samples=1),
        )
    assert f"for text {first};" in str(info.value)
    assert not (tmp_path / "a.zarr").exists()


def test_large_finite_states_are_recorded(texts):
    model = tiny.model("llama")
    with torch.no_grad():
        model.hf_model.model.embed_tokens.weight.fill_(1e38)
    assert np.isfinite(record(model, ["w1"]).values).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"texts": []}, "got no texts"),
        ({"texts": [""]}, "text 0 has no tokens"),
        ({"texts": [[1], []]}, "text 1 has no tokens"),
        ({"texts": ["w1", [1]]}, "got 1 strings among 2 texts"),
        ({"texts": ["w1 " * 65]}, r"1 of 1 texts are longer than the model's context of 64"),
        ({"positions": "first"}, r"allowed are 'last', 'last_content', 'all'"),
        ({"bos": "maybe"}, "allowed are tokenizer, always, never"),
        ({"bos": "always"}, "has no BOS token"),
        ({"shard_samples": 0}, "a whole number from 1"),
        ({"too_long": "cut"}, "allowed are refuse, truncate, window"),
        ({"storage": "int8"}, "allowed are auto, float32, float16"),
        ({"positions": "random:0"}, r"got positions='random:0'"),
        ({"positions": [[0], [1]]}, "for 1 texts"),
        ({"positions": [[2]]}, r"got positions \[2\] for text 0 of 2 tokens"),
        ({"positions": lambda tokens: tokens}, "the mask function gave shape"),
        ({"positions": "skip:2"}, "no position of any of the 1 texts is kept"),
        ({"keep": "everything"}, "allowed are states, moments"),
        ({"out": "recording"}, "ends in .zarr"),
        ({"out": "/proc/nowhere/a.zarr"}, "cannot write to the folder"),
    ],
)
def test_bad_input_is_named(call, message, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = {"texts": ["w1 w2"], "positions": "last", **call}
    chosen = {name: arguments.pop(name) for name in OPTIONS & set(arguments)}
    with pytest.raises(TdynError, match=message):
        record(
            model,
            arguments.pop("texts"),
            arguments.pop("positions"),
            options=RecordingOptions(**chosen),
            **arguments,
        )


def test_too_long_texts_are_truncated_when_asked(model):
    recording = record(model, ["w1 " * 70], options=RecordingOptions(too_long="truncate"))
    assert int(recording.dataset["position"][0]) == 63


def test_begin_token_policies():
    model = tiny.model("gpt2")
    model.tokenizer.bos_token = "w0"
    with_begin = record(model, ["w5 w6"], options=RecordingOptions(bos="always"))
    assert with_begin.token_lists == ((0, 5, 6),)
    assert record(model, ["w0 w5"], options=RecordingOptions(bos="never")).token_lists == ((5,),)
    assert record(model, ["w0 w5"], options=RecordingOptions(bos="always")).token_lists == ((0, 5),)


def test_no_head_is_run(model, texts, monkeypatch):
    monkeypatch.setattr(model.hf_model.lm_head, "forward", None)
    assert record(model, texts).shape[0] == N_TEXTS


def test_progress_counts_tokens(model, texts):
    calls = []
    record(
        model,
        texts,
        options=RecordingOptions(shard_samples=7),
        on_progress=lambda *call: calls.append(call),
    )
    total = sum(map(len, tiny.token_lists(N_TEXTS)))
    assert calls[-1] == (total, total)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_tokens_of_a_text_are_held_once_by_the_plan_and_its_window(model):
    given = [[np.int64(3), np.int64(4), np.int64(5)], [6, 7]]
    plan = make_job(model, given).plan
    assert plan.token_lists == ((3, 4, 5), (6, 7))
    assert all(type(token) is int for tokens in plan.token_lists for token in tokens)
    for tokens, window in zip(plan.token_lists, plan.windows, strict=True):
        assert window.tokens is tokens
