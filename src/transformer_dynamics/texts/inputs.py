"""Convert texts in any accepted form to token ids.

Accepted are strings, token ids, encodings of a tokenizer (padding is removed by their attention
mask) and chats (the tokenizer's template is applied, without a generation prompt), one or many; see
`texts.forms.entries` for the containers.

Refused are arguments that would be recorded as something else: padded ids without their mask,
floats, sets (they have no order), paths and bytes, rows of a table, ids outside the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.texts.forms.entries import Chat, Entry, entries_of
from transformer_dynamics.texts.tokenization import tokenize


@dataclass(frozen=True)
class Inputs:
    """Texts as token ids, ready for the model.

    Attributes:
        token_lists: token ids of each text, without padding.
        strings: the texts as strings, in the same order; None if ids were given.
        source: source of the texts, as in `td.load_texts`, or `given`.
        selection: selection of the texts from their source.
        groups: group of each text, empty if a text has none; None if there are no groups.
    """

    token_lists: list[list[int]]
    strings: list[str] | None
    source: str = "given"
    selection: Mapping[str, Any] = field(default_factory=dict)
    groups: Sequence[str] | None = None


def as_inputs(
    texts: Any,
    tokenizer: Any,
    *,
    bos: str = "tokenizer",
    vocabulary: int | None = None,
    pad: int | None = None,
) -> Inputs:
    """Convert texts in any accepted form to token ids.

    Args:
        texts: texts in any accepted form.
        tokenizer: a Hugging Face tokenizer; None if ids are given.
        bos: as in `td.RecordingOptions`; ids and encodings are not changed.
        vocabulary: number of rows in the model's table of embeddings.
        pad: id of the padding token; by default the tokenizer's.

    Raises:
        RecordingError: the texts have another form, or strings and ids are mixed.
    """
    if isinstance(texts, Inputs):
        return texts
    if pad is None:
        pad = getattr(tokenizer, "pad_token_id", None)
    edges = {getattr(tokenizer, name, None) for name in ("bos_token_id", "eos_token_id")}
    entries = entries_of(texts, pad, ambiguous=pad in edges)
    if not entries:
        raise RecordingError("got no texts; td.record(model, texts) needs at least one")
    lists = [entry for entry in entries if isinstance(entry, list)]
    if 0 < len(lists) < len(entries):
        raise RecordingError(
            f"got {len(entries) - len(lists)} strings among {len(entries)} texts; pass all texts "
            "as strings or all as lists of token ids"
        )
    strings = None
    if not lists:
        lists, strings = _tokenized(entries, tokenizer, bos)
    _require_known(lists, vocabulary)
    source = getattr(texts, "source", "given")
    selection = getattr(texts, "selection", {})
    if not (isinstance(source, str) and isinstance(selection, Mapping)):
        return Inputs(lists, strings)
    return Inputs(lists, strings, source, selection, getattr(texts, "groups", None))


def as_token_lists(texts: Any, tokenizer: Any, **options: Any) -> list[list[int]]:
    """Return the token ids of each text; arguments and errors as in `as_inputs`."""
    return as_inputs(texts, tokenizer, **options).token_lists


def _tokenized(
    entries: Sequence[Entry], tokenizer: Any, bos: str
) -> tuple[list[list[int]], list[str]]:
    """Return token ids and strings of entries that are strings or chats."""
    strings = [entry if isinstance(entry, str) else "" for entry in entries]
    lists = tokenize(tokenizer, strings, bos)
    for index, entry in enumerate(entries):
        if isinstance(entry, Chat):
            strings[index] = _rendered(tokenizer, entry.messages)
            (lists[index],) = tokenize(tokenizer, [strings[index]], bos, special=False)
    return lists, strings


def _rendered(tokenizer: Any, messages: list[Mapping[str, Any]]) -> str:
    """Render a chat with the tokenizer's template.

    Raises:
        RecordingError: there is no template, or it fails on these messages.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise RecordingError(
            "got chat messages, but this tokenizer has no chat template; pass the contents "
            "as texts: td.record(model, [message['content'] for message in messages])"
        )
    try:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False))
    except Exception as error:  # a template is a program that can raise anything
        raise RecordingError(
            f"the tokenizer's chat template fails on these messages ({error}); messages are "
            "{'role': 'user', 'content': 'text'}, in the order that the template requires"
        ) from error


def _require_known(lists: Sequence[Sequence[int]], vocabulary: int | None) -> None:
    for index, ids in enumerate(lists):
        least, most = min(ids, default=0), max(ids, default=0)
        if least < 0 or (vocabulary is not None and most >= vocabulary):
            wrong = least if least < 0 else most
            raise RecordingError(
                f"text {index} holds the token id {wrong}, outside the vocabulary of the model "
                f"(0 to {(vocabulary or most + 1) - 1}); pass ids of the model's own tokenizer, "
                "and inputs instead of labels (-100): td.record(model, inputs['input_ids'])"
            )
