"""Plan of a recording: its samples, shards and batches, fixed before the first forward pass.

A plan lists every row `(text, position)`, cuts the rows into shards of equal size (each a whole
number of chunks of the store, so that no two writers share a chunk), and groups the windows of a
shard into batches of similar length. It depends on the tokens and the settings alone, so a resumed
recording runs exactly the batches of an uninterrupted one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.windows import Window, shared

# Share of the tokens of a batch that are no padding, which costs as much as tokens do.
LEAST_FILLED = 0.75
# A batch of so few tokens takes hardly longer than a single text of it.
SMALL_TOKENS = 128


@dataclass(frozen=True)
class Batch:
    """Windows that run together.

    Attributes:
        texts: Index of the text of each line, `(line,)`.
        tokens: Right-padded token ids, `(line, place)`.
        lengths: Number of tokens without padding, `(line,)`.
        row: Row of the recording for each kept state, `(kept,)`.
        source: Line of `tokens` for each kept state, `(kept,)`.
        place: Position in that line for each kept state, `(kept,)`.
    """

    texts: NDArray[np.int64]
    tokens: NDArray[np.int64]
    lengths: NDArray[np.int64]
    row: NDArray[np.int64]
    source: NDArray[np.int64]
    place: NDArray[np.int64]

    def halves(self) -> tuple[Batch, Batch]:
        """Split a batch of several lines into two, each padded to its own longest line."""
        middle = (len(self.texts) + 1) // 2
        return self._lines(0, middle), self._lines(middle, len(self.texts))

    def _lines(self, start: int, stop: int) -> Batch:
        chosen = (self.source >= start) & (self.source < stop)
        lengths = self.lengths[start:stop]
        return Batch(
            texts=self.texts[start:stop],
            tokens=self.tokens[start:stop, : lengths.max()],
            lengths=lengths,
            row=self.row[chosen],
            source=self.source[chosen] - start,
            place=self.place[chosen],
        )


@dataclass(frozen=True)
class Plan:
    """Rows, shards and batches of a recording.

    Attributes:
        token_lists: Token ids of each text.
        windows: Token sequences that the model runs.
        text: Text of each row, `(sample,)`.
        position: Position of each row in its text, `(sample,)`.
        window: Window that yields each row, `(sample,)`.
        place: Position of each row in its window, `(sample,)`.
        shard_rows: Number of rows in a shard; the last shard may hold fewer.
        batch_tokens: Number of tokens in a batch, padding included; a window with more runs alone.
    """

    token_lists: tuple[tuple[int, ...], ...]
    windows: tuple[Window, ...]
    text: NDArray[np.int64]
    position: NDArray[np.int64]
    window: NDArray[np.int64]
    place: NDArray[np.int64]
    shard_rows: int
    batch_tokens: int

    @property
    def n_rows(self) -> int:
        """Number of samples in the recording."""
        return len(self.text)

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return -(-self.n_rows // self.shard_rows)

    def rows(self, shard: int) -> slice:
        """Rows of a shard."""
        start = shard * self.shard_rows
        return slice(start, min(self.n_rows, start + self.shard_rows))

    def n_tokens(self, shard: int) -> int:
        """Number of tokens that a shard runs, without padding."""
        run = np.unique(self.window[self.rows(shard)])
        return sum(len(self.windows[index].tokens) for index in run)

    def batches(self, shard: int) -> Iterator[Batch]:
        """Iterate over the batches of a shard, longest first.

        If memory does not suffice, the first batch fails, not a later one.
        """
        rows = self.rows(shard)
        run = np.unique(self.window[rows])
        lengths = np.array([len(self.windows[index].tokens) for index in run])
        order = np.argsort(-lengths, kind="stable")
        run, lengths = run[order], lengths[order]
        for lines in _batch_lines(lengths, self.batch_tokens):
            yield self._batch(run[lines], int(lengths[lines.start]), rows)

    def _batch(self, run: NDArray[np.int64], longest: int, rows: slice) -> Batch:
        tokens = np.zeros((len(run), longest), dtype=np.int64)
        for line, index in enumerate(run):
            window = self.windows[index].tokens
            tokens[line, : len(window)] = window
        row = np.arange(rows.start, rows.stop)
        row = row[np.isin(self.window[row], run)]
        line_of = np.empty(run.max() + 1, dtype=np.int64)
        line_of[run] = np.arange(len(run))
        return Batch(
            texts=np.array([self.windows[index].text for index in run]),
            tokens=tokens,
            lengths=np.array([len(self.windows[index].tokens) for index in run]),
            row=row,
            source=line_of[self.window[row]],
            place=self.place[row],
        )

    @property
    def token_hash(self) -> str:
        """SHA-256 of all token ids, text by text."""
        return hash_of_tokens(self.token_lists)

    @property
    def row_hash(self) -> str:
        """SHA-256 of the text, position, window and place of every row."""
        columns = (self.text, self.position, self.window, self.place)
        return hashlib.sha256(np.stack(columns).astype("<i8").tobytes()).hexdigest()


def _batch_lines(lengths: NDArray[np.int64], batch_tokens: int) -> Iterator[slice]:
    """Group texts, longest first, into batches of at most `batch_tokens` tokens with padding.

    At most a quarter of a batch is padding, unless it holds at most 128 tokens. A text of more
    than `batch_tokens` tokens runs alone.

    >>> list(_batch_lines(np.array([90, 80, 80, 30, 30, 20]), 400))
    [slice(0, 4, None), slice(4, 6, None)]
    """
    start = 0
    while start < len(lengths):
        tokens = lengths[start : start + max(1, batch_tokens // lengths[start])].cumsum()
        padded = lengths[start] * np.arange(1, len(tokens) + 1)
        # The first texts meet either condition, and once neither holds, neither holds again.
        kept = (padded <= SMALL_TOKENS) | (tokens >= LEAST_FILLED * padded)
        stop = start + max(1, int(kept.sum()))
        yield slice(start, stop)
        start = stop


def hash_of_tokens(token_lists: Iterable[Sequence[int]]) -> str:
    """SHA-256 of token ids, text by text."""
    hasher = hashlib.sha256()
    for tokens in token_lists:
        hasher.update(np.array([len(tokens), *tokens], dtype="<i8").tobytes())
    return hasher.hexdigest()


def make_plan(
    token_lists: Sequence[Sequence[int]],
    windows: Sequence[Window],
    kept: Sequence[NDArray[np.int64]],
    *,
    shard_rows: int,
    batch_tokens: int,
) -> Plan:
    """Lay out a recording.

    Args:
        token_lists: Token ids of each text.
        windows: Token sequences that the model runs, in the order of the texts.
        kept: Kept positions of each text, ascending.
        shard_rows: Number of rows in a shard.
        batch_tokens: Number of tokens in a batch.

    Raises:
        RecordingError: a text is empty, or no position of any text is kept.
    """
    for index, tokens in enumerate(token_lists):
        if len(tokens) == 0:
            raise RecordingError(
                f"text {index} has no tokens; leave empty texts out: "
                "td.record(model, [text for text in texts if text])"
            )
    text = np.repeat(np.arange(len(kept)), [len(places) for places in kept])
    position = np.concatenate([np.asarray(places, dtype=np.int64) for places in kept])
    if position.size == 0:
        raise RecordingError(
            f"no position of any of the {len(kept)} texts is kept; keep more, as positions='last'"
        )
    # Windows are in the order of (text, first position): the window of a row is the last one that
    # begins at or before its position.
    span = 1 + max(len(tokens) for tokens in token_lists)
    begins = np.array([window.text * span + window.first for window in windows])
    window = np.searchsorted(begins, text * span + position, side="right") - 1
    offset = np.array([window.place - window.first for window in windows])
    return Plan(
        token_lists=tuple(shared(tokens) for tokens in token_lists),
        windows=tuple(windows),
        text=text,
        position=position,
        window=window,
        place=position + offset[window],
        shard_rows=shard_rows,
        batch_tokens=batch_tokens,
    )
