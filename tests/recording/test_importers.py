"""States captured elsewhere are the same recording as one made here."""

import datetime
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers.modeling_outputs import Seq2SeqModelOutput

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError, TdynError
from transformer_dynamics.recording.record import record

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
    captured = td.Recording.from_activations(
        hidden, sites="hidden_states", mask=MASK, tokens=TOKENS, positions=positions
    )
    made = record(model, LISTS, positions)
    assert captured.sites == ("0.pre_attn", "1.pre_attn", "2.pre_attn")
    expected = made.sel(site=captured.sites)
    np.testing.assert_allclose(captured.values, expected.values, rtol=1e-4, atol=1e-5)
    for name in ("text", "position", "token_id"):
        np.testing.assert_array_equal(captured.dataset[name], made.dataset[name])
    assert captured.provenance == {"source": "captured", "final": "normed"}
    stream = td.Recording.from_activations(hidden, mask=MASK, final="stream", n_layers=3)
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
        captured = td.Recording.from_activations(
            states, mask=torch.tensor(MASK), positions="all", n_layers=3
        )
        assert captured.sites == whole.sites
        np.testing.assert_array_equal(captured.values, whole.values)
        assert set(td.paths.kinematics(captured)["step_kind"].values) == {"attention", "mlp"}


def test_padding_on_the_left(whole):
    states = {site: padded(whole, site)[:, ::-1] for site in whole.sites}
    captured = td.Recording.from_activations(states, mask=MASK[:, ::-1])
    np.testing.assert_array_equal(captured.dataset["position"], [3, 1, 2])
    np.testing.assert_array_equal(
        captured.values[:, 0], np.stack([states["0.pre_attn"][text, -1] for text in range(3)])
    )


def test_one_array_and_one_text(whole):
    values = whole.values
    same = td.Recording.from_activations(values, sites=whole.sites)
    np.testing.assert_array_equal(same.values, values)
    grid = np.stack([padded(whole, site) for site in whole.sites], axis=2)
    captured = td.Recording.from_activations(grid, sites=whole.sites, mask=MASK, positions="all")
    np.testing.assert_array_equal(captured.values, values)
    one = td.Recording.from_activations(
        {site: padded(whole, site)[0] for site in whole.sites}, positions="all"
    )
    np.testing.assert_array_equal(one.values, values[:4])


def test_bfloat16_becomes_float32():
    states = torch.ones(2, 3, 4, dtype=torch.bfloat16)
    assert td.Recording.from_activations({"0.pre_attn": states}).values.dtype == np.float32


ONES = np.ones((2, 3, 4))
SITE = {"0.pre_attn": ONES}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"states": {"resid": ONES}}, "is not a site label.*hook_resid_pre"),
        ({"states": {"1.pre_attn": ONES, "0.pre_attn": ONES}}, "in order of depth"),
        ({"states": {}}, "of no name"),
        ({"states": {0: ONES, 1: ONES}}, r"under the key 0; .*f'\{layer\}.pre_attn': array"),
        ({"states": {"0.pre_attn": ONES, "final": ONES[:1]}}, "different shapes .*final: .1, 3, 4"),
        ({"states": {**SITE, "final": ONES.astype("f4")}}, "precisions .*float64, final: float32"),
        ({"states": {"0.pre_attn": ONES[0, 0]}}, r"at 0.pre_attn of shape \(4,\)"),
        ({"states": {"0.pre_attn": ONES[:0]}}, r"at 0.pre_attn of shape \(0, 3, 4\), which holds"),
        ({"states": {"0.pre_attn": ONES.astype(int)}}, "they are floats"),
        (
            {"states": {"0.pre_attn": torch.ones(2, 3, 4, dtype=torch.int64)}},
            "of dtype int64; they",
        ),
        (
            {"states": {"0.pre_attn": torch.ones(2, 3, 4, dtype=torch.complex64)}},
            "of dtype complex",
        ),
        ({"states": {"0.pre_attn": torch.ones(2, 3, 4, device="meta")}}, "on the meta device"),
        ({"states": {"0.pre_attn": torch.eye(3).to_sparse()}}, "not one array of numbers"),
        ({"states": {"0.pre_attn": (torch.ones(3, 4), None)}}, r"is a tuple .*\[output\[0\] for"),
        ({"states": {"0.pre_attn": np.ma.masked_greater(ONES, 0)}}, "with masked entries"),
        ({"states": {"0.pre_attn": ONES.astype(np.longdouble)}}, "they are floats"),
        ({"states": {"0.pre_attn": [[1.0, 2.0], [3.0]]}}, "not one array of numbers"),
        ({"states": {"0.pre_attn": None}}, "of NoneType"),
        ({"states": {"0.pre_attn": ONES * np.nan}}, "NaN or infinite states at the site 0.pre_at"),
        ({"states": SITE, "mask": np.ones((2, 4))}, r"mask of shape \(2, 4\)"),
        ({"states": SITE, "mask": np.zeros((2, 3))}, "no token of text 0"),
        ({"states": SITE, "mask": np.full((2, 3), 0.5)}, r"holds 0.5; .*mask=additive == 0"),
        ({"states": SITE, "mask": np.array([[0, 0, -np.inf]] * 2)}, "holds -inf"),
        ({"states": SITE, "mask": np.array([[1, 1, 2]] * 2)}, "holds 2"),
        ({"states": SITE, "mask": np.array([[1, 1, 1], [1, 0, 1]])}, "between tokens of text 1"),
        ({"states": SITE, "mask": {"attention_mask": np.ones((2, 3))}}, "mask is a dict"),
        ({"states": SITE, "tokens": np.ones((3, 3), int)}, "tokens of shape"),
        ({"states": SITE, "tokens": np.ones((2, 3))}, "token ids are integers"),
        ({"states": SITE, "tokens": np.full((2, 3), -100)}, "token id -100"),
        ({"states": SITE, "sites": ["0.pre_attn"]}, "leave sites= out"),
        ({"states": SITE, "final": "stream"}, "leave final= out"),
        ({"states": {"7.pre_attn": ONES}, "n_layers": 7}, "7.pre_attn of a model of 7 layers"),
        ({"states": SITE, "n_layers": 0}, "got n_layers=0"),
        ({"states": SITE, "provenance": "mine"}, "it is a dictionary"),
        ({"states": ONES}, "no site labels"),
        ({"states": ONES, "sites": ["0.pre_attn"]}, "1 site labels"),
        ({"states": ONES, "sites": "final"}, "no site labels"),
        ({"states": ONES[:, :1], "sites": ["final"], "mask": ONES[0]}, "leave mask= out"),
        ({"states": ONES[:, :1], "sites": ["final"], "positions": "all"}, "leave positions= out"),
        ({"states": None}, "of NoneType"),
        ({"states": "hidden"}, "they are floats"),
        ({"states": [ONES, ONES]}, "does not say whether the first enters block 0 or leaves it"),
        ({"states": [ONES, ONES], "n_layers": 2}, "2 arrays of 2 layers, which does not say"),
        ({"states": [ONES, ONES], "n_layers": 3}, "2 arrays of 3 layers, which does not say"),
        ({"states": [ONES] * 3, "n_layers": 3, "sites": "hidden_states"}, "they are 4"),
        (
            {"states": [ONES] * 4, "n_layers": 3, "sites": "block_outputs", "final": "stream"},
            "they are 3",
        ),
        ({"states": [ONES] * 3, "sites": "block_outputs"}, "final='stream' for hooks"),
        ({"states": [ONES], "sites": "hidden_states"}, "leaves no site"),
        ({"states": [ONES, ONES], "sites": ["final"]}, "2 arrays, 1 site labels"),
        ({"states": [ONES, ONES], "sites": "inputs"}, "'hidden_states', 'block_outputs' or one"),
        ({"states": [ONES, ONES], "final": "last"}, "'normed' or 'stream'"),
        ({"states": [ONES, ONES], "positions": "first"}, "'last' or 'all'"),
    ],
)
def test_what_cannot_be_a_recording_is_refused(call, message):
    with pytest.raises(RecordingError, match=message):
        td.Recording.from_activations(call.pop("states"), **call)


@pytest.fixture(scope="module")
def posts():
    """The stream after each of three blocks, all different."""
    states = np.random.default_rng(0).standard_normal((3, 2, 3, 4))
    return {f"blocks.{layer}.hook_resid_post": states[layer] for layer in range(3)}


def test_what_leaves_a_block_enters_the_next(posts):
    captured = td.Recording.from_activations(posts, n_layers=3)
    assert captured.sites == ("1.pre_attn", "2.pre_attn", "final")
    for place, states in enumerate(posts.values()):
        np.testing.assert_array_equal(captured.values[:, place], states[:, -1])
    assert td.Recording.from_activations(posts, n_layers=5).sites[-1] == "3.pre_attn"
    with_more = {**posts, "blocks.3.hook_resid_mid": posts["blocks.0.hook_resid_post"]}
    assert td.Recording.from_activations(with_more).sites[-2:] == ("3.pre_attn", "3.pre_mlp")
    with pytest.raises(RecordingError, match=r"blocks.2.hook_resid_post, .* n_layers=3"):
        td.Recording.from_activations(posts)
    with pytest.raises(RecordingError, match=r"blocks.2.hook_resid_post of a model of 2 layers"):
        td.Recording.from_activations(posts, n_layers=2)


def test_two_names_of_one_site_must_agree(posts):
    one = posts["blocks.0.hook_resid_post"]
    agreeing = {**posts, "blocks.1.hook_resid_pre": one * (1 + 1e-7)}
    np.testing.assert_allclose(
        td.Recording.from_activations(agreeing, n_layers=3).values[:, 0], one[:, -1]
    )
    for other in (one * (1 + 1e-3), one[:1], one.astype(np.float32)):
        differing = {**posts, "blocks.1.hook_resid_pre": other}
        with pytest.raises(RecordingError, match=r"blocks.0.hook_resid_post and blocks.1.*differ"):
            td.Recording.from_activations(differing, n_layers=3)


@pytest.mark.parametrize(
    "name", ["encoder.0.hook_resid_pre", "blocks.1.hook_resid", "mine", "0.pre_attn"]
)
def test_names_that_are_not_understood_are_refused(name, posts):
    with pytest.raises(RecordingError, match=f"got '{name}' among names of TransformerLens"):
        td.Recording.from_activations({**posts, name: ONES}, n_layers=3)


def test_other_hooks_of_a_cache_are_left_out(posts):
    others = {"blocks.0.attn.hook_q": None, "hook_embed": 1, "blocks.0.hook_resid_pre_grad": 2}
    assert len(td.Recording.from_activations({**others, **posts}, n_layers=3).sites) == 3
    with pytest.raises(RecordingError, match="2 hooks, the first 'hook_embed', and none holds"):
        td.Recording.from_activations({"hook_embed": ONES, "blocks.0.attn.hook_q": ONES})


def test_a_cache_knows_its_number_of_layers(posts):
    cache = SimpleNamespace(
        cache_dict=posts, model=SimpleNamespace(cfg=SimpleNamespace(n_layers=3))
    )
    assert td.Recording.from_activations(cache).sites[-1] == "final"
    with pytest.raises(RecordingError, match="n_layers=4 for a cache of a model of 3 layers"):
        td.Recording.from_activations(cache, n_layers=4)


def test_outputs_of_blocks_and_labeled_lists():
    states = list(np.random.default_rng(1).standard_normal((3, 2, 3, 4)))
    outputs = td.Recording.from_activations(
        states, sites="block_outputs", final="stream", n_layers=3
    )
    assert outputs.sites == ("1.pre_attn", "2.pre_attn", "final")
    np.testing.assert_array_equal(outputs.values[:, 0], states[0][:, -1])
    normed = td.Recording.from_activations(states, sites="block_outputs", final="normed")
    assert normed.sites == ("1.pre_attn", "2.pre_attn")
    np.testing.assert_array_equal(normed.values, outputs.values[:, :2])
    labeled = td.Recording.from_activations(states, sites=["0.pre_attn", "1.pre_attn", "final"])
    assert labeled.sites == ("0.pre_attn", "1.pre_attn", "final")
    np.testing.assert_array_equal(labeled.values, outputs.values)


def test_an_output_of_transformers(model, hidden):
    with torch.inference_mode():
        output = model.trunk(input_ids=torch.tensor(TOKENS), output_hidden_states=True)
        without = model.trunk(input_ids=torch.tensor(TOKENS))
    captured = td.Recording.from_activations(output, mask=MASK, n_layers=3)
    assert captured.sites == ("0.pre_attn", "1.pre_attn", "2.pre_attn")
    np.testing.assert_array_equal(
        captured.values, td.Recording.from_activations(hidden, mask=MASK, n_layers=3).values
    )
    with pytest.raises(RecordingError, match="output_hidden_states=True"):
        td.Recording.from_activations(without)
    two = Seq2SeqModelOutput(encoder_hidden_states=hidden, decoder_hidden_states=hidden)
    with pytest.raises(
        RecordingError, match=r"td.Recording.from_activations\(output.decoder_hidden_states"
    ):
        td.Recording.from_activations(two)


def test_tensors_of_any_kind_keep_their_values():
    plain = torch.arange(24.0).reshape(2, 3, 4)
    for states in (
        plain.clone().requires_grad_(),
        plain.bfloat16(),
        plain.half(),
        plain.numpy().astype(">f4"),
        plain.numpy().astype(np.float16),
        plain.tolist(),
    ):
        captured = td.Recording.from_activations({"0.pre_attn": states}, positions="all")
        np.testing.assert_array_equal(captured.values[:, 0], plain.reshape(6, 4))
        assert captured.values.dtype.isnative


@pytest.mark.parametrize("mask", [MASK.astype(bool), MASK.astype(float), torch.tensor(MASK)])
def test_masks_of_any_kind(mask, whole):
    states = {site: padded(whole, site) for site in whole.sites}
    captured = td.Recording.from_activations(states, mask=mask, positions="all")
    np.testing.assert_array_equal(captured.values, whole.values)


ODD = {
    "seed": np.int64(3),
    "rates": np.array([0.5, 1.0], dtype=np.float32),
    "path": Path("runs/demo"),
    "layers": {3, 1},
    "shape": (2, 3),
    "on": np.bool_(True),
    "day": datetime.date(2020, 1, 2),
}
PLAIN = {
    "seed": 3, "rates": [0.5, 1.0], "path": "runs/demo", "layers": [1, 3], "shape": [2, 3],
    "on": True, "day": "2020-01-02",
}  # fmt: skip


def test_provenance_is_what_json_holds(tmp_path):
    recordings = [
        td.Recording.from_activations(SITE, provenance=ODD),
        td.Recording.from_array(ONES, provenance=ODD),
        td.Recording.from_array(ONES).with_values(ONES + 1, **ODD),
    ]
    for place, recording in enumerate(recordings):
        assert PLAIN.items() <= recording.provenance.items()
        recording.save(tmp_path / f"{place}.zarr")
        assert PLAIN.items() <= td.open_recording(tmp_path / f"{place}.zarr").provenance.items()


@pytest.mark.parametrize(
    ("provenance", "message"),
    [
        ({"model": {"dtype": torch.float32}}, r"provenance\['model'\]\['dtype'\] is of type dtype"),
        ({"rates": [0.0, np.nan]}, r"provenance\['rates'\]\[1\] is the number nan"),
        ({"layers": {0: "a"}}, r"the key 0 in provenance\['layers'\]"),
        ({"name": "\ud800"}, r"provenance\['name'\] is text that UTF-8 cannot hold"),
        ([("a", 1)], "of type list; it is a dictionary"),
    ],
)
def test_provenance_that_json_cannot_hold_is_refused_by_name(provenance, message):
    for make in (
        td.Recording.from_array,
        lambda *_, **kw: td.Recording.from_activations(SITE, **kw),
    ):
        with pytest.raises(RecordingError, match=message):
            make(ONES, provenance=provenance)


def test_provenance_that_contains_itself_is_refused():
    itself = {}
    itself["again"] = itself
    with pytest.raises(RecordingError, match="deeper than 32 levels"):
        td.Recording.from_array(ONES, provenance=itself)


VALUES = st.sampled_from(
    [1.0, 0.0, -3.5, np.nan, np.inf, 7, None, "x", True, 2 + 1j, b"y", {}, [], [1.0], {1.0}]
)
ARRAYS = st.builds(
    lambda shape, dtype, tensor: (torch.as_tensor if tensor else np.asarray)(
        np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    ),
    st.sampled_from([(2, 3, 4), (2, 3, 2, 4)]) | st.lists(st.integers(0, 3), max_size=5),
    st.sampled_from(["float32", "float64", "float16", "int64", "bool"]),
    st.booleans(),
)
ANY = VALUES | ARRAYS
NAMES = st.sampled_from(
    ["0.pre_attn", "0.pre_mlp", "1.pre_attn", "final", "blocks.0.hook_resid_pre", "hidden_states",
     "blocks.0.hook_resid_post", "hook_embed", "mine", 0, None, ("resid_pre", 0)]
)  # fmt: skip
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "sites": ANY | st.lists(NAMES, max_size=4) | NAMES | st.just("block_outputs"),
        "mask": ANY,
        "tokens": ANY,
        "positions": ANY | st.sampled_from(["last", "all"]),
        "final": ANY | st.sampled_from(["normed", "stream"]),
        "n_layers": ANY | st.integers(-1, 4),
        "provenance": ANY | st.dictionaries(NAMES, ANY, max_size=2),
    },
)


@settings(max_examples=100, deadline=None)
@given(ANY | st.lists(ANY, max_size=4) | st.dictionaries(NAMES, ANY, max_size=4), ARGUMENTS)
@example({"0.pre_attn": np.arange(24.0).reshape(2, 3, 4)}, {"positions": "all"})
@example(np.ones((2, 1, 4)), {"sites": np.array(1.0)})
@example([np.ones((2, 3))], {"sites": [[1.0], [1.0, 2.0]]})
@example([np.arange(6.0).reshape(2, 3)] * 3, {"n_layers": 2})
def test_anything_a_user_may_pass(states, arguments):
    try:
        captured = td.Recording.from_activations(states, **arguments)
    except TdynError:
        return
    given = states.values() if isinstance(states, dict) else states
    rows = {
        tuple(row)
        for each in given
        if np.ndim(each)
        for row in np.asarray(each, dtype=object).reshape(-1, np.shape(each)[-1]).tolist()
    }
    assert {tuple(row) for row in captured.values.reshape(-1, captured.shape[2]).tolist()} <= rows
