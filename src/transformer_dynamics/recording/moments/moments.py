"""Streaming moments of a recording, for states that are too many to store.

They hold the mean and covariance of the units per site, the cross-covariance and a joint histogram
of each unit per pair of neighboring sites, and the mean and spread over samples of every measure
that takes one sample at a time. Moments on one grid of histogram bins merge (see `products`); the
grid is cut at quantiles of the first block of samples.

Space for S sites of D units: 16 S D^2 bytes with full covariances (324 MB for 61 x 576), 24 S D
with variances alone, and 2048 S D for the histograms (72 MB). Cost per sample: 4 S D^2 or 4 S D
operations. Not possible: quantiles, comparisons of samples, and correlations of distant sites.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics import registry
from transformer_dynamics.errors import RecordingError, UndefinedWarning
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.labels import site_coords
from transformer_dynamics.recording.moments import histograms
from transformer_dynamics.recording.moments.histograms import quantile_edges
from transformer_dynamics.recording.moments.per_sample import (
    block_statistics,
    means_and_deviations,
    merge_statistics,
)
from transformer_dynamics.recording.moments.products import Products
from transformer_dynamics.recording.moments.store import read_moments, write_moments
from transformer_dynamics.recording.moments.sums import block_sums, sums_dataset
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.attributes import attribute, plain_attributes
from transformer_dynamics.storage.files import local_path, read_json

FORMAT = "transformer-dynamics moments 1"


@dataclass(frozen=True)
class Moments:
    """Moments of states over samples, mergeable.

    Attributes:
        dataset: `mean` `(site, unit)`; sums of products of deviations from it, `within`
            `(site, unit, other_unit)` and `between` `(step, unit, other_unit)`, whose rows are the
            units where the step starts, both without `other_unit` if only each unit with itself is
            kept; `bin_edge` `(site, unit, edge)`, between the bins of a unit; `joint`
            `(step, unit, bin, other_bin)`, the number of samples in each pair of bins. Its attrs
            hold the number of samples and the provenance.
        per_sample: Name of each measure that takes one sample at a time to its variables averaged
            over `sample`, with `x_squares`, the sum of squared deviations, and `x_count`, the
            number of samples where it is defined, for each variable `x`.
    """

    dataset: xr.Dataset
    per_sample: dict[str, xr.Dataset]

    @classmethod
    def of(
        cls, recording: Recording, *, covariance: str = "full", grid: Moments | None = None
    ) -> Moments:
        """Compute the moments of a recording.

        Args:
            recording: `(sample, site, unit)`.
            covariance: `"full"` for all pairs of units, `"unit"` for each unit with itself.
            grid: Moments whose bins are used; by default the bins are cut at quantiles of the first
                block of samples.
        """
        result: Moments | None = None
        for block in recording.sample_blocks():
            shared = grid if result is None else result
            moments = _of_block(block, covariance, shared)
            result = moments if result is None else result.merge(moments, same_origin=True)
        if result is None:
            raise RecordingError(
                "got a recording without samples; moments need at least one: "
                "td.Moments.of(recording)"
            )
        return result

    @property
    def n_samples(self) -> int:
        """Number of samples, the denominator of every moment."""
        return int(self.dataset.attrs["n_samples"])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of samples, sites and units."""
        n_sites, n_units = self.dataset["mean"].shape
        return self.n_samples, n_sites, n_units

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Labels of the sites in order of depth."""
        return tuple(str(label) for label in self.dataset["site"].values)

    @property
    def provenance(self) -> dict[str, Any]:
        """Provenance of the states."""
        return dict(attribute(self.dataset, "provenance"))

    @property
    def site_coords(self) -> dict[str, Any]:
        """Coordinates for a result along `site`."""
        return site_coords(self.sites)

    @property
    def step_coords(self) -> dict[str, Any]:
        """Coordinates for a result along `step`: its first site, its last, and its kind."""
        return {name: self.dataset[name] for name in ("step", "step_stop", "step_kind")}

    @property
    def description(self) -> dict[str, Any]:
        """Description for a result: number of samples, range of sites, origin."""
        return {
            "moments_of": self.n_samples,
            "first_site": self.sites[0],
            "last_site": self.sites[-1],
            "provenance": self.provenance,
        }

    @cached_property
    def products(self) -> Products:
        """Means and sums of products of the units."""
        mean, within, between = (
            self.dataset[name].values for name in ("mean", "within", "between")
        )
        return Products(self.n_samples, mean, within, between)

    def rank_correlation(self) -> Floats:
        """Correlation of normal scores between neighboring sites, `(step, unit)`, from bins.

        NaN where all samples lie in one bin.
        """
        return histograms.rank_correlation(self.dataset["joint"].values)

    def means(self, measure: str) -> xr.Dataset:
        """Mean over samples of a measure that takes one sample at a time, with sd and count.

        Args:
            measure: Name of the measure, such as `"paths.kinematics"`.

        Returns:
            The variables of the measure without `sample`: each is the mean over the samples where
            it is defined; `x_sd` is the standard deviation over these (denominator: their number),
            `x_count` their number. NaN, with one `UndefinedWarning`, if there are none.

        Raises:
            RecordingError: the moments hold no means of the measure.
        """
        if measure not in self.per_sample:
            raise RecordingError(
                f"these moments hold no means of {measure!r}; they hold those of "
                f"{', '.join(self.per_sample)}: moments.means({next(iter(self.per_sample))!r})"
            )
        means, n_undefined = means_and_deviations(self.per_sample[measure], self.n_samples)
        if n_undefined:
            warnings.warn(
                f"{n_undefined} values of {measure} were undefined (NaN) and are left out of its "
                "means",
                UndefinedWarning,
                stacklevel=2,
            )
        return means.assign_attrs(measure=measure, n_samples=self.n_samples)

    def can_measure(self, name: str) -> bool:
        """Whether `measure` computes this measure from moments."""
        return name in self.per_sample or registry.MEASURES.get(name).of_moments

    def measure(self, name: str) -> xr.Dataset:
        """Compute a registered measure from these moments: its result, or its means over samples.

        Raises:
            RecordingError: the measure needs the states.
        """
        entry = registry.MEASURES.get(name)
        if entry.of_moments:
            result: xr.Dataset = entry.function(self)
            return result
        return self.means(name)

    def merge(self, other: Moments, *, same_origin: bool = False) -> Moments:
        """Merge two sets of moments into the moments of all their samples.

        Args:
            other: Moments of other samples of the same model.
            same_origin: Whether both are of one recording, whose provenance is kept.

        Raises:
            RecordingError: sites, units, covariances, bins or measures differ.
        """
        self._require_mergeable(other)
        products = self.products.merge(other.products)
        joint = self.dataset["joint"].values + other.dataset["joint"].values
        merged = sums_dataset(products, self.dataset["bin_edge"].values, joint)
        merged = merged.assign_coords(self.dataset.coords)
        provenance = self.provenance if same_origin else _both(self.provenance, other.provenance)
        merged.attrs = plain_attributes(
            {
                **self.dataset.attrs,
                "n_samples": products.n_samples,
                "provenance": provenance,
            }
        )
        statistics = {
            name: merge_statistics(gathered, other.per_sample[name])
            for name, gathered in self.per_sample.items()
        }
        return Moments(merged, statistics)

    def _require_mergeable(self, other: Moments) -> None:
        mine = (self.sites, dict(self.dataset.sizes), sorted(self.per_sample))
        theirs = (other.sites, dict(other.dataset.sizes), sorted(other.per_sample))
        if mine != theirs:
            raise RecordingError(
                f"got moments of other sites, units, covariances or measures ({theirs[1]}, here "
                f"{mine[1]}); only moments of one model made with the same options merge"
            )
        if not np.array_equal(self.dataset["bin_edge"], other.dataset["bin_edge"]):
            raise RecordingError(
                "got moments whose histograms have other bins; record the second set on those of "
                "the first: td.record(model, texts, keep='moments', "
                "options=td.RecordingOptions(grid=first))"
            )

    def save(self, path: str | Path) -> None:
        """Write to a Zarr store; it appears under its name only when it is complete.

        Raises:
            RecordingError: the path exists already.
        """
        write_moments(path, self.dataset, self.per_sample)


def open_moments(path: str | Path) -> Moments:
    """Read moments from disk into memory. Needs no torch.

    Raises:
        RecordingError: the path does not exist, or holds no moments.
    """
    return Moments(*read_moments(path, FORMAT))


def holds_moments(path: str | Path) -> bool:
    """Whether a folder is a store of moments, and not of states."""
    described = read_json(local_path(path) / "zarr.json") or {}
    return bool(described.get("attributes", {}).get("format") == FORMAT)


def _of_block(block: Recording, covariance: str, grid: Moments | None) -> Moments:
    edges = quantile_edges(block.values) if grid is None else grid.dataset["bin_edge"].values
    dataset = block_sums(block, edges, full=covariance == "full")
    dataset.attrs = plain_attributes(
        {"format": FORMAT, "n_samples": block.shape[0], "provenance": block.provenance}
    )
    return Moments(dataset, dict(block_statistics(block)))


def _both(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    parts = [part for each in (one, two) for part in each.get("merged", [each])]
    return {"merged": parts}
