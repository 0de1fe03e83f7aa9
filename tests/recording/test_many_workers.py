"""Any number of workers on one folder, killed, frozen or alone: the same bytes each time."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import forking
import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording import job
from transformer_dynamics.recording.disk import shards
from transformer_dynamics.recording.workers import claims
from transformer_dynamics.recording.workers.claims import Claims
from transformer_dynamics.recording.workers.growing import Growing
from transformer_dynamics.recording.workers.identity import Identity, has_ended
from transformer_dynamics.recording.workers.progress import recording_progress

LISTS = tiny.token_lists(16)
OPTIONS = td.RecordingOptions(shard_samples=2)  # 8 shards
forks = pytest.mark.skipif(tiny.DEVICE != "cpu", reason="a process that uses a GPU cannot fork")

# Processes are forked from one that has imported everything and in which no thread runs.
PREPARED = """
import random, shutil, signal, time
from pathlib import Path
import dask.array, torch, xarray, zarr
import tiny
import transformer_dynamics as td
from transformer_dynamics.recording.disk import shards, store
from transformer_dynamics.recording.record import record
from transformer_dynamics.recording.workers import claims, growing, worker
torch.set_num_threads(1)
xarray.DataArray([0.0]).chunk()
claims.EMPTY_TIMEOUT, worker.LONGEST_WAIT, worker.PAUSE = 0.3, 0.2, 0.05
model, lists = tiny.model(), tiny.token_lists(16)
model.sites, model.weight_hash
options = td.RecordingOptions(shard_samples=2)  # 8 shards
folder = Path(sys.argv[1])

def content(path):
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}

def start(name, prepare=lambda: None):
    def work():
        prepare()
        record(model, lists, out=folder / name, options=options)
    return fork(work)

began = time.monotonic()
assert ended(start("alone.zarr")) == 0
length = time.monotonic() - began
alone = content(folder / "alone.zarr")

def require_same(name):
    assert content(folder / name) == alone, name
    left = sorted(path.name for path in folder.iterdir())
    assert left == sorted(["alone.zarr", name]), left
    shutil.rmtree(folder / name)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run code in a process that is prepared once; the value of its name `result`."""
    folder = tmp_path_factory.mktemp("workers")
    with forking.prepared(PREPARED, str(folder)) as run:
        run.folder = folder
        yield run


KILLED = """
draws, kills = random.Random(0), 0
for index in range(20):
    name = f"{index}.zarr"
    workers = [start(name) for _ in range(5)]
    for _ in range(3):
        time.sleep(draws.uniform(0.0, length))
        chosen = draws.randrange(5)
        os.kill(workers[chosen], signal.SIGKILL)
        kills += ended(workers[chosen]) == -signal.SIGKILL
        workers[chosen] = start(name)
    assert [ended(each) for each in workers] == [0] * 5
    require_same(name)
result = kills
"""


@forks
def test_twenty_rounds_of_five_workers_with_random_kills_are_the_same(run):
    """One of 60 kills hits a moment of a twentieth of the run with probability 0.95."""
    assert run(KILLED) >= 10
    values = td.record(tiny.model(), LISTS, options=OPTIONS).values
    np.testing.assert_array_equal(td.open_recording(run.folder / "alone.zarr").values, values)


FROZEN = """
def hasten():
    claims.HEARTBEAT, claims.TIMEOUT = 0.05, 0.6

def freeze_at(shard):
    def prepare():
        hasten()
        original = shards.shard_states
        def states(job, index, *rest):
            found = original(job, index, *rest)
            if index == shard:
                os.kill(os.getpid(), signal.SIGSTOP)
            return found
        shards.shard_states = states
    return prepare

def frozen(process):
    assert os.WIFSTOPPED(os.waitpid(process, os.WUNTRACED)[1])
    return process

# Woken after another worker has recorded its shard and closed the recording.
first = frozen(start("a.zarr", freeze_at(3)))
assert ended(start("a.zarr", hasten)) == 0
os.kill(first, signal.SIGCONT)
assert ended(first) == 0
require_same("a.zarr")

# Woken after another worker has recorded its shard and is frozen itself, in the last one.
first = frozen(start("b.zarr", freeze_at(3)))
others = [frozen(start("b.zarr", freeze_at(7))) for _ in range(2)]
published = os.listdir(folder / "b.zarr.partial/recording.zarr/activation/c")
assert sorted(map(int, published)) == [shard for shard in range(8) if shard != 7]
os.kill(first, signal.SIGCONT)
assert ended(first) == 0
for other in others:
    os.kill(other, signal.SIGCONT)
    assert ended(other) == 0
require_same("b.zarr")
"""


@forks
def test_a_frozen_worker_that_wakes_up_does_no_harm(run):
    run(FROZEN)


DIFFERENT = """
def forbidden(*_, **__):
    raise OSError(38, "Function not implemented")

def unreliable(number):
    def prepare():
        import fcntl, filelock
        os.link = os.symlink = fcntl.flock = fcntl.lockf = filelock.FileLock.acquire = forbidden
        claims.Claims.take = lambda self, shard: True  # claims exclude nobody
        original = shards.shard_states
        shards.shard_states = lambda *given: np.full_like(original(*given), number)
    return prepare

import numpy as np
ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT
for index in range(3):
    name = f"{index}.zarr"
    workers = [start(name, unreliable(number)) for number in (1, 2, 3)]
    seen, alive = {}, True
    while alive:
        try:
            for file in (folder / f"{name}.partial").glob("recording.zarr/activation/c/*/0/0"):
                written = file.read_bytes()
                assert seen.setdefault(file.parts[-3], written) == written
        except FileNotFoundError:
            pass  # it was closed while the folder was read
        alive = any(os.waitid(os.P_PID, each, ENDED) is None for each in workers)
    assert [ended(each) for each in workers] == [0] * 3
    for shard, written in seen.items():
        assert (folder / name / "activation/c" / shard / "0/0").read_bytes() == written
    values = td.open_recording(folder / name).values
    shards_of = values.reshape(8, -1)
    assert (shards_of == shards_of[:, :1]).all() and set(values.flat) <= {1, 2, 3}
    shutil.rmtree(folder / name)
"""


@forks
def test_without_locks_links_and_claims_a_shard_keeps_its_first_bytes(run):
    """Three workers that compute different states all record every shard."""
    run(DIFFERENT)


def begun(folder):
    """The folder of a growing recording with one worker's view on it."""
    model = tiny.model()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "shard_states", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            td.record(model, LISTS, out=folder / "r.zarr", options=OPTIONS)
    return model, folder / "r.zarr"


def _interrupted(*_):
    raise KeyboardInterrupt


def test_one_of_many_publishes_a_shard(tmp_path):
    _, out = begun(tmp_path)
    states = [np.full((2, 7, 16), number, dtype="float32") for number in range(8)]
    for shard in range(8):
        workers = [Growing(out, f"worker-{number}") for number in range(8)]
        for worker in workers:
            worker.join()
        gate, first = threading.Barrier(8), []

        def publish(number, shard=shard, workers=workers, gate=gate, first=first):
            gate.wait()
            if workers[number].publish(shard, states[number], 2, 1):
                first.append(number)

        threads = [threading.Thread(target=publish, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = first
        file = workers[0].store / f"activation/c/{shard}/0/0"
        assert file.read_bytes()[: states[winner].nbytes] == states[winner].tobytes()
        assert [list(worker.work.iterdir()) for worker in workers] == [[]] * 8
    assert workers[0].published() == set(range(8))


def test_a_move_that_a_network_file_system_reports_twice_counts_as_done(tmp_path, monkeypatch):
    """The first answer is lost, and the repeated call finds no source any more."""
    _, out = begun(tmp_path)
    worker = Growing(out, "worker")
    worker.join()
    rename = Path.rename

    def repeated(source, target):
        rename(source, target)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(Path, "rename", repeated)
    assert worker.publish(0, np.zeros((2, 7, 16), dtype="float32"), 2, 1) is False
    assert worker.published() == {0}


class Clock:
    """A clock that the test sets."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(claims, "time", clock)
    return clock


def claims_of(folder, worker, host="elsewhere"):
    private = folder / worker
    private.mkdir()
    return Claims(folder, private, Identity(worker, host, 1, f"{host} since its start", "cpu"))


HOUR = 3600 * 10**9


@pytest.mark.parametrize("wrong_by", [-HOUR, HOUR])
def test_claims_are_stale_by_the_clock_of_the_observer(wrong_by, tmp_path, clock):
    owner, observer = claims_of(tmp_path, "owner", "slow"), claims_of(tmp_path, "observer")
    assert owner.take(4)
    claim = tmp_path / "4.json"
    for beat in range(10):  # a heartbeat of another clock, more than twice the time-out in all
        os.utime(claim, ns=(wrong_by + beat, wrong_by + beat))
        assert not observer.take(4)
        clock.now += claims.TIMEOUT / 4
    assert not observer.take(4)  # seen unchanged, but not for long
    clock.now += claims.TIMEOUT + 1
    assert observer.take(4)
    assert claims.read_claim(claim)["worker"] == "observer"
    owner.release()  # of a worker that wakes up; the claim is another's
    assert claim.exists()
    observer.release()
    assert not claim.exists()
    assert owner.take(4)


def test_an_unwritten_claim_is_stale_soon(tmp_path, clock):
    (tmp_path / "0.json").touch()
    observer = claims_of(tmp_path, "observer")
    assert not observer.take(0)
    clock.now += claims.EMPTY_TIMEOUT + 1
    assert observer.take(0)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="a zombie is seen in /proc")
def test_a_claim_of_a_process_that_has_ended_is_taken_over_at_once(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    own = Identity.here("cpu")
    while not has_ended(process.pid):  # and is not waited for: a zombie
        pass
    ended = Identity("ended", own.host, process.pid, own.space, "cpu")
    (tmp_path / "a").mkdir()
    assert Claims(tmp_path, tmp_path / "a", ended).take(0)
    (tmp_path / "b").mkdir()
    observer = Claims(tmp_path, tmp_path / "b", own)
    assert observer.take(0)
    assert observer.left_by["worker"] == "ended"
    process.wait()
    assert has_ended(process.pid)
    assert not has_ended(os.getpid())


def test_a_failed_shard_is_noted_tried_last_and_forgotten_when_it_succeeds(tmp_path, monkeypatch):
    model, out = begun(tmp_path)
    broken = LISTS[7][-1]
    failing = {text // 2 for text, ids in enumerate(LISTS) if broken in ids}
    weights = model.hf_model.model.embed_tokens.weight
    good = weights[broken].clone()
    # The same model, as far as the settings say.
    settings = recording_progress(out).settings
    monkeypatch.setattr(type(model), "weight_hash", settings["weights"])
    monkeypatch.setattr(job, "state_fingerprint", lambda *_: settings["fingerprint"])
    with torch.no_grad():
        weights[broken] = torch.nan
    for _ in failing:  # a worker ends with its first failure, the next one tries that shard last
        with pytest.raises(RecordingError, match="NaN or infinite states"):
            td.record(model, LISTS, out=out, options=OPTIONS)
    with pytest.raises(RecordingError, match="NaN or infinite states"):
        td.record(model, LISTS, out=out, options=OPTIONS)
    progress = recording_progress(out)
    assert set(progress.published) == set(range(8)) - failing
    assert progress.claims == ()
    assert {failure.shard for failure in progress.failures} == failing
    for failure in progress.failures:
        assert "RecordingError: the model tiny-llama produced NaN" in failure.error
    done = (progress.outline.tokens[shard] for shard in progress.published)
    assert progress.tokens_done == sum(done) > 0
    with torch.no_grad():
        weights[broken] = good
    recording = td.record(model, LISTS, out=out, options=OPTIONS)
    monkeypatch.undo()
    alone = td.record(tiny.model(), LISTS, options=OPTIONS)
    np.testing.assert_array_equal(recording.values, alone.values)


def test_a_shard_that_was_left_is_noted_until_it_is_recorded(tmp_path, monkeypatch):
    model, out = begun(tmp_path)
    left = Growing(out, "left")
    left.join()
    identity = Identity("left", "elsewhere", 1, "elsewhere", "cpu")
    assert Claims(left.folder / "claims", left.work, identity).take(2)
    monkeypatch.setattr(claims, "TIMEOUT", 0.05)
    found = []

    def look(job, shard, count=None):
        if shard == 2:
            progress = recording_progress(out)
            found.extend(progress.failures)
            assert progress.published == (0, 1, 3, 4, 5, 6, 7)
        return original(job, shard, count)

    original = shards.shard_states
    monkeypatch.setattr(shards, "shard_states", look)
    recording = td.record(model, LISTS, out=out, options=OPTIONS)
    (failure,) = found
    assert (failure.shard, failure.worker, failure.host) == (2, "left", "elsewhere")
    assert "ended or was frozen" in failure.error
    assert recording.shape[0] == 16


def test_the_progress_names_the_running_shard(tmp_path, monkeypatch):
    found = []

    def look(job, shard, count=None):
        found.append(recording_progress(tmp_path / "r.zarr"))
        return original(job, shard, count)

    original = shards.shard_states
    monkeypatch.setattr(shards, "shard_states", look)
    td.record(tiny.model(), LISTS, out=tmp_path / "r.zarr", options=OPTIONS)
    for shard, progress in enumerate(found):
        assert progress.published == tuple(range(shard))
        (claim,) = progress.claims
        assert (claim.shard, claim.pid, claim.device) == (shard, os.getpid(), tiny.DEVICE)
        assert not claim.is_stale
    outline = found[0].outline
    assert (outline.n_samples, outline.n_sites, outline.n_units) == (16, 7, 16)
    assert outline.n_tokens == sum(map(len, LISTS))
    files = list((tmp_path / "r.zarr" / "activation" / "c").glob("*/0/0"))
    assert outline.n_bytes == sum(file.stat().st_size for file in files)
    with pytest.raises(RecordingError, match="no recording grows in"):
        recording_progress(tmp_path / "r.zarr")


def test_threads_of_one_process_share_the_work(tmp_path):
    model = tiny.model()
    assert model.sites
    assert model.weight_hash
    threads = [
        threading.Thread(target=td.record, args=[model, LISTS], kwargs={"out": tmp_path / "r.zarr"})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = td.record(model, LISTS)
    np.testing.assert_array_equal(td.open_recording(tmp_path / "r.zarr").values, alone.values)
    assert [path.name for path in tmp_path.iterdir()] == ["r.zarr"]
