"""Recording beside the bare forward pass of the same batches.

The bare pass is the model without its head, without hooks, without an attention mask, over exactly
the batches that the recording runs; all ways are inside `evaluating`. Each leaves the last token's
states in memory (or, for `td.record`, in a closed store), and those are compared with the hidden
states that transformers itself returns. Loading the model, tokenizing, finding the sites and
hashing the weights happen once per model and are not counted.
"""

from __future__ import annotations

import copy
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from _timing import Row, Task, interleaved, relative_difference
from numpy.typing import NDArray
from torch import Tensor

import transformer_dynamics as td
from transformer_dynamics.model.hooks import evaluating, reading
from transformer_dynamics.model.loading import Model
from transformer_dynamics.recording.disk.shards import shard_states
from transformer_dynamics.recording.job import Job, make_job
from transformer_dynamics.recording.plan import Batch

PADDED_TEXTS = 16
# Tokens of a bundled text: mixed, and so few that five rounds of 1000 take a quarter of an hour.
SHORTEST, LONGEST = 8, 48
BARE = "bare forward pass, no head, no hooks"
HOOKS = "hooks alone: states in memory (goal: at most 1.03)"
RECORD = "td.record, tokens to a closed store (goal: at most 1.10)"
REFERENCE = "output_hidden_states, no head"
PEER_BARE = "bare forward pass of fewer texts"
PEER_HOOKS = "hooks alone, of fewer texts"
BRIDGE = "TransformerLens bridge, cache of the stream"
TRACED = "nnsight, layers' inputs and last output"
STREAMS = (HOOKS, RECORD, PEER_HOOKS, BRIDGE, TRACED)
# States of a batch that a forward pass hands over, each `(text, position, unit)`.
Forward = Callable[[Batch], Sequence[Tensor]]


def bundled_texts(n_texts: int) -> tuple[Model, list[list[int]]]:
    """The bundled model, and the beginnings of bundled texts as its tokens, of mixed lengths."""
    model = td.load_model()
    plan = make_job(model, td.load_texts(n=n_texts)).plan
    lengths = np.random.default_rng(0).integers(SHORTEST, LONGEST + 1, n_texts)
    pairs = zip(plan.token_lists, lengths, strict=True)
    return model, [list(ids[:length]) for ids, length in pairs]


def tiny_texts(n_texts: int) -> tuple[Model, list[list[int]]]:
    """A tiny model of random weights, and random tokens of mixed lengths."""
    config = transformers.LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        vocab_size=64,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    model = td.load_model(transformers.AutoModelForCausalLM.from_config(config).eval())
    rng = np.random.default_rng(0)
    return model, [rng.integers(1, 64, size).tolist() for size in rng.integers(4, 65, n_texts)]


def recording_rows(model: Model, token_lists: list[list[int]], rounds: int) -> list[Row]:
    """Bare pass, hooks and recording over all texts."""
    job = make_job(model, token_lists)
    with tempfile.TemporaryDirectory() as folder:
        return _rows(job, _ways(job, Path(folder)), rounds, reference=HOOKS)


def peer_rows(model: Model, token_lists: list[list[int]], rounds: int) -> list[Row]:
    """The bare pass beside other ways to have the same states, where they are installed."""
    job = make_job(model, token_lists)
    return _rows(job, _peers(job), rounds, reference=REFERENCE)


def missing_peers() -> list[str]:
    """Peers that are not installed here."""
    return [peer for peer in ("transformer_lens", "nnsight") if not find_spec(peer)]


def _rows(job: Job, ways: dict[str, Task], rounds: int, *, reference: str) -> list[Row]:
    timings = interleaved(ways, rounds)
    states = {
        name: _comparable(name, result, job.model) for name, result in timings.results.items()
    }
    n_tokens = sum(map(len, job.plan.token_lists))
    return [
        Row(
            name=name,
            ratios=timings.ratios(name, next(iter(ways))),
            seconds=timings.median(name),
            baseline="bare forward pass",
            baseline_seconds=timings.median(next(iter(ways))),
            measured_on=f"{len(job.plan.token_lists)} texts, {n_tokens} tokens",
            difference=None if name == reference else _difference(states[name], states[reference]),
        )
        for name in ways
    ]


def bare_pass(model: Model, texts: Any) -> Task:
    """Make the task that runs the model without its head over a recording's batches."""
    batches = _sorted_batches(make_job(model, texts))
    return lambda: _run(model, batches, lambda batch: _last_state(model.trunk, batch))


def _sorted_batches(job: Job) -> list[Batch]:
    return [batch for shard in range(job.plan.n_shards) for batch in job.plan.batches(shard)]


def _ways(job: Job, folder: Path) -> dict[str, Task]:
    model, n_shards, batches = job.model, job.plan.n_shards, _sorted_batches(job)
    fresh = (folder / f"{index}.zarr" for index in itertools.count())
    read_back: list[NDArray[Any]] = []

    def whole_recording() -> NDArray[Any]:
        out = next(fresh)
        recording = td.record(model, job.plan.token_lists, out=out)
        if not read_back:  # once, in a round that the median leaves out or outweighs
            read_back.append(recording.values)
        shutil.rmtree(out)
        return read_back[0]

    return {
        BARE: lambda: _run(model, batches, lambda batch: _last_state(model.trunk, batch)),
        HOOKS: lambda: np.concatenate([shard_states(job, s) for s in range(n_shards)]),
        RECORD: whole_recording,
    }


def _peers(job: Job) -> dict[str, Task]:
    model, batches = job.model, _sorted_batches(job)
    padded_batches = list(_padded_batches(job))

    def run(module: Any, batches: list[Batch], forward: Callable[..., Sequence[Tensor]]) -> Task:
        return lambda: _run(model, batches, lambda batch: forward(module, batch))

    peers = {
        PEER_BARE: run(model.trunk, batches, _last_state),
        PEER_HOOKS: run(model, batches, _hooked_states),
        REFERENCE: run(model.trunk, batches, _hidden_states),
        "output_hidden_states, whole model": run(model.hf_model, batches, _hidden_states),
        f"batches of {PADDED_TEXTS} as given, padded, mask": run(
            model.trunk, padded_batches, _masked_state
        ),
    }
    missing = missing_peers()
    if "transformer_lens" not in missing:
        peers[BRIDGE] = run(_bridge(model), batches, _bridge_states)
    if "nnsight" not in missing:
        peers[TRACED] = run(_traced(model), batches, _traced_states)
    return peers


def _bridge(model: Model) -> Any:
    """TransformerLens around a copy, since it replaces modules of the model that it is given."""
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    copied = copy.deepcopy(model.hf_model)
    return build_bridge_from_module(copied, type(copied).__name__, hf_config=copied.config)


def _bridge_states(bridge: Any, batch: Batch) -> Sequence[Tensor]:
    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(bridge.cfg.n_layers)]
    names.append(f"blocks.{bridge.cfg.n_layers - 1}.hook_resid_post")
    _, cache = bridge.run_with_cache(torch.as_tensor(batch.tokens), names_filter=names)
    return [cache[name] for name in names]


def _traced(model: Model) -> Any:
    from nnsight import NNsight

    return NNsight(copy.deepcopy(model.hf_model))


def _traced_states(traced: Any, batch: Batch) -> Sequence[Tensor]:
    with traced.trace(torch.as_tensor(batch.tokens)):
        saved: Any = list().save()  # noqa: C408  # nnsight gives the method to lists made by call
        for layer in traced.model.layers:
            saved.append(layer.input)
        saved.append(traced.model.layers[-1].output)
    return [each[0] if isinstance(each, tuple) else each for each in saved]


def _hooked_states(model: Model, batch: Batch) -> Sequence[Tensor]:
    states: list[Tensor] = []
    tokens = torch.as_tensor(batch.tokens)
    with reading(model.trunk, model.found_sites.sites, lambda _, read: states.append(read)):
        model.trunk(input_ids=tokens, use_cache=False)
    return states


def _padded_batches(job: Job) -> Iterator[Batch]:
    """The texts in the order given, so many at a time, padded to the longest of them."""
    lists = job.plan.token_lists
    for start in range(0, len(lists), PADDED_TEXTS):
        texts = np.arange(start, min(start + PADDED_TEXTS, len(lists)))
        lengths = np.array([len(lists[text]) for text in texts])
        tokens = np.zeros((len(texts), lengths.max()), dtype=np.int64)
        for line, text in enumerate(texts):
            tokens[line, : lengths[line]] = lists[text]
        yield Batch(texts, tokens, lengths, texts, texts - start, lengths - 1)


def _run(model: Model, batches: list[Batch], forward: Forward) -> NDArray[Any]:
    """The last token's states of all texts, `(text, state, unit)`."""
    pieces: dict[int, Tensor] = {}
    with evaluating(model.hf_model):
        for batch in batches:
            source, position = (torch.as_tensor(at) for at in (batch.source, batch.place))
            kept = [
                states.reshape(*batch.tokens.shape, -1)[source, position]
                for states in forward(batch)
            ]
            pieces |= dict(zip(batch.row.tolist(), torch.stack(kept, dim=1).cpu(), strict=True))
    return np.stack([pieces[row].float().numpy() for row in sorted(pieces)])


def _last_state(trunk: Any, batch: Batch) -> Sequence[Tensor]:
    tokens = torch.as_tensor(batch.tokens, device=trunk.device)
    return [trunk(input_ids=tokens, use_cache=False).last_hidden_state]


def _hidden_states(module: Any, batch: Batch) -> Sequence[Tensor]:
    tokens = torch.as_tensor(batch.tokens, device=module.device)
    output = module(input_ids=tokens, use_cache=False, output_hidden_states=True)
    states: Sequence[Tensor] = output.hidden_states
    return states


def _masked_state(trunk: Any, batch: Batch) -> Sequence[Tensor]:
    tokens = torch.as_tensor(batch.tokens, device=trunk.device)
    last = torch.as_tensor(batch.place, device=trunk.device)
    mask = torch.arange(tokens.shape[1], device=trunk.device) <= last[:, None]
    output = trunk(input_ids=tokens, attention_mask=mask.long(), use_cache=False)
    return [output.last_hidden_state]


def _comparable(name: str, states: NDArray[Any], model: Model) -> NDArray[Any]:
    """States as transformers lists them: each layer's input, then the output of the last norm.

    Llama's trunk, which both models here have, calls that one `norm`. The stream before it is what
    stands last at our sites and in the peers' lists.
    """
    if name not in STREAMS:
        return states
    norm = model.trunk.get_submodule("norm")
    with evaluating(model.hf_model):
        last = norm(torch.as_tensor(states[:, -1:], device=model.device)).cpu().numpy()
    inputs = np.ones(states.shape[1], dtype=bool)
    if states.shape[1] == len(model.sites):
        inputs = np.array([site.endswith(".pre_attn") for site in model.sites])
    inputs[-1] = False
    return np.concatenate([states[:, inputs], last], axis=1)


def _difference(states: NDArray[Any], reference: NDArray[Any]) -> float:
    """Over each kind of state that both have, the last ones of the two lists."""
    both = min(states.shape[1], reference.shape[1])
    last = range(-both, 0)
    return float(np.max([relative_difference(states[:, i], reference[:, i]) for i in last]))
