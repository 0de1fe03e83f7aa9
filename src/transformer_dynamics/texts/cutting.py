"""Cut texts at a seeded random word, so that the last token is a word in mid-sentence.

A whole paragraph ends in a full stop, and what a model computes at its last token is then about the
end of a sentence. A cut text ends behind a word that

- is at least the fourth (`LEAST_WORDS`) and not the last of its text,
- ends in a letter, a mark or a digit, and not in punctuation,

drawn with equal probability from all such words. A word is a run of characters without white space.
A text without such a word is left whole. The draw depends on the seed and the text alone: neither
the other texts nor their order change it, and equal texts are cut at the same word.

Source: ours.

Does not handle: scripts that set no spaces between words (such texts are left whole).
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
"""Words kept at least: fewer leave the last token almost without a context."""

_WORD = re.compile(r"\S+")


def cut_texts(texts: Iterable[str], *, seed: int = 0) -> list[str]:
    """The texts, each cut at a random word; those that cannot be cut as they are.

    Args:
        texts: strings.
        seed: of the draws, a whole number from 0.

    Raises:
        TextsError: a text is no string, as a list of token ids is none.

    >>> cut_texts(["The cat sat on the mat, and the dog sat by it.", "Too short."])
    ['The cat sat on the mat, and the dog sat', 'Too short.']
    """
    if isinstance(texts, str):
        texts = [texts]
    return [_cut(text, seed) for text in texts]


def check_cut(cut: object) -> None:
    """Refuse a cut that is not among those allowed."""
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
