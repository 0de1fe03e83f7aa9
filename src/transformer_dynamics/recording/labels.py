"""Labels of a recording: sites, steps, texts, tokens, groups and provenance.

Everything here is known without reading a state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from transformer_dynamics.model.labels import parse, step_kind
from transformer_dynamics.recording.groups import group_codes
from transformer_dynamics.storage.attributes import attribute


@dataclass(frozen=True)
class Labels:
    """Labels along `sample` and `site`, and the provenance of the states.

    Attributes:
        dataset: coordinates along `sample`: `text` (index of the text), `position`, `token_id`,
            `token`; along `site`: `site`, `layer`, `kind`; optionally `text_string` and `group`
            `(text_index)` and the token ids of all texts.
    """

    dataset: xr.Dataset

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Labels of the sites in order of depth."""
        return tuple(str(label) for label in self.dataset["site"].values)

    @property
    def site_coords(self) -> dict[str, Any]:
        """Coordinates for a result along `site`."""
        return site_coords(self.sites)

    @cached_property
    def step_kinds(self) -> NDArray[Any]:
        """Kind of each step: attention, mlp, layer, block or step, `(step,)`."""
        pairs = zip(self.sites[:-1], self.sites[1:], strict=True)
        return np.array([step_kind(start, stop) for start, stop in pairs], dtype=object)

    @property
    def step_coords(self) -> dict[str, Any]:
        """Coordinates for a result along `step`: its first site, its last, and its kind."""
        return {
            "step": ("step", np.array(self.sites[:-1], dtype=object)),
            "step_stop": ("step", np.array(self.sites[1:], dtype=object)),
            "step_kind": ("step", self.step_kinds),
        }

    @cached_property
    def text_index(self) -> NDArray[np.int64]:
        """Index of the text of each sample, `(sample,)`."""
        return np.asarray(self.dataset["text"].values, dtype=np.int64)

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts; empty if the recording does not hold them."""
        if "text_string" not in self.dataset:
            return ()
        return tuple(str(text) for text in self.dataset["text_string"].values)

    @property
    def token_lists(self) -> tuple[tuple[int, ...], ...]:
        """Token ids that the model ran, one tuple per text; empty if they are not held."""
        if "input_id" not in self.dataset:
            return ()
        stops = np.cumsum(self.dataset["n_tokens"].values)
        pieces = np.split(self.dataset["input_id"].values, stops[:-1])
        return tuple(tuple(int(token) for token in piece) for piece in pieces)

    @cached_property
    def n_distinct_tokens(self) -> int | None:
        """Number of distinct tokens over the samples; None if the tokens are not known.

        With `positions="last"` they are the last tokens of the texts. Site 0 is a function of the
        token alone.
        """
        if "token_id" not in self.dataset:
            return None
        return int(np.unique(self.dataset["token_id"].values).size)

    @property
    def text_groups(self) -> tuple[str, ...] | None:
        """Group of each text, `(text_index,)`, empty for a text without one; None: none known."""
        if "group" not in self.dataset:
            return None
        return tuple(str(group) for group in self.dataset["group"].values)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """Group of each sample as a number, `(sample,)`: the unit of resampling and of splits.

        It is the text if no groups are known; a text without a group is a group of its own.
        """
        return self.groups_of(self.text_index)

    def groups_of(self, texts: ArrayLike) -> NDArray[np.int64]:
        """Group of each of the given text indices, `(text,)`; numbers as in `groups`."""
        known, index = self.text_groups, np.asarray(texts, dtype=np.int64)
        return index if known is None else group_codes(known)[index]

    @property
    def grouping(self) -> str:
        """Kind of `groups`: `"groups"` of texts, or `"texts"`."""
        return "texts" if self.text_groups is None else "groups"

    @property
    def provenance(self) -> dict[str, Any]:
        """Provenance of the states."""
        return dict(attribute(self.dataset, "provenance", {}))


def site_coords(names: Sequence[str]) -> dict[str, Any]:
    """Coordinates along `site`: label, layer (-1 for the final site) and kind."""
    parsed = [parse(name) for name in names]
    return {
        "site": ("site", np.array(list(names), dtype=object)),
        "layer": ("site", np.array([layer for layer, _ in parsed], dtype=np.int64)),
        "kind": ("site", np.array([kind for _, kind in parsed], dtype=object)),
    }


def turn_coords(labels: Labels) -> dict[str, Any]:
    """Coordinates for a result along `turn`, the middle of three neighboring sites."""
    return {"turn": ("turn", np.array(labels.sites[1:-1], dtype=object))}
