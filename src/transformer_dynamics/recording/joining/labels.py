"""Labels of a joined recording: samples and texts of all recordings, one after another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.groups import groups_sha256
from transformer_dynamics.recording.joining.agreement import joined_provenance, joined_sources
from transformer_dynamics.recording.plan import hash_of_tokens
from transformer_dynamics.recording.recording import FORMAT, Recording
from transformer_dynamics.storage.attributes import plain_attributes


def joined_labels(recordings: Sequence[Recording], names: Sequence[str]) -> xr.Dataset:
    """Join the labels of recordings that agree; texts of later ones are numbered on.

    Raises:
        RecordingError: they have other coordinates, or only some hold their texts.
    """
    _require_same_labels(recordings, names)
    first = recordings[0].dataset
    coords = {
        str(name): ("sample", np.concatenate([each.dataset[name].values for each in recordings]))
        for name in sample_coords(recordings[0])
    }
    starts = np.cumsum([0, *(number_of_texts(each) for each in recordings)])
    coords["text"] = (
        "sample",
        np.concatenate(
            [each.text_index + start for each, start in zip(recordings, starts, strict=False)]
        ),
    )
    of_site = {name: first[name] for name in first.coords if first[name].dims == ("site",)}
    attrs = plain_attributes({"format": FORMAT, "provenance": _provenance(recordings)})
    joined = xr.Dataset(_texts(recordings), coords={**of_site, **coords}, attrs=attrs)
    return joined.drop_encoding()


def number_of_texts(recording: Recording) -> int:
    """Number of texts, with those that give no sample where they are held."""
    dataset = recording.dataset
    return int(dataset.sizes.get("text_index", recording.text_index.max() + 1))


def sample_coords(recording: Recording) -> list[str]:
    """Names of the coordinates along `sample`."""
    coords = recording.dataset.coords
    return sorted(str(name) for name in coords if coords[name].dims == ("sample",))


def _texts(recordings: Sequence[Recording]) -> dict[str, Any]:
    """Texts, numbers of tokens, token ids and groups, as far as they are held."""
    joined: dict[str, Any] = {}
    for name in ("text_string", "n_tokens"):
        if name in recordings[0].dataset:
            values = [each.dataset[name].values for each in recordings]
            joined[name] = ("text_index", np.concatenate(values))
    if "input_id" in recordings[0].dataset:
        values = [each.dataset["input_id"].values for each in recordings]
        joined["input_id"] = ("input", np.concatenate(values))
    groups = _groups(recordings)
    if groups is not None:
        joined["group"] = ("text_index", np.array(groups, dtype=object))
    return joined


def _groups(recordings: Sequence[Recording]) -> list[str] | None:
    """Groups of all texts; texts of a recording without groups are groups of their own."""
    if all(each.text_groups is None for each in recordings):
        return None
    return [
        group for each in recordings for group in each.text_groups or ("",) * number_of_texts(each)
    ]


def _provenance(recordings: Sequence[Recording]) -> dict[str, Any]:
    provenances = [each.provenance for each in recordings]
    of_texts: dict[str, Any] = {"n_texts": sum(map(number_of_texts, recordings))}
    if all("texts" in each for each in provenances):
        of_texts["texts"] = joined_sources(provenances)
    if all(each.texts for each in recordings):
        strings = "\0".join(text for each in recordings for text in each.texts)
        of_texts["texts_sha256"] = hashlib.sha256(strings.encode()).hexdigest()
    if all(each.token_lists for each in recordings):
        of_texts["tokens"] = hash_of_tokens(ids for each in recordings for ids in each.token_lists)
    groups = _groups(recordings)
    if groups is not None:
        of_texts["groups"] = groups_sha256(groups)
    return joined_provenance(provenances, of_texts)


def _require_same_labels(recordings: Sequence[Recording], names: Sequence[str]) -> None:
    """Refuse recordings with other coordinates along `sample`, or other tables of texts."""
    held = [
        sorted({*map(str, each.dataset.data_vars), *sample_coords(each)} - {"activation", "group"})
        for each in recordings
    ]
    for name, labels in zip(names[1:], held[1:], strict=True):
        if labels != held[0]:
            raise RecordingError(
                f"{names[0]} has the labels {', '.join(held[0])}, and {name} has "
                f"{', '.join(labels)}; only recordings with the same labels are merged"
            )
