"""States captured elsewhere are the same recording as one made here."""

import numpy as np
import pytest
import torch

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.recorder import record

LISTS = [[5, 6, 7, 8], [9, 10], [11, 12, 13]]
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
TOKENS = np.array([[5, 6, 7, 8], [9, 10, 0, 0], [11, 12, 13, 0]])


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama")


@pytest.fixture(scope="module")
def hidden(model):
    with torch.inference_mode():
        return model.trunk(input_ids=torch.tensor(TOKENS), output_hidden_states=True).hidden_states


@pytest.fixture(scope="module")
def whole(model):
    return record(model, LISTS, "all")


def padded(whole, site):
    """States of one site as `(text, position, unit)`, padding filled with rubbish."""
    array = np.full((3, 4, 16), 1e3, dtype=np.float32)
    array[whole.text_index, whole.dataset["position"].values] = whole.values[
        :, whole.sites.index(site)
    ]
    return array


@pytest.mark.parametrize("positions", ["last", "all"])
def test_hidden_states_of_transformers(positions, model, hidden):
    captured = td.from_captured(hidden, mask=MASK, tokens=TOKENS, positions=positions)
    made = record(model, LISTS, positions)
    assert captured.sites == ("0.pre_attn", "1.pre_attn", "2.pre_attn")
    expected = made.select(sites=captured.sites)
    np.testing.assert_allclose(captured.values, expected.values, rtol=1e-4, atol=1e-5)
    for name in ("text", "position", "token_id"):
        np.testing.assert_array_equal(captured.dataset[name], made.dataset[name])
    assert captured.provenance == {"source": "captured", "final": "normed"}
    stream = td.from_captured(hidden, mask=MASK, final="stream")
    assert stream.sites[-1] == "final"


def test_our_labels_and_the_names_of_transformer_lens(whole):
    ours = {site: padded(whole, site) for site in whole.sites}
    names = {"pre_attn": "hook_resid_pre", "pre_mlp": "hook_resid_mid"}
    theirs = {"hook_embed": np.zeros((3, 4, 16))}
    for site in reversed(whole.sites[:-1]):
        layer, _, kind = site.partition(".")
        theirs[f"blocks.{layer}.{names[kind]}"] = torch.tensor(ours[site])
    theirs["blocks.0.hook_resid_post"] = torch.tensor(ours["1.pre_attn"])
    theirs["blocks.2.hook_resid_post"] = torch.tensor(ours["final"])
    for states in (ours, theirs):
        captured = td.from_captured(states, mask=torch.tensor(MASK), positions="all")
        assert captured.sites == whole.sites
        np.testing.assert_array_equal(captured.values, whole.values)
        assert set(td.population.kinematics(captured)["step_kind"].values) == {"attention", "mlp"}


def test_padding_on_the_left(whole):
    states = {site: padded(whole, site)[:, ::-1] for site in whole.sites}
    captured = td.from_captured(states, mask=MASK[:, ::-1])
    np.testing.assert_array_equal(captured.dataset["position"], [3, 1, 2])
    np.testing.assert_array_equal(
        captured.values[:, 0], np.stack([states["0.pre_attn"][text, -1] for text in range(3)])
    )


def test_one_array_and_one_text(whole):
    values = whole.values
    same = td.from_captured(values, sites=whole.sites)
    np.testing.assert_array_equal(same.values, values)
    grid = np.stack([padded(whole, site) for site in whole.sites], axis=2)
    captured = td.from_captured(grid, sites=whole.sites, mask=MASK, positions="all")
    np.testing.assert_array_equal(captured.values, values)
    one = td.from_captured({site: padded(whole, site)[0] for site in whole.sites}, positions="all")
    np.testing.assert_array_equal(one.values, values[:4])


def test_bfloat16_becomes_float32():
    states = torch.ones(2, 3, 4, dtype=torch.bfloat16)
    assert td.from_captured({"0.pre_attn": states}).values.dtype == np.float32


ONES = np.ones((2, 3, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"states": {"resid": ONES}}, "is no site label.*hook_resid_pre"),
        ({"states": {"1.pre_attn": ONES, "0.pre_attn": ONES}}, "in order of depth"),
        ({"states": {}}, "of no name"),
        ({"states": {"0.pre_attn": ONES, "final": ONES[:1]}}, "of different shapes"),
        ({"states": {"0.pre_attn": ONES[0, 0]}}, r"of shape \(4,\) at one site"),
        ({"states": {"0.pre_attn": ONES.astype(int)}}, "they are floats"),
        ({"states": {"0.pre_attn": ONES * np.nan}}, "NaN or infinite states at the site 0.pre_at"),
        ({"states": {"0.pre_attn": ONES}, "mask": np.ones((2, 4))}, r"mask of shape \(2, 4\)"),
        ({"states": {"0.pre_attn": ONES}, "mask": np.zeros((2, 3))}, "no token of text 0"),
        ({"states": {"0.pre_attn": ONES}, "tokens": np.ones((3, 3))}, "tokens of shape"),
        ({"states": ONES}, "no site labels"),
        ({"states": ONES, "sites": ["0.pre_attn"]}, "1 site labels"),
        ({"states": [ONES]}, "got 1 hidden states"),
        ({"states": [ONES, ONES], "final": "last"}, "'normed' or 'stream'"),
        ({"states": [ONES, ONES], "positions": "first"}, "'last' or 'all'"),
    ],
)
def test_what_cannot_be_a_recording_is_refused(call, message):
    with pytest.raises(RecordingError, match=message):
        td.from_captured(call.pop("states"), **call)
