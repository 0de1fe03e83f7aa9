"""One way in for texts: whatever stands for texts becomes token ids, or is refused by name.

Taken are strings, token ids, encodings of a tokenizer (padding goes by their attention mask), and
chats (the tokenizer's template is applied, without a generation prompt); one of them or many, in a
list, an array, a tensor, a generator or a data set that yields them. One string, one list of ids
and one chat are one text each.

Not taken: what would be recorded as something else than it is. Padded ids without their mask,
floats, sets (they have no order), paths and bytes, rows of a table, ids outside the vocabulary.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.texts.tokenization import tokenize

# Entries of an encoding that change nothing of what runs.
HARMLESS = {
    "input_ids", "attention_mask", "labels", "length", "offset_mapping", "special_tokens_mask",
    "overflow_to_sample_mapping", "idx", "text",
}  # fmt: skip
ALLOWED = (
    "texts are strings, token ids, encodings of a tokenizer, or chats, one or many: "
    "td.record(model, ['One text.', 'Another.'])"
)


@dataclass(frozen=True)
class Inputs:
    """Texts as they will run.

    Attributes:
        token_lists: token ids of each text, without padding.
        strings: the texts as strings, in the same order; None where ids were given.
        source: where they are from, as `td.load_texts` says it, or `given`.
        selection: how they were chosen there.
        groups: the group of each text, empty where it has none; None where no groups are known.
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
    """Normalize texts in any of the forms that are taken.

    Args:
        texts: the texts.
        tokenizer: a Hugging Face tokenizer, or None where ids are given.
        bos: as in `td.RecordingOptions`; ids and encodings are taken as they are.
        vocabulary: number of token ids that the model has a vector for.
        pad: the id of padding; by default the tokenizer's.

    Raises:
        RecordingError: they are none of the forms that are taken, or strings and ids are mixed.
    """
    if isinstance(texts, Inputs):
        return texts
    if pad is None:
        pad = getattr(tokenizer, "pad_token_id", None)
    edges = {getattr(tokenizer, name, None) for name in ("bos_token_id", "eos_token_id")}
    entries = _entries(texts, pad, ambiguous=pad in edges)
    if not entries:
        raise RecordingError("got no texts; td.record(model, texts) needs at least one")
    lists = [entry for entry in entries if isinstance(entry, list)]
    if 0 < len(lists) < len(entries):
        raise RecordingError(
            f"got {len(entries) - len(lists)} strings among {len(entries)} texts; give all texts "
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


def as_token_lists(texts: Any, tokenizer: Any, **how: Any) -> list[list[int]]:
    """Token ids of each text; arguments and errors as `as_inputs`."""
    return as_inputs(texts, tokenizer, **how).token_lists


@dataclass(frozen=True)
class _Chat:
    messages: list[Mapping[str, Any]]


# A string, the token ids of one text, or a chat.
_Entry = str | list[int] | _Chat


def _entries(given: Any, pad: int | None, *, ambiguous: bool) -> list[_Entry]:
    """The texts in what was given, in order."""
    one = _one(given)
    if one is not None and not (isinstance(given, list | tuple) and not given):
        return [one]
    if _is_encoding(given):
        return list(_encoded(given, pad, ambiguous))
    if _is_array(given) and np.asarray(_plain(given)).dtype.kind in "iufb":
        return list(_rows(given, pad, ambiguous))
    if isinstance(given, Mapping) or not isinstance(given, Iterable) or _refused(given):
        raise _no_texts(given, "")
    items = list(given)
    result: list[_Entry] = []
    for index, item in enumerate(items):
        one = _one(item)
        if one is not None:
            result.append(one)
        elif _is_encoding(item):
            result += _encoded(item, pad, ambiguous)
        elif _is_array(item) and np.ndim(_plain(item)) == 2:
            result += _rows(item, pad, ambiguous)
        else:
            raise _no_texts(item, f"text {index}: ")
    lists = [entry for entry in result if isinstance(entry, list)]
    if len(lists) > 1 and len({len(ids) for ids in lists}) == 1:
        _refuse_padding(lists, pad, ambiguous)
    return result


def _one(given: Any) -> _Entry | None:
    """A single text, if it is one: a string, one list of ids, one chat, the encoding of one."""
    if isinstance(given, str):
        return str(given)
    if _is_array(given):
        array = np.asarray(_plain(given))
        return array.tolist() if array.ndim == 1 and array.dtype.kind in "iu" else None
    if isinstance(given, list | tuple):
        if given and all(
            isinstance(item, Mapping) and {"role", "content"} <= set(item) for item in given
        ):
            return _Chat(list(given))
        if all(map(_is_id, given)):
            return [operator.index(token) for token in given]
    if hasattr(given, "ids") and hasattr(given, "attention_mask") and not hasattr(given, "shape"):
        (ids,) = _unpadded([list(given.ids)], [list(given.attention_mask)])
        return ids
    return None


def _is_id(token: Any) -> bool:
    if isinstance(token, bool | np.bool_) or str(getattr(token, "dtype", "")) == "torch.bool":
        return False
    try:
        operator.index(token)
    except (TypeError, ValueError):
        return False
    return True


def _is_array(given: Any) -> bool:
    return isinstance(given, np.ndarray) or hasattr(given, "detach")


def _plain(array: Any) -> Any:
    """A tensor as an array, off its device; bfloat16 as float32."""
    if not hasattr(array, "detach"):
        return array
    tensor = array.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _is_encoding(given: Any) -> bool:
    return (isinstance(given, Mapping) or hasattr(given, "data")) and (
        hasattr(given, "keys") and "input_ids" in given
    )


def _refused(given: Any) -> bool:
    """Iterables whose items are no texts, or come in no order."""
    return isinstance(given, bytes | bytearray | set | frozenset | os.PathLike) or hasattr(
        given, "columns"
    )


def _no_texts(given: Any, where: str) -> RecordingError:
    kind, hint = type(given).__name__, ALLOWED
    if isinstance(given, os.PathLike):
        hint = f"the texts of a file: td.record(model, td.load_texts({os.fspath(given)!r}))"
    elif isinstance(given, bytes | bytearray):
        kind = "byte string"
        hint = "bytes are no text until they are decoded: texts.decode('utf-8')"
    elif isinstance(given, set | frozenset):
        hint = "a set has no order: td.record(model, sorted(texts))"
    elif isinstance(given, Mapping):
        keys = ", ".join(map(repr, list(given)[:4]))
        kind = f"{kind} with the keys {keys or 'none'}"
        hint = (
            "an encoding has 'input_ids'; of a table or a data set name the column of the texts: "
            "td.record(model, [row['text'] for row in rows])"
        )
    elif hasattr(given, "columns"):
        hint = "name the column of the texts: td.record(model, list(table['text']))"
    elif _is_array(given) or isinstance(given, list | tuple):
        shape = getattr(given, "shape", None)
        kind = f"{kind} of {f'shape {tuple(shape)}' if shape is not None else repr(given):.60}"
        hint = "token ids are whole numbers, (position) or (text, position); " + ALLOWED
    article = "an" if kind[0] in "aeiou" else "a"
    return RecordingError(f"{where}got {article} {kind}; {hint}")


def _rows(given: Any, pad: int | None, ambiguous: bool) -> list[list[int]]:
    array = np.asarray(_plain(given))
    if array.ndim not in (1, 2) or array.dtype.kind not in "iu":
        raise RecordingError(
            f"got token ids of shape {array.shape} and dtype {array.dtype}; they are whole numbers "
            "(position) or (text, position): td.record(model, inputs['input_ids'])"
        )
    rows: list[list[int]] = np.atleast_2d(array).tolist()
    _refuse_padding(rows, pad, ambiguous)
    return rows


def _encoded(given: Mapping[str, Any], pad: int | None, ambiguous: bool) -> list[list[int]]:
    """Ids of an encoding, without what its attention mask hides."""
    _refuse_extras(given)
    ids = given["input_ids"]
    mask = given.get("attention_mask")
    if mask is None:
        return [_ids(entry) for entry in _entries(ids, pad, ambiguous=ambiguous)]
    return _unpadded(_nested(ids, "input_ids"), _nested(mask, "attention_mask"))


def _ids(entry: _Entry) -> list[int]:
    if isinstance(entry, list):
        return entry
    raise RecordingError(f"got input_ids that hold {entry!r:.40}; they are whole numbers")


def _nested(value: Any, name: str) -> list[list[int]]:
    plain = _plain(value) if _is_array(value) else value
    if isinstance(plain, np.ndarray):
        plain = plain.tolist() if plain.dtype.kind in "iub" else plain.astype(object).tolist()
    if isinstance(plain, list | tuple) and plain and not isinstance(plain[0], list | tuple):
        plain = [_plain(item).tolist() if _is_array(item) else item for item in plain]
        if not isinstance(plain[0], list):
            plain = [plain]
    try:
        return [[operator.index(item) for item in row] for row in plain]
    except TypeError as error:
        raise RecordingError(
            f"got {name} that are not whole numbers ({error}); (text, position), as "
            "tokenizer(texts, padding=True, return_tensors='pt') gives them"
        ) from error


def _unpadded(ids: list[list[int]], masks: list[list[int]]) -> list[list[int]]:
    if [len(row) for row in ids] != [len(row) for row in masks]:
        raise RecordingError(
            f"got {len(ids)} rows of input_ids and an attention_mask of another shape; both are "
            "(text, position), as tokenizer(texts, padding=True, return_tensors='pt') gives them"
        )
    result = []
    for index, (row, mask) in enumerate(zip(ids, masks, strict=True)):
        kept = [place for place, seen in enumerate(mask) if seen]
        if set(mask) - {0, 1} or (kept and kept[-1] - kept[0] + 1 != len(kept)):
            raise RecordingError(
                f"the attention_mask of text {index} is no run of ones with zeros before or behind "
                "it; masks that hide tokens within a text are not supported: give each text's "
                "tokens alone"
            )
        result.append([row[place] for place in kept])
    return result


def _refuse_extras(given: Mapping[str, Any]) -> None:
    for key in given:
        value = given[key]
        if key in HARMLESS or value is None:
            continue
        array = _plain(value) if _is_array(value) else value
        if key == "token_type_ids" and not _any(array):
            continue
        raise RecordingError(
            f"got an encoding with {key!r}, which a recording does not pass on, so that other "
            "states than yours would be recorded; give input_ids and attention_mask alone: "
            "{'input_ids': inputs['input_ids'], 'attention_mask': inputs['attention_mask']}"
        )


def _any(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_any, value))
    return bool(np.any(value))


def _refuse_padding(rows: Sequence[Sequence[int]], pad: int | None, ambiguous: bool) -> None:
    """Refuse rows that begin or end with the id of padding.

    Where the pad token is the begin or end token as well (`ambiguous`), one on the same edge of
    every row is that token.
    """
    if pad is None:
        return
    edges = {(_run(row, pad), _run(row[::-1], pad)) for row in rows}
    allowed = (
        ({(0, 0), (0, 1), (1, 0), (1, 1)} if ambiguous else {(0, 0)}) if len(edges) == 1 else set()
    )
    if not edges <= allowed:
        raise RecordingError(
            f"got token ids that begin or end with the padding id {pad}, without the attention "
            "mask that says which are padding; give the whole encoding: "
            "td.record(model, tokenizer(texts, padding=True, return_tensors='pt'))"
        )


def _run(row: Sequence[int], pad: int) -> int:
    """Number of padding ids at the beginning."""
    return next((place for place, token in enumerate(row) if token != pad), len(row))


def _tokenized(
    entries: Sequence[_Entry], tokenizer: Any, bos: str
) -> tuple[list[list[int]], list[str]]:
    """Ids and strings of strings and chats."""
    strings = [entry if isinstance(entry, str) else "" for entry in entries]
    lists = tokenize(tokenizer, strings, bos)
    for index, entry in enumerate(entries):
        if isinstance(entry, _Chat):
            strings[index] = _rendered(tokenizer, entry.messages)
            (lists[index],) = tokenize(tokenizer, [strings[index]], bos, special=False)
    return lists, strings


def _rendered(tokenizer: Any, messages: list[Mapping[str, Any]]) -> str:
    """A chat as its template writes it.

    Raises:
        RecordingError: there is no template, or it cannot take these messages.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise RecordingError(
            "got chat messages, but this tokenizer has no chat template; give the texts "
            "themselves: td.record(model, [message['content'] for message in messages])"
        )
    try:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False))
    except Exception as error:  # a template is a program of its author's
        raise RecordingError(
            f"the tokenizer's chat template cannot take these messages ({error}); they are "
            "{'role': 'user', 'content': 'text'}, in the order that the template wants"
        ) from error


def _require_known(lists: Sequence[Sequence[int]], vocabulary: int | None) -> None:
    for index, ids in enumerate(lists):
        least, most = min(ids, default=0), max(ids, default=0)
        if least < 0 or (vocabulary is not None and most >= vocabulary):
            wrong = least if least < 0 else most
            raise RecordingError(
                f"text {index} holds the token id {wrong}, outside the vocabulary of the model "
                f"(0 to {(vocabulary or most + 1) - 1}); the ids are those of another tokenizer, "
                "or labels (-100) in the place of inputs"
            )
