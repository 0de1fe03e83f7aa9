"""Any text is recorded, or refused by name: nothing else happens."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import transformer_dynamics as td
from transformer_dynamics.errors import TdynError
from transformer_dynamics.recording import open_recording
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.record import record
from transformer_dynamics.texts.tokenization import storable

LONGEST = 512
HOSTILE = st.text(
    st.one_of(
        st.characters(codec=None, categories=("Cc", "Cf", "Cs", "Co", "Cn")),
        st.characters(min_codepoint=0x590, max_codepoint=0x6FF),  # right to left
        st.characters(),
        st.sampled_from("<>&\"'\\\0\n\r\t\u202e\ufeff\U0001f600"),
    ),
    max_size=200,
)


@pytest.fixture(scope="module")
def model():
    """A tiny model whose tokens are bytes."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=1,
        vocab_size=len(letters), max_position_embeddings=LONGEST, eos_token_id=0,
    )  # fmt: skip
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    return td.load_model(
        transformers.AutoModelForCausalLM.from_config(config).eval(), tokenizer=fast
    )


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    texts=st.lists(HOSTILE, min_size=1, max_size=4),
    positions=st.sampled_from(["last", "all", "skip:1", "random:2"]),
    too_long=st.sampled_from(["refuse", "truncate", "window"]),
)
@example(texts=["x"], positions="last", too_long="refuse")
@example(texts=["\ud800", "a\udfffb"], positions="all", too_long="refuse")
@example(texts=[""], positions="last", too_long="refuse")
@example(texts=["\0" * 3, "\u202eabc"], positions="all", too_long="refuse")
@example(texts=["y" * 100_000, "z"], positions="last", too_long="refuse")
@example(texts=["y" * 100_000, "z"], positions="last", too_long="truncate")
@example(texts=["y" * 100_000, "z"], positions="last", too_long="window")
@pytest.mark.filterwarnings("ignore:.*have no position that is kept:UserWarning")
def test_any_text_is_recorded_or_refused_by_name(model, texts, positions, too_long):
    options = RecordingOptions(too_long=too_long)
    bad = [text == "" or len(storable(text).encode()) > LONGEST for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "a.zarr"
        kept_of_none = positions == "skip:1" and max(len(storable(t).encode()) for t in texts) <= 1
        refused = "" in texts or (True in bad and too_long == "refuse")
        if refused or kept_of_none:
            named = f"text {bad.index(True)} " if refused else "no position of any"
            with pytest.raises(TdynError, match=named):
                record(model, texts, positions, out=out, options=options)
            assert not out.exists()
            return
        recording = record(model, texts, positions, out=out, options=options)
        assert np.isfinite(recording.values).all()
        opened = open_recording(out)
        assert opened.texts == tuple(map(storable, texts))
        if too_long == "window" or True not in bad:
            spelled = [storable(text).encode() for text in texts]
            assert [len(ids) for ids in opened.token_lists] == list(map(len, spelled))
        if positions == "all" and too_long == "window":
            assert opened.shape[0] == sum(map(len, opened.token_lists))
        html = opened._repr_html_()
        assert "<script>alert" not in html
