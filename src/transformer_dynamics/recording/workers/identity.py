"""Identity of a worker: a name of its own, and whether a process of this machine still runs."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

BOOT, PROCESSES = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class Identity:
    """A worker as its notes name it.

    Attributes:
        worker: Name that no other worker has.
        host: Name of the machine.
        pid: Number of the process.
        space: Machine since its last start, and container, in which that number means the process.
        device: Device of the model.
    """

    worker: str
    host: str
    pid: int
    space: str
    device: str

    @classmethod
    def here(cls, device: str) -> Identity:
        """Make the identity of a new worker of this process."""
        host, pid = socket.gethostname(), os.getpid()
        return cls(f"{host}-{pid}-{secrets.token_hex(4)}", host, pid, process_space(host), device)


def process_space(host: str) -> str:
    """Name the set of processes in which a process number is unique; the host where unknown."""
    try:
        return f"{BOOT.read_text().strip()} {os.readlink(PROCESSES)}"
    except OSError:
        return host


def has_ended(pid: int) -> bool:
    """Whether no process of this machine and container has the number, or a dead one."""
    if os.name == "nt":  # where the call below would be a signal
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # a process of another user
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in ("Z", "X")
