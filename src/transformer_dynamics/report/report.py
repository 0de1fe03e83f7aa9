"""A report that is put together result by result: `td.Report(recording).add(result).save(path)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from transformer_dynamics.claims import Verdict
from transformer_dynamics.errors import InputError
from transformer_dynamics.notebook import frame
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import result_names
from transformer_dynamics.report.explorer import Explorer
from transformer_dynamics.report.figures import FigureCache
from transformer_dynamics.report.page import render_page
from transformer_dynamics.storage.files import local_path, make_folder, write_text

EXAMPLE = "td.Report(recording).add(td.paths.kinematics(recording)).save('report.html')"


class Report:
    """A self-contained HTML page of results and verdicts; a notebook shows it in a frame.

    Args:
        recording: source of the texts and of the provenance, or nothing.
        run: further provenance, as in `run.json`.
        figures: figures of an earlier report on the same results, which are not drawn again.
        twin: recording of an untrained twin over the same texts or some of them, which the view
            Explore shows as a null model.
        explorer: data of the view Explore of an earlier report on the same recording.

    Raises:
        InputError: `recording` is no recording.
    """

    def __init__(
        self,
        recording: Recording | None = None,
        *,
        run: Mapping[str, Any] | None = None,
        figures: FigureCache | None = None,
        twin: Recording | None = None,
        explorer: Explorer | None = None,
    ) -> None:
        if recording is not None and not isinstance(recording, Recording):
            raise InputError(
                f"got a {type(recording).__name__} as the recording; a report takes a "
                f"td.Recording, or none: {EXAMPLE}"
            )
        self._recording, self._run = recording, dict(run or {})
        self._results: dict[str, xr.Dataset] = {}
        self._verdicts: list[Verdict] = []
        self._figures = FigureCache() if figures is None else figures
        self._twin, self._explorer = twin, Explorer() if explorer is None else explorer

    def add(
        self, item: xr.Dataset | Verdict | Iterable[Verdict], *, name: str | None = None
    ) -> Report:
        """Add a result or verdicts, and return the report.

        Args:
            item: result of a measure, a perturbation or a panel; one verdict or several.
            name: heading of a result; by default the name of its measure, with a number where the
                report holds it already.

        Raises:
            InputError: the item is neither, or a result that no registered function made.
        """
        if isinstance(item, xr.Dataset):
            self._add_result(item, name)
        elif isinstance(item, Verdict):
            self._verdicts.append(item)
        elif isinstance(item, Iterable) and not isinstance(item, str | Mapping | xr.DataArray):
            verdicts = list(item)
            for verdict in verdicts:
                if not isinstance(verdict, Verdict):
                    raise _refused(verdict)
            self._verdicts += verdicts
        else:
            raise _refused(item)
        return self

    def save(self, path: str | Path) -> Path:
        """Write the page, whole or not at all, and return its path.

        Raises:
            TdynError: the folder cannot be written.
        """
        path = local_path(path)
        make_folder(path.parent)
        write_text(path, self._page())
        return path

    def _repr_html_(self) -> str:
        """The page in a frame, for a notebook."""
        return frame(self._page(), title="Report")

    def _page(self) -> str:
        islands = {}
        if self._recording is not None:
            islands = self._explorer.islands(self._recording, self._results, self._twin)
        return render_page(
            self._results, self._verdicts, self._recording, self._run, self._figures, islands
        )

    def _add_result(self, result: xr.Dataset, name: str | None) -> None:
        measure = result.attrs.get("measure")
        if measure not in result_names():
            raise InputError(
                f"got a Dataset whose attrs name the measure {measure!r}; a report shows results "
                f"of registered measures, perturbations and comparisons: {EXAMPLE}"
            )
        if name is None:
            same = [each for each in self._results if each.partition(" (")[0] == measure]
            name = f"{measure} ({len(same) + 1})" if same else str(measure)
        self._results[name] = result


def write_report(
    path: str | Path,
    results: Mapping[str, xr.Dataset],
    verdicts: Sequence[Verdict],
    *,
    recording: Recording | None = None,
    run: Mapping[str, Any] | None = None,
) -> Path:
    """Write a page of results and verdicts in one call; see `Report`.

    Args:
        path: the file to write.
        results: results of measures, by heading; each names its measure in its attrs.
        verdicts: result of `td.evaluate_claims`.
        recording: source of the texts and the provenance.
        run: further provenance, as in `run.json`.

    Returns:
        The path of the page.
    """
    report = Report(recording, run=run).add(verdicts)
    for name, result in results.items():
        report.add(result, name=name)
    return report.save(path)


def _refused(item: object) -> InputError:
    return InputError(
        f"got a {type(item).__name__}; a report takes results (xarray.Dataset), verdicts of "
        f"td.evaluate_claims, or one td.claims.Verdict: {EXAMPLE}"
    )
