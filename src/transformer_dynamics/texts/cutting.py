"""Cut texts at a seeded random word, so that the last token lies in mid-sentence.

A whole paragraph ends in a full stop, and the states of its last token then reflect the end of a
sentence. A cut text ends after a word that is at least the fourth (`LEAST_WORDS`), is not the last
of its text, and ends in a letter, a mark or a digit; it is drawn with equal probability from all
such words. A word is a run of characters without white space. A text without such a word is left
whole. The draw depends on the seed and the text only: other texts and their order do not change it,
and equal texts are cut at the same word.

Source: ours. Limits: texts in scripts without spaces between words are left whole.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

import numpy as np

from transformer_dynamics.errors import TextsError

CUTS = ("none", "random")
LEAST_WORDS = 4
"""Smallest number of words kept; fewer leave almost no context for the last token."""

_WORD = re.compile(r"\S+")


def cut_texts(texts: Iterable[str], *, seed: int = 0) -> list[str]:
    """Cut each text at a random word; texts that cannot be cut are returned unchanged.

    Args:
        texts: strings.
        seed: seed of the draws, a whole number from 0.

    Raises:
        TextsError: a text is not a string but, for example, a list of token ids.

    >>> cut_texts(["The cat sat on the mat, and the dog sat by it.", "Too short."])
    ['The cat sat on the mat, and the dog sat', 'Too short.']
    """
    if isinstance(texts, str):
        texts = [texts]
    return [_cut(text, seed) for text in texts]


def check_cut(cut: object) -> None:
    """Refuse an unknown cut."""
    if cut is not None and not (isinstance(cut, str) and cut in CUTS):
        raise TextsError(
            f"cut={cut!r:.60}; allowed are {', '.join(CUTS)}: load_texts(source, cut='random')"
        )


def _cut(text: object, seed: int) -> str:
    if not isinstance(text, str):
        raise TextsError(
            f"got {text!r:.40} of type {type(text).__name__} to cut at a word; allowed are "
            "strings, since token ids and states have no words: cut the strings before they are "
            "tokenized, cut_texts(['One text.', 'Another.'])"
        )
    ends = [match.end() for match in _WORD.finditer(text)][LEAST_WORDS - 1 : -1]
    ends = [end for end in ends if unicodedata.category(text[end - 1])[0] in "LMN"]
    if not ends:
        return text
    digest = hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).digest()
    generator = np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
    return text[: ends[generator.integers(len(ends))]]
