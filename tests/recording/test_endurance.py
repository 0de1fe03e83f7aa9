"""Killed twenty times, repeated forty times, ten times as long: nothing lost, nothing grown."""

import subprocess
import sys
from pathlib import Path

import pytest

import tiny

HERE = str(Path(tiny.__file__).parent)

KILLED = """
import os, random, shutil, signal, sys
sys.path.insert(0, {here!r})
import torch
torch.set_num_threads(1)
import tiny
from pathlib import Path
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.disk import store
from transformer_dynamics.recording.record import record

model, texts = tiny.model("llama"), tiny.words(tiny.token_lists(16))
model.sites, model.weight_hash
options = RecordingOptions(shard_samples=2)
folder = Path({folder!r})

def content(path):
    return {{str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}}

def require_same(path):
    found = content(path)
    assert found == whole, [name for name in whole | found if whole.get(name) != found.get(name)]

def child(work, cpu_seconds=0.0):
    process = os.fork()
    if process == 0:
        # A clock of the process's own work, which other load on the machine does not move; when it
        # runs out the kernel ends the process at once, as kill -9 does.
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        work()
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        os._exit(0)
    return process

def make(name):
    return lambda: record(model, texts, "last", out=folder / name, options=options)

# No thread runs in this process before it forks: all recording happens in its children.
def spent():
    return os.times().children_user + os.times().children_system

before = spent()
os.waitpid(child(make("whole.zarr")), 0)
length = spent() - before
whole = content(folder / "whole.zarr")
instants, kills, finished = random.Random(0), 0, 0
# An instant in every twentieth of the run: a moment in which a kill does harm is hit for certain
# if it is longer than a tenth of the run, and with probability 0.64 if it is a twentieth.
while kills < 20:
    process = child(make("killed.zarr"), 0.001 + (kills + instants.random()) / 20 * length)
    _, status = os.waitpid(process, 0)
    kills += os.WIFSIGNALED(status)
    if (folder / "killed.zarr").exists():
        os.waitpid(child(make("killed.zarr")), 0)
        require_same(folder / "killed.zarr")
        shutil.rmtree(folder / "killed.zarr")
        finished += 1
os.waitpid(child(make("killed.zarr")), 0)
require_same(folder / "killed.zarr")
assert not (folder / "killed.zarr.partial").exists()
print(kills, finished + 1)
"""


@pytest.mark.skipif(tiny.DEVICE != "cpu", reason="a process that uses a GPU cannot fork")
@pytest.mark.slow
def test_kills_in_all_parts_of_a_run_and_every_recording_is_the_same(tmp_path):
    code = KILLED.format(here=HERE, folder=str(tmp_path))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    kills, finished = map(int, ran.stdout.split())
    assert kills == 20
    assert finished >= 2


REPEATED = """
import gc, shutil, sys
sys.path.insert(0, {here!r})
import torch
torch.set_num_threads(1)
import tiny
import transformer_dynamics as td

def resident():
    gc.collect()
    # Memory of the process's own; pages of the libraries' files come and go with other load.
    with open("/proc/self/status") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("RssAnon", "VmSwap")))

model, lists = tiny.model("llama"), tiny.token_lists(12)
sizes = []
for index in range(40):
    out = None if index % 2 else {folder!r} + "/a.zarr"
    td.record(model, lists, "all", out=out)
    if out:
        shutil.rmtree(out)
    sizes.append(resident())
print(sizes[4], sizes[39])
"""


@pytest.mark.slow
def test_forty_recordings_take_no_more_memory_than_five(tmp_path):
    code = REPEATED.format(here=HERE, folder=str(tmp_path))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    early, late = map(int, ran.stdout.split())
    assert late <= 1.02 * early


PEAK = """
import sys
sys.path.insert(0, {here!r})
import torch, transformers
torch.set_num_threads(1)
import numpy as np
import transformer_dynamics as td
torch.manual_seed(0)
config = transformers.LlamaConfig(
    hidden_size=512, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
    vocab_size=64, max_position_embeddings=64, eos_token_id=0,
)
model = td.load_model(transformers.AutoModelForCausalLM.from_config(config).eval())
lists = np.random.default_rng(0).integers(1, 64, ({texts}, 32)).tolist()
options = td.RecordingOptions(shard_samples=512)
recording = td.record(model, lists, "all", out={folder!r} + "/{texts}.zarr", options=options)
assert recording.shape[0] == {texts} * 32
# Not ru_maxrss, which begins at the size of the process that started this one.
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
print(peak, recording.activation.nbytes)
"""


@pytest.mark.slow
def test_peak_memory_does_not_depend_on_the_number_of_texts(tmp_path):
    """Ten times the texts, and a recording larger than the peak grew by, within 10 %."""
    peaks, sizes = {}, {}
    for texts in (64, 640):
        code = PEAK.format(here=HERE, folder=str(tmp_path), texts=texts)
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        peak, sizes[texts] = map(int, ran.stdout.split())
        peaks[texts] = peak * 1024
    assert peaks[640] <= 1.1 * peaks[64]
    assert sizes[640] > 4 * (peaks[640] - peaks[64])
    assert sizes[640] > 2.5e8
