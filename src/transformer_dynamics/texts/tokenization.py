"""From texts to token ids, with the begin token as the caller wants it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformer_dynamics.errors import RecordingError


def tokenize(
    tokenizer: Any, texts: Sequence[str], bos: str = "tokenizer", *, special: bool = True
) -> list[list[int]]:
    """Token ids of each text, without padding.

    A text that begins with the begin token, as a chat template writes it, gets no second one.

    Args:
        tokenizer: a Hugging Face tokenizer.
        texts: the texts.
        bos: `"tokenizer"` leaves the begin token to the tokenizer's own rule, `"always"` puts one
            in front where there is none, `"never"` takes it away.
        special: whether the tokenizer adds its special tokens by its own rule.

    Raises:
        RecordingError: there is no tokenizer, or the policy needs a begin token and it has none.
    """
    if tokenizer is None:
        raise RecordingError(
            "this model has no tokenizer; give one, td.load_model(hf_model, tokenizer=tokenizer), "
            "or give texts as lists of token ids"
        )
    begin = tokenizer.bos_token_id
    if bos == "always" and begin is None:
        raise RecordingError("bos='always', but this tokenizer has no BOS token; use bos='never'")
    given = [storable(text) for text in texts]
    encoded = tokenizer(given, verbose=False, add_special_tokens=special)["input_ids"]
    token_lists = [list(ids) for ids in encoded]
    if begin is not None:
        token_lists = [
            ids[1:] if ids[:2] == [begin, begin] and text.startswith(tokenizer.bos_token) else ids
            for text, ids in zip(given, token_lists, strict=True)
        ]
    if bos == "always":
        return [ids if ids[:1] == [begin] else [begin, *ids] for ids in token_lists]
    if bos == "never" and begin is not None:
        return [ids[1:] if ids[:1] == [begin] else ids for ids in token_lists]
    return token_lists


def special_ids(tokenizer: Any) -> set[int]:
    """Ids of the tokens that stand for no text (begin, end, separator, padding)."""
    return set(getattr(tokenizer, "all_special_ids", None) or ())


def storable(text: str) -> str:
    """Text as UTF-8 can hold it: lone surrogates become question marks."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
