"""Figures of the view Explore of a run, drawn again in Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.plots.backend.heatmaps import Heatmap
from transformer_dynamics.plots.backend.lines import Lines, Series
from transformer_dynamics.report.explorer.drawings import (
    PLANES,
    Turn,
    line,
    marked,
    orbit,
    over_depth,
    projected,
    quantiles,
    several,
)
from transformer_dynamics.report.explorer.run_numbers import NULL_NAMES, NullModel, RunNumbers

N_NULL_PATHS = 40
ACTIVATION, STEP = "activation (stream units)", "step (index of its first site)"
EXAMPLE = 'Exploration("runs/smollm2-135m").trace(unit=3, sample=0, site="7.pre_attn").plot()'
Moved = Literal["speed", "cosine"]
ByStep = Literal["correlation", "information"]


class Exploration:
    """Figures of the view Explore of a finished run, with the numbers that the page shows.

    Every figure takes the page's selection: `sample` as in the page's address, the name of a
    `site`, a `unit`. `nulls` are the null models to draw, of `"walk"` and `"twin"`. The shown
    samples and units and the random walk have the page's seed.

    Args:
        folder: folder of the run.

    Raises:
        RecordingError: the folder holds no recording.
        InputError: the page of the run does not show what is asked for.
    """

    def __init__(self, folder: str | Path = ".") -> None:
        self._numbers = RunNumbers(folder)
        self._sites = list(self._numbers.recording.sites)

    def trace(
        self, *, unit: int, sample: int, site: str, nulls: Iterable[str] = tuple(NULL_NAMES)
    ) -> Lines:
        """Draw a unit over depth: spread over all texts, single texts, null models."""
        index, row = self._site(site), self._row(sample)
        spread, place = self._numbers.model["quantiles"][:, self._unit(unit)], self._place(unit)
        series = [
            over_depth(f"median, {name}", spread[2], self._sites, ends=spread[ends])
            for name, ends in (("5–95 %", [0, 4]), ("25–75 %", [1, 3]))
        ]
        for null in self._nulls(nulls):
            low, middle, high = null.numbers["quantiles"][:, unit]
            name = f"{null.name}: median, 5–95 %"
            series.append(over_depth(name, middle, self._sites, role="null", ends=[low, high]))
        if place is not None:
            traces = self._numbers.model["traces"][place]
            series.insert(0, over_depth("single texts", traces))
            series.append(over_depth("selected text", traces[row], self._sites))
            series.append(marked("selected site", index, traces[row, index]))
        return self._lines(f"Trace of unit {unit}", "site (index)", ACTIVATION, series)

    def portrait(
        self, *, unit: int, sample: int, site: str, nulls: Iterable[str] = tuple(NULL_NAMES)
    ) -> Lines:
        """Draw the phase portrait of a unit: its activation, and the change to the next site."""
        step, row = self._step(site), self._row(sample)
        median = orbit(self._numbers.model["quantiles"][2, self._unit(unit)])
        place, labels = self._place(unit), self._sites[:-1]
        series, selected = [line("median", *median, labels)], median
        for null in self._nulls(nulls):
            name, numbers = null.name, null.numbers
            middle = orbit(numbers["quantiles"][1, unit])
            series.append(line(f"{name}: median", *middle, labels, role="null"))
            own = numbers["row"][row]
            if place is not None and 0 <= own < numbers["traces"].shape[1]:
                path = orbit(numbers["traces"][place, own])
                series.append(line(f"{name}: selected text", *path, labels, role="null"))
        if place is not None:
            traces = self._numbers.model["traces"][place]
            series.insert(0, several("single texts", *orbit(traces)))
            selected = orbit(traces[row])
            series.append(line("selected text", *selected, labels))
        series.append(marked("selected site", *(each[step] for each in selected)))
        y_label = "change (stream units per step)"
        return self._lines(f"Phase portrait of unit {unit}", ACTIVATION, y_label, series)

    def trajectory(
        self,
        *,
        sample: int,
        site: str,
        plane: str = "1,2",
        turn: Turn = (35, 20),
        nulls: Iterable[str] = tuple(NULL_NAMES),
    ) -> Lines:
        """Draw the paths of the texts in a plane.

        Args:
            sample: the selected sample.
            site: the selected site.
            plane: two principal components as `"1,2"`, three of them seen from a direction as
                `"3d"`, or `"autoencoder"`.
            turn: direction in degrees, about the vertical axis and up.
            nulls: null models to draw, in their own components.
        """
        index, row, is_latent = self._site(site), self._row(sample), plane == "autoencoder"
        scores, own = self._scores(plane, row)
        x, y = projected(scores, plane, turn)
        series = [several("texts", x, y)]
        for null in [] if is_latent else self._nulls(nulls):
            if "score" not in null.numbers:
                continue
            paths, rows = null.numbers["score"], np.array(null.numbers["row"])
            drawn = projected(paths[rows[rows >= 0][:N_NULL_PATHS]], plane, turn)
            series.append(several(null.name, *drawn, role="null"))
            if rows[row] >= 0:
                path = projected(paths[rows[row]], plane, turn)
                series.append(line(f"{null.name}: selected text", *path, self._sites, role="null"))
        if own >= 0:
            series.append(line("selected text", x[own], y[own], self._sites))
            series.append(marked("selected site", x[own, index], y[own, index]))
        return self._lines("Trajectory", *_axis_labels(plane, turn), series)

    def speed(self, *, sample: int, site: str, nulls: Iterable[str] = tuple(NULL_NAMES)) -> Lines:
        """Draw the speed of a text over depth among all shown texts."""
        return self._movement("speed", sample, site, nulls)

    def cosine(self, *, sample: int, site: str, nulls: Iterable[str] = tuple(NULL_NAMES)) -> Lines:
        """Draw the cosine of consecutive states of a text among all shown texts."""
        return self._movement("cosine", sample, site, nulls)

    def correlation(
        self, *, unit: int, site: str, nulls: Iterable[str] = tuple(NULL_NAMES)
    ) -> Lines:
        """Draw the correlation of a unit between neighboring sites among all units."""
        return self._by_step("correlation", unit, site, nulls)

    def information(
        self, *, unit: int, site: str, nulls: Iterable[str] = tuple(NULL_NAMES)
    ) -> Lines:
        """Draw the mutual information of a unit between neighboring sites among all units."""
        return self._by_step("information", unit, site, nulls)

    def lens(self, *, sample: int) -> Heatmap:
        """Draw the probabilities of the tokens that the logit lens decodes at each site."""
        row, decoded = self._row(sample), self._numbers.lens
        place = -1 if decoded is None else decoded["row"][row]
        if decoded is None or place < 0:
            raise InputError(f"got sample {sample}, which the run did not decode: {EXAMPLE}")
        chances = decoded["probability"][place].T
        return Heatmap(
            title="Next tokens decoded at each site (logit lens)",
            x_label="site (index)",
            y_label="rank",
            color_label="probability (1)",
            values=chances,
            x_names=self._sites,
            y_names=[str(rank + 1) for rank in range(len(chances))],
            symmetric=False,
        )

    def extremes(self, *, unit: int, site: str) -> xr.Dataset:
        """List the samples with the largest and the smallest states of a unit.

        Returns:
            `sample` and `value` (stream units), `(end, rank)`, at the listed site nearest to
            `site`.
        """
        spread = self._numbers.spread
        place = np.abs(spread.extreme_sites - self._site(site)).argmin().item()
        unit = self._unit(unit)
        samples = spread.extremes[place, unit].reshape(2, -1)
        values = spread.extreme_values[place, unit].reshape(2, -1)
        ranks = np.arange(1, samples.shape[1] + 1)
        listed = self._sites[spread.extreme_sites[place]]
        return xr.Dataset(
            {"sample": (("end", "rank"), samples), "value": (("end", "rank"), values)},
            {"end": ["top", "bottom"], "rank": ranks},
            {"unit": unit, "site": listed, "units": "stream units"},
        )

    def _movement(self, name: Moved, sample: int, site: str, nulls: Iterable[str]) -> Lines:
        step, row = self._step(site), self._row(sample)
        values, labels = self._numbers.model[name], self._sites[:-1]
        series = [over_depth("texts", values)]
        for null in self._nulls(nulls):
            own, place = null.numbers[name], null.numbers["row"][row]
            low, middle, high = quantiles(own)
            title = f"{null.name}: median, 5–95 %"
            series.append(over_depth(title, middle, labels, role="null", ends=[low, high]))
            if place >= 0:
                title = f"{null.name}: selected text"
                series.append(over_depth(title, own[place], labels, role="null"))
        series.append(over_depth("selected text", values[row], labels))
        series.append(marked("selected site", step, values[row, step]))
        title, unit = {
            "speed": ("Speed of the text", "stream units per step"),
            "cosine": ("Cosine of consecutive states", "1"),
        }[name]
        return self._lines(title, STEP, f"{name} ({unit})", series)

    def _by_step(self, name: ByStep, unit: int, site: str, nulls: Iterable[str]) -> Lines:
        step, labels, values = self._step(site), self._sites[:-1], self._numbers.steps.get(name)
        if values is None:
            raise InputError(f"the run has no result of the {name} of units: {EXAMPLE}")
        own = values[self._unit(unit)]
        low, middle, high = quantiles(values)
        series = [over_depth("units: median, 5–95 %", middle, labels, ends=[low, high])]
        for null in self._nulls(nulls):
            mean, *edges = null.numbers[name]
            title = f"{null.name}: mean, 5–95 %"
            series.append(over_depth(title, mean, labels, role="null", ends=edges))
        series.append(over_depth("selected unit", own, labels))
        series.append(marked("selected site", step, own[step]))
        title, label = {
            "correlation": ("Correlation of the unit between sites", "Pearson correlation (1)"),
            "information": ("Mutual information between sites", "mutual information (nats)"),
        }[name]
        return self._lines(title, STEP, label, series)

    def _scores(self, plane: str, row: int) -> tuple[Any, int]:
        """Coordinates of the texts, `(text, site, axis)`, and the row of the selected one or -1."""
        if plane not in PLANES:
            raise _refused("plane", plane, PLANES)
        found = self._numbers.latents if plane == "autoencoder" else self._numbers.components
        if found is None:
            raise InputError(f"the run has no coordinates in the plane {plane!r}: {EXAMPLE}")
        if plane == "autoencoder":
            return found["latent"], int(found["row"][row])
        return found["score"], row

    def _lines(self, title: str, x_label: str, y_label: str, series: Sequence[Series]) -> Lines:
        n_shown = self._numbers.samples.size
        return Lines(
            title=title,
            x_label=x_label,
            y_label=y_label,
            caption=f"N = {n_shown} of {self._numbers.recording.shape[0]} samples.",
            series=series,
        )

    def _nulls(self, keys: Iterable[str]) -> list[NullModel]:
        for key in (keys := list(keys)):
            if key not in NULL_NAMES:
                raise _refused("null", key, list(NULL_NAMES))
        return [null for key, null in self._numbers.nulls.items() if key in keys]

    def _row(self, sample: int) -> int:
        shown: list[int] = self._numbers.samples.tolist()
        if sample not in shown:
            raise _refused("sample", sample, shown)
        return shown.index(sample)

    def _site(self, site: str) -> int:
        if site not in self._sites:
            raise _refused("site", site, self._sites)
        return self._sites.index(site)

    def _step(self, site: str) -> int:
        if len(self._sites) < 2:
            raise InputError("got a figure of steps; the recording has one site and no step")
        return min(self._site(site), len(self._sites) - 2)

    def _unit(self, unit: int) -> int:
        if not 0 <= unit < self._numbers.recording.shape[2]:
            raise _refused("unit", unit, range(self._numbers.recording.shape[2]))
        return unit

    def _place(self, unit: int) -> int | None:
        """Place of a unit among those with single traces."""
        traced: list[int] = self._numbers.units.units.tolist()
        return traced.index(unit) if unit in traced else None


def _axis_labels(plane: str, turn: Turn) -> tuple[str, str]:
    if plane == "autoencoder":
        return "latent 1 (no unit)", "latent 2 (no unit)"
    if plane == "3d":
        seen = f"PC1 to PC3 turned by {turn[0]:g}° and {turn[1]:g}°"
        return f"across ({seen}; stream units)", "up (stream units)"
    first, second = plane.split(",")
    return f"PC{first} (stream units)", f"PC{second} (stream units)"


def _refused(name: str, value: object, allowed: Sequence[object]) -> InputError:
    listed = list(map(str, allowed))
    words = listed if len(listed) <= 12 else [*listed[:6], "...", *listed[-3:]]
    return InputError(f"got {name} {value!r}; the page shows {', '.join(words)}: {EXAMPLE}")
