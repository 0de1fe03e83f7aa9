"""Texts, token ids, encodings and chats that are handed to `td.record` or `model.flow_map`."""

from pathlib import Path

import numpy as np
import torch

import texts.test_inputs as test_inputs
import tiny
import transformer_dynamics as td
from handed_in.given import Given
from transformer_dynamics.errors import InputError, RecordingError
from transformer_dynamics.recording.record import record

TITLE = "Texts, token ids and positions"


def _model():
    return td.load_model(tiny.hf_model("llama"), tokenizer=test_inputs.padding_tokenizer())


def _taken(what, name, happens):
    """A form that is recorded as the same tokens and states as plain lists of ids."""

    def check(_):
        form = test_inputs.TAKEN[name]
        made = record(_model(), form() if callable(form) else form, "all")
        wanted = record(_model(), test_inputs.LISTS, "all")
        assert made.token_lists == wanted.token_lists
        np.testing.assert_array_equal(made.values, wanted.values)

    return Given(what, happens, check)


def _refused(what, texts, error=RecordingError, **how):
    return Given(what, "", lambda _: record(_model(), texts, **how), error)


def _one(what, text):
    def check(_):
        made = record(_model(), text, "all")
        assert made.token_lists == ((5, 6, 7),)
        clean = _model().flow_map(text).clean
        np.testing.assert_allclose(clean, made.values[-1], rtol=1e-4, atol=1e-5)

    return Given(what, "one text", check)


def _chat(_):
    chat = [{"role": "user", "content": "w5 w6"}]
    assert record(_model(), chat, "all").token_lists == ((60, 5, 6, 61),)
    assert record(_model(), [chat, chat]).shape[0] == 2


def _groups(_):
    groups = ["moon", None, "moon"]
    for form in (groups, np.array(groups, dtype=object), tuple(groups)):
        made = record(_model(), test_inputs.LISTS, groups=form)
        assert made.groups.tolist() == [0, 1, 0]


def _positions(what, positions, happens):
    def check(_):
        made = record(_model(), test_inputs.LISTS, positions)
        whole = record(_model(), test_inputs.LISTS, "all")
        wanted = [(0, 0), (0, 2), (1, 1), (2, 3)]
        rows = list(zip(made.text_index, made.dataset["position"].values, strict=True))
        assert rows == wanted
        every = list(zip(whole.text_index, whole.dataset["position"].values, strict=True))
        chosen = [every.index(row) for row in wanted]
        np.testing.assert_allclose(made.values, whole.values[chosen], rtol=1e-4, atol=1e-5)

    return Given(what, happens, check)


PADDED = torch.tensor([[5, 6, 62], [5, 6, 7]])
CASES = [
    _one("one string", "w5 w6 w7"),
    _one("one list of ids, `[5, 6, 7]`", [5, 6, 7]),
    _one("a batch of one, `[[5, 6, 7]]`", [[5, 6, 7]]),
    _one("a tensor of ids `(position)`", torch.tensor([5, 6, 7])),
    _taken("a list, a tuple or an array of strings", "an array of strings", "a text each"),
    _taken("a pandas `Series` of strings", "a series", "a text each"),
    _taken("a generator", "a generator", "a text each, read to its end"),
    _taken("an `IterableDataset` that yields strings", "an iterable data set", "a text each"),
    _taken("`tokenizer(texts)`", "an encoding without padding", "its ids, as they are"),
    _taken(
        "`tokenizer(texts, padding=True, return_tensors='pt')`, padded left or right",
        "an encoding as tensors",
        "its ids without those that the attention mask hides",
    ),
    _taken("batches of encodings, as a `DataLoader` yields", "batches of encodings", "a text each"),
    Given(
        "`groups=`, one for each text",
        "intervals and splits go by group; None is a group of its own",
        _groups,
    ),
    _refused("groups that are fewer than the texts", [[5, 6], [7]], groups=["moon"]),
    Given("chat messages", "the tokenizer's template is applied; one begin token", _chat),
    _refused("padded ids without their attention mask", PADDED),
    _refused("a dictionary of texts", {"a": "w5", "b": "w6"}),
    _refused("rows of a data set", [{"text": "w5"}]),
    _refused("a set of strings", {"w5", "w6"}),
    _refused("a path", Path("texts.txt")),
    _refused("bytes", b"w5"),
    _refused("ids that are floats", np.array([[5.0, 6.0]])),
    _refused("a tensor of ids with three dimensions", torch.zeros(1, 2, 3, dtype=torch.long)),
    _refused("an id outside of the vocabulary", [[5, 64]]),
    _refused("labels with -100", [[5, -100]]),
    _refused("an encoding with token types", {"input_ids": [[5, 6]], "token_type_ids": [[0, 1]]}),
    _refused("strings and ids mixed", ["w5", [6, 7]]),
    _refused("no text", []),
    Given(
        "two texts for a flow map",
        "",
        lambda _: _model().flow_map([[1, 2], [3, 4]]),
        InputError,
    ),
    _positions("positions of each text, `[[0, 2], [1], [3]]`", [[0, 2], [1], [3]], "those kept"),
    _positions(
        "a mask for each text",
        [[True, False, True], [False, True], [False, False, False, True]],
        "the positions where it is true",
    ),
    _refused("`positions=None`", [[5, 6]], positions=None),
    _refused("positions that are floats", [[5, 6]], positions=[[0.5]]),
]
