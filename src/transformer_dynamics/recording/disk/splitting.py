"""Batches that do not fit into memory: run in halves, as small as it takes.

The plan of a recording does not change. The texts of a batch do not influence each other, so the
states of the halves are those of the batch up to rounding; the provenance names the shards.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.plan import Batch

# Words of the errors of torch on the CPU, on other devices, and of the operating system.
OUT_OF_MEMORY = ("out of memory", "not enough memory", "allocate memory")


class Splits:
    """Size of the batches that fit into memory, and the shards whose batches were split.

    Attributes:
        most_tokens: Number of tokens, padding included, above which batches are split: half of the
            last batch that did not fit; None as long as all did.
        shards: Shards with a batch that was split.
    """

    def __init__(self) -> None:
        self.most_tokens: int | None = None
        self.shards: set[int] = set()

    def run(
        self, run: Callable[[Batch], torch.Tensor], batch: Batch, shard: int
    ) -> Iterator[tuple[Batch, torch.Tensor]]:
        """Run a batch of a shard whole, or in pieces that fit into memory.

        Yields:
            Each piece, and the result of `run` for it.

        Raises:
            RecordingError: one text alone does not fit.
        """
        pending = [batch]
        while pending:
            piece = pending.pop()
            result = None if self._is_too_large(piece) else _result(run, piece)
            if result is not None:
                yield piece, result
                continue
            if len(piece.texts) == 1:
                raise RecordingError(
                    f"text {piece.texts[0]} of {piece.lengths[0]} tokens does not fit into memory "
                    "alone; spread the model over devices (device='balanced'), load it in a "
                    "narrower dtype (dtype='bfloat16'), or cut the text: "
                    "options=td.RecordingOptions(too_long='window')"
                )
            self._learn(piece)
            self.shards.add(shard)
            pending += reversed(piece.halves())

    def _is_too_large(self, piece: Batch) -> bool:
        known = self.most_tokens is not None and piece.tokens.size > self.most_tokens
        return known and len(piece.texts) > 1

    def _learn(self, piece: Batch) -> None:
        if self._is_too_large(piece):
            return
        first = self.most_tokens is None
        self.most_tokens = piece.tokens.size // 2
        if first:
            warnings.warn(
                f"memory does not suffice for a batch of {piece.tokens.size} tokens; such batches "
                "are run in halves, and their states agree with those of whole batches up to "
                f"rounding. For smaller batches from the start: batch_tokens={self.most_tokens} "
                f"(--batch-tokens {self.most_tokens})",
                UserWarning,
                stacklevel=2,
            )


def split_provenance(notes: Mapping[int, int]) -> dict[str, Any]:
    """Entry of the provenance for the shards whose batches were split; empty if there are none.

    Args:
        notes: Shard to the number of tokens, padding included, that its batches had at most.
    """
    if not notes:
        return {}
    return {"split_batches": {"shards": sorted(notes), "batch_tokens": min(notes.values())}}


def _result(run: Callable[[Batch], torch.Tensor], piece: Batch) -> torch.Tensor | None:
    """Run a piece; None if memory does not suffice."""
    try:
        return run(piece)
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        out = isinstance(error, MemoryError) or any(
            words in str(error).lower() for words in OUT_OF_MEMORY
        )
        if not out:
            raise
    # After the error, whose frames held the tensors.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
