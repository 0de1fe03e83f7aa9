"""The sbatch file runs: an array of workers, some of them killed, records what one process does."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.cli.large import slurm
from transformer_dynamics.errors import TdynError
from transformer_dynamics.experiment.slurm import SlurmOptions, sbatch_text, slurm_time, submit

# The file that the documentation shows.
SHOWN = Path(__file__).with_name("record.sbatch")
WORDS = ("slurm", "record", "model", "--texts", "texts.txt", "--out", "r.zarr",
         "--shard-samples", "20")  # fmt: skip
TASKS, KILLED = range(4), (1, 2)
PATIENCE = 120

# Stands for the command in a task: one process imports the package, and forks for every call.
ZYGOTE = """
import os, signal, sys, time
from multiprocessing.connection import Listener
from pathlib import Path
import transformer_dynamics as td
from transformer_dynamics.cli import main
from transformer_dynamics.model import loading
from transformer_dynamics.recording.workers import worker

def brake(go, stuck, original=worker.record_shard):
    def braked(*given):
        while stuck or not go.exists():
            time.sleep(0.05)
        return original(*given)
    worker.record_shard = braked

def call(words, environment, folder):
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["tdyn", *words]
    if "STUCK" in environment:
        brake(Path(environment["GO"]), environment["STUCK"] == "1")
    status = 1
    try:
        main.main()
        status = 0
    except SystemExit as end:
        status = end.code or 0
    finally:
        sys.stdout.flush()
        os._exit(status)

# Most of what a task imports.
td.record(loading.load_model(sys.argv[2]), [[1, 2, 3]], out=sys.argv[1] + ".zarr")
with Listener(sys.argv[1], "AF_UNIX") as listener:
    print("ready", flush=True)
    while True:
        connection = listener.accept()
        if os.fork():
            connection.close()
            continue
        process = os.fork()
        if not process:
            call(*connection.recv())
        connection.send(process)
        connection.send(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
        os._exit(0)
"""
STUB = """#!{python}
import os, sys
from multiprocessing.connection import Client
connection = Client(os.environ["ZYGOTE"], "AF_UNIX")
connection.send((sys.argv[1:], dict(os.environ), os.getcwd()))
with open(os.environ["PID"], "w") as file:
    file.write(str(connection.recv()))
status = connection.recv()
sys.exit(status if status >= 0 else 128 - status)
"""


@pytest.fixture
def cluster(tmp_path, folder, monkeypatch):
    """Folder in which tasks run: a model, texts, and a `tdyn` that starts at once."""
    (tmp_path / "model").symlink_to(folder)
    lists = tiny.token_lists(100)
    (tmp_path / "texts.txt").write_text("\n".join(tiny.words(lists)))
    monkeypatch.chdir(tmp_path)
    stub = tmp_path / "bin" / "tdyn"
    stub.parent.mkdir()
    stub.write_text(STUB.format(python=sys.executable))
    stub.chmod(0o755)
    address = str(tmp_path / "zygote")
    zygote = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", ZYGOTE, address, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"},
    )
    assert zygote.stdout.readline() == "ready\n"
    yield {"PATH": f"{stub.parent}:{os.environ['PATH']}", "ZYGOTE": address}
    os.killpg(zygote.pid, signal.SIGKILL)
    zygote.wait()


def task(number, cluster, **variables):
    """Start a task of the array as SLURM does."""
    of_slurm = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_LOCALID": "0"}
    return subprocess.Popen(
        ["bash", "record.sbatch"],
        env={**os.environ, **cluster, **of_slurm, "PID": f"pid-{number}", **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def claiming():
    """Process numbers in the claims of the growing recording."""
    pids = set()
    for path in Path("r.zarr.partial/claims").glob("*.json"):
        text = path.read_text()
        pids |= {json.loads(text)["pid"]} if text else set()
    return pids


def bytes_of(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_array_of_the_documentation_records_what_one_process_does(
    cluster, tdyn, tmp_path, monkeypatch
):
    monkeypatch.setattr(slurm, "_command", lambda: "tdyn")
    status, text, errors = tdyn(*WORDS, "--array", 4, "--time", "10m")
    assert status == 0, errors
    assert Path("record.sbatch").read_text() == SHOWN.read_text()
    assert SHOWN.read_text().rstrip() in text
    assert Path("logs").is_dir()
    order = random.Random(0).sample(TASKS, len(TASKS))
    go = {"GO": str(tmp_path / "go")}
    tasks = {
        number: task(number, cluster, STUCK=str(int(number in KILLED)), **go) for number in order
    }
    wait_for(lambda: len(claiming()) == len(TASKS))
    for number in KILLED:
        os.kill(int(Path(f"pid-{number}").read_text()), signal.SIGKILL)
        assert tasks[number].wait(PATIENCE) == 128 + signal.SIGKILL
        tasks[number] = task(number, cluster)  # SLURM starts it again
    Path("go").touch()
    assert [tasks[number].wait(PATIENCE) for number in TASKS] == [0] * len(TASKS)
    assert not Path("r.zarr.partial").exists()
    twenty = td.RecordingOptions(shard_samples=20)
    texts = td.load_texts("texts.txt", 100)
    td.record("model", texts, out=tmp_path / "alone.zarr", options=twenty)
    assert bytes_of(Path("r.zarr")) == bytes_of(tmp_path / "alone.zarr")


def test_options_pass_through_quoted(tdyn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, text, errors = tdyn(
        "slurm", "record", "my org/model", "--texts", "my 'own' texts.txt", "--column", "a b",
        "--positions", "skip:4", "--storage", "float16", "--offline", "--out", "/s p/r.zarr",
        "--array", "32%8", "--gpus", 2, "--cpus", 4, "--memory", "64G", "--partition", "gpu",
        "--setup", "module load cuda", "--setup", "echo '$HOME'", "--script", "jobs/a.sbatch",
        "--json",
    )  # fmt: skip
    assert status == 0, errors
    made = (tmp_path / "jobs" / "a.sbatch").read_text()
    assert json.loads(text.splitlines()[-1])["text"] == made
    lines = made.splitlines()
    for setting in ("array=0-31%8", "gpus-per-node=2", "ntasks-per-node=2", "cpus-per-task=4",
                    "mem=64G", "partition=gpu", "time=04:00:00"):  # fmt: skip
        assert f"#SBATCH --{setting}" in lines
    assert "#SBATCH --requeue" in lines
    assert lines[-3:-1] == ["module load cuda", "echo '$HOME'"]
    echoed = lines[-1].replace("srun", "printf '%s\\n'", 1)
    words = subprocess.run(["bash", "-c", echoed], capture_output=True, text=True, check=True)
    given = words.stdout.splitlines()
    assert given[1] == "record"
    assert given[-2:] == ["--", "my org/model"]
    for option, value in (
        ("--texts", "my 'own' texts.txt"),
        ("--column", "a b"),
        ("--positions", "skip:4"),
        ("--storage", "float16"),
        ("--out", "/s p/r.zarr"),
    ):
        assert given[given.index(option) + 1] == value
    assert {"--offline", "--worker"} <= set(given)
    assert not {"--array", "--gpus", "--setup", "--json"} & set(given)


def test_a_model_spread_over_devices_has_one_worker_for_all():
    text = sbatch_text(["tdyn"], SlurmOptions(gpus=4), is_spread=True)
    assert "#SBATCH --ntasks-per-node=1\n#SBATCH --gpus-per-node=4\n" in text
    assert text.endswith("\nexec tdyn\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--array", "0"), "--array 32"),
        (("--array", "1-4"), "--array 32"),
        (("--time", "soon"), "time='soon'"),
        (("--script", "."), "--script ., which is a folder"),
        (("--gpus", "-1"), "gpus=-1"),
        (("--partition", "a b"), "partition='a b'"),
        (("--plan",), "leave out --plan"),
        (("--dask", "tcp://host:8786"), "--workers and --dask"),
        (("--keep", "moments"), "moments is recorded by one process"),
    ],
)
def test_what_no_array_can_do_is_refused(words, said, tdyn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, errors = tdyn("slurm", "record", *words)
    assert status == 1
    assert said in " ".join(errors.split())
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "written"),
    [("4h", "04:00:00"), ("90m", "01:30:00"), ("2d", "2-00:00:00"), ("30", "30"), ("1-2", "1-2")],
)
def test_time_limits_are_those_of_slurm(given, written):
    assert slurm_time(given) == written


def test_submitit_runs_the_command_of_every_task(tmp_path):
    options = SlurmOptions(array="2", time="5m", logs=tmp_path / "logs")
    jobs = submit(["printenv", "HOME"], options, cluster="local")
    assert [job.result().strip() for job in jobs] == [os.environ["HOME"]] * 2
    with pytest.raises(TdynError, match="gpus=2"):
        submit(["true"], SlurmOptions(gpus=2), cluster="local")


def test_submission_without_submitit_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(TdynError, match=r"pip install 'transformer-dynamics\[slurm\]'"):
        submit(["true"], SlurmOptions())
