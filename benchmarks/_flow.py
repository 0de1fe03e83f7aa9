"""The model in the loop beside what it replaces: hooked re-runs of the text, bare forward passes.

`td.perturbation` rests on the flow map, whose cost is that of one token per state, whatever the
text's length. Its own clean run of the text is counted wherever the re-runs have none. Peak memory
is that of a forked process while it advances, model included (on Linux).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from _forking import in_fork
from _timing import Row, Task, Timings, interleaved, relative_difference
from numpy.typing import NDArray
from rich.table import Table

import transformer_dynamics as td
from transformer_dynamics.model.hooks import evaluating, reading
from transformer_dynamics.model.labels import parse
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.perturbation.depths import layer_sites, quarter_sites

Floats = NDArray[Any]


@dataclass(frozen=True)
class Sizes:
    """How much is run.

    Attributes:
        text: tokens of the text whose last token is put elsewhere.
        grid: points a side of the grid.
        batch: grid points in one hooked re-run.
        states: states that are advanced over the two contexts.
        contexts: tokens of a short and of a long context.
    """

    text: int
    grid: int
    batch: int
    states: int
    contexts: tuple[int, int]


FULL = Sizes(text=185, grid=10, batch=25, states=576, contexts=(100, 1000))
QUICK = Sizes(text=20, grid=4, batch=4, states=32, contexts=(10, 50))
MEMORY_ROUNDS = 3
BASE = {"units": 128, "layers": 8, "tokens": 100, "states": 100}
# What grows, one at a time, from the base.
GROWING = {
    "units": (64, 128, 256, 512),
    "layers": (4, 8, 16, 32),
    "tokens": (32, 100, 316, 1000),
    "states": (25, 100, 400),
}
QUICK_BASE = {"units": 16, "layers": 2, "tokens": 8, "states": 4}
QUICK_GROWING = {"units": (16, 32), "layers": (2, 3), "tokens": (8, 16), "states": (4, 8)}


def flow_rows(model: Model, sizes: Sizes, rounds: int) -> list[Row]:
    """Teleport grid, long contexts and Jacobians, each beside its baseline."""
    generator = np.random.default_rng(0)
    vocabulary = model.hf_model.config.vocab_size
    tokens = generator.integers(1, vocabulary, max(sizes.text, *sizes.contexts)).tolist()
    return [
        _grid_row(model, tokens[: sizes.text], sizes, rounds),
        *_context_rows(model, tokens, sizes, rounds),
        *_jacobian_rows(model, tokens[: sizes.text], rounds),
    ]


def _grid_row(model: Model, tokens: Sequence[int], sizes: Sizes, rounds: int) -> Row:
    """The grid at five layers; the re-run on the first batch of each layer."""
    states = _near(model.flow_map(tokens).clean[0], sizes.grid**2)
    starts = quarter_sites(model.sites)

    def ours() -> dict[str, Floats]:
        flow = model.flow_map(tokens)
        return {start: flow.advance(states, start) for start in starts}

    def plain() -> dict[str, Floats]:
        return {start: _rerun(model, tokens, states[: sizes.batch], start) for start in starts}

    timings = interleaved({"ours": ours, "plain": plain}, rounds)
    share = sizes.batch / len(states)
    part, whole = timings.results["plain"], timings.results["ours"]
    differences = [
        relative_difference(whole[start][: sizes.batch, place], part[start][:, place])
        for start in starts
        for place in range(part[start].shape[1])
    ]
    goal = "" if sizes is QUICK else " (goal: at most 0.0083)"
    return Row(
        name=f"{sizes.grid} x {sizes.grid} states at 5 layers, to the end{goal}",
        ratios=timings.ratios("ours", "plain") * share,
        seconds=timings.median("ours"),
        baseline=f"text of {len(tokens)} tokens re-run with a hook, {sizes.batch} a batch",
        baseline_seconds=timings.median("plain") / share,
        measured_on=f"{sizes.batch} of {len(states)} states at each layer",
        difference=max(differences),
    )


def _near(clean: Floats, n_states: int) -> Floats:
    """States that lie as far from a clean one as it is long."""
    drawn = np.random.default_rng(1).standard_normal((n_states, clean.size))
    scale = np.linalg.norm(clean) / np.linalg.norm(drawn, axis=1, keepdims=True)
    shifted: Floats = clean + drawn * scale
    return shifted


def _rerun(model: Model, tokens: Sequence[int], states: Floats, start: str) -> Floats:
    """The whole text once per state, which a plain hook puts in its last place."""
    kept: dict[str, Floats] = {}
    sites = model.found_sites.sites[model.sites.index(start) :]
    put = torch.as_tensor(states, dtype=torch.float32)

    def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        stream = (args[0] if args else kwargs["hidden_states"]).clone()
        stream[:, -1] = put
        return (stream, *args[1:]), kwargs

    def keep(label: str, stream: torch.Tensor) -> None:
        kept[label] = stream[:, -1].double().numpy()

    layer = model.trunk.get_submodule(f"layers.{parse(start)[0]}")
    hook = layer.register_forward_pre_hook(before, with_kwargs=True)
    try:
        with evaluating(model.hf_model), reading(model.trunk, sites, keep):
            ids = torch.as_tensor(tokens).expand(len(states), -1)
            model.trunk(input_ids=ids, use_cache=False)
    finally:
        hook.remove()
    kept[start] = states  # read before the hook put them there
    return np.stack([kept[site.label] for site in sites], axis=1)


def _context_rows(model: Model, tokens: list[int], sizes: Sizes, rounds: int) -> list[Row]:
    """The same states over a short and a long context."""
    short, long = (model.flow_map(tokens[:length]) for length in sizes.contexts)
    states = _near(short.clean[0], sizes.states)
    first, last = model.sites[0], model.sites[-1]
    tasks: dict[str, Task] = {
        "short": lambda: short.advance(states, first, keep=[last]),
        "long": lambda: long.advance(states, first, keep=[last]),
    }
    timings = interleaved(tasks, rounds)
    few, many = sizes.contexts
    goal = "" if sizes is QUICK else " (goal: at most 1.5)"
    return [
        Row(
            name=f"{sizes.states} states over {many} tokens of context{goal}",
            ratios=timings.ratios("long", "short"),
            seconds=timings.median("long"),
            baseline=f"the same over {few} tokens",
            baseline_seconds=timings.median("short"),
            measured_on="all",
            difference=None,
        )
    ]


def _jacobian_rows(model: Model, tokens: list[int], rounds: int) -> list[Row]:
    """Every layer's Jacobian beside a bare pass of as many tokens over the same context."""
    flow = model.flow_map(tokens)
    sites = layer_sites(model.sites)
    steps = list(pairwise(sites))
    cache = transformers.DynamicCache()
    with evaluating(model.hf_model):
        model.trunk(input_ids=torch.as_tensor([tokens[:-1]]), past_key_values=cache, use_cache=True)
    tasks: dict[str, Task] = {
        "bare": lambda: _bare(model, tokens, flow.n_units, cache),
        "ours": lambda: np.stack([flow.jacobian(*step) for step in steps]),
    }
    timings = interleaved(tasks, rounds)
    vectors = np.eye(flow.n_units)[:: max(1, flow.n_units // 8)]
    step = len(steps) // 2
    forward = flow.jvp(vectors, *steps[step])
    reverse = timings.results["ours"][step] @ vectors.T
    named = f"{len(steps)} layers' Jacobians of {flow.n_units} units"
    goal = " (goal: at most 4)" if flow.n_units == FULL.states else ""
    return [
        Row(
            name=named + goal,
            ratios=timings.ratios("ours", "bare"),
            seconds=timings.median("ours"),
            baseline=f"bare pass of {flow.n_units} single tokens, same context",
            baseline_seconds=timings.median("bare"),
            measured_on=f"a context of {len(tokens) - 1} tokens",
            difference=relative_difference(reverse.T, forward),
        )
    ]


def _bare(model: Model, tokens: Sequence[int], n_tokens: int, cache: Any) -> torch.Tensor:
    """Tokens in one sequence, each of which sees the context and itself; no hooks, no head."""
    n_context = len(tokens) - 1
    pieces = []
    with evaluating(model.hf_model):
        for first in range(0, n_tokens, 128):
            size = min(128, n_tokens - first)
            own = torch.full((size, size), torch.finfo(torch.float32).min).fill_diagonal_(0.0)
            mask = torch.cat([torch.zeros(size, n_context), own], dim=1)[None, None]
            grown = copy.copy(cache)
            grown.layers = [copy.copy(layer) for layer in cache.layers]
            output = model.trunk(
                input_ids=torch.full((1, size), tokens[-1]),
                position_ids=torch.full((1, size), n_context),
                attention_mask=mask,
                past_key_values=grown,
                use_cache=True,
            )
            pieces.append(output.last_hidden_state[0])
    return torch.cat(pieces)


def memory_line(quick: bool, apart: Executor) -> str:
    """Peak memory of processes that advance states over each of the two contexts.

    Args:
        quick: small sizes.
        apart: runs in a process in which no thread of torch runs, so that it can be forked.
    """
    sizes, rounds = (QUICK, 1) if quick else (FULL, MEMORY_ROUNDS)
    peaks = np.array(
        [
            [apart.submit(_peak_of_fork, length, quick).result() for length in sizes.contexts]
            for _ in range(rounds)
        ]
    )
    few, many = sizes.contexts
    less, more = np.median(peaks, axis=0)
    return (
        f"Peak memory while a process advances {sizes.states} states, median of {rounds}: "
        f"{more:.0f} MB over {many} tokens, {less:.0f} MB over {few}, ratio {more / less:.3f} "
        "(goal: at most 1.1)"
    )


def _peak_of_fork(length: int, quick: bool) -> float:
    """Peak of a process forked for it, in MB."""
    return in_fork(lambda: _peak(length, quick))


def _peak(length: int, quick: bool) -> float:
    """Most memory that the process holds while it advances states, in MB.

    Loading the model takes more at its worst, so the mark is set back once the text has run. The
    long text repeats the short one's tokens: rows of the embedding are read from the file as they
    are needed, and are no part of what states cost.
    """
    sizes = QUICK if quick else FULL
    model = small_model(**_shape(QUICK_BASE)) if quick else td.load_model()
    drawn = np.random.default_rng(0).integers(
        1, model.hf_model.config.vocab_size, sizes.contexts[0]
    )
    flow = model.flow_map(np.resize(drawn, length).tolist())
    states = _near(flow.clean[0], sizes.states)
    Path("/proc/self/clear_refs").write_text("5")
    flow.advance(states, model.sites[0], keep=[model.sites[-1]])
    status = Path("/proc/self/status").read_text()
    return float(status.split("VmHWM:")[1].split()[0]) / 1024


def small_model(units: int, layers: int) -> Model:
    """A Llama of random weights."""
    config = transformers.LlamaConfig(
        hidden_size=units,
        intermediate_size=2 * units,
        num_hidden_layers=layers,
        num_attention_heads=4,
        vocab_size=256,
        max_position_embeddings=1024,
    )
    torch.manual_seed(0)
    return td.load_model(transformers.AutoModelForCausalLM.from_config(config).eval())


def _shape(size: dict[str, int]) -> dict[str, int]:
    return {name: size[name] for name in ("units", "layers")}


def scaling_table(rounds: int, *, quick: bool) -> Table:
    """Seconds by units, layers, tokens of context and states, one growing at a time."""
    base, growing = (QUICK_BASE, QUICK_GROWING) if quick else (BASE, GROWING)
    told = ", ".join(f"{value} {name}" for name, value in base.items())
    table = Table(title=f"What grows, from {told}\n(random Llamas, median of {rounds} rounds)")
    for heading in (
        "what grows",
        "to",
        "advance all states\nto the end, seconds",
        "over the\nrow above",
        "Jacobians of all\nlayers, seconds",
        "over the\nrow above",
    ):
        table.add_column(heading, justify="right")
    for name, values in growing.items():
        before: tuple[float, float] | None = None
        for value in values:
            timings = _scaled({**base, name: value}, rounds)
            now = timings.median("advance"), timings.median("jacobians")
            over = ["", ""]
            if before is not None:
                over = [f"{one / other:.2f}" for one, other in zip(now, before, strict=True)]
            table.add_row(name, str(value), f"{now[0]:.4f}", over[0], f"{now[1]:.4f}", over[1])
            before = now
        table.add_section()
    return table


def _scaled(size: dict[str, int], rounds: int) -> Timings:
    model = small_model(**_shape(size))
    tokens = np.random.default_rng(0).integers(1, 256, size["tokens"]).tolist()
    flow = model.flow_map(tokens)
    states = _near(flow.clean[0], size["states"])
    sites = layer_sites(model.sites)
    steps = list(pairwise(sites))
    tasks: dict[str, Task] = {
        "advance": lambda: flow.advance(states, model.sites[0], keep=[model.sites[-1]]),
        "jacobians": lambda: [flow.jacobian(*step) for step in steps],
    }
    interleaved(tasks, 1)  # the first call of each allocates
    return interleaved(tasks, rounds)
