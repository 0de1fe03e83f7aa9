"""Head and provenance of the page: what was recorded, from which texts, by which run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformer_dynamics.recording import Recording

N_TEXTS_SHOWN = 20


def page_title(recording: Recording | None, run: Mapping[str, Any]) -> str:
    """Title of the page, with the name of the model or system."""
    named = run.get("model")
    if named is None and recording is not None:
        named = recording.provenance.get("model", recording.provenance.get("system"))
    return f"Transformer dynamics: {named or 'recording'}"


def grouping_of(recording: Recording) -> str:
    """Unit of resampling: texts, groups, or articles where the groups are articles."""
    if recording.provenance.get("texts", {}).get("group") == "article":
        return "articles"
    return recording.grouping


def recording_facts(recording: Recording, run: Mapping[str, Any]) -> dict[str, str]:
    """Model, samples, texts and resampling, for the head of the page."""
    n_samples, n_sites, n_units = recording.shape
    described = dict(run.get("model_origin") or {}).get("described")
    grouping = grouping_of(recording)
    facts = {"Model": str(described)} if described else {}
    facts |= {
        "Samples (N)": str(n_samples),
        "Texts": str(len(set(recording.text_index.tolist()))),
        "Sites": f"{n_sites}, {recording.sites[0]} to {recording.sites[-1]}",
        "Units": str(n_units),
    }
    texts = recording.provenance.get("texts", {})
    if recording.grouping == "groups":
        facts["Groups of texts"] = f"{len(set(recording.groups.tolist()))} ({grouping})"
    if texts.get("cut") == "random":
        facts["Cut of the texts"] = (
            f"at a random word, seed {texts['seed']}; {texts['left_whole']} left whole"
        )
    if recording.n_distinct_tokens is not None:
        last = "last " if recording.provenance.get("positions") == "last" else ""
        facts[f"Distinct {last}tokens"] = str(recording.n_distinct_tokens)
    facts["Intervals over"] = grouping
    return facts


def text_entries(recording: Recording) -> list[dict[str, Any]]:
    """The first texts, each with its last recorded token."""
    texts, rows = recording.texts, recording.dataset
    if not texts or "token" not in rows.coords:
        return []
    entries, token_of = [], rows["token"].values
    for index in range(min(N_TEXTS_SHOWN, len(texts))):
        (samples,) = (recording.text_index == index).nonzero()
        tokens = [str(token_of[sample]) for sample in samples[-1:]]
        entries.append({"index": index, "text": texts[index], "last_token": "".join(tokens)})
    return entries


def table_rows(values: Mapping[str, Any], skip: Sequence[str] = ()) -> dict[str, str]:
    """Provenance as lines of a table; long lists are shortened to their ends."""
    rows = {}
    for key, value in values.items():
        if key in skip:
            continue
        if isinstance(value, list) and len(value) > 6:
            rows[key] = f"{value[0]} ... {value[-1]} ({len(value)})"
        elif isinstance(value, dict):
            rows[key] = ", ".join(f"{name}: {item}" for name, item in value.items()) or "none"
        else:
            rows[key] = str(value)
    return rows
