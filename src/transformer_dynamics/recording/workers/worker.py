"""Worker: records shards of a growing recording until all are published, whoever records them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime

from transformer_dynamics.recording.disk.shards import record_shard
from transformer_dynamics.recording.job import Job
from transformer_dynamics.recording.workers.claims import Claims
from transformer_dynamics.recording.workers.growing import CLAIMS, FAILED, Growing
from transformer_dynamics.recording.workers.identity import Identity

Count = Callable[[int], None]

# Seconds between two looks at shards that other workers run: at first, and at most.
FIRST_WAIT, LONGEST_WAIT = 0.01, 1.0


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
                        time.sleep(wait)
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

    def _record_unclaimed(self, shards: list[int], claims: Claims) -> bool:
        """Record the shards that nobody has claimed; False if there are none."""
        found = False
        for shard in shards:
            if self._growing.is_published(shard) or not claims.take(shard):
                continue
            found = True
            try:
                if not self._growing.is_published(shard):  # between the look and the claim
                    self._record(shard)
            finally:
                claims.release()
        return found

    def _record(self, shard: int) -> None:
        try:
            record_shard(self._job, self._growing, shard, self._count)
        except FileNotFoundError:
            raise
        except Exception as error:
            self._note_failure(shard, error)
            raise
        self._counted.add(shard)

    def _note_failure(self, shard: int, error: Exception) -> None:
        note = {
            "worker": self._identity.worker,
            "host": self._identity.host,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "error": f"{type(error).__name__}: {error}",
        }
        with suppress(OSError):  # such as a full disk; the error itself is raised
            self._growing.note(FAILED, shard, note)
