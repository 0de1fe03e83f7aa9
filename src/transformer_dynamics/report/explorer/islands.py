"""Data islands of the view Explore, made once for the pages of one run.

    explore-about     sites, sizes, seeds, the choice of samples and units, labels and texts
    explore-model     paths and spreads of the recording
    explore-walk      the same of a random walk with matched increments
    explore-twin      the same of the untrained twin, if there is one
    explore-steps     correlation and mutual information by step
    explore-lens      tokens decoded at each site, if there is a result of the logit lens

States are float16 with their largest rounding error, or float32 beyond its range.
Cost: one pass over the recording, and the shown samples in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.report.explorer.choice import UnitChoice, chosen_units
from transformer_dynamics.report.explorer.readings import (
    AUTOENCODER,
    LENS,
    PCA,
    by_step,
    component_scores,
    decoded_tokens,
    latent_scores,
    result_of,
    shown_samples,
)
from transformer_dynamics.report.explorer.spreads import (
    NULL_QUANTILES,
    QUANTILES,
    Spreads,
    spreads,
)
from transformer_dynamics.report.explorer.systems import (
    model_numbers,
    twin_numbers,
    twin_rows,
    walk_numbers,
)
from transformer_dynamics.report.explorer.texts import (
    listed_strings,
    sample_labels,
    text_strings,
    text_tokens,
)
from transformer_dynamics.report.packing import packed_array, packed_json

# Beyond this magnitude float16 has no numbers.
HALF_RANGE = 65000.0
Islands = dict[str, Any]


class Explorer:
    """Data of the view Explore, of which later pages of a run make only what changed.

    Args:
        seed: seed of the shown samples and units, and of the random walk.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._made: dict[str, tuple[tuple[Any, ...], Any]] = {}

    def islands(
        self,
        recording: Recording,
        results: Mapping[str, xr.Dataset],
        twin: Recording | None = None,
    ) -> Islands:
        """Make the islands by name.

        Args:
            recording: recording of the page.
            results: results of measures and perturbations, by name.
            twin: recording of an untrained twin over the same texts, or some of them.
        """
        lens, seed = result_of(results, LENS), self._seed
        rows = twin_rows(twin, recording)
        samples = shown_samples(recording, lens, rows, seed=seed)
        shown_key = tuple(samples.tolist())
        spread = self._once("spreads", (recording,), lambda: spreads(recording))
        units = chosen_units(spread.variance, seed=seed)

        def of_model() -> Islands:
            return _packed_all(model_numbers(recording, samples, spread, units))

        def of_walk() -> Islands:
            return _packed_all(walk_numbers(recording, samples, units, seed=seed))

        islands = {
            "explore-about": {
                "about": packed_json(self._about(recording, samples, spread, units, lens))
            },
            "explore-model": {
                **self._once("model", (recording, shown_key), of_model),
                **_planes(recording, results, samples),
            },
            "explore-walk": self._once("walk", (recording, shown_key), of_walk),
            "explore-steps": _packed_all(by_step(results, recording)),
        }
        if twin is not None and (rows[samples] >= 0).any():
            islands["explore-twin"] = self._once(
                "twin",
                (twin, shown_key),
                lambda: _packed_all(twin_numbers(twin, rows[samples], units)),
            )
        decoded = decoded_tokens(lens, recording, samples)
        if decoded is not None:
            islands["explore-lens"] = _packed_all(decoded)
        return islands

    def _about(
        self,
        recording: Recording,
        samples: NDArray[np.int64],
        spread: Spreads,
        units: UnitChoice,
        lens: xr.Dataset | None,
    ) -> dict[str, Any]:
        n_samples, _, n_units = recording.shape
        texts = recording.text_index[samples]
        listed = np.setdiff1d(recording.text_index[np.unique(spread.extremes)], texts)
        return {
            "sites": list(recording.sites),
            "n_samples": n_samples,
            "n_units": n_units,
            "is_one_per_text": np.unique(recording.text_index).size == n_samples,
            "seed": self._seed,
            "quantiles": list(QUANTILES),
            "null_quantiles": list(NULL_QUANTILES),
            "extreme_sites": spread.extreme_sites.tolist(),
            "traced": units.units.tolist(),
            "massive": units.massive.tolist(),
            "samples": sample_labels(recording, samples),
            "texts": text_strings(recording, texts),
            "tokens": text_tokens(recording, texts, lens),
            "listed": listed_strings(recording, listed),
            "text_of_sample": recording.text_index.tolist() if n_samples <= 20000 else [],
        }

    def _once(self, name: str, sources: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """A part as made before, unless one of its sources is another object."""
        known = self._made.get(name)
        if known is None or not all(map(_is_same, known[0], sources)):
            known = self._made[name] = (sources, make())
        return known[1]


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, tuple) and one == other)


def _planes(
    recording: Recording, results: Mapping[str, xr.Dataset], samples: NDArray[np.int64]
) -> Islands:
    """Coordinates in the planes that results hold."""
    components = component_scores(result_of(results, PCA), recording, samples)
    latents = latent_scores(result_of(results, AUTOENCODER), recording, samples)
    planes: Islands = {} if components is None else _packed_all(components)
    return planes if latents is None else {**planes, "latents": _packed_all(latents)}


def packed(values: NDArray[Any]) -> dict[str, Any]:
    """Pack numbers as float16, or as float32 where one lies beyond its range."""
    finite = np.abs(values[np.isfinite(values)])
    is_small = finite.max(initial=0.0) < HALF_RANGE
    return packed_array(values, "f2" if is_small else "f4")


def _packed_all(values: Mapping[str, Any]) -> Islands:
    """Pack the arrays among some values; integers as unsigned ones."""
    packed_values: Islands = {}
    for name, value in values.items():
        if not isinstance(value, np.ndarray):
            packed_values[name] = value if name != "strings" else packed_json(value)
        elif value.dtype.kind in "iu":
            packed_values[name] = packed_array(value, "u4")
        else:
            packed_values[name] = packed(value)
    return packed_values
