"""Texts that two runs share, found by their strings or their tokens."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.recording import Recording

# Variables of a recording with an entry for each text.
PER_TEXT = ("text_string", "n_tokens", "group")


@dataclass(frozen=True)
class SharedTexts:
    """Texts that two recordings share.

    Attributes:
        numbers: index of each text in the other recording to its index in the first.
        reason: reason why the runs are not compared text by text; empty where they are.
    """

    numbers: Mapping[int, int] = field(default_factory=dict)
    reason: str = ""


def texts_sha256(recording: Recording) -> str | None:
    """SHA-256 of the texts of a recording; None if it does not hold them."""
    texts = recording.texts
    return hashlib.sha256("\0".join(texts).encode()).hexdigest() if texts else None


def shared_texts(first: Recording, other: Recording, names: Sequence[str]) -> SharedTexts:
    """Match the texts of two recordings, where one holds all recorded texts of the other.

    Texts agree as strings, or as tokens: strings that were decoded from tokens may differ in
    special tokens. A text that occurs several times is matched in its order.

    Args:
        first: the first recording.
        other: the other recording.
        names: names of both.
    """
    lacking = [name for name, each in zip(names, (first, other), strict=True) if not each.texts]
    if lacking:
        held = f"{' and '.join(lacking)} {'hold' if len(lacking) > 1 else 'holds'} no texts"
        return SharedTexts(reason=f"{held}, so that nothing shows whether they agree")
    ours, theirs = (set(each.text_index.tolist()) for each in (first, other))
    numbers = _matched(first.texts, other.texts)
    if first.token_lists and other.token_lists:
        numbers = {**_matched(first.token_lists, other.token_lists), **numbers}
    numbers = {b: a for b, a in numbers.items() if a in ours and b in theirs}
    n_shared = len(set(numbers.values()))
    if n_shared and n_shared == min(len(ours), len(theirs)):
        return SharedTexts(numbers)
    shas = [str(texts_sha256(each))[:8] for each in (first, other)]
    reason = (
        f"the texts of {names[0]} (sha256 {shas[0]}) and of {names[1]} (sha256 {shas[1]}) differ"
    )
    if n_shared:
        reason += f" ({n_shared} of {len(ours)} and {len(theirs)} agree)"
    return SharedTexts(reason=reason)


def _matched(ours: Iterable[Hashable], theirs: Iterable[Hashable]) -> dict[int, int]:
    """Index of each text of the other run to that of the same text in the first."""
    known = {key: index for index, key in enumerate(_numbered(ours))}
    return {index: known[key] for index, key in enumerate(_numbered(theirs)) if key in known}


def _numbered(texts: Iterable[Hashable]) -> list[tuple[Hashable, int]]:
    """Each text with the number of equal ones before it."""
    seen: Counter[Hashable] = Counter()
    keys = []
    for text in texts:
        keys.append((text, seen[text]))
        seen[text] += 1
    return keys


def texts_of(data: Any) -> NDArray[np.int64]:
    """Index of the text of each sample of a recording or of a perturbation's result."""
    if isinstance(data, Recording):
        return data.text_index
    if "text" in data.coords:
        return np.asarray(data["text"].values, dtype=np.int64)
    return np.arange(data.sizes["sample"])


def some_samples(data: Any, rows: NDArray[np.bool_]) -> Any:
    """The chosen samples of a recording or of a perturbation's result."""
    if rows.all():
        return data
    if isinstance(data, xr.Dataset):
        return data.isel(sample=np.flatnonzero(rows))
    return data.isel(sample=np.flatnonzero(rows)).load()


def on_texts(recording: Recording, texts: Sequence[int]) -> Recording:
    """The samples of some texts, which are numbered from 0 in the given order.

    Args:
        recording: recording with its texts.
        texts: indices of texts, all different.
    """
    numbers = {text: number for number, text in enumerate(texts)}
    rows = np.flatnonzero(np.isin(recording.text_index, list(texts)))
    chosen = recording.isel(sample=rows).dataset
    renumbered = np.array([numbers[text] for text in recording.text_index[rows].tolist()])
    variables: dict[str, Any] = {
        name: ("text_index", chosen[name].values[list(texts)])
        for name in PER_TEXT
        if name in chosen
    }
    lists = recording.token_lists
    if lists:
        variables["input_id"] = ("input", np.concatenate([lists[text] for text in texts]))
    plain = chosen.drop_vars([*PER_TEXT, "input_id"], errors="ignore")
    return Recording(plain.assign(variables).assign_coords(text=("sample", renumbered)))
