"""Paths along the tokens of each text, within a site: the same quantities on another axis.

A kernel that measures paths takes states `(path, point, unit)`. Over depth a path is a sample and
its points are sites, and the kernel gets the recording as it is, `(sample, site, unit)`. Along
tokens a path is a site of one text and its points are the text's tokens in order of position, and
the kernel gets `(site, token, unit)`, one text after the other, since texts differ in length. Where
a definition says x[s], x[s+1], s counts the tokens of the text.

What the kernel returns per state, step or turn is stacked over texts, `(token, site)`,
`(token_step, site)` and `(token_turn, site)`, each with its text and position, and averaged over
the tokens of each text, `(text, site)`. Beside the averages stand those of the null `..._permuted`:
the same tokens of each text in another order, one random order per text and the same at all sites.

The turning angle of that null is 2 pi/3 on average over all orders, exactly, whatever the states
and in any number of dimensions: three states are the corners of a triangle, each as likely as the
others to be the middle one, and the angles of a triangle sum to pi. So what counts is the distance
to 2 pi/3, and the null shows how far one text's mean strays from it by chance.

A gap is refused: a step from position 3 to 9 is no step along tokens. Without a coordinate
`position`, the order of the samples is taken for the order of the tokens.

Source: arXiv 2311.04930 (trajectories along tokens curve less in later layers).

Cost: two passes of the kernel, a text at a time; a recording on disk is read once, in blocks.

Not handled: attention sinks. The first token of a text can be a hundred times as long as the others
and then decides the mean speed, path length and tortuosity; record without it,
`positions="skip:1"`, or standardize the massive units first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.recording import Recording

Axis = Literal["depth", "token"]
Along = Literal["state", "step", "turn", "path"]
Kernel = Callable[[NDArray[Any]], Mapping[str, Floats]]
"""From states `(path, point, unit)` to named arrays `(path, state | step | turn)` or `(path)`."""

DEPTH_DIMS: dict[Along, tuple[str, ...]] = {
    "state": ("sample", "site"),
    "step": ("sample", "step"),
    "turn": ("sample", "turn"),
    "path": ("sample",),
}
TOKEN_DIMS: dict[Along, str] = {"state": "token", "step": "token_step", "turn": "token_turn"}
# Tokens of a text that are no start of a step, or no middle of a turn: before the first, after the
# last.
MARGINS: dict[Along, tuple[int, int]] = {"state": (0, 0), "step": (0, 1), "turn": (1, 1)}
AVERAGE = "mean over the text's tokens, where defined"


@dataclass(frozen=True)
class Quantity:
    """Name, units and definition of one quantity that a kernel returns.

    Attributes:
        along: what there is one value for: each state of a path, step, turn, or the whole path.
        units: of its values.
        definition: a formula, with s the index along the path.
        averaged: whether its mean over a path says something.
    """

    along: Along
    units: str
    definition: str
    averaged: bool = True


@dataclass(frozen=True)
class _Layout:
    """Samples of the tokens of each text.

    Attributes:
        order: samples by text and position, `(token,)`.
        text: text of each token in that order, `(token,)`.
        position: position of each token in its text, `(token,)`.
        texts: the texts, ascending, `(text,)`.
        sizes: tokens in each, `(text,)`.
    """

    order: NDArray[np.int64]
    text: NDArray[np.int64]
    position: NDArray[np.int64]
    texts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def points(self, along: Along) -> NDArray[np.int64]:
        """The tokens that a step starts from, or a turn has in its middle."""
        before, after = MARGINS[along]
        starts = np.cumsum(self.sizes) - self.sizes
        ends = starts + self.sizes
        ranges = [
            np.arange(start + before, end - after)
            for start, end in zip(starts, ends, strict=True)
            if end - start > before + after
        ]
        return np.concatenate(ranges) if ranges else np.empty(0, dtype=np.int64)


def require_axis(axis: str) -> None:
    """Refuse an axis that no path runs along.

    Raises:
        InputError: `axis` is neither `"depth"` nor `"token"`.
    """
    if axis not in ("depth", "token"):
        raise InputError(
            f"got axis={axis!r}; a path runs over 'depth' or along the tokens of a text, 'token': "
            "td.paths.path_geometry(recording, axis='token')"
        )


def along_tokens(
    recording: Recording,
    kernel: Kernel,
    quantities: Mapping[str, Quantity],
    *,
    at_least: int,
    seed: int,
) -> xr.Dataset:
    """Apply a kernel along the tokens of every text, at every site.

    Args:
        recording: states `(sample, site, unit)`; the tokens of a text are its samples in order of
            position.
        kernel: what to measure of paths.
        quantities: what the kernel returns, by name.
        at_least: tokens that some text must have.
        seed: of the permuted orders. A text's order depends on the seed, its index and its length.

    Returns:
        Per quantity `(token, site)`, `(token_step, site)` or `(token_turn, site)`, with the
        coordinates `token_text`, `token_position`, `step_text`, `step_position` (where the step
        starts), `turn_text`, `turn_position` (its middle token); `mean_...` `(text, site)`; what
        belongs to a whole path `(text, site)`; both with `..._permuted` beside, except for what the
        order cannot change. `n_tokens` `(text)`. NaN in a text of too few tokens.

    Raises:
        InputError: no text has `at_least` tokens, or some text's positions have a gap.
    """
    layout = _layout(recording, at_least)
    stacked: dict[str, list[Floats]] = {name: [] for name in quantities}
    means: dict[str, list[Floats]] = {}
    for text, path in zip(layout.texts, _paths(recording, layout), strict=True):
        rng = np.random.default_rng([seed, abs(int(text))])
        permuted = path[:, rng.permutation(path.shape[1])]
        for suffix, arrays in (("", kernel(path)), ("_permuted", kernel(permuted))):
            for name, quantity in quantities.items():
                values = arrays[name]
                if quantity.along == "path":
                    means.setdefault(f"{name}{suffix}", []).append(values)
                    continue
                if not suffix:
                    stacked[name].append(values.T)
                if quantity.averaged and not (suffix and quantity.along == "state"):
                    means.setdefault(f"mean_{name}{suffix}", []).append(_mean(values))
    return _dataset(recording, layout, quantities, (stacked, means))


def _layout(recording: Recording, at_least: int) -> _Layout:
    text = recording.text_index
    known = "position" in recording.dataset.coords
    position = np.asarray(recording.dataset["position"].values) if known else np.arange(text.size)
    order = np.lexsort((position, text))
    texts, sizes = np.unique(text, return_counts=True)
    if sizes.max() < at_least:
        raise InputError(
            f"got a recording with at most {sizes.max()} token(s) of a text; along tokens this "
            f"needs {at_least} of at least one: td.record(model, texts, positions='all')"
        )
    layout = _Layout(order, text[order], position[order], texts, sizes)
    if known:
        _require_no_gap(layout)
    return layout


def _require_no_gap(layout: _Layout) -> None:
    same_text = np.diff(layout.text) == 0
    gaps = np.flatnonzero(same_text & (np.diff(layout.position) != 1))
    if gaps.size:
        first, second = layout.position[gaps[0]], layout.position[gaps[0] + 1]
        raise InputError(
            f"got positions {first} and {second} of text {layout.text[gaps[0]]} with none between "
            "them (or one twice); a path along tokens takes consecutive ones: "
            "td.record(model, texts, positions='all'), or 'skip:1' to leave the first out"
        )


def _paths(recording: Recording, layout: _Layout) -> Iterator[NDArray[Any]]:
    """The states of one text after the other, `(site, token, unit)`."""
    if not np.array_equal(layout.order, np.arange(layout.order.size)):
        if not recording.in_memory:
            raise InputError(
                "got a recording on disk whose samples are not in the order of texts and positions;"
                " it cannot be read text by text: give recording.load()"
            )
        for rows in np.split(layout.order, np.cumsum(layout.sizes)[:-1]):
            yield recording.values[rows].transpose(1, 0, 2)
        return
    sizes = iter(layout.sizes.tolist())
    size = next(sizes)
    held: NDArray[Any] | None = None
    for _, states in recording.blocks():
        # A text may begin in one block and end in the next.
        held = states if held is None or not len(held) else np.concatenate([held, states])
        while size and len(held) >= size:
            yield held[:size].transpose(1, 0, 2)
            held, size = held[size:], next(sizes, 0)


def _mean(values: Floats) -> Floats:
    """Mean along a path, `(path, point)` to `(path)`, where defined; NaN where nowhere."""
    defined = ~np.isnan(values)
    counts = defined.sum(axis=1)
    total: Floats = np.where(defined, values, 0.0).sum(axis=1)
    return total / np.where(counts == 0, np.nan, counts)


def _dataset(
    recording: Recording,
    layout: _Layout,
    quantities: Mapping[str, Quantity],
    results: tuple[dict[str, list[Floats]], dict[str, list[Floats]]],
) -> xr.Dataset:
    stacked, means = results
    variables: dict[str, Any] = {
        "n_tokens": ("text", layout.sizes, {"units": "tokens", "definition": "recorded per text"})
    }
    for name, quantity in quantities.items():
        attrs = {
            "units": quantity.units,
            "definition": f"{quantity.definition}; s counts the tokens of a text",
            "vectors": "as recorded, neither normalized nor centered",
        }
        if quantity.along != "path":
            own = {**attrs, "pooling": f"none: one value per {quantity.along} and site"}
            dims = (TOKEN_DIMS[quantity.along], "site")
            variables[name] = (dims, np.concatenate(stacked[name]), own)
        pooling = "none: one value per text and site" if quantity.along == "path" else AVERAGE
        for average in (name, f"mean_{name}", f"{name}_permuted", f"mean_{name}_permuted"):
            if average in means:
                order = "a random one" if average.endswith("_permuted") else "as in the text"
                told = {**attrs, "pooling": pooling, "order": order}
                variables[average] = (("text", "site"), np.stack(means[average]), told)
    coords: dict[str, Any] = {**recording.site_coords, "text": ("text", layout.texts)}
    for along, dim in TOKEN_DIMS.items():
        points = layout.points(along)
        prefix = "token" if along == "state" else along
        coords[f"{prefix}_text"] = (dim, layout.text[points])
        coords[f"{prefix}_position"] = (dim, layout.position[points])
    used = {dim for dims, *_ in variables.values() for dim in np.atleast_1d(dims)}
    kept = {name: coord for name, coord in coords.items() if coord[0] in used}
    return xr.Dataset(variables, coords=kept)
