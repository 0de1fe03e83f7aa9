"""Settings of arXiv 2502.12131: its texts if the hub is reachable, else the bundled ones.

The paper takes 1000 texts of 100 to 500 characters of WikiText-2-raw-v1, stripped, and records the
last token. The tokenizer's begin token is kept, as `RecordingOptions` does by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts import Texts, load_texts, text_arguments
from transformer_dynamics.texts.sources import WIKIPEDIA

PAPER = "paper"
WIKITEXT = "hf://Salesforce/wikitext:wikitext-2-raw-v1:train"
N_TEXTS = 1000
# Options of the command that choose texts, with their names in `paper_texts`.
TEXT_OPTIONS = {
    "texts": "texts",
    "samples": "samples",
    "column": "column",
    "group": "group",
    "cut": "cut",
    "min_chars": "min_chars",
    "max_chars": "max_chars",
    "texts_revision": "revision",
    "offline": "offline",
}
# Whole paragraphs of these lengths.
SELECTION = {"min_chars": 100, "max_chars": 500, "cut": "none"}


@dataclass(frozen=True)
class PaperTexts:
    """Texts of the preset and their origin.

    Attributes:
        texts: the texts.
        note: sentence for the terminal, `run.json` and the page.
    """

    texts: Texts
    note: str


def paper_texts(given: Mapping[str, Any] | None = None, *, seed: int = 0) -> PaperTexts:
    """Load the paper's texts, or those that the user asks for; without a hub the bundled ones.

    Args:
        given: choices of the user: `texts` (a source), `samples`, and any other option of
            `load_texts` or `TextOptions` by name. They take precedence over the preset.
        seed: seed of the choice of texts.

    Raises:
        TextsError: the user's own source cannot be loaded, or has fewer texts.
    """
    options = {**SELECTION, **(given or {})}
    source, n_texts = options.pop("texts", None), options.pop("samples", None)
    if source is not None:
        texts = _loaded(source, n_texts, seed, options)
        return PaperTexts(texts, f"The paper's preset with texts as given: {texts.source}.")
    try:
        arguments = text_arguments(options)
        texts = load_texts(WIKITEXT, n_texts or N_TEXTS, seed=seed, **arguments)
        return PaperTexts(texts, f"The paper's texts: {len(texts)} of WikiText-2 ({WIKITEXT}).")
    except TextsError as error:
        known_to_files = ("column", "group", "revision")
        bundled = {key: value for key, value in options.items() if key not in known_to_files}
        texts = _loaded(WIKIPEDIA, n_texts, seed, bundled)
        return PaperTexts(
            texts,
            f"The paper's texts, {WIKITEXT}, could not be loaded, so {len(texts)} bundled texts "
            f"({WIKIPEDIA}) replace them. Reason: {error}",
        )


def _loaded(source: Any, n_texts: int | None, seed: int, options: Mapping[str, Any]) -> Texts:
    """Load texts; by default the paper's number of them, or all if there are fewer."""
    arguments = text_arguments(options)
    if n_texts is None:
        n_texts = min(N_TEXTS, len(load_texts(source, seed=seed, **arguments)))
    return load_texts(source, n_texts, seed=seed, **arguments)
