"""Texts: the bundled Wikipedia sample, the user's files, datasets of the Hugging Face hub."""

from __future__ import annotations

from transformer_dynamics.texts.cutting import CUTS, cut_texts
from transformer_dynamics.texts.loading import CORPUS_CHARS, Texts, load_texts
from transformer_dynamics.texts.sources import WIKIPEDIA

__all__ = ["CORPUS_CHARS", "CUTS", "WIKIPEDIA", "Texts", "cut_texts", "load_texts"]
