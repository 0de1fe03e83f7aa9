"""What a recording will hold, settled before the first forward pass.

A plan names every row `(text, position)`, cuts the rows into shards of equal size (each a whole
number of chunks of the store, so that no two writers ever touch one chunk), and groups the texts
of a shard into batches of similar length. It is a function of the tokens and the settings alone,
so an interrupted recording that is resumed runs exactly the batches that an uninterrupted one
runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError

POSITIONS = ("last", "all")
BOS_POLICIES = ("tokenizer", "always", "never")
TOO_LONG = ("refuse", "truncate")


@dataclass(frozen=True)
class Batch:
    """Texts that run together.

    Attributes:
        texts: indices of the texts, `(text,)`.
        tokens: right-padded token ids, `(text, position)`.
        row: place in the recording of every kept state, `(kept,)`.
        source: line of `tokens` that each kept state comes from, `(kept,)`.
        position: its position in the text, `(kept,)`.
    """

    texts: NDArray[np.int64]
    tokens: NDArray[np.int64]
    row: NDArray[np.int64]
    source: NDArray[np.int64]
    position: NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """Rows, shards and batches of a recording.

    Attributes:
        token_lists: token ids of each text.
        text: text of each row, `(sample,)`.
        position: position of each row in its text, `(sample,)`.
        chunk_rows: rows in a chunk of the store.
        shard_rows: rows in a shard, a multiple of `chunk_rows`; the last may hold fewer.
        batch_tokens: tokens in a batch, padding included, unless one text alone has more.
    """

    token_lists: tuple[tuple[int, ...], ...]
    text: NDArray[np.int64]
    position: NDArray[np.int64]
    chunk_rows: int
    shard_rows: int
    batch_tokens: int

    @property
    def n_rows(self) -> int:
        """Samples in the recording."""
        return len(self.text)

    @property
    def n_shards(self) -> int:
        """Units of parallel work."""
        return -(-self.n_rows // self.shard_rows)

    def rows(self, shard: int) -> slice:
        """The rows of a shard."""
        start = shard * self.shard_rows
        return slice(start, min(self.n_rows, start + self.shard_rows))

    def n_tokens(self, shard: int) -> int:
        """Tokens that a shard runs, without padding."""
        return sum(len(self.token_lists[text]) for text in np.unique(self.text[self.rows(shard)]))

    def batches(self, shard: int) -> Iterator[Batch]:
        """The batches of a shard, longest texts first, so that memory runs out at once or never."""
        rows = self.rows(shard)
        texts = np.unique(self.text[rows])
        lengths = np.array([len(self.token_lists[text]) for text in texts])
        ordered = texts[np.argsort(-lengths, kind="stable")]
        start = 0
        while start < len(ordered):
            longest = len(self.token_lists[ordered[start]])
            stop = start + max(1, self.batch_tokens // longest)
            yield self._batch(ordered[start:stop], longest, rows)
            start = stop

    def _batch(self, texts: NDArray[np.int64], longest: int, rows: slice) -> Batch:
        tokens = np.zeros((len(texts), longest), dtype=np.int64)
        for line, text in enumerate(texts):
            tokens[line, : len(self.token_lists[text])] = self.token_lists[text]
        line_of = {int(text): line for line, text in enumerate(texts)}
        here = np.arange(rows.start, rows.stop)
        here = here[np.isin(self.text[here], texts)]
        source = np.array([line_of[int(text)] for text in self.text[here]], dtype=np.int64)
        return Batch(texts, tokens, here, source, self.position[here])

    @property
    def token_hash(self) -> str:
        """SHA-256 of all token ids, text by text."""
        hasher = hashlib.sha256()
        for tokens in self.token_lists:
            hasher.update(np.array([len(tokens), *tokens], dtype="<i8").tobytes())
        return hasher.hexdigest()


def make_plan(
    token_lists: Sequence[Sequence[int]],
    *,
    positions: str,
    chunk_rows: int,
    shard_rows: int,
    batch_tokens: int,
) -> Plan:
    """Lay out a recording of these texts.

    Raises:
        RecordingError: no texts, an empty one, or an unknown choice of positions.
    """
    if positions not in POSITIONS:
        raise RecordingError(
            f"got positions={positions!r}; allowed are {', '.join(map(repr, POSITIONS))}: "
            "td.record(model, texts, positions='last')"
        )
    if not token_lists:
        raise RecordingError("got no texts; td.record(model, texts) needs at least one")
    for index, tokens in enumerate(token_lists):
        if len(tokens) == 0:
            raise RecordingError(f"text {index} has no tokens; leave empty texts out")
    lengths = [len(tokens) for tokens in token_lists]
    if positions == "last":
        text = np.arange(len(lengths))
        position = np.array(lengths) - 1
    else:
        text = np.repeat(np.arange(len(lengths)), lengths)
        position = np.concatenate([np.arange(length) for length in lengths])
    frozen = tuple(tuple(int(token) for token in tokens) for tokens in token_lists)
    return Plan(frozen, text, position, chunk_rows, shard_rows, batch_tokens)


def tokenise(
    tokenizer: Any,
    texts: Sequence[str],
    *,
    bos: str = "tokenizer",
    context_length: int | None = None,
    too_long: str = "refuse",
) -> list[list[int]]:
    """Token ids of each text, without padding.

    Args:
        tokenizer: a Hugging Face tokenizer.
        texts: the texts.
        bos: `"tokenizer"` leaves the begin token to the tokenizer's own rule, `"always"` puts one
            in front where there is none, `"never"` takes it away.
        context_length: the longest text that the model takes, in tokens.
        too_long: `"refuse"` a longer one, or `"truncate"` it to its first tokens.

    Raises:
        RecordingError: a text is longer than the context and is to be refused, or the policy needs
            a begin token and the tokenizer has none.
    """
    if bos not in BOS_POLICIES:
        raise RecordingError(f"got bos={bos!r}; allowed are {', '.join(BOS_POLICIES)}")
    if tokenizer is None:
        raise RecordingError(
            "this model has no tokenizer; give one, td.load_model(hf_model, tokenizer=tokenizer), "
            "or give texts as lists of token ids"
        )
    begin = tokenizer.bos_token_id
    if bos == "always" and begin is None:
        raise RecordingError("bos='always', but this tokenizer has no BOS token; use bos='never'")
    token_lists = [list(ids) for ids in tokenizer(list(texts), verbose=False)["input_ids"]]
    if bos == "always":
        token_lists = [ids if ids[:1] == [begin] else [begin, *ids] for ids in token_lists]
    elif bos == "never" and begin is not None:
        token_lists = [ids[1:] if ids[:1] == [begin] else ids for ids in token_lists]
    return fit(token_lists, context_length=context_length, too_long=too_long)


def fit(
    token_lists: Sequence[Sequence[int]], *, context_length: int | None, too_long: str
) -> list[list[int]]:
    """The token lists, none longer than the context.

    Raises:
        RecordingError: one is longer and `too_long` is `"refuse"`.
    """
    if too_long not in TOO_LONG:
        raise RecordingError(f"got too_long={too_long!r}; allowed are {', '.join(TOO_LONG)}")
    if context_length is None:
        return [list(ids) for ids in token_lists]
    over = [index for index, ids in enumerate(token_lists) if len(ids) > context_length]
    if over and too_long == "refuse":
        raise RecordingError(
            f"{len(over)} of {len(token_lists)} texts are longer than the model's context of "
            f"{context_length} tokens (text {over[0]} has {len(token_lists[over[0]])}); shorten "
            "them, or keep their first tokens with too_long='truncate' (--too-long truncate)"
        )
    return [list(ids[:context_length]) for ids in token_lists]
