"""Claims: notes that a worker runs a shard, so that no other worker runs it too.

A claim is a file that only one worker can create. A thread of the worker touches it every few
seconds. An observer who sees it unchanged for `TIMEOUT` seconds of its own clock takes it over, so
the clocks of two machines need not agree; the claim of a process of the same machine that has ended
is taken over at once. Claims save work and decide nothing: two workers that run one shard, such as
one that was frozen and wakes up, do no harm.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from transformer_dynamics.recording.workers.identity import Identity, has_ended

HEARTBEAT = 5.0
# Network file systems show a change to other machines after up to a minute.
TIMEOUT = 90.0
# A claim without text: its worker died between two system calls, or is about to write it.
EMPTY_TIMEOUT = 5.0


class Claims:
    """Claims of one worker in a folder, and what it has seen of those of others.

    `left_by` is the claim that `take` took over, None where there was none.

    Args:
        folder: Folder of the claims.
        private: Folder of the worker.
        identity: The worker.
    """

    def __init__(self, folder: Path, private: Path, identity: Identity) -> None:
        self._folder, self._private, self._identity = folder, private, identity
        self._seen: dict[int, tuple[Any, float]] = {}
        self.left_by: dict[str, Any] | None = None
        self._held: Path | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="tdyn-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        """Start the heartbeat."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Release the claim and end the heartbeat."""
        self.release()
        self._ended.set()
        self._thread.join()

    def take(self, shard: int) -> bool:
        """Claim a shard that nobody has claimed, or whose worker has gone.

        Raises:
            FileNotFoundError: the recording was closed.
        """
        path = self._folder / f"{shard}.json"
        self._held = path  # before it is created, so that an interruption releases it
        self.left_by = None
        if self._create(path):
            return True
        before = read_claim(path)
        if self._is_stale(shard, path) and self._replace(path):
            self.left_by = before
            return True
        self._held = None
        return False

    def release(self) -> None:
        """Give up the claim, if it is still this worker's."""
        held, self._held = self._held, None
        if held is not None and _owner(read_claim(held)) == self._identity.worker:
            held.unlink(missing_ok=True)

    def _text(self) -> bytes:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        return json.dumps({**asdict(self._identity), "started": started}).encode()

    def _create(self, path: Path) -> bool:
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        with os.fdopen(file, "wb") as stream:
            stream.write(self._text())
        return True

    def _replace(self, path: Path) -> bool:
        """Take over a claim; where several workers do, the last one has it."""
        mine = self._private / "claim.json"
        mine.write_bytes(self._text())
        mine.replace(path)
        return bool(_owner(read_claim(path)) == self._identity.worker)

    def _is_stale(self, shard: int, path: Path) -> bool:
        try:
            with path.open("rb") as file:  # opened, so that a network file system looks again
                sign = (os.fstat(file.fileno()).st_mtime_ns, file.read())
        except FileNotFoundError:
            return False
        claim = _parsed(sign[1])
        if claim.get("space") == self._identity.space and has_ended(claim["pid"]):
            return True
        now = time.monotonic()
        before, since = self._seen.get(shard, (None, now))
        if sign != before:
            self._seen[shard] = sign, now
            return False
        return now - since > (TIMEOUT if claim else EMPTY_TIMEOUT)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            held = self._held
            # After a freeze the claim may be another worker's.
            if held is not None and _owner(read_claim(held)) == self._identity.worker:
                with suppress(OSError):
                    os.utime(held)


def read_claim(path: Path) -> dict[str, Any]:
    """Read a claim; empty if there is none or it is not written yet."""
    try:
        return _parsed(path.read_bytes())
    except OSError:
        return {}


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        claim = json.loads(text)
    except ValueError:
        return {}
    return claim if isinstance(claim, dict) else {}


def _owner(claim: dict[str, Any]) -> Any:
    return claim.get("worker")
