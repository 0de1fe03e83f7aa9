"""Texts: the bundled Wikipedia sample, the user's files, and datasets of the Hugging Face hub."""

from __future__ import annotations

from transformer_dynamics.texts.collection import Texts
from transformer_dynamics.texts.cutting import CUTS, cut_texts
from transformer_dynamics.texts.loading import load_texts
from transformer_dynamics.texts.options import TextOptions, text_arguments
from transformer_dynamics.texts.selection import CORPUS_CHARS
from transformer_dynamics.texts.sources import WIKIPEDIA

__all__ = [
    "CORPUS_CHARS",
    "CUTS",
    "WIKIPEDIA",
    "TextOptions",
    "Texts",
    "cut_texts",
    "load_texts",
    "text_arguments",
]
