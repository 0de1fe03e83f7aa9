"""Logit lens: the next tokens that the state at each site would give if no later layer ran.

    p[s] = softmax(W norm(x[s])),    x[s] the state of a text's last token at site s

The model's own last norm and unembedding read every state, so that the final site gives the model's
prediction. Softmax in float64. Cost: a row of the vocabulary for every site and text. Source:
nostalgebraist (2020); the caveats are those of arXiv 2303.08112: early states are written in
another basis than the final one, so that a lens without training is biased there.
Documentation: docs/measures/perturbation.logit_lens.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.driver import (
    Experiment,
    Progress,
    chosen_texts,
    over_texts,
)
from transformer_dynamics.perturbation.systems import System, model_and_one_twin
from transformer_dynamics.registry import perturbation

N_RANKS = 5
# The twin only shows how a lens without learning looks.
N_TWIN_TEXTS = 4
PROBABILITY = {"units": "1", "definition": "softmax of the logits of the state, float64"}
DIVERGENCE = {"units": "nats", "definition": "KL of the final site's next-token distribution"}
AGREEMENT = {"units": "1", "definition": "whether the most likely token is that of the final site"}
NO_TOKEN = -1


@perturbation(
    "perturbation.logit_lens",
    title="Logit lens: next tokens decoded at every site",
    source="Nostalgebraist 2020; arXiv 2303.08112 for its bias",
    perturbs=False,
)
def logit_lens(
    systems: Sequence[System],
    *,
    n_texts: int = 32,
    n_ranks: int = N_RANKS,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Decode the state of each text's last token at every site with the final norm and the head.

    Args:
        systems: the model first, then its untrained twins, of which the first is decoded too, in
            the first few of the texts.
        n_texts: number of texts, drawn from the texts of the recording.
        n_ranks: number of most likely tokens to keep, at most the vocabulary.
        seed: seed of the choice of texts.
        on_progress: called with texts done and texts in all.

    Returns:
        `(system, sample, site, rank)`: `token_id`, its string `token` and its `probability`, ranks
        in descending order; `(system, sample, site)`: `kl` in nats and `agreement` (1 or 0). Texts
        that the twin does not follow have token -1, an empty string and NaN. `input_token`
        `(input_id)`: string of every token of the recording's texts.

    Raises:
        InputError: the model has no head that predicts tokens, `n_ranks` is below 1, or too many
            texts.
    """
    if n_ranks < 1:
        raise InputError(f"got n_ranks={n_ranks}; keep one token at least: n_ranks={N_RANKS}")
    both = model_and_one_twin(systems)
    for system in both:
        _require_head(system)
    texts = chosen_texts(both, n_texts, seed)

    def prepare(system: System) -> Experiment:
        readout = _readout(system, texts[0])
        return lambda text: {system.name: _decoded(readout, _last_states(system, text), n_ranks)}

    followed = {
        system.name: texts if number == 0 else texts[:N_TWIN_TEXTS]
        for number, system in enumerate(both)
    }
    result = over_texts(both, texts, prepare, followed=followed, on_progress=on_progress)
    ids = result["token_id"].fillna(NO_TOKEN).astype(np.int64)
    inputs = np.unique([token for tokens in systems[0].recording.token_lists for token in tokens])
    return result.assign(
        token_id=ids,
        token=(ids.dims, _strings(systems[0], ids.values)),
        input_token=("input_id", _strings(systems[0], inputs)),
    ).assign_coords(input_id=inputs)


def _require_head(system: System) -> None:
    if not system.predicts:
        model = system.name if system.load is None else system.load().name
        raise InputError(
            f"the model {model!r} has no head that predicts tokens, so its states cannot be "
            "decoded; load it with its head, as AutoModelForCausalLM does"
        )


def _readout(system: System, text: int) -> FlowMap:
    """Flow map whose final norm and head read states; the layers before do not run."""
    if system.load is None:
        return system.flow(text)
    # A context of one token, since a model without a shared context runs it once per state.
    return system.load().flow_map(system.tokens(text)[:1], bos="never")


def _last_states(system: System, text: int) -> Floats:
    """States of a text's last token, `(site, unit)`: as recorded, or from a pass."""
    recording = system.recording
    rows = np.flatnonzero(recording.text_index == text)
    is_exact = recording.activation.dtype.itemsize >= 4
    if "position" in recording.dataset and system.load is not None:
        last = len(system.tokens(text)) - 1
        rows = rows[recording.dataset["position"].values[rows] == last]
    if len(rows) and is_exact:
        return np.asarray(recording.activation[int(rows[-1])].values, dtype=np.float64)
    return system.flow(text).clean


def _decoded(readout: FlowMap, states: Floats, n_ranks: int) -> xr.Dataset:
    """Most likely tokens at every site, and their divergence from the final site's."""
    logarithms = readout.log_probabilities(states, readout.sites[-1])
    final = logarithms[-1].copy()
    possible = final > -np.inf  # 0 log 0 = 0
    probability = np.exp(final[possible])
    # Over a view where every token is possible, since a copy takes as long as the product.
    chosen = logarithms if possible.all() else logarithms[:, possible]
    kl = float(probability @ final[possible]) - chosen @ probability
    ids, values = _most_likely(logarithms, n_ranks)
    dims = ("site", "rank")
    return xr.Dataset(
        {
            "token_id": (dims, ids.astype(np.float64), {"units": "index in the vocabulary"}),
            "probability": (dims, np.exp(values), PROBABILITY),
            "kl": ("site", np.maximum(kl, 0.0), DIVERGENCE),
            "agreement": ("site", (ids[:, 0] == ids[-1, 0]).astype(np.float64), AGREEMENT),
        },
        coords={"site": np.array(readout.sites, dtype=object), "rank": 1 + np.arange(ids.shape[1])},
    )


def _most_likely(logarithms: Floats, n_ranks: int) -> tuple[NDArray[np.int64], Floats]:
    """Tokens and values of the largest entries of each row; `logarithms` is used up.

    A few passes for the largest entry take less time than a partition of the row.
    """
    n_kept = min(n_ranks, logarithms.shape[1])
    rows = np.arange(len(logarithms))
    ids = np.empty((len(rows), n_kept), dtype=np.int64)
    values = np.empty(ids.shape)
    for rank in range(n_kept):
        ids[:, rank] = logarithms.argmax(axis=1)
        values[:, rank] = logarithms[rows, ids[:, rank]]
        logarithms[rows, ids[:, rank]] = -np.inf
    return ids, values


def _strings(system: System, ids: NDArray[np.int64]) -> NDArray[np.object_]:
    """Strings of tokens; the number itself where there is no tokenizer, empty for no token."""
    tokenizer = None if system.load is None else system.load().tokenizer
    distinct, places = np.unique(ids, return_inverse=True)
    names = [
        "" if token == NO_TOKEN else str(token) if tokenizer is None else tokenizer.decode([token])
        for token in distinct.tolist()
    ]
    strings = np.array(names, dtype=object)
    return np.asarray(strings[places.reshape(ids.shape)])
