"""Killed fifty times, repeated fifty times, ten times as long: nothing lost, nothing grown."""

import pytest

import forking
import tiny

pytestmark = [
    pytest.mark.skipif(tiny.DEVICE != "cpu", reason="a process that uses a GPU cannot fork"),
    pytest.mark.slow,
]

# No thread runs in this process before it forks: all recording happens in its children.
PREPARED = """
import gc, random, shutil, signal
from pathlib import Path
import numpy as np
import torch, transformers
import dask.array, xarray, zarr
import tiny
import transformer_dynamics as td
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.disk import store
from transformer_dynamics.recording.record import record
torch.set_num_threads(1)
folder = Path(sys.argv[1])
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run code in a process that is prepared once; the value of its name `result`."""
    with forking.prepared(PREPARED, str(tmp_path_factory.mktemp("endurance"))) as run:
        yield run


KILLED = """
model, texts = tiny.model("llama"), tiny.words(tiny.token_lists(16))
model.sites, model.weight_hash
options = RecordingOptions(shard_samples=2)

def content(path):
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}

def require_same(path):
    found = content(path)
    assert found == whole, [name for name in whole | found if whole.get(name) != found.get(name)]

def child(work, cpu_seconds=0.0):
    def timed():
        # A clock of the process's own work, which other load on the machine does not move; when it
        # runs out the kernel ends the process at once, as kill -9 does.
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        work()
        signal.setitimer(signal.ITIMER_PROF, 0.0)
    return fork(timed)

def make(name):
    return lambda: record(model, texts, "last", out=folder / name, options=options)

def spent():
    return os.times().children_user + os.times().children_system

before = spent()
assert ended(child(make("whole.zarr"))) == 0
length = spent() - before
whole = content(folder / "whole.zarr")
instants, kills, finished = random.Random(0), 0, 0
# An instant in every fiftieth of the run: a moment in which a kill does harm is hit for certain
# if it is longer than a twenty-fifth of the run.
while kills < 50:
    process = child(make("killed.zarr"), 0.001 + (kills + instants.random()) / 50 * length)
    kills += ended(process) < 0
    if (folder / "killed.zarr").exists():
        assert ended(child(make("killed.zarr"))) == 0
        require_same(folder / "killed.zarr")
        shutil.rmtree(folder / "killed.zarr")
        finished += 1
assert ended(child(make("killed.zarr"))) == 0
require_same(folder / "killed.zarr")
assert not (folder / "killed.zarr.partial").exists()
result = [kills, finished + 1]
"""


def test_fifty_kills_in_all_parts_of_a_run_and_every_recording_is_the_same(run):
    kills, finished = run(KILLED)
    assert kills == 50
    assert finished >= 2


REPEATED = """
def resident():
    gc.collect()
    # Memory of the process's own; pages of the libraries' files come and go with other load.
    with open("/proc/self/status") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("RssAnon", "VmSwap")))

def work():
    model, lists = tiny.model("llama"), tiny.token_lists(12)
    sizes = {}
    for index in range(50):
        out = None if index % 2 else folder / "a.zarr"
        td.record(model, lists, "all", out=out)
        if out:
            shutil.rmtree(out)
        if index in (4, 49):
            sizes[index] = resident()  # its search for garbage takes longer than a recording
    return [sizes[4], sizes[49]]

result = forked(work)
"""


def test_fifty_recordings_take_no_more_memory_than_five(run):
    early, late = run(REPEATED)
    assert late <= 1.02 * early


PEAK = """
def peak_of(texts):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=512, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
        vocab_size=64, max_position_embeddings=64, eos_token_id=0,
    )
    model = td.load_model(transformers.AutoModelForCausalLM.from_config(config).eval())
    lists = np.random.default_rng(0).integers(1, 64, (texts, 32)).tolist()
    options = td.RecordingOptions(shard_samples=512)
    recording = td.record(model, lists, "all", out=folder / f"{texts}.zarr", options=options)
    assert recording.shape[0] == texts * 32
    # Not ru_maxrss, which begins at the size of the process that started this one.
    with open("/proc/self/status") as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    return [peak * 1024, recording.activation.nbytes]

result = [forked(lambda: peak_of(texts)) for texts in (64, 640)]
"""


def test_peak_memory_does_not_depend_on_the_number_of_texts(run):
    """Ten times the texts, and a recording larger than the peak grew by, within 10 %."""
    (few, _), (many, size) = run(PEAK)
    assert many <= 1.1 * few
    assert size > 4 * (many - few)
    assert size > 2.5e8
