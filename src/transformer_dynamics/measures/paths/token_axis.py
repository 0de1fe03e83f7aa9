"""Quantities of paths along the tokens of each text, within a site, with a null model.

The kernel gets `(site, token, unit)`, one text after the other, since texts differ in length. Its
values are stacked over texts, `(token, site)`, `(token_step, site)`, `(token_turn, site)`, and
averaged over the tokens of each text, `(text, site)`. The null model `..._permuted` takes the same
tokens of each text in random order, one order per text and the same at all sites.

Source: arXiv 2311.04930 (paths along tokens curve less in later layers).
Cost: two passes of the kernel, a text at a time.
Limits: attention sinks. The first token of a text can be a hundred times as long as the others and
then decides its means; record with `positions="skip:1"`, or standardize the massive units first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.measures.paths.quantities import Along, Kernel, Quantity
from transformer_dynamics.measures.paths.token_texts import TokenTexts, token_texts
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.recording import Recording

TOKEN_DIMS: dict[Along, str] = {"state": "token", "step": "token_step", "turn": "token_turn"}
AVERAGE = "mean over the text's tokens, where defined"


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
        kernel: function of paths.
        quantities: quantities that the kernel returns, by name.
        at_least: minimum number of tokens of the longest text.
        seed: seed of the random orders. The order of a text depends on the seed, on the index of
            the text and on its length.

    Returns:
        Per quantity `(token, site)`, `(token_step, site)` or `(token_turn, site)`, with the
        coordinates `token_text`, `token_position`, `step_text`, `step_position` (start of the
        step), `turn_text`, `turn_position` (middle token); `mean_...` `(text, site)`; quantities of
        a whole path `(text, site)`. Means and whole paths have the null `..._permuted`, except
        where the order has no influence. `n_tokens` `(text)`. NaN in a text of too few tokens.

    Raises:
        InputError: no text has `at_least` tokens, or the positions of a text have a gap.
    """
    texts = token_texts(recording, at_least)
    stacked: dict[str, list[Floats]] = {name: [] for name in quantities}
    means: dict[str, list[Floats]] = {}
    for text, path in zip(texts.texts, texts.paths(recording), strict=True):
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
    variables: dict[str, Any] = {
        "n_tokens": ("text", texts.sizes, {"units": "tokens", "definition": "recorded per text"})
    }
    for name, quantity in quantities.items():
        variables |= _variables(name, quantity, stacked[name], means)
    return xr.Dataset(variables, coords=_coords(recording, texts, variables))


def _mean(values: Floats) -> Floats:
    """Mean of the defined values of each path, `(path, point)` to `(path)`; NaN without any."""
    defined = ~np.isnan(values)
    counts = defined.sum(axis=1)
    total: Floats = np.where(defined, values, 0.0).sum(axis=1)
    return total / np.where(counts == 0, np.nan, counts)


def _variables(
    name: str, quantity: Quantity, stacked: list[Floats], means: Mapping[str, list[Floats]]
) -> dict[str, Any]:
    """Variables of one quantity: stacked over texts, averaged per text, and their null."""
    attrs = {
        "units": quantity.units,
        "definition": f"{quantity.definition}; s counts the tokens of a text",
        "vectors": "as recorded, neither normalized nor centered",
    }
    variables: dict[str, Any] = {}
    if quantity.along != "path":
        dims = (TOKEN_DIMS[quantity.along], "site")
        pooling = f"none: one value per {quantity.along} and site"
        variables[name] = (dims, np.concatenate(stacked), {**attrs, "pooling": pooling})
    pooling = "none: one value per text and site" if quantity.along == "path" else AVERAGE
    for average in (name, f"mean_{name}", f"{name}_permuted", f"mean_{name}_permuted"):
        if average in means:
            order = "random" if average.endswith("_permuted") else "as in the text"
            own = {**attrs, "pooling": pooling, "order": order}
            variables[average] = (("text", "site"), np.stack(means[average]), own)
    return variables


def _coords(
    recording: Recording, texts: TokenTexts, variables: Mapping[str, Any]
) -> dict[str, Any]:
    """Coordinates of the dimensions that occur in the variables."""
    coords: dict[str, Any] = {**recording.site_coords, "text": ("text", texts.texts)}
    for along, dim in TOKEN_DIMS.items():
        points = texts.points(along)
        prefix = "token" if along == "state" else along
        coords[f"{prefix}_text"] = (dim, texts.text[points])
        coords[f"{prefix}_position"] = (dim, texts.position[points])
    used = {dim for dims, *_ in variables.values() for dim in np.atleast_1d(dims)}
    return {name: coord for name, coord in coords.items() if coord[0] in used}
