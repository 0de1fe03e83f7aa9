import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.splits import split_texts


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40), st.integers(0, 99))
def test_every_sample_is_in_one_part_with_all_of_its_text(texts, seed):
    texts = np.array(texts)
    if len(np.unique(texts)) < 3:
        with pytest.raises(InputError, match="at least one text for each part"):
            split_texts(texts, (0.6, 0.15, 0.25), seed=seed)
        return
    parts = split_texts(texts, (0.6, 0.15, 0.25), seed=seed)
    assert all(len(part) for part in parts)
    assert sorted(np.concatenate(parts)) == list(range(len(texts)))
    named = [set(texts[part]) for part in parts]
    assert sum(map(len, named)) == len(set(texts))


def test_shares_are_met_and_seeds_differ():
    parts = split_texts(np.arange(100), (0.6, 0.15, 0.25))
    assert [len(part) for part in parts] == [60, 15, 25]
    again = split_texts(np.arange(100), (0.6, 0.15, 0.25))
    other = split_texts(np.arange(100), (0.6, 0.15, 0.25), seed=1)
    assert all((one == two).all() for one, two in zip(parts, again, strict=True))
    assert any((one != two).any() for one, two in zip(parts, other, strict=True))
