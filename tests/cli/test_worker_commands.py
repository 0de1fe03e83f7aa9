"""Recording with several processes from the command line."""

import json
import os
import signal
import sys
import time

import numpy as np
import pytest

from transformer_dynamics.cli.options.flags import RecordFlags
from transformer_dynamics.cli.options.words import words_of
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording import open_recording
from transformer_dynamics.recording.workers.devices import worker_device, worker_environments
from transformer_dynamics.recording.workers.processes import run_workers
from transformer_dynamics.recording.workers.progress import recording_progress


@pytest.mark.parametrize(
    ("device", "environment", "n_devices", "chosen"),
    [
        ("auto", {}, 4, "auto"),
        ("auto", {"LOCAL_RANK": "2"}, 4, "cuda:2"),
        ("cuda", {"SLURM_LOCALID": "3"}, 4, "cuda:3"),
        ("auto", {"LOCAL_RANK": "1", "SLURM_LOCALID": "3"}, 4, "cuda:1"),
        ("auto", {"SLURM_LOCALID": "3"}, 1, "cuda:0"),  # SLURM shows each task its own device
        ("auto", {"LOCAL_RANK": "1"}, 0, "auto"),
        ("cuda:0", {"LOCAL_RANK": "1"}, 4, "cuda:0"),
        ("balanced", {"LOCAL_RANK": "1"}, 4, "balanced"),
    ],
)
def test_the_number_of_a_process_chooses_its_device(device, environment, n_devices, chosen):
    assert worker_device(device, environment, n_devices) == chosen


def test_workers_are_placed_on_the_devices():
    one, two, three = worker_environments("3", "auto", {}, 2)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in (one, two, three)] == ["0", "1", "0"]
    visible = worker_environments("gpus", "cuda", {"CUDA_VISIBLE_DEVICES": "5,GPU-7"}, 2)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in visible] == ["5", "GPU-7"]
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = [{"OMP_NUM_THREADS": str(max(1, n_cores // 2))}] * 2
    assert worker_environments("2", "auto", {}, 0) == threads
    assert worker_environments("2", "cpu", {}, 8) == threads
    assert worker_environments("2", "cpu", {"OMP_NUM_THREADS": "3"}, 0) == [{}, {}]


@pytest.mark.parametrize(
    ("workers", "device", "said"),
    [
        ("0", "auto", "a number of processes from 1, or gpus"),
        ("two", "auto", "a number of processes from 1, or gpus"),
        ("gpus", "cpu", "sees no CUDA device"),
        ("2", "cuda:1", "got --device cuda:1 with --workers 2"),
    ],
)
def test_wrong_numbers_of_workers_are_refused(workers, device, said):
    with pytest.raises(RecordingError, match=said):
        worker_environments(workers, device, {}, 2)


def test_a_wrong_number_of_a_process_is_refused():
    with pytest.raises(RecordingError, match="the variable LOCAL_RANK is 'first'"):
        worker_device("auto", {"LOCAL_RANK": "first"}, 2)


WORKER = """
import json, os, signal, sys
print(json.dumps({"event": "stage_begin", "number": os.environ["NUMBER"]}), flush=True)
print("a library that prints", flush=True)
number = os.environ["NUMBER"]
if number == "1":
    print(json.dumps({"event": "error", "message": "no room"}), flush=True)
    sys.exit(1)
if number == "2":
    os.kill(os.getpid(), signal.SIGKILL)
if number == "3":
    raise ValueError("a defect")
"""


def test_the_end_of_each_worker_is_reported_with_its_error():
    events = []
    command = [sys.executable, "-c", WORKER]
    environments = [{"NUMBER": str(number)} for number in range(4)]
    ends = run_workers(
        command, environments, lambda: None, lambda number, event: events.append((number, event))
    )
    errors = {end.number: end.error for end in ends}
    assert errors[0] is None
    assert errors[1] == "no room"
    assert errors[2] == "ended by SIGKILL"
    assert errors[3].startswith("exit status 1: ")
    assert errors[3].endswith("ValueError: a defect")
    assert sorted((number, event["number"]) for number, event in events) == [
        (number, str(number)) for number in range(4)
    ]


def test_workers_end_with_the_process_that_started_them():
    command = [sys.executable, "-c", "import time; print('{\"event\": \"up\"}', flush=True)\n"
               "time.sleep(600)"]  # fmt: skip
    started = []

    def stop(number, event):
        started.append(number)
        if len(started) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    began = time.monotonic()
    with pytest.raises(SystemExit) as info:
        list(run_workers(command, [{}, {}], lambda: None, stop))
    assert info.value.code == 128 + signal.SIGTERM
    assert time.monotonic() - began < 300


def test_options_come_back_from_their_words():
    options = RecordFlags(
        model="-m", texts="a b.txt", samples=3, offline=True, worker=True, positions="random:2"
    )
    assert words_of(options) == [
        "--offline", "--texts", "a b.txt", "--samples", "3", "--positions", "random:2",
        "--worker", "--", "-m",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--plan", "--worker"], "--plan and --worker exclude each other"),
        (["--worker", "--workers", 2], "--worker and --workers exclude each other"),
        (["--keep", "moments", "--workers", 2], "is recorded by one process"),
        (["--keep", "moments", "--plan"], "leave out --plan, or record the states"),
        (["--workers", "many"], "a number of processes from 1"),
    ],
)
def test_options_that_exclude_each_other_are_refused(given, said, tdyn, folder, tmp_path):
    status, _, err = tdyn("record", folder, "--out", tmp_path / "r.zarr", *given)
    assert status == 1
    assert said in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []


def test_plan_then_two_workers_then_once_more(tdyn, folder, text_file, tmp_path):
    words = ("record", folder, "--texts", text_file, "--positions", "all", "--shard-samples", 40)
    out = tmp_path / "r.zarr"
    status, text, _ = tdyn(*words, "--out", out, "--plan", "--json", "--quiet")
    assert status == 0
    planned = json.loads(text)
    progress = recording_progress(out)
    assert progress.published == progress.claims == progress.failures == ()
    # A text on the border of two shards runs in both.
    assert planned["tokens"] == progress.outline.n_tokens > planned["samples"]
    assert planned["shards"] == -(-planned["samples"] // 40)
    assert planned["worker"].startswith("tdyn record --texts ")
    assert planned["worker"].endswith(f"--worker -- {folder}")
    status, text, err = tdyn(*words, "--out", out, "--workers", 2)
    assert status == 0, err
    assert f"{planned['samples']} samples, 7 sites, 16 units" in text
    assert tdyn(*words, "--out", tmp_path / "alone.zarr")[0] == 0
    alone = open_recording(tmp_path / "alone.zarr")
    np.testing.assert_array_equal(open_recording(out).values, alone.values)
    status, text, _ = tdyn(*words, "--out", out, "--worker")
    assert status == 0
    assert "7 sites" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.zarr", "r.zarr"]


def test_a_recording_that_no_worker_can_make_says_why(tdyn, folder, text_file, tmp_path):
    words = ("record", folder, "--texts", text_file, "--out", tmp_path / "r.zarr")
    status, _, err = tdyn(*words, "--workers", 1, "--positions", "nowhere")
    assert status == 1
    said = " ".join(err.split())
    assert "worker 0: " in said
    assert "nowhere" in said
    assert "no worker is left" in said
