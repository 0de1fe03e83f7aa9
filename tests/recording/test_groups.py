"""Groups of texts: kept by recordings, followed by whatever draws texts or splits them."""

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.nulls import shuffled_tokens, untrained
from transformer_dynamics.numerics.splits import split_texts, text_folds
from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.recording.record import record
from transformer_dynamics.stats import text_weights
from transformer_dynamics.texts import Texts

LISTS = tiny.token_lists(9, longest=9)
NAMES = ["sun", "moon", "sun", "", "moon", "", "sun", "moon", "sun"]
CODES = [0, 1, 0, 2, 1, 3, 0, 1, 0]


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama")


def test_a_recording_knows_the_group_of_each_sample(model):
    recording = record(model, LISTS, groups=NAMES)
    assert recording.dataset["group"].dims == ("text_index",)
    assert recording.text_groups == tuple(NAMES)
    assert recording.groups.dtype == np.int64
    np.testing.assert_array_equal(recording.groups, CODES)
    assert recording.grouping == "groups"
    every = record(model, LISTS, "all", groups=NAMES)
    np.testing.assert_array_equal(every.groups, np.repeat(CODES, [len(ids) for ids in LISTS]))


def test_without_groups_the_texts_are_the_groups(model):
    recording = record(model, LISTS, "all")
    np.testing.assert_array_equal(recording.groups, recording.text_index)
    assert (recording.grouping, recording.text_groups) == ("texts", None)


def test_groups_come_with_the_texts(model):
    strings = tuple(tiny.words(LISTS))
    texts = Texts(strings, "here", {"available": 9}, tuple(NAMES))
    np.testing.assert_array_equal(record(model, texts).groups, CODES)


def test_groups_lie_in_the_store_and_are_read_again(model, tmp_path):
    recording = record(model, LISTS, out=tmp_path / "r.zarr", groups=NAMES)
    recording.load().save(tmp_path / "copy.zarr")
    for path in (tmp_path / "r.zarr", tmp_path / "copy.zarr"):
        np.testing.assert_array_equal(open_recording(path).groups, CODES)


def test_a_recording_with_other_groups_is_another_recording(model, tmp_path):
    out = tmp_path / "r.zarr"
    record(model, LISTS, out=out, groups=NAMES)
    record(model, LISTS, out=out, groups=NAMES)
    with pytest.raises(RecordingError, match="groups"):
        record(model, LISTS, out=out, groups=[*NAMES[1:], None])


@pytest.mark.parametrize("chosen", [slice(None), [7, 0, 3], [5, 8]], ids=str)
def test_selections_and_nulls_that_run_a_model_keep_the_groups(chosen, model, tmp_path):
    selected = record(model, LISTS, groups=NAMES).isel(sample=chosen)
    wanted = np.array(CODES)[chosen]
    np.testing.assert_array_equal(selected.groups, wanted)
    np.testing.assert_array_equal(selected.with_values(2 * selected.values).groups, wanted)
    blocks = [block.groups for block in selected.sample_blocks()]
    np.testing.assert_array_equal(np.concatenate(blocks), wanted)
    for out in (None, tmp_path / "twin.zarr"):
        np.testing.assert_array_equal(untrained(selected, model=model, out=out).groups, wanted)
    np.testing.assert_array_equal(shuffled_tokens(selected, model=model).groups, wanted)


def test_states_captured_elsewhere_are_given_groups():
    states = np.random.default_rng(0).standard_normal((3, 4, 2, 5))
    captured = td.Recording.from_activations(states, sites=["0.pre_attn", "final"], positions="all")
    grouped = captured.with_groups([7, None, 7])
    np.testing.assert_array_equal(grouped.groups, np.repeat([0, 1, 0], 4))
    assert grouped.provenance["groups"] != captured.with_groups([1, 2, 3]).provenance["groups"]
    assert captured.grouping == "texts"


@pytest.mark.parametrize("groups", ["abcdefghi", ["a"] * 8, [["a"]] * 9, {"a": 1}], ids=str)
def test_wrong_groups_are_refused(groups, model):
    with pytest.raises(RecordingError, match=r"got .* groups=\["):
        record(model, LISTS, groups=groups)


def test_distinct_tokens(model):
    recording = record(model, [[5, 6], [7, 6], [6, 8]])
    assert recording.n_distinct_tokens == 2
    assert record(model, [[5, 6], [7, 6]], "all").n_distinct_tokens == 3
    assert Recording.from_array(np.zeros((2, 3, 4)) + 1).n_distinct_tokens is None


def _grouped(n_groups, each, seed=0):
    """A recording whose states are equal within a group, and the value of each group."""
    values = np.random.default_rng(seed).standard_normal(n_groups)
    states = np.repeat(values, each)[:, np.newaxis, np.newaxis] * np.ones((1, 3, 2))
    names = np.repeat(np.arange(n_groups), each)
    return Recording.from_array(states).with_groups(names), values


def test_the_standard_error_is_that_of_the_group_means():
    n_groups, each = 30, 16
    recording, values = _grouped(n_groups, each)
    sample = recording.values[:, 0, 0]
    by_group = (text_weights(recording.groups, 4000) @ sample).std()
    by_text = (text_weights(recording.text_index, 4000) @ sample).std()
    expected = values.std() / np.sqrt(n_groups)
    # 4000 draws give a standard error to about 1.1 %.
    assert by_group == pytest.approx(expected, rel=0.06)
    assert by_text == pytest.approx(expected / np.sqrt(each), rel=0.06)


def test_splits_and_folds_share_no_group():
    recording, _ = _grouped(12, 5)
    shuffled = recording.isel(sample=np.random.default_rng(1).permutation(60))
    parts = split_texts(shuffled.groups, (0.6, 0.15, 0.25))
    held = [set(shuffled.groups[part]) for part in parts]
    assert sum(map(len, held)) == 12
    assert len(set.union(*held)) == 12
    folds = text_folds(shuffled.groups, 4)
    assert all(np.unique(folds[shuffled.groups == code]).size == 1 for code in range(12))


def test_a_measure_holds_out_whole_groups():
    """Within a group all states are equal: by text they are foretold exactly, by group never."""
    generator = np.random.default_rng(2)
    states = np.repeat(generator.standard_normal((12, 3, 20)), 10, axis=0)
    states += 1e-3 * generator.standard_normal(states.shape)
    by_text = Recording.from_array(states)
    by_group = by_text.with_groups(np.repeat(np.arange(12), 10))
    skill = [
        float(td.dynamics.linear_maps(each, seed=0)["r2"].isel(baseline=0).mean())
        for each in (by_text, by_group)
    ]
    assert skill[0] > 0.9
    assert skill[1] < 0.5
