"""Status of a folder: its recordings, and the stages of a run from its ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformer_dynamics.errors import TdynError
from transformer_dynamics.experiment.ledger import Ledger
from transformer_dynamics.recording.disk.verification import is_growing, stores_in
from transformer_dynamics.recording.workers.status import StoreStatus, store_status
from transformer_dynamics.storage.files import local_path


@dataclass(frozen=True)
class StageStatus:
    """A stage of a run.

    Attributes:
        name: Its name.
        state: `done`, `to come` or `left out`.
        seconds: Time that it took, or the estimate for one to come; None if unknown.
        ended: Time of its end (ISO 8601), or empty.
        why: Reason why it is left out, or empty.
    """

    name: str
    state: str
    seconds: float | None = None
    ended: str = ""
    why: str = ""


@dataclass(frozen=True)
class FolderStatus:
    """Status of a folder.

    Attributes:
        stores: Recordings and moments, finished or growing.
        stages: Stages of the run, in the order of their ends; empty for a folder that is no run.
    """

    stores: tuple[StoreStatus, ...]
    stages: tuple[StageStatus, ...]


def folder_status(folder: str | Path) -> FolderStatus:
    """Read the status of a recording or of the folder of a run; nothing is changed.

    Raises:
        TdynError: the folder does not exist, or holds neither a recording nor a run.
    """
    path = local_path(folder)
    entries = Ledger(path / "run.json").entries() if path.is_dir() else {}
    try:
        stores = stores_in(path)
    except TdynError:
        if not entries:
            raise
        stores = []
    found = tuple(store_status(store, is_growing=is_growing(store)) for store in stores)
    return FolderStatus(found, _stages(entries))


def _stages(entries: dict[str, Any]) -> tuple[StageStatus, ...]:
    stages = entries.get("stages", {})
    done = [
        StageStatus(name, "done", stage.get("seconds"), stage.get("ended", ""))
        for name, stage in sorted(stages.items(), key=lambda each: each[1].get("ended", ""))
    ]
    to_come = [
        StageStatus(stage["stage"], "to come", stage.get("seconds"))
        for stage in entries.get("pending", [])
    ]
    refused = [
        StageStatus(name, "left out", why=why) for name, why in entries.get("refused", {}).items()
    ]
    return (*done, *to_come, *refused)
