"""Worker: records shards of a growing recording until all are published, whoever records them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from transformer_dynamics.recording.disk.shards import record_shard
from transformer_dynamics.recording.job import Job
from transformer_dynamics.recording.workers.claims import Claims
from transformer_dynamics.recording.workers.growing import CLAIMS, FAILED, Growing
from transformer_dynamics.recording.workers.identity import Identity

Count = Callable[[int], None]

# Seconds between two looks at the claims of other workers, at first and at most; and between two at
# the published shards.
FIRST_WAIT, LONGEST_WAIT, PAUSE = 0.01, 5.0, 0.5
LEFT = "its worker ended or was frozen while it recorded this shard"


class Worker:
    """Worker of a recording.

    Args:
        job: Job of the recording.
        growing: Folder of the growing recording.
        identity: Identity of the worker.
        count: Called with the number of tokens of each batch, and of each shard of other workers.
    """

    def __init__(self, job: Job, growing: Growing, identity: Identity, count: Count) -> None:
        self._job, self._growing, self._identity, self._count = job, growing, identity, count
        self._counted: set[int] = set()

    def run(self, shards: Collection[int] | None = None) -> None:
        """Record shards until all are published, or those of a choice.

        Raises:
            FileNotFoundError: another worker closed the recording, or somebody removed its folder.
            RecordingError: a shard cannot be recorded; the folder notes the error, and other
                workers go on with the other shards.
        """
        growing, wait = self._growing, FIRST_WAIT
        growing.join()
        try:
            with Claims(growing.folder / CLAIMS, growing.work, self._identity) as claims:
                while missing := self._missing(shards):
                    if self._record_unclaimed(missing, claims):
                        wait = FIRST_WAIT
                    else:
                        self._pause(wait, shards)
                        wait = min(2 * wait, LONGEST_WAIT)
        finally:
            growing.leave()

    def _missing(self, shards: Collection[int] | None) -> list[int]:
        """Shards to be recorded in order, those that failed before last."""
        published, plan = self._growing.published(), self._job.plan
        for shard in published - self._counted:
            self._count(plan.n_tokens(shard))
        self._counted |= published
        failed = self._growing.failed()
        wanted = range(plan.n_shards) if shards is None else shards
        missing = set(wanted) - published
        return sorted(missing, key=lambda shard: (shard in failed, shard))

    def _pause(self, seconds: float, shards: Collection[int] | None) -> None:
        """Wait for other workers, until they have recorded everything or the time is over."""
        end = time.monotonic() + seconds
        while self._missing(shards) and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, PAUSE))

    def _record_unclaimed(self, shards: list[int], claims: Claims) -> bool:
        """Record the shards that nobody has claimed; False if there are none."""
        found = False
        for shard in shards:
            if self._growing.is_published(shard) or not claims.take(shard):
                continue
            found = True
            try:
                if not self._growing.is_published(shard):  # between the look and the claim
                    self._record(shard, claims.left_by)
            finally:
                claims.release()
        return found

    def _record(self, shard: int, left_by: Mapping[str, Any] | None) -> None:
        if left_by is not None:  # other workers try it last, if it ends its workers
            self._note_failure(shard, left_by, LEFT)
        try:
            record_shard(self._job, self._growing, shard, self._count)
        except FileNotFoundError:
            raise
        except Exception as error:
            self._note_failure(shard, asdict(self._identity), f"{type(error).__name__}: {error}")
            raise
        self._counted.add(shard)

    def _note_failure(self, shard: int, claim: Mapping[str, Any], error: str) -> None:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        owner = {name: claim.get(name, "") for name in ("worker", "host")}
        with suppress(OSError):  # such as a full disk; the error itself is raised
            self._growing.note(FAILED, shard, {**owner, "when": when, "error": error})
