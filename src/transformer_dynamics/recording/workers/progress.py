"""Progress of a growing recording, read from its folder: published shards, claims and failures.

It needs neither the model nor the texts, and changes nothing but for one empty file that is removed
at once: its time is the file system's, and ages of claims do not depend on this machine's clock.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk.chunks import states_folder
from transformer_dynamics.recording.workers.claims import TIMEOUT, read_claim
from transformer_dynamics.recording.workers.growing import (
    CLAIMS,
    FAILED,
    OUTLINE,
    SETTINGS,
    STORE,
    numbered,
)
from transformer_dynamics.recording.workers.identity import has_ended, process_space
from transformer_dynamics.recording.workers.outline import Outline
from transformer_dynamics.storage.files import local_path, read_json


@dataclass(frozen=True)
class Claim:
    """Claim of a worker on a shard.

    Attributes:
        shard: Index of the shard.
        worker: Name of the worker; empty if it has not written it yet.
        host: Name of its machine.
        pid: Number of its process; 0 if unknown.
        device: Device of its model.
        started: Time at which it began the shard (ISO 8601, UTC).
        age: Seconds since its last heartbeat.
        is_stale: Whether other workers will take the shard over, or would by now.
    """

    shard: int
    worker: str
    host: str
    pid: int
    device: str
    started: str
    age: float
    is_stale: bool


@dataclass(frozen=True)
class Failure:
    """Failed last try of a shard.

    Attributes:
        shard: Index of the shard.
        worker: Name of the worker.
        host: Name of its machine.
        when: Time of the error (ISO 8601, UTC).
        error: Kind and message of the error.
    """

    shard: int
    worker: str
    host: str
    when: str
    error: str


@dataclass(frozen=True)
class RecordingProgress:
    """Progress of a growing recording.

    Attributes:
        folder: Folder of the growing recording.
        settings: Settings of the recording.
        outline: Its sizes.
        published: Recorded shards in order.
        claims: Shards in progress, in order.
        failures: Shards whose last try failed, in order.
    """

    folder: Path
    settings: dict[str, Any]
    outline: Outline
    published: tuple[int, ...]
    claims: tuple[Claim, ...]
    failures: tuple[Failure, ...]

    @property
    def tokens_done(self) -> int:
        """Number of tokens of the recorded shards."""
        return sum(self.outline.tokens[shard] for shard in self.published)

    def as_json(self) -> dict[str, Any]:
        """Everything but the settings, in the types of JSON."""
        return {
            "folder": str(self.folder),
            "outline": self.outline.as_json(),
            "published": list(self.published),
            "claims": [asdict(claim) for claim in self.claims],
            "failures": [asdict(failure) for failure in self.failures],
        }


def recording_progress(path: str | Path) -> RecordingProgress:
    """Read the progress of a growing recording.

    Args:
        path: Folder of the recording to be, such as `r.zarr`, or `r.zarr.partial` itself.

    Raises:
        RecordingError: no recording grows there.
    """
    given = local_path(path, RecordingError)
    growing = given.suffix == ".partial"
    folder = given if growing else given.with_name(given.name + ".partial")
    settings, outline = read_json(folder / SETTINGS), read_json(folder / OUTLINE)
    if settings is None or outline is None:
        raise RecordingError(
            f"no recording grows in {folder}; begin one with "
            f"`tdyn record MODEL --out {given.with_suffix('') if growing else given} --plan`"
        )
    published = numbered(states_folder(folder / STORE), "")
    return RecordingProgress(
        folder=folder,
        settings=settings,
        outline=Outline.from_json(outline),
        published=tuple(sorted(published)),
        claims=tuple(each for each in list_claims(folder) if each.shard not in published),
        failures=tuple(each for each in list_failures(folder) if each.shard not in published),
    )


def list_claims(folder: Path) -> list[Claim]:
    """List the claims in the folder of a growing recording, by shard."""
    now = _time_of(folder)
    claims = []
    for shard in sorted(numbered(folder / CLAIMS, ".json")):
        path = folder / CLAIMS / f"{shard}.json"
        with contextlib.suppress(FileNotFoundError):  # released in the meantime
            age = max(0.0, now - path.stat().st_mtime)
            claims.append(_claim(shard, read_claim(path), age))
    return claims


def list_failures(folder: Path) -> list[Failure]:
    """List the failed shards in the folder of a growing recording, by shard."""
    shards = sorted(numbered(folder / FAILED, ".json"))
    notes = {shard: read_json(folder / FAILED / f"{shard}.json") for shard in shards}
    return [Failure(shard, **note) for shard, note in notes.items() if note is not None]


def _claim(shard: int, text: dict[str, Any], age: float) -> Claim:
    host = text.get("host", "")
    here = bool(text) and text.get("space") == process_space(host)
    names = {name: text.get(name, "") for name in ("worker", "device", "started")}
    pid = text.get("pid", 0)
    stale = age > TIMEOUT or (here and has_ended(pid))
    return Claim(shard, host=host, pid=pid, age=age, is_stale=stale, **names)


def _time_of(folder: Path) -> float:
    """Present time by the clock of the file system; by the machine's where it is read-only."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            return Path(file.name).stat().st_mtime
    except OSError:
        return time.time()
