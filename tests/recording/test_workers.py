"""A stored recording is read by forked processes and by several threads as by one."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import dask
import numpy as np
import pytest
import torch

from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.recording.disk import chunks

VALUES = np.random.default_rng(0).standard_normal((24, 5, 8))
READERS = {
    "one sample": lambda recording, index: recording.activation[index].values,
    "all samples": lambda recording, index: recording.values[index],
    "blocks": lambda recording, index: np.concatenate([x for _, x in recording.blocks()])[index],
    "selected": lambda recording, index: recording.isel(sample=[index]).load().values[0],
}


class Samples(torch.utils.data.Dataset):
    def __init__(self, recording, read):
        self.recording, self.read = recording, read

    def __len__(self):
        return self.recording.shape[0]

    def __getitem__(self, index):
        return np.array(self.read(self.recording, index))


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 5 * 5 * 8 * 8)
    Recording.from_array(VALUES).save(tmp_path / "r.zarr")
    return tmp_path / "r.zarr"


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_forked_workers_read_what_the_parent_reads(read, path):
    recording = open_recording(path)
    np.testing.assert_array_equal(recording.activation.values, VALUES)
    # A worker that hangs is an error after the timeout.
    loader = torch.utils.data.DataLoader(
        Samples(recording, read), batch_size=6, num_workers=2, multiprocessing_context="fork",
        timeout=20,
    )  # fmt: skip
    np.testing.assert_array_equal(torch.cat(list(loader)), VALUES)
    assert dask.config.get("scheduler", None) is None


# In a process of its own, where nothing but the package has been imported.
FORKED = """
import os, signal, sys
import numpy as np
import transformer_dynamics as td

recording = td.open_recording(sys.argv[1])
whole = recording.activation.values
process = os.fork()
if process == 0:
    signal.alarm(60)  # a read that waits forever ends with this signal
    same = np.array_equal(recording.activation[3].values, whole[3])
    os._exit(0 if same and np.array_equal(recording.values, whole) else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""


def test_a_fork_reads_where_only_the_package_is_imported(path):
    code = [sys.executable, "-W", "ignore", "-c", FORKED, str(path)]
    assert subprocess.run(code, check=False).returncode == 0


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_threads_read_what_one_thread_reads(read, path):
    recording = open_recording(path)
    with ThreadPoolExecutor(4) as threads:
        rows = list(threads.map(lambda index: read(recording, index), range(24), timeout=60))
    np.testing.assert_array_equal(rows, VALUES)
