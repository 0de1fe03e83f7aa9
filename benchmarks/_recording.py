"""Recording beside the bare forward pass of the same batches.

The bare pass is the model without its head, without hooks, without an attention mask, over exactly
the batches that the recording runs; all ways are inside `evaluating`. Each leaves the last token's
states in memory (or, for `td.record`, in a closed store), and those are compared with the hidden
states that transformers itself returns. Loading the model, tokenising, finding the sites and
hashing the weights happen once per model and are not counted.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from _timing import Row, Task, interleaved, relative_difference
from numpy.typing import NDArray
from torch import Tensor

import transformer_dynamics as td
from transformer_dynamics.models import Model
from transformer_dynamics.recording.plan import Batch
from transformer_dynamics.recording.recorder import make_job
from transformer_dynamics.recording.shards import Job, shard_states
from transformer_dynamics.residual.hooks import evaluating

PADDED_TEXTS = 16
BARE = "bare forward pass, no head, no hooks"
RECORD = "td.record(..., out=) (goal: at most 1.05)"
REFERENCE = "output_hidden_states, no head"
# States of a batch that a forward pass hands over, each `(text, position, unit)`.
Forward = Callable[[Batch], Sequence[Tensor]]


def bundled_texts(n_texts: int) -> tuple[Model, list[list[int]]]:
    """The bundled model, and bundled texts as its tokens."""
    model = td.load_model()
    plan = make_job(model, td.load_texts(n=n_texts)).plan
    return model, [list(ids) for ids in plan.token_lists]


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
    """The rows of the table."""
    job = make_job(model, token_lists)
    with tempfile.TemporaryDirectory() as folder:
        ways = _ways(job, Path(folder))
        timings = interleaved(ways, rounds)
        states = {name: _comparable(result, model) for name, result in timings.results.items()}
    n_tokens = sum(map(len, token_lists))
    return [
        Row(
            name=name,
            ratios=timings.ratios(name, BARE),
            seconds=timings.median(name),
            baseline="bare forward pass",
            baseline_seconds=timings.median(BARE),
            measured_on=f"all ({n_tokens} tokens)",
            difference=None if name == REFERENCE else _difference(states[name], states[REFERENCE]),
        )
        for name in ways
    ]


def _ways(job: Job, folder: Path) -> dict[str, Task]:
    model, n_shards = job.model, job.plan.n_shards
    sorted_batches = [batch for shard in range(n_shards) for batch in job.plan.batches(shard)]
    padded_batches = list(_padded_batches(job))
    fresh = (folder / f"{index}.zarr" for index in itertools.count())

    def run(module: Any, batches: list[Batch], forward: Callable[..., Sequence[Tensor]]) -> Task:
        return lambda: _run(model, batches, lambda batch: forward(module, batch))

    return {
        BARE: run(model.trunk, sorted_batches, _last_state),
        "hooks alone": lambda: np.concatenate([shard_states(job, s) for s in range(n_shards)]),
        RECORD: lambda: td.record(model, job.plan.token_lists, out=next(fresh)),
        REFERENCE: run(model.trunk, sorted_batches, _hidden_states),
        "output_hidden_states, whole model": run(model.hf_model, sorted_batches, _hidden_states),
        f"batches of {PADDED_TEXTS} as given, padded, mask": run(
            model.trunk, padded_batches, _masked_state
        ),
    }


def _padded_batches(job: Job) -> Iterator[Batch]:
    """The texts in the order given, so many at a time, padded to the longest of them."""
    lists = job.plan.token_lists
    for start in range(0, len(lists), PADDED_TEXTS):
        texts = np.arange(start, min(start + PADDED_TEXTS, len(lists)))
        lengths = np.array([len(lists[text]) for text in texts])
        tokens = np.zeros((len(texts), lengths.max()), dtype=np.int64)
        for line, text in enumerate(texts):
            tokens[line, : lengths[line]] = lists[text]
        yield Batch(texts, tokens, texts, texts - start, lengths - 1)


def _run(model: Model, batches: list[Batch], forward: Forward) -> NDArray[Any]:
    """The last token's states of all texts, `(text, state, unit)`."""
    pieces: dict[int, Tensor] = {}
    with evaluating(model.hf_model):
        for batch in batches:
            source, position = (torch.as_tensor(at) for at in (batch.source, batch.position))
            kept = [states[source, position] for states in forward(batch)]
            pieces |= dict(zip(batch.row.tolist(), torch.stack(kept, dim=1).cpu(), strict=True))
    return np.stack([pieces[row].numpy() for row in sorted(pieces)])


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
    last = torch.as_tensor(batch.position, device=trunk.device)
    mask = torch.arange(tokens.shape[1], device=trunk.device) <= last[:, None]
    output = trunk(input_ids=tokens, attention_mask=mask.long(), use_cache=False)
    return [output.last_hidden_state]


def _comparable(result: NDArray[Any] | td.Recording, model: Model) -> NDArray[Any]:
    """States as transformers lists them: each layer's input, then the output of the last norm.

    Llama's trunk, which both models here have, calls that one `norm`.
    """
    states = result.values if isinstance(result, td.Recording) else result
    if states.shape[1] != len(model.sites):
        return states
    norm = model.trunk.get_submodule("norm")
    with evaluating(model.hf_model):
        last = norm(torch.as_tensor(states[:, -1:], device=model.device)).cpu().numpy()
    inputs = [site.endswith(".pre_attn") for site in model.sites]
    return np.concatenate([states[:, inputs], last], axis=1)


def _difference(states: NDArray[Any], reference: NDArray[Any]) -> float:
    """Over each kind of state that both have, the last ones of the two lists."""
    both = min(states.shape[1], reference.shape[1])
    last = range(-both, 0)
    return float(np.max([relative_difference(states[:, i], reference[:, i]) for i in last]))
