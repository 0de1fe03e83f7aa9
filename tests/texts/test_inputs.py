"""Whatever stands for texts runs as the tokens that were passed, or is refused by name."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import InputError, RecordingError, TdynError
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.positions import kept_positions
from transformer_dynamics.recording.record import record
from transformer_dynamics.texts.inputs import as_inputs

LISTS = [[5, 6, 7], [8, 9], [10, 11, 12, 13]]
TEXTS = tiny.words(LISTS)


def padding_tokenizer(side="right"):
    """The tiny tokenizer with a begin, an end and a padding token, and a chat template."""
    tokenizer = tiny.tokenizer()
    tokenizer.add_special_tokens({"bos_token": "w60", "eos_token": "w61", "pad_token": "w62"})
    tokenizer.padding_side = side
    tokenizer.chat_template = (
        "{{ bos_token }} {% for m in messages %}{{ m['content'] }} {{ eos_token }} {% endfor %}"
    )
    return tokenizer


def beginning_tokenizer():
    """The same, which puts the begin token in front of every text."""
    tokenizer = padding_tokenizer()
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single="w60 $A", special_tokens=[("w60", 60)]
    )
    return tokenizer


def _ids(texts, tokenizer=None, **how):
    return as_inputs(texts, tokenizer or padding_tokenizer(), vocabulary=64, **how).token_lists


class _Rows(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(TEXTS)


def _encoding(side, **how):
    return padding_tokenizer(side)(TEXTS, padding=True, **how)


TAKEN = {
    "strings": TEXTS,
    "a tuple of strings": tuple(TEXTS),
    "an array of strings": np.array(TEXTS),
    "a series": pd.Series(TEXTS),
    "a generator": lambda: (text for text in TEXTS),
    "an iterable data set": _Rows(),
    "dict values": dict(enumerate(TEXTS)).values(),
    "lists of ids": LISTS,
    "tuples of ids": [tuple(ids) for ids in LISTS],
    "vectors of ids": [np.array(ids) for ids in LISTS],
    "tensors of ids": [torch.tensor(ids) for ids in LISTS],
    "tensors with a batch of one": [torch.tensor([ids]) for ids in LISTS],
    "numpy integers": [[np.int32(token) for token in ids] for ids in LISTS],
    "an encoding padded right": lambda: _encoding("right"),
    "an encoding padded left": lambda: _encoding("left"),
    "an encoding as tensors": lambda: _encoding("left", return_tensors="pt"),
    "an encoding as arrays": lambda: dict(_encoding("right", return_tensors="np")),
    "an encoding without padding": lambda: padding_tokenizer()(TEXTS),
    "encodings one by one": lambda: [padding_tokenizer()(text) for text in TEXTS],
    "batches of encodings": lambda: [
        padding_tokenizer()(TEXTS[:2], padding=True, return_tensors="pt"),
        padding_tokenizer()(TEXTS[2:], padding=True, return_tensors="pt"),
    ],
    "encodings of the tokenizers library": lambda: _encoding("right").encodings,
}


@pytest.mark.parametrize("name", TAKEN)
def test_every_form_gives_the_same_tokens(name):
    texts = TAKEN[name]() if callable(TAKEN[name]) else TAKEN[name]
    assert _ids(texts) == LISTS


@pytest.mark.parametrize("name", ["a generator", "an encoding padded left", "batches of encodings"])
def test_what_is_recorded_is_what_was_passed(name):
    hf_model = tiny.hf_model("llama")
    model = td.load_model(hf_model, tokenizer=padding_tokenizer())
    wanted = record(model, LISTS, "all")
    made = record(model, TAKEN[name](), "all")
    assert made.token_lists == wanted.token_lists
    np.testing.assert_array_equal(made.values, wanted.values)


@pytest.mark.parametrize(
    "text",
    [
        "w5 w6 w7",
        np.str_("w5 w6 w7"),
        ["w5 w6 w7"],
        [5, 6, 7],
        (5, 6, 7),
        [[5, 6, 7]],
        np.array([5, 6, 7]),
        np.array([[5, 6, 7]]),
        torch.tensor([5, 6, 7]),
        torch.tensor([[5, 6, 7]]),
        {"input_ids": [5, 6, 7]},
        {"input_ids": [[5, 6, 7, 62]], "attention_mask": [[1, 1, 1, 0]]},
        {
            "input_ids": torch.tensor([[62, 5, 6, 7]]),
            "attention_mask": torch.tensor([[0, 1, 1, 1]]),
        },
    ],
    ids=range(13),
)
def test_one_text_is_one_text(text):
    assert _ids(text) == [[5, 6, 7]]
    model = td.load_model(tiny.hf_model("llama"), tokenizer=tiny.tokenizer())
    np.testing.assert_array_equal(model.flow_map(text).clean, model.flow_map([5, 6, 7]).clean)


def test_chats_go_by_the_template_and_hold_one_begin_token():
    chat = [{"role": "user", "content": "w5 w6"}, {"role": "assistant", "content": "w7"}]
    wanted = [60, 5, 6, 61, 7, 61]
    for tokenizer in (padding_tokenizer(), beginning_tokenizer()):
        assert _ids(chat, tokenizer) == [wanted]
        assert _ids([chat, chat], tokenizer) == [wanted, wanted]
        assert _ids(tokenizer.apply_chat_template(chat, tokenize=False), tokenizer) == [wanted]
        assert _ids(tokenizer.apply_chat_template(chat, return_dict=True), tokenizer) == [wanted]
        assert _ids(chat, tokenizer, bos="always") == [wanted]
        assert _ids(chat, tokenizer, bos="never") == [wanted[1:]]
    inputs = as_inputs([chat], padding_tokenizer())
    assert inputs.strings == ["w60 w5 w6 w61 w7 w61 "]


def test_a_text_that_holds_its_begin_token_gets_no_second_one():
    tokenizer = beginning_tokenizer()
    assert _ids(["w5", "w60 w5"], tokenizer) == [[60, 5], [60, 5]]
    assert _ids(["w5", "w60 w5"], tokenizer, bos="always") == [[60, 5], [60, 5]]
    assert _ids(["w5", "w60 w5"], tokenizer, bos="never") == [[5], [5]]


REFUSED = [
    ({"a": "w5", "b": "w6"}, "with the keys 'a', 'b'"),
    ([{"text": "w5"}], r"text 0: got a dict with the keys 'text'.*row\['text'\]"),
    ({"w5", "w6"}, "a set has no order"),
    (frozenset({"w5"}), "a set has no order"),
    (b"w5", r"decode\('utf-8'\)"),
    ([b"w5"], "text 0: got a byte string"),
    (Path("texts.txt"), r"td.load_texts\('texts.txt'\)"),
    (pd.DataFrame({"text": TEXTS}), "select the column"),
    (None, "got a NoneType"),
    (7, "got an int"),
    ([None], "text 0: got a NoneType"),
    (["w5", [6, 7]], "1 strings among 2 texts"),
    ([], "got no texts"),
    (iter([]), "got no texts"),
    ([5.0, 6.0], "text 0: got a float"),
    ([[5.5, 6.0]], r"text 0: got a list of \[5.5, 6.0\]"),
    ([[True, False]], "token ids are whole numbers"),
    (np.array([[5.0, 6.0]]), "dtype float64; they are whole numbers"),
    (torch.tensor([[5.0, 6.0]]), "dtype float32; they are whole numbers"),
    (torch.tensor([True, False]), "dtype bool"),
    (torch.zeros(1, 2, 3, dtype=torch.long), r"shape \(1, 2, 3\)"),
    (torch.tensor(5), r"shape \(\)"),
    ([[5, 64]], "text 0 holds the token id 64, outside the vocabulary of the model \\(0 to 63\\)"),
    ([[5, -100]], "token id -100"),
    (torch.tensor([[5, 6, 62], [5, 6, 7]]), "padding id 62, without the attention mask"),
    (torch.tensor([[62, 5, 6], [5, 6, 7]]), "padding id 62, without the attention mask"),
    (torch.tensor([[5, 6, 62, 62]]), "padding id 62, without the attention mask"),
    ([[5, 6, 62], [5, 6, 7]], "padding id 62, without the attention mask"),
    ({"input_ids": [[5, 6, 62], [5, 6, 7]]}, "padding id 62, without the attention mask"),
    ({"input_ids": [[5, 6, 7]], "attention_mask": [[1, 0, 1]]}, "not one run of ones"),
    ({"input_ids": [[5, 6, 7]], "attention_mask": [[1, 1]]}, "of another shape"),
    ({"input_ids": [[5, 6.5]], "attention_mask": [[1, 1]]}, "input_ids that are not whole"),
    ({"input_ids": [[5, 6]], "attention_mask": [[0.5, 1]]}, "attention_mask that are not whole"),
    ({"input_ids": [[5, 6]], "token_type_ids": [[0, 1]]}, "'token_type_ids', which a recording"),
    ({"input_ids": [[5, 6]], "position_ids": [[3, 4]]}, "'position_ids', which a recording"),
    ({"input_ids": [[5, 6]], "pixel_values": torch.ones(1)}, "'pixel_values', which a recording"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_would_be_recorded_as_something_else_is_refused(texts, message):
    with pytest.raises(RecordingError, match=message):
        _ids(texts)


def test_a_padding_token_that_ends_every_text_is_taken_where_it_is_the_end_token():
    tokenizer = padding_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    assert _ids([[5, 61], [6, 61]], tokenizer) == [[5, 61], [6, 61]]
    assert _ids([[5, 6, 61], [7, 61]], tokenizer) == [[5, 6, 61], [7, 61]]
    with pytest.raises(RecordingError, match="padding id 61"):
        _ids([[5, 6], [7, 61]], tokenizer)
    with pytest.raises(RecordingError, match="padding id 61"):
        _ids([[5, 6, 61], [7, 61, 61]], tokenizer)


def test_chats_without_a_template_are_refused():
    chat = [{"role": "user", "content": "w5"}]
    with pytest.raises(RecordingError, match="no chat template"):
        as_inputs(chat, tiny.tokenizer())
    with pytest.raises(RecordingError, match="has no tokenizer"):
        as_inputs("w5", None)


def test_a_flow_map_follows_one_text():
    model = tiny.model("llama")
    with pytest.raises(InputError, match="got 2 texts; a flow map belongs to one"):
        model.flow_map([[1, 2], [3, 4]])
    for nothing in ([], "", np.array([], dtype=int)):
        with pytest.raises(InputError, match="no tokens"):
            model.flow_map(nothing)


def test_models_and_names_are_loaded_and_options_take_numpy_integers(tmp_path):
    hf_model = tiny.hf_model("llama")
    wanted = record(tiny.model("llama"), LISTS)
    np.testing.assert_array_equal(record(hf_model, LISTS).values, wanted.values)
    hf_model.save_pretrained(tmp_path / "model")
    tiny.tokenizer().save_pretrained(tmp_path / "model")
    made = record(tmp_path / "model", TEXTS, out=tmp_path / "a.zarr")
    np.testing.assert_array_equal(made.values, wanted.values)
    options = RecordingOptions(seed=np.int64(3), batch_tokens=np.int32(64))
    drawn = record(hf_model, LISTS, "random:1", options=options, out=tmp_path / "b.zarr")
    assert drawn.provenance["seed"] == 3
    for wrong in (True, 1.5, -1, "1"):
        with pytest.raises(RecordingError, match="got seed="):
            RecordingOptions(seed=wrong)


def test_positions_by_numbers_and_by_masks_are_the_same():
    wanted = [[0, 2], [1], [0, 3]]
    masks = [[position in places for position in range(len(ids))]
             for places, ids in zip(wanted, LISTS, strict=True)]  # fmt: skip
    for given_positions in (
        wanted,
        [np.array(places, dtype=np.int32) for places in wanted],
        [torch.tensor(places) for places in wanted],
        masks,
        [np.array(mask) for mask in masks],
        [torch.tensor(mask) for mask in masks],
    ):
        kept = kept_positions(given_positions, LISTS, 0)
        assert [places.tolist() for places in kept] == wanted
    assert [list(p) for p in kept_positions(np.array([0, 1, 2]), LISTS, 0)] == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        (None, "got positions=None"),
        (3, "got positions=3"),
        ("first", "got positions='first'"),
        (b"las", "got positions=b'las'"),
        ({0: [0], 1: [0], 2: [0]}, "got positions="),
        ([[0.5], [0], [0]], "dtype float64 for text 0"),
        ([[True, False], [True, False], [True] * 4], "mask of 2 tokens for text 0 of 3"),
        ([[-1], [0], [0]], r"got positions \[-1\] for text 0"),
        ([[0], [0]], "for 3 texts"),
        ([["a"], [0], [0]], "for text 0"),
    ],
)
def test_positions_that_are_none_are_refused(positions, message):
    with pytest.raises(RecordingError, match=message):
        kept_positions(positions, LISTS, 0)


def test_the_same_special_token_at_every_end_is_said_and_can_be_left_out():
    tokenizer = padding_tokenizer()
    model = td.load_model(tiny.hf_model("llama"), tokenizer=tokenizer)
    ended = [f"{text} w61" for text in TEXTS]
    with pytest.warns(UserWarning, match=r"ends in the same special token 'w61'.*last_content"):
        record(model, ended)
    content = record(model, ended, "last_content")
    np.testing.assert_array_equal(content.dataset["token_id"], [ids[-1] for ids in LISTS])
    np.testing.assert_allclose(content.values, record(model, LISTS).values, rtol=1e-5, atol=1e-5)
    with pytest.raises(RecordingError, match="text 1 consists of special tokens"):
        record(model, ["w5", "w61"], "last_content")
    with pytest.raises(RecordingError, match="no tokenizer"):
        record(tiny.hf_model("llama"), LISTS, "last_content")


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.floats(allow_nan=True)
    | st.text("w0123456789 ", max_size=8)
    | st.binary(max_size=4)
    | st.builds(np.array, st.lists(st.integers(0, 63), max_size=4))
    | st.builds(torch.tensor, st.lists(st.lists(st.integers(0, 63), min_size=2, max_size=2)))
    | st.sampled_from([Path("a"), {1}, np.int64(3), object(), np.nan]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(
            st.sampled_from(["input_ids", "attention_mask", "role", "content"]), inner
        )
    ),
    max_leaves=6,
)


def _numbers(value):
    """Every whole number in what was given, wherever it lies."""
    if isinstance(value, dict):
        return [n for each in value.values() for n in _numbers(each)]
    if isinstance(value, list | tuple):
        return [n for each in value for n in _numbers(each)]
    if isinstance(value, np.ndarray | torch.Tensor):
        return [int(n) for n in np.asarray(value).reshape(-1)]
    return [int(value)] if isinstance(value, int | np.integer) else []


@settings(max_examples=100, deadline=None)
@given(ANYTHING, st.one_of(st.just("last"), st.just("all"), ANYTHING))
def test_anything_is_recorded_as_it_is_or_refused(texts, positions):
    model = _model()
    try:
        made = record(model, texts, positions)
    except TdynError:
        return
    flat = [token for ids in made.token_lists for token in ids]
    if _strings(texts):
        words = " ".join(made.texts).split()
        assert [f"w{token}" if token < 63 else "[UNK]" for token in flat] == [
            word if word in model.tokenizer.get_vocab() else "[UNK]" for word in words
        ]
    else:
        numbers = _numbers(texts)
        assert all(token in numbers for token in flat)
    plain = record(model, [list(ids) for ids in made.token_lists], "all")
    for row, text, position in zip(
        made.values, made.text_index, made.dataset["position"].values, strict=True
    ):
        at = (plain.text_index == text) & (plain.dataset["position"].values == position)
        np.testing.assert_allclose(row, plain.values[at][0], rtol=1e-4, atol=1e-4)


@settings(max_examples=80, deadline=None)
@given(ANYTHING)
def test_anything_is_followed_as_it_is_or_refused(text):
    model = _model()
    try:
        flow = model.flow_map(text)
    except TdynError:
        return
    (ids,) = model.inputs(text).token_lists
    np.testing.assert_allclose(flow.clean, model.flow_map(ids).clean, rtol=1e-4, atol=1e-4)


@settings(max_examples=100, deadline=None)
@given(ANYTHING)
def test_anything_is_loaded_or_refused(model):
    with pytest.raises(TdynError):
        td.load_model(model, offline=True)


def _strings(value):
    if isinstance(value, str):
        return True
    if isinstance(value, dict):
        return "content" in value and _strings(value["content"])
    return isinstance(value, list | tuple) and any(map(_strings, value))


_MODELS = []


def _model():
    if not _MODELS:
        _MODELS.append(tiny.model("llama"))
    return _MODELS[0]
