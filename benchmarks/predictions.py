"""Predicted cost of recordings and the cost of the recordings then made, with the bundled model.

`python benchmarks/predictions.py` prints a table: bytes and time, predicted over made, and the peak
memory of the process. Times are processor seconds on one thread, which other work of the machine
changes little; `--wall` measures seconds. Each configuration runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

# Number of texts, positions and options of the recording.
CONFIGURATIONS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "last position": (128, "last", {}),
    "all positions": (48, "all", {}),
    "float16, few texts": (16, "last", {"storage": "float16"}),
}


def main() -> None:
    """Measure every configuration, then print."""
    parser = argparse.ArgumentParser(description="Predicted cost, and that of the recording.")
    parser.add_argument("--wall", action="store_true", help="seconds instead of processor seconds")
    parser.add_argument("--one", choices=tuple(CONFIGURATIONS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measured(options.one, wall=options.wall)))
        return
    table = Table("recording", "bytes", "predicted / made", "seconds", "predicted / made", "peak")
    for name in CONFIGURATIONS:
        words = [sys.executable, __file__, "--one", name, *(["--wall"] if options.wall else [])]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        table.add_row(
            name,
            f"{row['bytes'] / 1e6:.1f} MB",
            f"{row['planned_bytes'] / row['bytes']:.4f}",
            f"{row['seconds']:.1f}",
            f"{row['planned_seconds'] / row['seconds']:.2f}",
            f"{row['peak'] / 1e9:.2f} GB, predicted {row['planned_peak'] / 1e9:.2f}",
        )
    Console().print(table)


def measured(name: str, *, wall: bool) -> dict[str, float]:
    """Plan a recording, make it, and return both costs."""
    if not wall:
        time.perf_counter = time.process_time
    import torch

    import transformer_dynamics as td

    torch.set_num_threads(1)
    n_texts, positions, chosen = CONFIGURATIONS[name]
    model, texts = td.load_model(), td.load_texts(n=n_texts)
    options = td.RecordingOptions(**chosen)
    assert model.sites  # found before either is timed
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "r.zarr"
        cost = td.plan(model, texts, positions, out=out, options=options)
        start = time.perf_counter()
        td.record(model, texts, positions, out=out, options=options)
        seconds = time.perf_counter() - start
        files = (file for file in out.rglob("*") if file.is_file())
        return {
            "seconds": seconds,
            "planned_seconds": cost.seconds,
            "bytes": sum(file.stat().st_size for file in files),
            "planned_bytes": cost.disk_bytes,
            "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "planned_peak": cost.memory_bytes,
        }


if __name__ == "__main__":
    main()
