"""Convert texts to token ids, with a policy for the begin token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformer_dynamics.errors import RecordingError


def tokenize(
    tokenizer: Any, texts: Sequence[str], bos: str = "tokenizer", *, special: bool = True
) -> list[list[int]]:
    """Return the token ids of each text, without padding.

    A text that already begins with the begin token, as chat templates write it, gets no second one.

    Args:
        tokenizer: a Hugging Face tokenizer.
        texts: strings.
        bos: `"tokenizer"` leaves the begin token to the tokenizer's own rule, `"always"` prepends
            a missing one, `"never"` removes it.
        special: whether the tokenizer adds its special tokens by its own rule.

    Raises:
        RecordingError: there is no tokenizer, or it lacks the begin token that the policy needs.
    """
    if tokenizer is None:
        raise RecordingError(
            "this model has no tokenizer; pass one, td.load_model(hf_model, tokenizer=tokenizer), "
            "or pass texts as lists of token ids"
        )
    begin = tokenizer.bos_token_id
    if bos == "always" and begin is None:
        raise RecordingError("bos='always', but this tokenizer has no BOS token; use bos='never'")
    strings = [storable(text) for text in texts]
    encoded = tokenizer(strings, verbose=False, add_special_tokens=special)["input_ids"]
    token_lists = [list(ids) for ids in encoded]
    if begin is not None:
        token_lists = [
            ids[1:] if ids[:2] == [begin, begin] and text.startswith(tokenizer.bos_token) else ids
            for text, ids in zip(strings, token_lists, strict=True)
        ]
    if bos == "always":
        return [ids if ids[:1] == [begin] else [begin, *ids] for ids in token_lists]
    if bos == "never" and begin is not None:
        return [ids[1:] if ids[:1] == [begin] else ids for ids in token_lists]
    return token_lists


def special_ids(tokenizer: Any) -> set[int]:
    """Return the ids of tokens without text (begin, end, separator, padding)."""
    return set(getattr(tokenizer, "all_special_ids", None) or ())


def storable(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode, by question marks."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
