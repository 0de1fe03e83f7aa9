"""Tiny random models of real architectures, and a tokenizer, built from configurations in code."""

from __future__ import annotations

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from transformer_dynamics.models import Model

SIZE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "vocab_size": 64}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}

CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(**SIZE, **HEADS, max_position_embeddings=64),
    "qwen2": lambda: transformers.Qwen2Config(
        **SIZE, num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64
    ),
    "qwen3": lambda: transformers.Qwen3Config(**SIZE, **HEADS, max_position_embeddings=64),
    "gemma3": lambda: transformers.Gemma3TextConfig(
        **SIZE, **HEADS, max_position_embeddings=64, sliding_window=4
    ),
    "gpt2": lambda: transformers.GPT2Config(
        n_embd=16,
        n_layer=3,
        n_head=2,
        vocab_size=64,
        n_positions=64,
        bos_token_id=0,
        eos_token_id=0,
    ),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(
        **SIZE, num_attention_heads=2, max_position_embeddings=64
    ),
}
FAMILIES = tuple(CONFIGS)
SEQUENTIAL = tuple(name for name in FAMILIES if name != "gpt_neox")


def hf_model(family: str = "llama", seed: int = 0):
    """A tiny model whose weights are large enough that every branch matters."""
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[family]())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.mul_(5.0)
            elif "bias" in name:
                weight.normal_()
    return model.eval()


def tokenizer():
    """One token per word `w0` to `w62`; anything else is the unknown token 63."""
    vocabulary = {f"w{index}": index for index in range(63)} | {"[UNK]": 63}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")


def model(family: str = "llama", seed: int = 0) -> Model:
    """A tiny model as `td.load_model` returns it."""
    return Model(hf_model(family, seed), tokenizer(), f"tiny-{family}")


def token_lists(n_texts: int = 12, seed: int = 0, longest: int = 20) -> list[list[int]]:
    """Random texts of mixed lengths; token 0 is left out, since some families pad with it."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (n_texts,), generator=generator).tolist()
    return [torch.randint(1, 63, (length,), generator=generator).tolist() for length in lengths]


def words(lists: list[list[int]]) -> list[str]:
    """The same texts as strings that the tokenizer turns back into those tokens."""
    return [" ".join(f"w{token}" for token in ids) for ids in lists]
