"""Job of a recording: the model, the plan and the settings, fixed before the first shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

import transformer_dynamics
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.recording.disk.chunks import chunk_rows, file_rows
from transformer_dynamics.recording.disk.shard_files import shard_file_bytes
from transformer_dynamics.recording.disk.splitting import Splits
from transformer_dynamics.recording.fingerprint import state_fingerprint
from transformer_dynamics.recording.groups import groups_sha256
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.plan import Plan, make_plan
from transformer_dynamics.recording.positions import Positions, kept_positions, name_of
from transformer_dynamics.recording.windows import fit, windows
from transformer_dynamics.recording.workers.outline import Outline
from transformer_dynamics.texts.inputs import Inputs
from transformer_dynamics.texts.tokenization import special_ids

SHARD_SAMPLES = 256
# With many rows per text a shard is as large as this, so that few texts lie in two shards and run
# twice.
SHARD_BYTES = 256 * 2**20
# On two cores the forward pass is fastest with batches that stay within the cache, and of at least
# half as many tokens as units, for which the weights are worth reading; a GPU needs larger batches.
CPU_BATCH_TOKENS = (512, 2048)
CUDA_BATCH_TOKENS = 32768


@dataclass(frozen=True)
class Job:
    """A recording to be made.

    Attributes:
        model: The model.
        plan: Windows that run, and the rows that they yield.
        chunk_rows: Number of rows in a chunk of the store.
        storage: Name of the stored dtype.
        settings: Everything that the states depend on.
        splits: Batches that were split because memory did not suffice.
    """

    model: Model
    plan: Plan
    chunk_rows: int
    storage: str
    settings: dict[str, Any]
    splits: Splits = field(default_factory=Splits, compare=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of samples, sites and units."""
        sites = self.model.found_sites
        return self.plan.n_rows, len(sites.sites), sites.n_units

    @property
    def file_rows(self) -> tuple[int, int]:
        """Number of samples in a chunk, and in the file of a shard."""
        return file_rows(self.plan.n_rows, self.chunk_rows, self.plan.shard_rows)

    @property
    def outline(self) -> Outline:
        """Sizes of the recording."""
        plan, (n_samples, n_sites, n_units) = self.plan, self.shape
        chunk, file = self.file_rows
        chunk_bytes = chunk * n_sites * n_units * np.dtype(self.storage).itemsize
        rows = [plan.rows(shard) for shard in range(plan.n_shards)]
        sizes = [
            shard_file_bytes(each.stop - each.start, chunk_bytes, chunk, file // chunk)
            for each in rows
        ]
        tokens = tuple(plan.n_tokens(shard) for shard in range(plan.n_shards))
        return Outline(n_samples, n_sites, n_units, tokens, sum(sizes))


def make_job(
    model: Model,
    texts: Any,
    positions: Positions = "last",
    options: RecordingOptions | None = None,
    *,
    keep: str = "states",
) -> Job:
    """Fix the plan and the settings of a recording.

    Args:
        model: The model.
        texts: Texts in any form that `td.record` takes.
        positions: Kept positions, as `td.record` takes them.
        options: Options of the recording.
        keep: `"states"` or `"moments"`.

    Raises:
        RecordingError: no usable texts, or positions that do not fit them.
    """
    options = options or RecordingOptions()
    inputs = model.inputs(texts, bos=options.bos)
    token_lists = _token_lists(model, inputs, options)
    kept = kept_positions(positions, token_lists, options.seed, special_ids(model.tokenizer))
    storage = _storage(model, options)
    shard_samples, rows = _rows(model, kept, storage, options)
    length = model.context_length if options.too_long == "window" else None
    plan = make_plan(
        token_lists,
        windows(token_lists, length, getattr(model.tokenizer, "bos_token_id", None)),
        kept,
        shard_rows=-(-shard_samples // rows) * rows,
        batch_tokens=_batch_tokens(model, options),
    )
    settings = _settings(model, plan, positions, options, storage)
    if keep == "moments":  # which do not depend on the groups
        settings |= {"keep": keep, "covariance": options.covariance}
    elif inputs.groups is not None:
        settings |= {"groups": groups_sha256(inputs.groups)}
    return Job(model, plan, rows, storage, settings)


def _storage(model: Model, options: RecordingOptions) -> str:
    """Name of the stored dtype; by default float32, or float64 for a float64 model."""
    if options.storage != "auto":
        return options.storage
    return "float64" if model.dtype == "float64" else "float32"


def _rows(
    model: Model, kept: Sequence[NDArray[np.int64]], storage: str, options: RecordingOptions
) -> tuple[int, int]:
    """Number of rows in a shard, before it is rounded up to whole chunks, and in a chunk."""
    sites, itemsize = model.found_sites, np.dtype(storage).itemsize
    shape = len(sites.sites), sites.n_units
    shard_samples = options.shard_samples or SHARD_SAMPLES
    if options.shard_samples is None and max(map(len, kept)) > 1:
        shard_samples = max(SHARD_SAMPLES, SHARD_BYTES // (shape[0] * shape[1] * itemsize))
    return shard_samples, min(shard_samples, chunk_rows(*shape, itemsize))


def _batch_tokens(model: Model, options: RecordingOptions) -> int:
    """Number of tokens in a batch; 1 runs texts alone if texts of a batch change each other."""
    if not model.found_sites.independent:
        return 1
    if options.batch_tokens:
        return options.batch_tokens
    if model.device.type == "cuda":
        return CUDA_BATCH_TOKENS
    return min(max(model.found_sites.n_units // 2, CPU_BATCH_TOKENS[0]), CPU_BATCH_TOKENS[1])


def _token_lists(model: Model, inputs: Inputs, options: RecordingOptions) -> list[tuple[int, ...]]:
    for index, tokens in enumerate(inputs.token_lists):
        if not tokens:
            raise RecordingError(
                f"text {index} has no tokens; leave empty texts out: "
                "td.record(model, [text for text in texts if text])"
            )
    return fit(inputs.token_lists, context_length=model.context_length, too_long=options.too_long)


def _settings(
    model: Model, plan: Plan, positions: Positions, options: RecordingOptions, storage: str
) -> dict[str, Any]:
    """Settings that identify the states; recordings with equal settings have equal states.

    Fingerprints are compared with a tolerance for rounding.
    """
    return {
        "model": model.name,
        **model.computation,
        "sites": list(model.sites),
        "fingerprint": state_fingerprint(model, plan.windows) if model.has_weights else None,
        "tokens": plan.token_hash,
        "n_texts": len(plan.token_lists),
        "positions": name_of(positions),
        "rows": plan.row_hash,
        "seed": options.seed,
        "bos": options.bos,
        "too_long": options.too_long,
        "storage": storage,
        "batch_tokens": plan.batch_tokens,
        "shard_rows": plan.shard_rows,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "transformer_dynamics": transformer_dynamics.__version__,
    }
