"""Texts of two recordings matched by strings or tokens, whatever their order and number."""

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.comparison.texts import on_texts, shared_texts
from transformer_dynamics.recording.record import record

WORDS = tiny.words(tiny.token_lists(6))
GROUPS = ["a", "a", "b", "", "c", "c"]


@pytest.fixture(scope="module")
def recorded():
    return record(tiny.model(), WORDS, "all", groups=GROUPS)


def other(order, **options):
    return record(tiny.model(seed=1), [WORDS[index] for index in order], "all", **options)


def test_texts_are_matched_by_their_strings(recorded):
    order = [4, 0, 5]
    shared = shared_texts(recorded, other(order), ("a", "b"))
    assert dict(shared.numbers) == {0: 4, 1: 0, 2: 5}
    assert shared.reason == ""
    back = shared_texts(other(order), recorded, ("b", "a"))
    assert dict(back.numbers) == {4: 0, 0: 1, 5: 2}


def test_a_repeated_text_is_matched_in_its_order(recorded):
    twice = [WORDS[0], WORDS[1], WORDS[0]]
    first, second = (record(tiny.model(), texts) for texts in (twice, twice[::-1]))
    assert dict(shared_texts(first, second, ("a", "b")).numbers) == {0: 0, 1: 1, 2: 2}


def test_texts_that_were_decoded_are_matched_by_their_tokens(recorded):
    lists = [list(ids) for ids in recorded.token_lists]
    decoded = record(tiny.model(), lists)
    strings = np.array([f"<s> {text}" for text in decoded.texts], dtype=object)
    dataset = decoded.dataset.assign(text_string=("text_index", strings))
    shared = shared_texts(recorded, td.Recording(dataset), ("a", "b"))
    assert dict(shared.numbers) == {index: index for index in range(6)}


def test_texts_that_agree_in_part_are_refused(recorded):
    some = record(tiny.model(), [WORDS[0], "w1 w2", "w3 w4"])
    reason = shared_texts(recorded, some, ("a", "b")).reason
    assert reason.startswith("the texts of a (sha256 ")
    assert reason.endswith("differ (1 of 6 and 3 agree)")
    nothing = td.synthetic.random_walk(n_samples=6, n_sites=7, n_units=16)
    assert shared_texts(recorded, nothing, ("a", "b")).reason.startswith("b holds no texts")


def test_some_texts_are_a_recording_with_their_own_numbers(recorded):
    order = [4, 0, 5]
    part = on_texts(recorded, order)
    assert part.texts == tuple(WORDS[index] for index in order)
    assert part.token_lists == tuple(recorded.token_lists[index] for index in order)
    assert part.text_groups == ("c", "a", "c")
    for number, index in enumerate(order):
        states = part.values[part.text_index == number]
        assert np.array_equal(states, recorded.values[recorded.text_index == index])
    again = on_texts(other(order), [0, 1, 2])
    result = td.similarity.between_recordings(part, again, n_bootstrap=9, n_null=2)
    whole = td.similarity.between_recordings(
        recorded.sel(text=[0, 4, 5]), other(range(6)).sel(text=[0, 4, 5]), n_bootstrap=9, n_null=2
    )
    assert result["cka"].values == pytest.approx(whole["cka"].values, rel=1e-4, abs=1e-6)
