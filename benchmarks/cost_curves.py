"""Time and memory of recording, measures and claims against samples, units and sites.

`python benchmarks/cost_curves.py` measures every point in a process of its own, one factor at a
time around a base size, and writes docs/cost_curves.md. Each point is a JSON file in `--folder`:
the same call continues after an interruption, and measures again a point that failed. Recordings
lie on disk in chunks of 256 KiB, small against all sizes, so that a measure that reads blocks shows
flat memory. A process runs the task once on a tiny recording, which loads what is imported late;
then its peak is reset (Linux) and the task is measured. A point that needs more than `--limit`
seconds of a processor is given up, and so are larger ones.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
import xarray as xr

import transformer_dynamics as td
from transformer_dynamics.recording import recording as limits
from transformer_dynamics.recording.disk import chunks, states
from transformer_dynamics.registry import CLAIMS, MEASURES

PAGE = Path(__file__).parents[1] / "docs" / "cost_curves.md"
# Some measures take a subsample of 4096 samples: the samples reach beyond it, in fewer units.
BASES = {
    "samples": {"samples": 2048, "units": 32, "sites": 13},
    "units": {"samples": 256, "units": 64, "sites": 13},
    "sites": {"samples": 256, "units": 64, "sites": 13},
}
SIZES = {
    "samples": (2048, 4096, 8192, 16384),
    "units": (64, 256, 1024, 2048),
    "sites": (7, 25, 65, 129),
}
TINY = {"samples": 48, "units": 16, "sites": 13}
BLOCK_BYTES = 256 * 2**10
N_TOKENS = 16
RECORD, MOMENTS = "td.record", "td.record, keep='moments'"
CLAIM_TESTS, IN_BLOCKS = "td.evaluate_claims", "td.evaluate_claims, in blocks"
CLAIMS_IN_BLOCKS = ["C1", "C2", "C3", "C4", "C7"]
DRAWS = td.ClaimOptions(n_null=19, n_bootstrap=99, n_threads=1)
# More draws take more time and no more memory.
FEW_DRAWS = td.ClaimOptions(n_null=1, n_bootstrap=19, n_threads=1)

Sizes = dict[str, int]


def main() -> None:
    """Measure what is missing, then write the page."""
    options = _options()
    options.folder.mkdir(parents=True, exist_ok=True)
    MEASURES.all(), CLAIMS.all()
    tasks = [each for each in task_names() if options.only is None or each in options.only]
    for task in tasks:
        for factor in SIZES:
            _measure_factor(task, factor, options)
    points = {
        task: {factor: _points(task, factor, options.folder) for factor in SIZES} for task in tasks
    }
    options.page.write_text(page(points, options.limit), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Cost curves, as a page of the documentation.")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "tdyn-cost-curves"
    )
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--limit", type=int, default=40, help="seconds of a processor for a point")
    parser.add_argument("--only", nargs="+", help="names of some tasks")
    return parser.parse_args()


def task_names() -> list[str]:
    """Recording, every measure, and the claims in memory and in blocks."""
    return [RECORD, MOMENTS, *MEASURES.all(), CLAIM_TESTS, IN_BLOCKS]


def _sizes(factor: str, size: int) -> Sizes:
    return {**BASES[factor], factor: size}


def _file(task: str, sizes: Sizes, folder: Path) -> Path:
    name = task.replace(" ", "").replace("'", "").replace(",", "-")
    return folder / f"{name}-{sizes['samples']}-{sizes['units']}-{sizes['sites']}.json"


def _points(task: str, factor: str, folder: Path) -> dict[int, dict[str, Any]]:
    """Measured points along a factor; given up ones are empty."""
    files = {size: _file(task, _sizes(factor, size), folder) for size in SIZES[factor]}
    return {size: json.loads(file.read_text()) for size, file in files.items() if file.exists()}


def _measure_factor(task: str, factor: str, options: argparse.Namespace) -> None:
    """Measure the missing points; none above one that was given up, or that failed just now."""
    given_up = False
    for size in SIZES[factor]:
        sizes = _sizes(factor, size)
        file = _file(task, sizes, options.folder)
        if not file.exists():
            made = {} if given_up else _in_child(task, sizes, options)
            if made is None:
                return
            partial = file.with_suffix(".partial")  # an interrupted call leaves no half a point
            partial.write_text(json.dumps(made))
            partial.replace(file)
            print(task, sizes, made, flush=True)
        given_up = given_up or not json.loads(file.read_text())


def _in_child(task: str, sizes: Sizes, options: argparse.Namespace) -> dict[str, Any] | None:
    """Measure a point in a forked process; empty if it took too long, None if it failed."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        spent = int(time.process_time()) + 15  # the making of its recording
        resource.setrlimit(resource.RLIMIT_CPU, (options.limit + spent, -1))
        status = 1
        try:
            os.write(write, json.dumps(_measured(task, sizes)).encode())
            status = 0
        except Exception as error:
            print(f"{task} {sizes}: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status == -signal.SIGXCPU:
        return {}
    if status != 0:
        print(f"{task} {sizes}: failed with status {status}", file=sys.stderr)
        return None
    return json.loads(text)


def _measured(task: str, sizes: Sizes) -> dict[str, Any]:
    """Processor seconds, seconds and added bytes of a task."""
    warnings.simplefilter("ignore")
    chunks.CHUNK_BYTES = states.BLOCK_BYTES = BLOCK_BYTES
    with tempfile.TemporaryDirectory() as name:
        _prepared(task, TINY, Path(name) / "tiny")()
        run = _prepared(task, sizes, Path(name) / "full")
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak is the present size again
        before, cpu, wall = _memory("VmRSS"), time.process_time(), time.perf_counter()
        result = run()
        return {
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - wall,
            "bytes": max(0, _memory("VmHWM") - before),
            "result": result.nbytes if isinstance(result, xr.Dataset) else 0,
        }


def _memory(line: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(each for each in lines if each.startswith(line)).split()[1])


def _prepared(task: str, sizes: Sizes, folder: Path) -> Callable[[], Any]:
    """Task on a recording, or on a model, of the given sizes."""
    folder.mkdir()
    if task in (RECORD, MOMENTS):
        model, lists = tiny_model(sizes), token_lists(sizes["samples"])
        keep = "states" if task == RECORD else "moments"
        # Full covariances of 2048 units at 13 sites would be refused as too large.
        few = td.RecordingOptions(covariance="unit")
        return lambda: td.record(model, lists, keep=keep, options=few, out=folder / "made.zarr")
    walk(sizes).save(folder / "walk.zarr")
    recording = td.open_recording(folder / "walk.zarr")
    if task == CLAIM_TESTS:
        return lambda: td.evaluate_claims(recording, options=DRAWS)
    if task == IN_BLOCKS:
        return lambda: _claims_in_blocks(recording)
    function = MEASURES.get(task).function
    return lambda: function(recording)


def _claims_in_blocks(recording: Any) -> None:
    """Test claims as on a recording that is larger than the memory."""
    whole, limits.LOADED_BYTES = limits.LOADED_BYTES, 0
    try:
        td.evaluate_claims(recording, claims=CLAIMS_IN_BLOCKS, options=FEW_DRAWS)
    finally:
        limits.LOADED_BYTES = whole


def tiny_model(sizes: Sizes) -> Any:
    """Untrained Llama whose stream has the sizes."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=sizes["units"],
        intermediate_size=2 * sizes["units"],
        num_hidden_layers=(sizes["sites"] - 1) // 2,
        num_attention_heads=2,
        vocab_size=64,
        max_position_embeddings=64,
    )
    return td.load_model(transformers.AutoModelForCausalLM.from_config(config).eval())


def token_lists(n_texts: int) -> list[list[int]]:
    """Random texts of equal length."""
    return np.random.default_rng(0).integers(1, 64, (n_texts, N_TOKENS)).tolist()


def walk(sizes: Sizes) -> Any:
    """Random walk over the sites of a transformer, in float32."""
    steps = np.random.default_rng(0).standard_normal(
        (sizes["samples"], sizes["sites"], sizes["units"]), dtype=np.float32
    )
    layers = range((sizes["sites"] - 1) // 2)
    names = [f"{layer}.{kind}" for layer in layers for kind in ("pre_attn", "pre_mlp")]
    values = np.cumsum(steps, axis=1, out=steps)
    return td.recording.Recording.from_array(values, sites=[*names, "final"])


def exponent(costs: dict[int, float]) -> float | None:
    """Slope of log cost over log size by least squares, over the larger half of the sizes.

    >>> round(exponent({1: 9.0, 2: 10.0, 4: 40.0, 8: 160.0}), 3)
    2.0
    """
    sizes = sorted(size for size, cost in costs.items() if cost > 0)[-3:]
    if len(sizes) < 2:
        return None
    return float(np.polyfit(np.log(sizes), np.log([costs[size] for size in sizes]), 1)[0])


def growth(added: dict[int, float], n_units: int, n_sites: int) -> float:
    """Added memory over added states, between the two largest numbers of samples.

    >>> growth({1: 1e6, 1000: 50e6, 2000: 54e6}, n_units=100, n_sites=10)
    1.0
    """
    small, large = sorted(added)[-2:]
    return (added[large] - added[small]) / (4 * n_units * n_sites * (large - small))


def page(points: dict[str, dict[str, dict[int, dict[str, Any]]]], limit: int) -> str:
    """Page of the documentation from all points, and the seconds after which one was given up."""
    parts = [HEAD.format(**_words(), seconds=limit)]
    for cost, heading in (("cpu", "Time"), ("bytes", "Peak memory")):
        rows = "\n".join(_row(task, factors, cost) for task, factors in points.items())
        parts.append(
            f"## {heading}\n\n{TEXTS[cost].format(**_words())}\n\n{COLUMNS[cost]}\n{rows}\n"
        )
    return "\n".join(parts)


def _row(task: str, factors: dict[str, dict[int, dict[str, Any]]], cost: str) -> str:
    curves = {
        factor: {size: _cost(point, cost) for size, point in points.items() if point}
        for factor, points in factors.items()
    }
    samples = curves["samples"]
    cells = [f"`{task}`", *(_shown(samples.get(SIZES["samples"][end]), cost) for end in (0, -1))]
    for factor, curve in curves.items():
        slope = exponent(curve)
        text = "-" if slope is None else f"{slope:.1f}"
        missing = 0 < len(curve) < len(SIZES[factor])
        cells.append(f"{text} (to {max(curve)})" if missing else text)
    if cost == "bytes":
        base = BASES["samples"]
        each = growth(samples, base["units"], base["sites"]) if len(samples) > 1 else None
        cells.insert(3, "-" if each is None else f"{each:.2f}")
    return f"| {' | '.join(cells)} |"


def _cost(point: dict[str, Any], cost: str) -> float:
    """Cost of a point; memory without the result itself, which most callers keep anyway."""
    return max(0.0, point["bytes"] - point["result"]) if cost == "bytes" else point[cost]


def _shown(value: float | None, cost: str) -> str:
    if value is None:
        return "-"
    return f"{value:.2g} s" if cost == "cpu" else f"{value / 2**20:.1f} MiB"


def _words() -> dict[str, Any]:
    sizes = {f"of_{factor}": ", ".join(map(str, values)) for factor, values in SIZES.items()}
    bases = {factor: _described(BASES[factor]) for factor in ("samples", "sites")}
    largest = 4 * SIZES["samples"][-1] * BASES["samples"]["units"] * BASES["samples"]["sites"]
    numbers = {"tokens": N_TOKENS, "kib": BLOCK_BYTES // 2**10, "largest": largest / 2**20}
    claims = f"{', '.join(CLAIMS_IN_BLOCKS[:-1])} and {CLAIMS_IN_BLOCKS[-1]}"
    return {**sizes, **bases, **numbers, "few": claims}


def _described(base: Sizes) -> str:
    return ", ".join(f"{size} {name}" for name, size in base.items())


COLUMNS = {
    "cpu": """| task | base size | 8 times the samples | exponent: samples | units | sites |
|---|--:|--:|--:|--:|--:|""",
    "bytes": """\
| task | base size | 8 times the samples | growth | exponent: samples | units | sites |
|---|--:|--:|--:|--:|--:|--:|""",
}
HEAD = """# Cost curves

Time and peak memory of recording, of every measure with its defaults, and of the claims on a
recording, against the number of samples, units and sites. `python benchmarks/cost_curves.py`
measures them again and writes this page.

One factor varies at a time: {of_samples} samples around {samples}
(at most {largest:.1f} MiB of states); {of_units} units and {of_sites} sites around
{sites}. The states are random walks on disk, in chunks of {kib} KiB instead of
16 MiB, so that all sizes are large against a chunk; `td.record` runs untrained models over texts of
{tokens} tokens. One thread computes. The claims are those that need no model, with 19 draws of each
null and 99 bootstrap draws; *in blocks*, as on a recording larger than the memory, {few} with one
draw of each null and 19 bootstrap draws.

An exponent is the slope of the logarithm of the cost over that of the size, fitted to the three
largest sizes: 1 is proportional, 2 quadratic. A cost that does not depend on the factor, or has a
large constant part, gives an exponent near 0. *(to N)* marks a curve whose larger points took more
than {seconds} seconds and were given up.
"""
TEXTS = {
    "cpu": "Processor seconds of one call.",
    "bytes": """Largest memory of the process during the call, less that before it and that of the
result. *Growth* is the memory added between the two largest numbers of samples, over the bytes of
the added states in float32: 0 where memory does not depend on the samples, 1 where a copy of the
recording is held. What a sample takes for labels and results counts here against 1.6 KiB of states;
a sample of 61 sites and 576 units has 137 KiB. Measures that subsample hold 4096 samples and grow
no further; `dimension.intrinsic_dimension` holds all samples of one site. Claims in memory hold the
recording and its nulls, up to 4 GiB; *in blocks* they hold bootstrap weights, labels and values of
each sample. `td.record` holds texts, tokens and labels in memory, some kilobytes for each text, and
the states of one shard.""",
}


if __name__ == "__main__":
    main()
