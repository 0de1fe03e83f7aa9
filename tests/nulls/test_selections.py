"""Functions that run a model again return the samples of the given recording, in its order."""

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import InputError
from transformer_dynamics.nulls import shuffled_tokens, untrained
from transformer_dynamics.perturbation.driver import chosen_texts
from transformer_dynamics.perturbation.systems import systems
from transformer_dynamics.recording.record import record

LISTS = tiny.token_lists(9, longest=9)


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama")


def _twin_rows(model, recording):
    """States of the untrained twin at every sample, each text run alone."""
    twin = model.untrained_twin(0)
    rows = []
    for text, position in zip(
        recording.text_index, recording.dataset["position"].values, strict=True
    ):
        alone = record(twin, [LISTS[text]], "all")
        rows.append(alone.values[position])
    return np.stack(rows)


SELECTIONS = {
    "whole": slice(None),
    "some": [1, 2, 5],
    "reordered": [7, 0, 3],
    "twice": [4, 4, 1],
    "backwards": slice(None, None, -1),
    "masked": np.arange(9) % 2 == 0,
}


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("positions", ["last", "all", "random:2"])
def test_the_twin_has_the_selected_rows_in_their_order(name, positions, model, tmp_path):
    chosen = SELECTIONS[name]
    recording = record(model, LISTS, positions)
    if isinstance(chosen, np.ndarray):
        chosen = np.resize(chosen, recording.shape[0])
    selected = recording.isel(sample=chosen)
    wanted = _twin_rows(model, selected)
    for out in (None, tmp_path / "twin.zarr"):
        twin = untrained(selected, model=model, out=out)
        np.testing.assert_allclose(twin.values, wanted, rtol=1e-5, atol=1e-5)
        for name_of in ("text", "position", "token_id", "token"):
            np.testing.assert_array_equal(twin.dataset[name_of], selected.dataset[name_of])
        assert twin.token_lists == selected.token_lists
        assert twin.texts == selected.texts


def test_the_twin_has_the_selected_sites(model):
    recording = record(model, LISTS)
    sites = ["0.pre_attn", "1.pre_mlp", "final"]
    twin = untrained(recording.sel(sample=[3, 1], site=sites), model=model)
    whole = untrained(recording, model=model)
    assert twin.sites == tuple(sites)
    np.testing.assert_allclose(
        twin.values, whole.sel(sample=[3, 1], site=sites).values, rtol=1e-5, atol=1e-5
    )


def test_the_twin_has_the_selected_units(model):
    selected = record(model, LISTS).sel(unit=[5, 2], text=[1, 3])
    twin = untrained(selected, model=model)
    whole = untrained(record(model, LISTS), model=model)
    expected = whole.sel(unit=[5, 2], text=[1, 3]).values
    np.testing.assert_allclose(twin.values, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"unit": [1, 2]}, r"2 selected units; .* all 16 units .* without recording.sel\(unit="),
        ({"unit": slice(None, None, -1)}, "16 selected units"),
        ({"site": ["0.pre_attn", "final"]}, "give a whole recording of this model"),
    ],
)
def test_perturbations_refuse_a_selection_of_units_or_sites(labels, message, model):
    with pytest.raises(InputError, match=message):
        systems(model, record(model, LISTS).sel(**labels), n_twins=1)


def test_shuffled_texts_are_the_same_in_a_selection(model):
    recording = record(model, LISTS)
    whole = shuffled_tokens(recording, model=model, seed=4)
    some = shuffled_tokens(recording.isel(sample=[6, 2]), model=model, seed=4)
    np.testing.assert_allclose(some.values, whole.values[[6, 2]], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(some.dataset["token_id"], whole.dataset["token_id"][[6, 2]])


def test_perturbations_follow_texts_of_the_selection(model):
    recording = record(model, LISTS).isel(sample=[8, 2, 5])
    both = systems(model, recording, n_twins=2)
    assert chosen_texts(both, 3, seed=0) == [2, 5, 8]
    assert set(chosen_texts(both, 2, seed=0)) < {2, 5, 8}
    with pytest.raises(InputError, match="holds 3 texts"):
        chosen_texts(both, 4, seed=0)
    for system, own in zip(both, (model, *map(model.untrained_twin, (0, 1))), strict=True):
        flow = system.flow(5)
        np.testing.assert_allclose(flow.clean, own.flow_map(LISTS[5]).clean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(flow.clean, system.recording.values[2], rtol=1e-4, atol=1e-4)
    result = td.perturbation.teleport(both, n_texts=2, seed=0)
    assert set(result["text"].values) < {2, 5, 8}


def test_claims_pair_nulls_by_text_and_position_and_refuse_others(model):
    recording = record(model, LISTS)
    twin = untrained(recording, model=model)
    numbers = td.ClaimOptions(n_null=9, n_bootstrap=19)
    options = {"claims": ["C4"], "options": numbers}

    def null(twin, of=recording):
        (found,) = td.evaluate_claims(of, model_nulls={"untrained": twin}, **options)
        return found.nulls["untrained"]

    whole, reversed_order = null(twin), null(twin.isel(sample=slice(None, None, -1)))
    assert (reversed_order.value, reversed_order.mean) == pytest.approx((whole.value, whole.mean))
    some, rows = null(twin.isel(sample=slice(1, 6))), recording.isel(sample=slice(1, 6))
    (alone,) = td.evaluate_claims(rows, **options)
    assert some.value == pytest.approx(alone.value)
    with pytest.raises(InputError, match="which are not all among the 4 of the recording"):
        null(twin, recording.isel(sample=slice(0, 4)))


def test_a_model_with_other_weights_is_refused(model):
    recording = record(model, LISTS)
    other = tiny.model("llama", seed=1)
    for call in (
        lambda: shuffled_tokens(recording, model=other),
        lambda: systems(other, recording),
        lambda: td.evaluate_claims(recording, model=other, claims=["C8"]),
    ):
        with pytest.raises(InputError, match="made with other weights"):
            call()
    systems(tiny.model("llama"), recording, n_twins=1)


@pytest.mark.parametrize("claims", [["C99"], ["C4", "c4"], [], "C98"])
def test_unknown_claims_are_named(claims, model):
    with pytest.raises(InputError, match=r"there is no claim .*; there are C1, "):
        td.evaluate_claims(record(model, LISTS), claims=claims)


def test_a_twin_of_some_texts_keeps_their_numbers_in_its_folder(model, tmp_path):
    from transformer_dynamics.nulls.reruns import untrained_twins
    from transformer_dynamics.recording import open_recording

    recording = record(model, LISTS)
    options = {"model": model, "seeds": (0, 1), "n_texts": 4, "out": tmp_path}
    twins = untrained_twins(recording, **options)
    opened = [open_recording(tmp_path / f"untrained-{seed}.zarr") for seed in (0, 1)]
    for twin in (*twins, *opened):
        assert len(twin.texts) == len(recording.texts)
        assert len(set(twin.text_index.tolist())) == 4
        for text in set(twin.text_index.tolist()):
            assert list(twin.token_lists[text]) == LISTS[text]
    numbers = td.ClaimOptions(n_null=9, n_bootstrap=19)
    found = [
        td.evaluate_claims(
            recording, model_nulls={"untrained": given}, claims=["C4"], options=numbers
        )
        for given in (twins, opened)
    ]
    assert found[0][0].nulls["untrained"] == found[1][0].nulls["untrained"]
    systems(model, recording, twins=opened)


def test_a_twin_of_other_texts_is_refused(model):
    recording, other = record(model, LISTS), record(tiny.model("llama", seed=1), LISTS[::-1])
    with pytest.raises(InputError, match="other tokens in text"):
        td.evaluate_claims(recording, model_nulls={"untrained": other}, claims=["C4"])
    with pytest.raises(InputError, match="other tokens in text"):
        systems(model, recording, twins=[other])
