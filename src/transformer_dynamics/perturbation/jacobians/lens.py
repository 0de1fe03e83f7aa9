"""Jacobian lens: mean Jacobian of the last site by an earlier one.

    same     J[s] = E_text [ d final_t / d x[s]_t ],   t the last token
    later    J[s] = E_text E_t [ sum over t' >= t of d final_t' / d x[s]_t ]

`same` follows a token's own stream; `later` adds the effect on later tokens through attention.
Multiplied from the left by the unembedding, the lens gives the logits that a state promotes.

Cost: one backward pass over D states per site and text (`same`), D backward passes over the text
for all sites together (`later`). Limit: unlike the tuned lens, it is not fitted to predictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.perturbation.depths import layer_sites
from transformer_dynamics.texts.tokenization import tokenize

if TYPE_CHECKING:
    from transformer_dynamics.model.language_model import Model

Targets = Literal["same", "later"]


def jacobian_lens(
    model: Model,
    texts: Sequence[str] | Sequence[Sequence[int]],
    *,
    sites: Sequence[str] | None = None,
    targets: Targets = "same",
    bos: str = "tokenizer",
) -> xr.DataArray:
    """Compute the mean Jacobian from each site to the last one.

    Args:
        model: the model.
        texts: strings or token ids.
        sites: the sites; by default the first of every layer, and the last. `later` takes only
            these.
        targets: `same`, the last token's own stream, or `later`, the effect of every token on
            itself and on later tokens.
        bos: as in `td.RecordingOptions`.

    Returns:
        `(site, output, unit)`, without unit; the denominator is the number of texts, and for
        `later` also the number of positions in each.

    Raises:
        InputError: no text, unknown sites, or unknown targets.
    """
    if targets not in ("same", "later") or not len(texts):
        raise InputError(
            f"got targets={targets!r} and {len(texts)} texts; targets are 'same' or 'later', of "
            "one text at least: jacobian_lens(model, texts, targets='same')"
        )
    if targets == "same":
        return mean_jacobian((model.flow_map(text, bos=bos) for text in texts), sites)
    from transformer_dynamics.model.all_token_jacobians import summed_jacobians

    allowed = layer_sites(model.sites)
    chosen = allowed if sites is None else tuple(sites)
    if not set(chosen) <= set(allowed):
        raise InputError(
            f"got sites={list(chosen)}; for targets='later' they are the first of layers and the "
            f"last, {', '.join(allowed[:3])}, ... {allowed[-1]}: "
            f"jacobian_lens(model, texts, sites=[{allowed[0]!r}], targets='later')"
        )
    total = np.zeros(())
    for text in texts:
        ids = tokenize(model.tokenizer, [text], bos)[0] if isinstance(text, str) else list(text)
        total = total + summed_jacobians(model.hf_model, model.found_sites, ids, chosen)
    return _labeled(total / len(texts), chosen)


def mean_jacobian(flows: Iterable[FlowMap], sites: Sequence[str] | None = None) -> xr.DataArray:
    """Mean over flow maps of the Jacobian from each site to the last, `(site, output, unit)`.

    Args:
        flows: flow maps, one per text.
        sites: by default the first of every layer, and the last.

    Raises:
        InputError: there is no flow map, or an unknown site.
    """
    total, n_flows = np.zeros(()), 0
    chosen: tuple[str, ...] = ()
    for flow in flows:
        chosen = layer_sites(flow.sites) if sites is None else tuple(sites)
        last = flow.sites[-1]
        total = total + np.stack([flow.jacobian(site, last).values for site in chosen])
        n_flows += 1
    if not n_flows:
        raise InputError("got no flow maps; give one at least: mean_jacobian([flow])")
    return _labeled(total / n_flows, chosen)


def _labeled(values: np.ndarray, sites: Sequence[str]) -> xr.DataArray:
    return xr.DataArray(
        values,
        dims=("site", "output", "unit"),
        coords={"site": list(sites)},
        name="jacobian",
        attrs={"units": "1", "definition": "mean d final / d x[site], outputs in rows"},
    )
