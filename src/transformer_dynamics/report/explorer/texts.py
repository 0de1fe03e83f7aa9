"""Texts of the page: strings, tokens, labels, shortened where they are long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.recording.recording import Recording

# A text of 100,000 characters is shown and searched by its end, which the last token reads.
N_CHARACTERS, N_TOKENS = 4000, 400
# Texts that are only listed as extreme ones are shown by their end.
N_LISTED, N_LISTED_CHARACTERS = 1000, 120


def sample_labels(recording: Recording, samples: NDArray[np.int64]) -> dict[str, Any]:
    """Text index, position, token, number of tokens and group of samples."""
    rows = recording.dataset
    texts = recording.text_index[samples]
    labels: dict[str, Any] = {"sample": samples.tolist(), "text": texts.tolist()}
    if "position" in rows:
        labels["position"] = rows["position"].values[samples].tolist()
    if "token" in rows:
        labels["token"] = [str(token) for token in rows["token"].values[samples]]
    if "n_tokens" in rows:
        labels["length"] = rows["n_tokens"].values[texts].tolist()
    groups = recording.text_groups
    if groups is not None:
        labels["group"] = [groups[text] for text in texts.tolist()]
    return labels


def text_strings(recording: Recording, texts: NDArray[np.int64]) -> dict[str, list[Any]]:
    """End of each text, and the number of characters left out before it."""
    known = recording.texts
    strings = [known[text] for text in texts.tolist()] if known else []
    return {
        "string": [string[-N_CHARACTERS:] for string in strings],
        "left_out": [max(0, len(string) - N_CHARACTERS) for string in strings],
    }


def listed_strings(recording: Recording, texts: NDArray[np.int64]) -> dict[str, str]:
    """Ends of texts by index, of as many as the page holds."""
    known = recording.texts
    if not known:
        return {}
    return {str(text): known[text][-N_LISTED_CHARACTERS:] for text in texts[:N_LISTED].tolist()}


def text_tokens(
    recording: Recording, texts: NDArray[np.int64], lens: xr.Dataset | None
) -> dict[str, Any]:
    """Last tokens of each text as indices into `strings`; empty where no result has the strings."""
    lists = recording.token_lists
    if lens is None or not lists or "input_token" not in lens:
        return {"strings": [], "tokens": []}
    names: Mapping[int, str] = dict(
        zip(lens["input_id"].values.tolist(), lens["input_token"].values.tolist(), strict=True)
    )
    kept = [lists[text][-N_TOKENS:] for text in texts.tolist()]
    distinct = sorted({token for tokens in kept for token in tokens})
    place = {token: index for index, token in enumerate(distinct)}
    return {
        "strings": [str(names.get(token, f"token {token}")) for token in distinct],
        "tokens": [[place[token] for token in tokens] for tokens in kept],
        "left_out": [max(0, len(lists[text]) - N_TOKENS) for text in texts.tolist()],
    }
