"""Tiny random models of real architectures, and a tokenizer, built from configurations in code."""

from __future__ import annotations

import os

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from transformer_dynamics.model.language_model import Model

# Device of the tiny models; `TDYN_TEST_DEVICE=cuda make test` runs the tests on a graphics card.
DEVICE = os.environ.get("TDYN_TEST_DEVICE", "cpu")

SIZE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "vocab_size": 64}

MIXED = {"num_local_experts": 4, "num_experts_per_tok": 2}
SPARSE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LATENT = {
    "kv_lora_rank": 8, "q_lora_rank": 8, "qk_nope_head_dim": 4, "qk_rope_head_dim": 4,
    "v_head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1,
    "moe_intermediate_size": 16, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1,
}  # fmt: skip
LENGTH = {"max_position_embeddings": 64}
ONE_KEY = {**SIZE, **LENGTH, "num_attention_heads": 2, "num_key_value_heads": 1}
FULL = {**ONE_KEY, "head_dim": 8}
PLAIN = {**SIZE, **LENGTH, "num_attention_heads": 2}
OLD = {"n_embd": 16, "n_layer": 3, "vocab_size": 64, "n_positions": 64}
STATE = {"hidden_size": 16, "num_hidden_layers": 3, "vocab_size": 64, "state_size": 4}
FALCON = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "vocab_size": 64,
}  # fmt: skip

SCAN = {
    "mamba_d_state": 4, "mamba_expand": 2, "mamba_n_heads": 4, "mamba_d_head": 8,
    "mamba_n_groups": 1, "mamba_chunk_size": 8,
}  # fmt: skip
ROUTED = {
    "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2,
    "moe_intermediate_size": 16, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1,
}  # fmt: skip
DELTA = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}  # fmt: skip
SLIDING = "sliding_attention"

# Family, as transformers calls it: configuration class and arguments.
ARGUMENTS = {
    "llama": ("LlamaConfig", FULL),
    "qwen2": ("Qwen2Config", ONE_KEY),
    "qwen3": ("Qwen3Config", FULL),
    "gemma3_text": ("Gemma3TextConfig", {**FULL, "sliding_window": 4}),
    "gpt2": ("GPT2Config", {**OLD, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}),
    "gpt_neox": ("GPTNeoXConfig", PLAIN),
    "mistral": ("MistralConfig", FULL),
    "mixtral": ("MixtralConfig", {**ONE_KEY, **MIXED}),
    "qwen2_moe": (
        "Qwen2MoeConfig", {**ONE_KEY, **SPARSE, "shared_expert_intermediate_size": 16},
    ),
    "qwen3_moe": ("Qwen3MoeConfig", {**FULL, **SPARSE}),
    "gemma": ("GemmaConfig", FULL),
    "gemma2": ("Gemma2Config", {**FULL, "sliding_window": 4}),
    "olmo": ("OlmoConfig", ONE_KEY),
    "olmo2": ("Olmo2Config", ONE_KEY),
    "olmo3": ("Olmo3Config", {**ONE_KEY, "sliding_window": 4}),
    "olmoe": ("OlmoeConfig", {**ONE_KEY, "num_experts": 4, "num_experts_per_tok": 2}),
    "phi": ("PhiConfig", PLAIN),
    "phi3": ("Phi3Config", {**ONE_KEY, "pad_token_id": 0}),
    "stablelm": ("StableLmConfig", ONE_KEY),
    "granite": ("GraniteConfig", {**ONE_KEY, "residual_multiplier": 0.5}),
    "granitemoe": ("GraniteMoeConfig", {**ONE_KEY, **MIXED, "residual_multiplier": 0.5}),
    "starcoder2": ("Starcoder2Config", ONE_KEY),
    "smollm3": ("SmolLM3Config", {**ONE_KEY, "pad_token_id": 0}),
    "glm": ("GlmConfig", {**FULL, "pad_token_id": 0}),
    "glm4": ("Glm4Config", {**FULL, "pad_token_id": 0}),
    "exaone4": ("Exaone4Config", {**FULL, "sliding_window": 4}),
    "nemotron": ("NemotronConfig", FULL),
    "mpt": (
        "MptConfig",
        {"d_model": 16, "n_heads": 2, "n_layers": 3, "vocab_size": 64, "max_seq_len": 64},
    ),
    "lfm2": (
        "Lfm2Config",
        {**ONE_KEY, "block_ff_dim": 32, "layer_types": ["conv", "full_attention", "conv"]},
    ),
    "gpt_neo": (
        "GPTNeoConfig",
        {
            "hidden_size": 16, "num_layers": 3, "num_heads": 2, "intermediate_size": 32,
            "attention_types": [[["global", "local", "global"], 1]], "vocab_size": 64, **LENGTH,
        },
    ),
    "gptj": ("GPTJConfig", {**OLD, "n_head": 2, "rotary_dim": 4}),
    "codegen": ("CodeGenConfig", {**OLD, "n_head": 4, "rotary_dim": 4, "n_ctx": 64}),
    "cohere": ("CohereConfig", ONE_KEY),
    "cohere2": ("Cohere2Config", {**ONE_KEY, "sliding_window": 4}),
    "falcon": ("FalconConfig", FALCON),
    "opt": ("OPTConfig", {**PLAIN, "ffn_dim": 32, "word_embed_proj_dim": 16}),
    "bloom": ("BloomConfig", {"hidden_size": 16, "n_layer": 3, "n_head": 2, "vocab_size": 64}),
    "deepseek_v2": (
        "DeepseekV2Config", {**PLAIN, **LATENT, "num_key_value_heads": 2, "topk_method": "greedy"},
    ),
    "deepseek_v3": ("DeepseekV3Config", {**PLAIN, **LATENT, "num_key_value_heads": 2}),
    "gpt_oss": ("GptOssConfig", {**FULL, **MIXED, "sliding_window": 4}),
    "gpt_bigcode": ("GPTBigCodeConfig", {**OLD, "n_head": 2}),
    "persimmon": ("PersimmonConfig", PLAIN),
    "helium": ("HeliumConfig", {**FULL, "pad_token_id": 0}),
    "ernie4_5": ("Ernie4_5Config", FULL),
    "apertus": ("ApertusConfig", {**ONE_KEY, "pad_token_id": 0}),
    "seed_oss": ("SeedOssConfig", FULL),
    "biogpt": ("BioGptConfig", PLAIN),
    "xglm": (
        "XGLMConfig",
        {"d_model": 16, "ffn_dim": 32, "num_layers": 3, "attention_heads": 2, "vocab_size": 64,
         **LENGTH},
    ),
    "mamba": ("MambaConfig", STATE),
    "falcon_mamba": ("FalconMambaConfig", STATE),
    "arcee": ("ArceeConfig", FULL),
    "bamba": ("BambaConfig", {**ONE_KEY, **SCAN, "attn_layer_indices": [1]}),
    "bitnet": ("BitNetConfig", {**ONE_KEY, "pad_token_id": 0}),
    "cwm": (
        "CwmConfig",
        {
            **FULL, "sliding_window": 4, "layer_types": ["full_attention", SLIDING, SLIDING],
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
    ),
    "diffllama": ("DiffLlamaConfig", {**FULL, "num_key_value_heads": 2}),
    "dots1": ("Dots1Config", {**FULL, **ROUTED}),
    "ernie4_5_moe": (
        "Ernie4_5_MoeConfig",
        {
            **ONE_KEY, "moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 16,
            "moe_num_shared_experts": 1, "moe_layer_start_index": 1,
        },
    ),
    "falcon_h1": (
        "FalconH1Config",
        {
            **FULL, **SCAN, "mamba_d_ssm": 32, "attention_out_multiplier": 0.5,
            "ssm_out_multiplier": 0.75,
        },
    ),
    "flex_olmo": (
        "FlexOlmoConfig",
        {**ONE_KEY, "num_experts": 4, "num_experts_per_tok": 2, "pad_token_id": 0},
    ),
    # Its layer_scalar is 1 at the start of training; with any other value no identity holds.
    "gemma4_text": (
        "Gemma4TextConfig",
        {
            **FULL, "global_head_dim": 8, "sliding_window": 4, "hidden_size_per_layer_input": 4,
            "vocab_size_per_layer_input": 64, "num_kv_shared_layers": 0,
            "layer_types": [SLIDING, SLIDING, "full_attention"],
        },
    ),
    "glm4_moe": ("Glm4MoeConfig", {**FULL, **ROUTED}),
    "granitemoehybrid": (
        "GraniteMoeHybridConfig",
        {
            **ONE_KEY, **MIXED, **SCAN, "shared_intermediate_size": 16, "residual_multiplier": 0.5,
            "layer_types": ["mamba", "attention", "mamba"],
        },
    ),
    "granitemoeshared": (
        "GraniteMoeSharedConfig",
        {**ONE_KEY, **MIXED, "shared_intermediate_size": 16, "residual_multiplier": 0.5},
    ),
    "hunyuan_v1_dense": ("HunYuanDenseV1Config", {**FULL, "pad_token_id": 0}),
    "jamba": (
        "JambaConfig",
        {
            **ONE_KEY, "num_experts": 2, "num_experts_per_tok": 1, "expert_layer_period": 2,
            "expert_layer_offset": 1, "attn_layer_period": 3, "attn_layer_offset": 1,
            "mamba_d_state": 4, "mamba_dt_rank": 4, "use_mamba_kernels": False,
        },
    ),
    "jetmoe": (
        "JetMoeConfig",
        {
            **SIZE, **LENGTH, "num_key_value_heads": 2, "kv_channels": 8, "num_local_experts": 4,
            "num_experts_per_tok": 1,
        },
    ),
    "llama4_text": (
        "Llama4TextConfig",
        {
            **FULL, "intermediate_size_mlp": 32, "num_local_experts": 4, "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 2,
        },
    ),
    "mamba2": (
        "Mamba2Config", {**STATE, "num_heads": 4, "head_dim": 8, "n_groups": 1, "chunk_size": 8},
    ),
    "minicpm3": (
        "MiniCPM3Config",
        {
            **PLAIN, "kv_lora_rank": 8, "q_lora_rank": 8, "qk_nope_head_dim": 4,
            "qk_rope_head_dim": 4, "v_head_dim": 8,
        },
    ),
    "nemotron_h": (
        "NemotronHConfig",
        {
            **FULL, "layers_block_type": ["mamba", "attention", "mlp"], "mamba_num_heads": 4,
            "mamba_head_dim": 8, "ssm_state_size": 4, "n_groups": 1, "chunk_size": 8,
            "use_mamba_kernels": False,
        },
    ),
    "phimoe": ("PhimoeConfig", {**ONE_KEY, **MIXED}),
    "qwen3_5_text": ("Qwen3_5TextConfig", {**FULL, **DELTA}),
    "qwen3_next": (
        "Qwen3NextConfig", {**FULL, **SPARSE, **DELTA, "shared_expert_intermediate_size": 16},
    ),
    "recurrent_gemma": (
        "RecurrentGemmaConfig",
        {
            **ONE_KEY, "lru_width": 16, "attention_window_size": 4,
            "block_types": ["recurrent", "attention"],
        },
    ),
    "vaultgemma": ("VaultGemmaConfig", {**FULL, "sliding_window": 4}),
    "zamba2": (
        "Zamba2Config",
        {
            **PLAIN, "num_key_value_heads": 2, "attention_head_dim": 16, "mamba_d_state": 4,
            "mamba_headdim": 8, "n_mamba_heads": 4, "mamba_ngroups": 1, "chunk_size": 8,
            "layers_block_type": ["mamba", "hybrid", "mamba"], "num_mem_blocks": 1,
            "adapter_rank": 4, "use_mem_rope": True,
        },
    ),
}  # fmt: skip
# Encoders: configuration class and arguments.
BERT = {**PLAIN, "pad_token_id": 0}
ENCODERS = {
    "bert": ("BertConfig", BERT),
    "roberta": ("RobertaConfig", {**BERT, "pad_token_id": 1, "max_position_embeddings": 66}),
    "xlm-roberta": ("XLMRobertaConfig", {**BERT, "pad_token_id": 1}),
    "electra": ("ElectraConfig", {**BERT, "embedding_size": 16}),
    "distilbert": (
        "DistilBertConfig", {"dim": 16, "hidden_dim": 32, "n_layers": 3, "n_heads": 2,
                             "vocab_size": 64, **LENGTH},
    ),
    "camembert": ("CamembertConfig", {**BERT, "pad_token_id": 1}),
    "big_bird": ("BigBirdConfig", {**BERT, "attention_type": "original_full"}),
    "deberta-v2": (
        "DebertaV2Config",
        {
            **BERT, "relative_attention": True, "position_biased_input": False,
            "pos_att_type": ["c2p", "p2c"],
        },
    ),
    "esm": ("EsmConfig", {**BERT, "mask_token_id": 63}),
    "eurobert": ("EuroBertConfig", {**FULL, "pad_token_id": 0, "num_key_value_heads": 2}),
    "ibert": ("IBertConfig", {**BERT, "pad_token_id": 1}),
    "layoutlm": ("LayoutLMConfig", BERT),
    "mpnet": ("MPNetConfig", {**BERT, "pad_token_id": 1}),
    "rembert": ("RemBertConfig", {**BERT, "input_embedding_size": 16, "output_embedding_size": 16}),
    "modernbert": (
        "ModernBertConfig",
        {**PLAIN, "pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1,
         "eos_token_id": 2, "local_attention": 8},
    ),
}  # fmt: skip
# Decoders that normalize the stream itself.
POST_NORM = {
    "opt-350m": (
        "OPTConfig",
        {**PLAIN, "ffn_dim": 32, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    ),
    "openai-gpt": ("OpenAIGPTConfig", {**OLD, "n_head": 2}),
}  # fmt: skip
FAMILIES = (*ARGUMENTS, *POST_NORM, *ENCODERS)
PARALLEL = ("gpt_neox", "phi", "gptj", "codegen", "cohere", "cohere2", "falcon")
# Their hidden_states begin with the output of the first block.
STATE_SPACE = ("mamba", "mamba2", "falcon_mamba")
SINGLE = (*STATE_SPACE, "nemotron_h", "zamba2")
# Encoders that normalize before their branches; the others normalize the stream itself.
PRE_NORM_ENCODERS = ("modernbert", "eurobert", "esm")


def config(family: str):
    """The configuration of a tiny model of a family."""
    name, arguments = {**ARGUMENTS, **ENCODERS, **POST_NORM}[family]
    return getattr(transformers, name)(**arguments)


def hf_model(family: str = "llama", seed: int = 0):
    """A tiny model whose weights are large enough that every branch matters."""
    torch.manual_seed(seed)
    auto = transformers.AutoModel if family in ENCODERS else transformers.AutoModelForCausalLM
    model = auto.from_config(config(family))
    # A state-space scan multiplies up what rounding leaves, so its weights grow less.
    gain = 2.0 if family in SINGLE else 5.0
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.mul_(gain)
            elif "bias" in name:
                weight.normal_()
    return model.to(DEVICE).eval()


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


def tokens(ids) -> torch.Tensor:
    """Token ids as a tensor on the device of the tiny models."""
    return torch.tensor(ids, device=DEVICE)


def words(lists: list[list[int]]) -> list[str]:
    """The same texts as strings that the tokenizer turns back into those tokens."""
    return [" ".join(f"w{token}" for token in ids) for ids in lists]
