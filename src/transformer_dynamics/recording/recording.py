"""Recording: states of a system over depth, `(sample, site, unit)`, with their provenance.

The states come from a language model, its untrained twin, a null model or a synthetic system; a
measure cannot tell which. On disk a recording is a Zarr 3 store that `xarray.open_zarr` reads
without this package.

A recording is a value: no method changes it, and a method that selects or replaces states returns a
new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from transformer_dynamics.errors import InputError, RecordingError
from transformer_dynamics.model.labels import FINAL, state_labels
from transformer_dynamics.recording.disk.chunks import DIMS, checked_states, write_states
from transformer_dynamics.recording.disk.schedulers import scheduler
from transformer_dynamics.recording.disk.states import States
from transformer_dynamics.recording.groups import checked_groups, group_variable, groups_sha256
from transformer_dynamics.recording.labels import site_coords
from transformer_dynamics.recording.provenance import plain_provenance
from transformer_dynamics.recording.selection import select_labels, select_positions
from transformer_dynamics.storage.attributes import plain_attributes
from transformer_dynamics.storage.files import local_path, remove_folder

FORMAT = "transformer-dynamics recording 1"
LOADED_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Recording(States):
    """States over depth, with labels of samples and sites and the provenance.

    Attributes:
        dataset: `activation` `(sample, site, unit)`; coordinates along `sample`: `text` (index of
            the text), `position`, `token_id`, `token`; along `site`: `site`, `layer`, `kind`;
            optionally `text_string` and `group` `(text_index)` and the token ids of all texts.
    """

    @classmethod
    def from_array(
        cls,
        values: ArrayLike,
        *,
        sites: Sequence[str] | None = None,
        coords: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Recording:
        """Make a recording of an array of shape `(sample, site, unit)`.

        Args:
            values: States.
            sites: One label per site; by default `0.state, 1.state, ...`.
            coords: Further coordinates along `sample`; by default each sample is a text.
            provenance: Origin of the states, in anything that JSON holds.

        Raises:
            RecordingError: the array is not three-dimensional, is empty, or the labels do not fit.
        """
        array = checked_states(values)
        names = state_labels(array.shape[1]) if sites is None else list(sites)
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

    @classmethod
    def from_activations(
        cls,
        states: Any,
        *,
        sites: Sequence[str] | str | None = None,
        mask: Any = None,
        tokens: Any = None,
        positions: str = "last",
        final: str | None = None,
        n_layers: int | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Recording:
        """Make a recording of states that another tool captured.

        Args:
            states: Output of transformers run with `output_hidden_states=True`; or a mapping from
                site labels, or from TransformerLens's names (as its ActivationCache), to arrays
                `(text, position, unit)`, or `(position, unit)` for one text; or a list of such
                arrays; or one array `(text, position, site, unit)`; or one array
                `(sample, site, unit)`, which is used unchanged.
            sites: For a list: `"hidden_states"` (the input of each block, and one array after the
                last), `"block_outputs"` (the output of each block) or one label per array. For one
                array: the labels of its sites.
            mask: `(text, position)`, 1 or True at tokens and 0 at padding, which stands on the left
                or the right; by default there is no padding.
            tokens: Token ids `(text, position)`.
            positions: `"last"` or `"all"` of the tokens.
            final: Kind of the last hidden state or output: `"normed"` (transformers applies the
                last norm to it in nearly all families; it is left out) or `"stream"`, the residual
                stream. By default `"normed"` for hidden states; block outputs need it.
            n_layers: Number of layers of the model. The length of a list is checked against it. It
                also decides whether TransformerLens's `blocks.i.hook_resid_post` is the final
                stream or the input of the next block; an ActivationCache holds it.
            provenance: Origin of the states, in anything that JSON holds; numpy's numbers and
                arrays, paths and sets are converted.

        Returns:
            A recording `(sample, site, unit)`, in float64 if the states are, else in float32.

        Raises:
            RecordingError: labels that are no sites or out of order, states of unknown site,
                shapes or precisions that do not fit each other, states that are not finite.

        >>> outputs = [np.full((2, 3, 4), depth) for depth in (1.0, 2.0, 3.0)]
        >>> Recording.from_activations(outputs, sites="block_outputs", final="stream").sites
        ('1.pre_attn', '2.pre_attn', 'final')
        """
        # Imported here because the importers import this module.
        from transformer_dynamics.recording.importers.activations import Layout, import_activations

        layout = Layout(sites, mask, tokens, positions, final, n_layers)
        return import_activations(states, layout, provenance)

    def sel(self, **labels: Any) -> Recording:
        """Select by label; the result is a recording again, and nothing is read from disk.

        Args:
            labels: One label, several labels or a slice for each of: `site` (labels; a slice
                includes both ends), `unit` and `sample` (positions), `text` (indices of texts) and
                every other label of the samples, such as `token`, `position` or `group`. A slice of
                numbers ends before its stop. Samples have all the given labels and keep their
                order; those of `sample` come in the order given.

        Raises:
            InputError: an unknown dimension or label, or no sample has all the labels.

        >>> recording = Recording.from_array(np.zeros((4, 3, 8)))
        >>> recording.sel(unit=[1, 2], text=3).shape
        (1, 3, 2)
        """
        return Recording(select_labels(self.dataset, labels))

    def isel(
        self, *, sample: Any = slice(None), site: Any = slice(None), unit: Any = slice(None)
    ) -> Recording:
        """Select by position along each dimension: a number, several, a mask or a slice.

        Raises:
            InputError: a position out of range.
        """
        given = {"sample": sample, "site": site, "unit": unit}
        positions = {name: each for name, each in given.items() if not _is_everything(each)}
        return Recording(select_positions(self.dataset, positions))

    def sampled(self, n_samples: int, *, seed: int) -> Recording:
        """Draw at most `n_samples` samples without replacement, in their order and in memory."""
        chosen = np.arange(self.shape[0])
        if chosen.size > n_samples:
            drawn = np.random.default_rng(seed).choice(chosen.size, n_samples, replace=False)
            chosen = np.sort(drawn)
        elif self.in_memory:
            return self
        labels = self.dataset.drop_vars("activation").isel(sample=chosen)
        return Recording(labels.assign(activation=(DIMS, self._states_of(chosen))).load())

    @property
    def sublayers(self) -> Recording:
        """Sites that arXiv 2502.12131 calls sublayers: all but the final one."""
        return self.isel(site=slice(0, -1)) if self.sites[-1] == FINAL else self

    def with_values(self, values: NDArray[Any], **provenance: Any) -> Recording:
        """Return the same samples and sites with other states, such as those of a null model."""
        if np.shape(values) != self.shape:
            raise RecordingError(
                f"got states of shape {np.shape(values)} for a recording of {self.shape}; they "
                "have one shape: recording.with_values(-recording.values)"
            )
        origin = {**self.provenance, **plain_provenance(provenance)}
        replaced = self.dataset.assign(activation=(DIMS, checked_states(values)))
        return _with_provenance(replaced, origin)

    def with_groups(self, groups: Sequence[Any]) -> Recording:
        """Return the same recording with a group (text, a number, None) for each text index."""
        n_texts = self.dataset.sizes.get("text_index", int(self.text_index.max()) + 1)
        names = checked_groups(groups, n_texts)
        origin = {**self.provenance, "groups": groups_sha256(names)}
        return _with_provenance(self.dataset.assign(group_variable(names)), origin)

    def load(self) -> Recording:
        """Return the same recording with everything in memory; this one stays where it is."""
        with self._naming_broken_chunks():
            return Recording(self.dataset.compute(scheduler=scheduler()))

    def load_if_small(self) -> Recording:
        """Load at most 4 GiB; return a larger recording unchanged, to be read block by block."""
        return self.load() if self.activation.nbytes <= LOADED_BYTES else self

    def save(self, path: str | Path) -> None:
        """Write to a Zarr store; it appears under its name only when it is complete.

        Raises:
            RecordingError: the path exists already.
        """
        path = local_path(path, RecordingError)
        if path.exists():
            raise RecordingError(
                f"{path} exists already; delete it or give another name: "
                "recording.save('other.zarr')"
            )
        partial = path.with_name(f".{path.name}.partial")
        remove_folder(partial)
        self.dataset.drop_vars("activation").drop_encoding().to_zarr(
            partial, mode="w", consolidated=False
        )
        write_states(partial, self.values)
        partial.rename(path)

    def _repr_html_(self) -> str:
        return self.dataset._repr_html_()


def loaded(recording: Recording, reason: str) -> Recording:
    """Load a part of a recording that cannot be read in blocks.

    Args:
        recording: the part.
        reason: the reason why all of it is needed, a clause with the name of the claim or measure.

    Raises:
        InputError: the part is larger than 4 GiB.
    """
    if recording.activation.nbytes > LOADED_BYTES:
        raise InputError(
            f"{reason}, which needs {recording.activation.nbytes / 2**30:.3g} GiB at once; allowed "
            f"are {LOADED_BYTES / 2**30:.3g} GiB. Take fewer samples: "
            "recording.isel(sample=slice(0, 1000))"
        )
    return recording.load()


def _with_provenance(dataset: xr.Dataset, provenance: Mapping[str, Any]) -> Recording:
    attrs = plain_attributes({**dataset.attrs, "provenance": provenance})
    return Recording(dataset.assign_attrs(attrs))


def _is_everything(positions: Any) -> bool:
    return isinstance(positions, slice) and positions == slice(None)
