"""Several untrained twins over one seeded choice of texts, reused from their folder."""

import numpy as np
import pytest

import tiny
from transformer_dynamics.errors import InputError
from transformer_dynamics.nulls import untrained, untrained_twins
from transformer_dynamics.recording.record import record
from transformer_dynamics.registry import NULLS

LISTS = tiny.token_lists(9, longest=9)


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama")


@pytest.fixture(scope="module")
def recording(model):
    return record(model, LISTS, "random:2")


def labels(recording):
    return [
        (int(text), int(recording.dataset["position"][row]))
        for row, text in enumerate(recording.text_index)
    ]


def test_twins_of_all_texts_pair_with_the_recording_and_differ_by_seed(model, recording):
    twins = untrained_twins(recording, model=model, seeds=[3, 5])
    for seed, twin in zip([3, 5], twins, strict=True):
        alone = untrained(recording, model=model, seed=seed)
        np.testing.assert_array_equal(twin.values, alone.values)
        assert labels(twin) == labels(recording)
        assert twin.sites == recording.sites
        assert twin.provenance["origin"]["untrained_seed"] == seed
    assert not np.allclose(twins[0].values, twins[1].values)
    assert not np.allclose(twins[0].values, recording.values)


def test_a_choice_of_texts_is_the_same_for_all_and_keeps_the_order(model, recording):
    backwards = recording.isel(sample=slice(None, None, -1))
    one, other = untrained_twins(backwards, model=model, seeds=(0, 1), n_texts=4)
    again = untrained_twins(backwards, model=model, seeds=(1,), n_texts=4)[0]
    np.testing.assert_array_equal(other.values, again.values)
    assert labels(one) == labels(other)
    assert len(set(one.text_index)) == 4
    chosen = [pair for pair in labels(backwards) if pair[0] in set(one.text_index.tolist())]
    assert labels(one) == chosen
    whole = untrained(backwards, model=model, seed=1)
    rows = [labels(whole).index(pair) for pair in chosen]
    np.testing.assert_allclose(other.values, whole.values[rows], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(other.dataset["token_id"], whole.dataset["token_id"][rows])


def test_twins_are_reused_from_their_folder(model, recording, tmp_path):
    how = {"model": model, "n_texts": 3, "out": tmp_path / "nulls"}
    first = untrained_twins(recording, seeds=range(2), **how)
    folders = [tmp_path / "nulls" / f"untrained-{seed}.zarr" for seed in range(2)]
    assert all(folder.is_dir() for folder in folders)
    before = {path: path.stat().st_mtime_ns for path in folders[0].rglob("*") if path.is_file()}
    more = untrained_twins(recording, seeds=range(3), **how)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    for one, same in zip(first, more, strict=False):
        np.testing.assert_array_equal(one.values, same.values)
        assert labels(one) == labels(same)
    in_memory = untrained_twins(recording, model=model, n_texts=3, seeds=[2])[0]
    np.testing.assert_array_equal(more[2].values, in_memory.values)


def test_progress_is_that_of_all_twins(model, recording):
    seen = []
    untrained_twins(
        recording,
        model=model,
        seeds=range(3),
        n_texts=4,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert set(totals) == {done[-1]}
    assert done[-1] % 3 == 0


def test_the_registered_null_is_the_single_twin():
    assert NULLS.get("untrained").function is untrained
    assert "untrained_twins" not in NULLS.all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": []}, r"got seeds=\[\]; .*seeds=range\(5\)"),
        ({"seeds": [1, 1]}, r"got seeds=\[1, 1\]; each twin has a seed of its own"),
        ({"n_texts": 0}, "got n_texts=0; .*n_texts=128"),
    ],
)
def test_what_is_refused(options, message, model, recording):
    with pytest.raises(InputError, match=message):
        untrained_twins(recording, model=model, **options)
