"""Outline of a recording: its sizes and shards, stored with a growing recording.

Commands that watch a growing recording read it, and load neither the model nor the texts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Outline:
    """Sizes of a recording.

    Attributes:
        n_samples: Number of samples.
        n_sites: Number of sites.
        n_units: Number of units.
        tokens: Number of tokens that each shard runs, without padding.
        n_bytes: Size of the files of states.
    """

    n_samples: int
    n_sites: int
    n_units: int
    tokens: tuple[int, ...]
    n_bytes: int

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return len(self.tokens)

    @property
    def n_tokens(self) -> int:
        """Number of tokens that all shards run, without padding."""
        return sum(self.tokens)

    def as_json(self) -> dict[str, Any]:
        """Fields by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Outline:
        """Make an outline of its fields by name."""
        return cls(**{**fields, "tokens": tuple(fields["tokens"])})
