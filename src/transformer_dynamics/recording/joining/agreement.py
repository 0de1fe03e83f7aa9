"""Agreement of recordings that are joined: same model, same settings, other texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformer_dynamics.errors import RecordingError

# Entries of the provenance that follow from the texts.
OF_TEXTS = ("tokens", "n_texts", "rows", "texts", "texts_sha256", "groups", "fingerprint")
# Entries on which the states depend within rounding, or not at all.
OF_MACHINE = (
    *("seed", "shard_rows", "batch_tokens", "device"),
    *("torch", "transformers", "transformer_dynamics"),
)
# Names of a model whose weights are compared.
OF_NAME = ("model", "origin")
MERGED = "merged"


def require_agreement(
    names: Sequence[str],
    shapes: Sequence[Mapping[str, Any]],
    provenances: Sequence[Mapping[str, Any]],
) -> None:
    """Refuse to join recordings of different models, sites, precisions or settings.

    Args:
        names: Names of the recordings, for the message.
        shapes: Sites, units and precision of each.
        provenances: Provenance of each.

    Raises:
        RecordingError: two of them differ; the message names each difference with both values.
    """
    first = {**compared(provenances[0]), **shapes[0]}
    for name, shape, provenance in zip(names[1:], shapes[1:], provenances[1:], strict=True):
        other = {**compared(provenance), **shape}
        keys = [key for key in {**first, **other} if first.get(key) != other.get(key)]
        if keys:
            details = "; ".join(
                f"{key}: {_short(first.get(key))} and {_short(other.get(key))}" for key in keys
            )
            raise RecordingError(
                f"{names[0]} and {name} are not recordings of one model with the same settings "
                f"({details}); record the new texts with the model and the settings of the first"
            )


def compared(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of a provenance that all joined recordings share."""
    free = {*OF_TEXTS, *OF_MACHINE, MERGED}
    if "weights" in provenance:
        free.update(OF_NAME)
    return {key: value for key, value in provenance.items() if key not in free}


def joined_provenance(
    provenances: Sequence[Mapping[str, Any]], of_texts: Mapping[str, Any]
) -> dict[str, Any]:
    """Provenance of the joined recording.

    Args:
        provenances: Provenance of each recording.
        of_texts: Entries that follow from all texts together.

    Returns:
        The entries that all share and `of_texts`; `merged` lists the others of each recording.
    """
    first = provenances[0]
    shared = {
        key: value
        for key, value in first.items()
        if key not in (*OF_TEXTS, MERGED) and all(each.get(key) == value for each in provenances)
    }
    parts: list[Any] = []
    for each in provenances:
        own = {key: value for key, value in each.items() if key not in {*shared, MERGED}}
        parts += [{**own, **part} for part in each[MERGED]] if MERGED in each else [own]
    named = {key: first[key] for key in OF_NAME if key in first}
    return {**named, **shared, **of_texts, MERGED: parts}


def joined_sources(provenances: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Entry `texts` of the joined recording: the sources in turn, and what they share."""
    texts = [dict(each.get("texts") or {}) for each in provenances]
    shared = {
        key: value
        for key, value in texts[0].items()
        if all(each.get(key) == value for each in texts)
    }
    sources = dict.fromkeys(str(each["source"]) for each in texts if "source" in each)
    return {**shared, **({"source": " + ".join(sources)} if sources else {})}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
