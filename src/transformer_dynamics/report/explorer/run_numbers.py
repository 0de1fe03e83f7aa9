"""Numbers of the view Explore of a run, each computed from its files at its first use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.report.explorer.choice import UnitChoice, chosen_units
from transformer_dynamics.report.explorer.readings import (
    AUTOENCODER,
    BY_STEP,
    LENS,
    PCA,
    by_step,
    component_scores,
    decoded_tokens,
    latent_scores,
    shown_samples,
)
from transformer_dynamics.report.explorer.spreads import Spreads, spreads
from transformer_dynamics.report.explorer.systems import (
    SystemNumbers,
    model_numbers,
    twin_numbers,
    twin_rows,
    walk_numbers,
)
from transformer_dynamics.storage.files import local_path
from transformer_dynamics.storage.results import load_result

# Null models by the keys of the page's state, with their names.
NULL_NAMES = {"walk": "random walk (null)", "twin": "untrained twin"}


@dataclass(frozen=True)
class NullModel:
    """A null model on the page.

    Attributes:
        name: name in the legend.
        numbers: its paths and spreads.
    """

    name: str
    numbers: SystemNumbers


class RunNumbers:
    """Numbers of the recording, the results and the null models of a run.

    Args:
        folder: folder of the run.
        seed: seed of the shown samples and units, and of the random walk.
    """

    def __init__(self, folder: str | Path, *, seed: int = 0) -> None:
        self.folder, self._seed = local_path(folder), seed

    @cached_property
    def recording(self) -> Recording:
        """Recording of the run."""
        return open_recording(self.folder / "recording.zarr")

    @cached_property
    def samples(self) -> NDArray[np.int64]:
        """The shown samples, ascending."""
        lens = self.result(LENS)
        return shown_samples(self.recording, lens, self._twin_rows, seed=self._seed)

    @cached_property
    def spread(self) -> Spreads:
        """Distribution of every unit over all samples."""
        return spreads(self.recording)

    @cached_property
    def units(self) -> UnitChoice:
        """Units with single traces."""
        return chosen_units(self.spread.variance, seed=self._seed)

    @cached_property
    def model(self) -> SystemNumbers:
        """Paths and spreads of the recording."""
        return model_numbers(self.recording, self.samples, self.spread, self.units)

    @cached_property
    def nulls(self) -> dict[str, NullModel]:
        """Null models by key."""
        rows = self._twin_rows[self.samples]
        made: dict[str, Callable[[], SystemNumbers]] = {
            "walk": lambda: walk_numbers(self.recording, self.samples, self.units, seed=self._seed)
        }
        if self._twin is not None and (rows >= 0).any():
            twin = self._twin
            made["twin"] = lambda: twin_numbers(twin, rows, self.units)
        return {key: NullModel(NULL_NAMES[key], make()) for key, make in made.items()}

    @cached_property
    def components(self) -> dict[str, Any] | None:
        """Scores and shares of variance of the principal components, if they were computed."""
        return component_scores(self.result(PCA), self.recording, self.samples)

    @cached_property
    def latents(self) -> dict[str, Any] | None:
        """Latents of the autoencoder, if it was trained."""
        return latent_scores(self.result(AUTOENCODER), self.recording, self.samples)

    @cached_property
    def steps(self) -> dict[str, NDArray[Any]]:
        """Correlation and mutual information, `(unit, step)`, as far as they were computed."""
        found = ((measure, self.result(measure)) for measure, _ in BY_STEP.values())
        return by_step({name: one for name, one in found if one is not None}, self.recording)

    @cached_property
    def lens(self) -> dict[str, Any] | None:
        """Tokens of the logit lens, if it was computed."""
        return decoded_tokens(self.result(LENS), self.recording, self.samples)

    def result(self, name: str) -> xr.Dataset | None:
        """Result of a measure, or None."""
        return load_result(self.folder / "results.zarr", name)

    @cached_property
    def _twin(self) -> Recording | None:
        path = first_twin(self.folder)
        return None if path is None else open_recording(path)

    @cached_property
    def _twin_rows(self) -> NDArray[np.int64]:
        return twin_rows(self._twin, self.recording)


def first_twin(folder: Path) -> Path | None:
    """Recording of the untrained twin of the lowest seed in a run's folder, if there is one."""
    paths = (folder / "nulls").glob("untrained-*.zarr")
    return min(paths, key=lambda path: int(path.stem.partition("-")[2]), default=None)
