"""Page of a run, written from the files in its folder."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from transformer_dynamics.errors import TdynError
from transformer_dynamics.experiment.ledger import Ledger
from transformer_dynamics.experiment.verdicts import CLAIM_TESTS, load_verdicts
from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.registry import result_names
from transformer_dynamics.report.explorer import Explorer
from transformer_dynamics.report.explorer.run_numbers import first_twin
from transformer_dynamics.report.figures import FigureCache
from transformer_dynamics.report.report import Report
from transformer_dynamics.storage.files import local_path
from transformer_dynamics.storage.results import load_result, result_stamp, saved_names


def report_run(out: Path) -> Path:
    """Write the page of a run from the files in its folder.

    Raises:
        TdynError: there is no run in the folder, or an earlier version wrote its claims.
    """
    return RunPage(local_path(out)).write()


@dataclass
class RunPage:
    """Page that is written again while a run goes on; results that did not change are kept.

    Attributes:
        out: Folder of the run.
    """

    out: Path
    _results: dict[str, tuple[Any, xr.Dataset | None]] = field(default_factory=dict)
    _recordings: dict[Path, Recording] = field(default_factory=dict)
    _figures: FigureCache = field(default_factory=FigureCache)
    _explorer: Explorer = field(default_factory=Explorer)

    @property
    def path(self) -> Path:
        """The file."""
        return self.out / "report.html"

    def write(self) -> Path:
        """Write the page with the present results, whole or not at all.

        Results of stages that the ledger calls pending are those of an earlier run and left out.

        Raises:
            TdynError: as `report_run`.
        """
        recording = self.out / "recording.zarr"
        if not recording.exists():
            raise TdynError(
                f"there is no run in {self.out}: recording.zarr is missing; make one with "
                f"`tdyn run --out {self.out}`"
            )
        run = Ledger(self.out / "run.json").entries()
        report = Report(
            self._opened(recording),
            run=run,
            figures=self._figures,
            twin=self._twin(),
            explorer=self._explorer,
        )
        pending = {stage["stage"] for stage in run.get("pending", [])}
        if CLAIM_TESTS not in pending:
            report.add(load_verdicts(self.out, self._result))
        for name in self._known_names():
            result = None if name in pending else self._result(name)
            if result is not None:
                report.add(result, name=name)
        return report.save(self.path)

    def _opened(self, path: Path) -> Recording:
        """A recording, opened once: no stage replaces it."""
        if path not in self._recordings:
            self._recordings[path] = open_recording(path)
        return self._recordings[path]

    def _twin(self) -> Recording | None:
        """The first untrained twin, if it is recorded."""
        path = first_twin(self.out)
        return None if path is None else self._opened(path)

    def _known_names(self) -> list[str]:
        known, names = result_names(), saved_names(self.out / "results.zarr")
        unknown = [name for name in names if name not in known]
        if unknown:
            warnings.warn(
                f"the page leaves out {', '.join(unknown)}: no measure of that name is registered; "
                "an earlier version or a plug-in that is not installed made them",
                stacklevel=4,
            )
        return [name for name in names if name in known]

    def _result(self, name: str) -> xr.Dataset | None:
        """A stored result, read again only when it was replaced."""
        store = self.out / "results.zarr"
        stamp = result_stamp(store, name)
        if name not in self._results or self._results[name][0] != stamp:
            self._results[name] = (stamp, load_result(store, name))
        return self._results[name][1]
