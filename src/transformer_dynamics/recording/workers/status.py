"""Status of a recording on disk: finished, or growing with its workers, its rate and time left.

It needs neither the model nor the texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformer_dynamics.recording.disk.chunks import states_folder
from transformer_dynamics.recording.disk.opening import open_recording
from transformer_dynamics.recording.moments.moments import holds_moments, open_moments
from transformer_dynamics.recording.workers.growing import OUTLINE, STORE
from transformer_dynamics.recording.workers.progress import (
    Claim,
    Failure,
    RecordingProgress,
    recording_progress,
)
from transformer_dynamics.storage.files import read_json

DONE, RUNNING, STOPPED = "done", "running", "stopped"
# Number of shards from whose files the rate is taken.
RECENT = 17


@dataclass(frozen=True)
class StoreStatus:
    """Status of a recording or of moments.

    Attributes:
        path: Folder.
        kind: `recording` or `moments`.
        state: `done`, `running`, or `stopped` where no worker is alive.
        n_samples: Number of samples, of which there may be fewer yet; None if unknown.
        n_shards: Number of shards; None if unknown.
        shards_done: Number of recorded shards.
        tokens_done: Share of the tokens that are recorded; None if unknown.
        running: Shards in progress.
        stale: Shards whose worker gives no sign of life; another worker takes them over.
        failed: Shards whose last try failed, and why.
        tokens_per_second: Rate of all workers together over the last shards; None if unknown.
        seconds_left: Time until the end at this rate; None if nothing runs or the rate is unknown.
    """

    path: str
    kind: str
    state: str
    n_samples: int | None = None
    n_shards: int | None = None
    shards_done: int | None = None
    tokens_done: float | None = None
    running: tuple[Claim, ...] = ()
    stale: tuple[Claim, ...] = ()
    failed: tuple[Failure, ...] = ()
    tokens_per_second: float | None = None
    seconds_left: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything by name, as JSON holds it."""
        return asdict(self)


def store_status(path: Path, *, is_growing: bool) -> StoreStatus:
    """Read the status of a recording or of moments.

    Args:
        path: Folder of a finished or a growing store.
        is_growing: Whether it is a growing one.
    """
    if not is_growing and holds_moments(path):
        return StoreStatus(str(path), "moments", DONE, open_moments(path).n_samples)
    if not is_growing:
        n_samples = open_recording(path, check=False).shape[0]
        return StoreStatus(str(path), "recording", DONE, n_samples, tokens_done=1.0)
    if not (path / OUTLINE).exists():  # moments grow in one process, without claims
        done = (read_json(path / "done.json") or {"shards": 0})["shards"]
        return StoreStatus(str(path), "moments", "growing", shards_done=done)
    return growing_status(recording_progress(path))


def growing_status(progress: RecordingProgress) -> StoreStatus:
    """Status of a growing recording from its progress."""
    running = tuple(claim for claim in progress.claims if not claim.is_stale)
    outline = progress.outline
    rate = _rate(progress)
    left = outline.n_tokens - progress.tokens_done
    return StoreStatus(
        path=str(progress.folder),
        kind="recording",
        state=RUNNING if running else STOPPED,
        n_samples=outline.n_samples,
        n_shards=outline.n_shards,
        shards_done=len(progress.published),
        tokens_done=progress.tokens_done / outline.n_tokens,
        running=running,
        stale=tuple(claim for claim in progress.claims if claim.is_stale),
        failed=progress.failures,
        tokens_per_second=rate,
        seconds_left=left / rate if rate and running else None,
    )


def _rate(progress: RecordingProgress) -> float | None:
    """Tokens per second between the first and the last of the newest files of shards."""
    folder = states_folder(progress.folder / STORE)
    times = sorted(
        ((folder / str(shard) / "0" / "0").stat().st_mtime, shard) for shard in progress.published
    )[-RECENT:]
    return rate_of([(when, progress.outline.tokens[shard]) for when, shard in times])


def rate_of(ends: Sequence[tuple[float, int]]) -> float | None:
    """Tokens per second from the time at which each shard ended, and its tokens.

    The tokens of the first shard were run before its end and do not count.

    >>> rate_of([(10.0, 100), (12.0, 300), (14.0, 500)]), rate_of([(10.0, 100)])
    (200.0, None)
    """
    if len(ends) < 2 or ends[-1][0] <= ends[0][0]:
        return None
    return sum(tokens for _, tokens in ends[1:]) / (ends[-1][0] - ends[0][0])
