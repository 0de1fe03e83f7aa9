"""Ledger of a run, `run.json`: settings, and time and inputs of every finished stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transformer_dynamics.storage.files import fingerprint, read_json, write_json


@dataclass(frozen=True)
class Ledger:
    """Entries of a run, kept in a JSON file.

    Attributes:
        path: The file.
    """

    path: Path

    def entries(self) -> dict[str, Any]:
        """All entries; empty before the first is written."""
        return read_json(self.path) or {}

    def note(self, **entries: Any) -> None:
        """Add or replace entries."""
        write_json(self.path, {**self.entries(), **entries})

    def is_done(self, stage: str, inputs: Any) -> bool:
        """Whether a stage was finished with the same inputs."""
        stages = self.entries().get("stages", {})
        return bool(stages.get(stage, {}).get("inputs") == fingerprint(inputs))

    @contextmanager
    def timed(self, stage: str, inputs: Any) -> Iterator[None]:
        """Note duration, end and inputs of a stage when it ends without an error."""
        start = time.perf_counter()
        yield
        self.finished(stage, inputs, time.perf_counter() - start)

    def finished(self, stage: str, inputs: Any, seconds: float) -> None:
        """Note duration, end and inputs of a stage that has ended."""
        done = {
            "seconds": round(seconds, 2),
            "ended": datetime.now(UTC).isoformat(),
            "inputs": fingerprint(inputs),
        }
        self.note(stages={**self.entries().get("stages", {}), stage: done})
