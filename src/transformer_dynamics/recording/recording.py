"""A recording: states of a system over depth, `(sample, site, unit)`, with their provenance.

It may come from a language model, from its untrained twin, from a null or from a synthetic system;
what is measured on it cannot tell which. On disk it is a Zarr 3 store that `xarray.open_zarr` reads
without this package.

A recording is a value: no method changes it, and every method that selects or replaces states
returns a new one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.model import labels
from transformer_dynamics.recording import groups as grouped
from transformer_dynamics.recording.disk.checks import require_whole
from transformer_dynamics.recording.disk.chunks import DIMS, checked_states, create_states
from transformer_dynamics.recording.provenance import plain_provenance
from transformer_dynamics.storage.attributes import (
    attribute,
    plain_attributes,
)
from transformer_dynamics.storage.files import local_path, remove_folder

FORMAT = "transformer-dynamics recording 1"
CHUNK_BYTES = 16 * 2**20
# Blocks of units or sites are about this large; of a recording that is larger than 16 of them, each
# is a 16th, so that it is never read more often.
BLOCK_BYTES = 16 * 2**20
MOST_PASSES = 16
LOADED_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Recording:
    """States over depth, with the sites' labels, the samples' origin and the provenance.

    Attributes:
        dataset: `activation` `(sample, site, unit)`; coordinates along `sample`: `text` (index of
            the text), `position`, `token_id`, `token`; along `site`: `site`, `layer`, `kind`;
            optionally `text_string` and `group` `(text_index)` and the token ids of all texts.
    """

    dataset: xr.Dataset

    @classmethod
    def from_array(
        cls,
        values: ArrayLike,
        *,
        sites: Sequence[str] | None = None,
        coords: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Recording:
        """A recording of an array of shape `(sample, site, unit)`.

        Args:
            values: the states.
            sites: one label per site; by default `0.state, 1.state, ...`.
            coords: further coordinates along `sample`; by default each sample is a text of its own.
            provenance: anything JSON can hold that says where the states come from.

        Raises:
            RecordingError: the array is not three-dimensional, is empty, or the labels do not fit.
        """
        array = checked_states(values)
        names = labels.state_labels(array.shape[1]) if sites is None else list(sites)
        if len(names) != array.shape[1] or len(set(names)) != len(names):
            raise RecordingError(
                f"got {len(names)} site labels ({len(set(names))} distinct) for "
                f"{array.shape[1]} sites; give one distinct label per site"
            )
        sample_coords = {"text": np.arange(array.shape[0])} if coords is None else dict(coords)
        for name, value in sample_coords.items():
            if np.shape(value) != array.shape[:1]:
                raise RecordingError(
                    f"got the coordinate {name!r} of shape {np.shape(value)} for {array.shape[0]} "
                    f"samples; it has one entry per sample: coords={{'text': np.arange(n_samples)}}"
                )
        dataset = xr.Dataset(
            {"activation": (DIMS, array)},
            coords={
                **site_coords(names),
                **{name: ("sample", np.asarray(value)) for name, value in sample_coords.items()},
            },
            attrs=plain_attributes({"format": FORMAT, "provenance": plain_provenance(provenance)}),
        )
        return cls(dataset)

    @property
    def activation(self) -> xr.DataArray:
        """The states, `(sample, site, unit)`, in the units of the residual stream."""
        return self.dataset["activation"]

    @cached_property
    def values(self) -> NDArray[Any]:
        """The states in memory, `(sample, site, unit)`.

        Raises:
            RecordingError: a chunk on disk was altered; names it.
        """
        with self._broken_chunks_named():
            return np.asarray(self.activation.data)

    @contextmanager
    def _broken_chunks_named(self) -> Iterator[None]:
        """The reader says that a checksum is wrong, but not which."""
        try:
            yield
        except ValueError as error:
            if "checksum" not in str(error).lower():
                raise
            require_whole(Path(self.activation.encoding["source"]), read=True)
            raise

    @property
    def in_memory(self) -> bool:
        """Whether the states are in memory, or are read from disk when they are asked for."""
        return "values" in self.__dict__ or isinstance(self.activation.data, np.ndarray)

    def blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """The states, some samples at a time: which samples, and `(sample, site, unit)`.

        What is in memory comes as one block; what is on disk in whole chunks of the store, each
        read once and let go.
        """
        if self.in_memory:
            yield slice(0, self.shape[0]), self.values
            return
        start = 0
        for rows in self.activation.variable.chunksizes["sample"]:
            here = slice(start, start + rows)
            yield here, self._read(here)
            start += rows

    def _read(self, rows: slice) -> NDArray[Any]:
        with self._broken_chunks_named():
            return np.asarray(self.activation[rows].data)

    def sample_blocks(self) -> Iterator[Recording]:
        """The same as recordings in memory, which join to this one along `sample`."""
        for rows, states in self.blocks():
            block = self.dataset.drop_vars("activation").isel(sample=rows, missing_dims="ignore")
            yield Recording(block.assign(activation=(DIMS, states)))

    def unit_blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """The states, some units at a time: which units, and `(sample, site, unit)`.

        What is in memory comes as one block. What is on disk is read once per block, in at most 16;
        a loop that ends with `del` of the states holds one block at a time, not two.
        """
        yield from self._gathered(axis=2)

    def site_blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """The states, some sites at a time: which sites, and `(sample, site, unit)`.

        What is in memory comes as one block. What is on disk is read once per block, in at most 16,
        as with `unit_blocks`.
        """
        yield from self._gathered(axis=1)

    def _gathered(self, axis: int) -> Iterator[tuple[slice, NDArray[Any]]]:
        size = self.shape[axis]
        if self.in_memory:
            yield slice(0, size), self.values
            return
        n_bytes = self.activation.nbytes
        n_blocks = min(size, MOST_PASSES, -(-n_bytes // BLOCK_BYTES))
        for places in np.array_split(np.arange(size), n_blocks):
            chosen = slice(int(places[0]), int(places[-1]) + 1)
            yield chosen, self._gather(axis, chosen)

    def _gather(self, axis: int, chosen: slice) -> NDArray[Any]:
        index: list[slice] = [slice(None)] * 3
        index[axis] = chosen
        shape = list(self.shape)
        shape[axis] = chosen.stop - chosen.start
        gathered = np.empty(shape, dtype=self.activation.dtype)
        for rows, states in self.blocks():
            gathered[rows] = states[tuple(index)]
        return gathered

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The labels of the sites in order of depth."""
        return tuple(str(label) for label in self.dataset["site"].values)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of samples, sites and units."""
        n_samples, n_sites, n_units = self.activation.shape
        return n_samples, n_sites, n_units

    @cached_property
    def text_index(self) -> NDArray[np.int64]:
        """The text that each sample comes from, `(sample,)`."""
        return np.asarray(self.dataset["text"].values, dtype=np.int64)

    @property
    def text_groups(self) -> tuple[str, ...] | None:
        """The group of each text, `(text_index,)`, empty where it has none; None: none known."""
        if "group" not in self.dataset:
            return None
        return tuple(str(group) for group in self.dataset["group"].values)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """Group of each sample, `(sample,)`, as a number: the unit of resampling and of splits.

        The text where no groups are known; a text without a group is a group of its own.
        """
        return self.groups_of(self.text_index)

    def groups_of(self, texts: ArrayLike) -> NDArray[np.int64]:
        """The group of each of some texts, given by index, `(text,)`; as `groups`."""
        known, index = self.text_groups, np.asarray(texts, dtype=np.int64)
        return index if known is None else grouped.group_codes(known)[index]

    @property
    def grouping(self) -> str:
        """Kind of `groups`: `"groups"` of texts, or `"texts"`."""
        return "texts" if self.text_groups is None else "groups"

    def with_groups(self, groups: Sequence[Any]) -> Recording:
        """The same recording with a group for each text (text, a number, None), by its index."""
        n_texts = self.dataset.sizes.get("text_index", int(self.text_index.max()) + 1)
        names = grouped.checked_groups(groups, n_texts)
        origin = {**self.provenance, "groups": grouped.groups_sha256(names)}
        attrs = plain_attributes({**self.dataset.attrs, "provenance": origin})
        return Recording(self.dataset.assign(grouped.group_variable(names)).assign_attrs(attrs))

    @cached_property
    def n_distinct_tokens(self) -> int | None:
        """Number of distinct tokens whose states are held: of last tokens, with `positions="last"`.

        Site 0 is a function of the token alone. None where the tokens are not known.
        """
        if "token_id" not in self.dataset:
            return None
        return int(np.unique(self.dataset["token_id"].values).size)

    @property
    def provenance(self) -> dict[str, Any]:
        """Provenance of the states."""
        return dict(attribute(self.dataset, "provenance", {}))

    @cached_property
    def step_kinds(self) -> NDArray[Any]:
        """Kind of each step: attention, mlp, layer, block or step, `(step,)`."""
        pairs = zip(self.sites[:-1], self.sites[1:], strict=True)
        return np.array([labels.step_kind(start, stop) for start, stop in pairs], dtype=object)

    @property
    def site_coords(self) -> dict[str, Any]:
        """Coordinates for a result along `site`."""
        return site_coords(self.sites)

    @property
    def step_coords(self) -> dict[str, Any]:
        """Coordinates for a result along `step`: its first site, its last, and its kind."""
        return {
            "step": ("step", np.array(self.sites[:-1], dtype=object)),
            "step_stop": ("step", np.array(self.sites[1:], dtype=object)),
            "step_kind": ("step", self.step_kinds),
        }

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts, where the recording kept them."""
        if "text_string" not in self.dataset:
            return ()
        return tuple(str(text) for text in self.dataset["text_string"].values)

    @property
    def token_lists(self) -> tuple[tuple[int, ...], ...]:
        """The token ids that were run, one tuple per text, where the recording kept them."""
        if "input_id" not in self.dataset:
            return ()
        stops = np.cumsum(self.dataset["n_tokens"].values)
        pieces = np.split(self.dataset["input_id"].values, stops[:-1])
        return tuple(tuple(int(token) for token in piece) for piece in pieces)

    @cached_property
    def description(self) -> dict[str, Any]:
        """Shape, dtype, sites' range, origin and a digest of the states: what a result cites."""
        return {
            "shape": list(self.shape),
            "dtype": str(self.activation.dtype),
            "first_site": self.sites[0],
            "last_site": self.sites[-1],
            "provenance": self.provenance,
            "digest": self.digest,
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the states and the sites."""
        hasher = hashlib.sha256("\0".join(self.sites).encode())
        for _, states in self.blocks():
            hasher.update(np.ascontiguousarray(states).data)
        return hasher.hexdigest()

    def select(
        self, *, samples: Any = slice(None), sites: Sequence[str] | slice = slice(None)
    ) -> Recording:
        """Some samples (positions along `sample`) and sites (labels, or a slice of positions)."""
        if not isinstance(sites, slice):
            unknown = [site for site in sites if site not in self.sites]
            if unknown:
                raise RecordingError(
                    f"no site {unknown[0]!r} in this recording; it has {self.sites[0]} to "
                    f"{self.sites[-1]}: recording.select(sites=['{self.sites[0]}'])"
                )
            places = [self.sites.index(site) for site in sites]
            return Recording(self.dataset.isel(sample=samples, site=places))
        return Recording(self.dataset.isel(sample=samples, site=sites))

    def sampled(self, n_samples: int, *, seed: int) -> Recording:
        """At most so many samples, a choice by `seed`, in their order and in memory."""
        chosen = np.arange(self.shape[0])
        if chosen.size > n_samples:
            drawn = np.random.default_rng(seed).choice(chosen.size, n_samples, replace=False)
            chosen = np.sort(drawn)
        elif self.in_memory:
            return self
        return self.select(samples=chosen).load()

    @property
    def sublayers(self) -> Recording:
        """The sites that arXiv 2502.12131 calls sublayers: all but the final one."""
        if self.sites[-1] != labels.FINAL:
            return self
        return self.select(sites=slice(0, -1))

    def with_values(self, values: NDArray[Any], **provenance: Any) -> Recording:
        """The same samples and sites with other states, as a null makes them."""
        if np.shape(values) != self.shape:
            raise RecordingError(f"got states of shape {np.shape(values)} for one of {self.shape}")
        origin = {**self.provenance, **plain_provenance(provenance)}
        attrs = plain_attributes({**self.dataset.attrs, "provenance": origin})
        replaced = self.dataset.assign(activation=(DIMS, checked_states(values)))
        return Recording(replaced.assign_attrs(attrs))

    def load(self) -> Recording:
        """The same recording with everything in memory."""
        with self._broken_chunks_named():
            return Recording(self.dataset.load())

    def load_if_small(self) -> Recording:
        """In memory where it takes at most 4 GiB; else as it is, to be measured block by block."""
        return self.load() if self.activation.nbytes <= LOADED_BYTES else self

    def save(self, path: str | Path) -> None:
        """Write to a Zarr store; it appears under its name only when it is whole.

        Raises:
            RecordingError: something is there already.
        """
        path = local_path(path, RecordingError)
        if path.exists():
            raise RecordingError(f"{path} exists already; delete it or give another name")
        partial = path.with_name(f".{path.name}.partial")
        remove_folder(partial)
        self.dataset.drop_vars("activation").drop_encoding().to_zarr(
            partial, mode="w", consolidated=False
        )
        rows = chunk_rows(*self.shape[1:], self.values.dtype.itemsize)
        create_states(partial, self.shape, self.values.dtype, rows)[:] = self.values
        partial.rename(path)

    def _repr_html_(self) -> str:
        return self.dataset._repr_html_()


def site_coords(names: Sequence[str]) -> dict[str, Any]:
    """Coordinates along `site`: label, layer (-1 for the final site) and kind."""
    parsed = [labels.parse(name) for name in names]
    return {
        "site": ("site", np.array(list(names), dtype=object)),
        "layer": ("site", np.array([layer for layer, _ in parsed], dtype=np.int64)),
        "kind": ("site", np.array([kind for _, kind in parsed], dtype=object)),
    }


def chunk_rows(n_sites: int, n_units: int, itemsize: int) -> int:
    """Samples in a chunk: as many as make about 16 MiB, at least one."""
    return max(1, CHUNK_BYTES // (n_sites * n_units * itemsize))


def turn_coords(recording: Recording) -> dict[str, Any]:
    """Coordinates for a result along `turn`, the middle one of three neighboring sites."""
    return {"turn": ("turn", np.array(recording.sites[1:-1], dtype=object))}
