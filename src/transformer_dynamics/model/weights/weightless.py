"""A model of its configuration alone, without weights: enough to plan a recording of it.

Its tensors have shapes and no values (torch's fake tensors), so that a forward pass can be counted
and not computed. Sites are found and proved on a small copy with fresh weights: the same class and
number of layers, with a narrow stream.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.wrappers import trunk_of
from transformer_dynamics.model.hooks import evaluating, reading
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.model.model_flow_map import ModelFlowMap
from transformer_dynamics.model.weights.architectures import auto_class
from transformer_dynamics.model.weights.checkpoints import called, quiet_transformers
from transformer_dynamics.model.weights.origin import locate

# Widths of the small copy, where a configuration has them.
N_HEADS, HEAD_UNITS, UNITS, INNER_UNITS = 4, 8, 32, 64
GROUPS = "num_key_value_heads"
WIDTHS = {
    "hidden_size": UNITS,
    "word_embed_proj_dim": UNITS,
    "embedding_size": UNITS,
    "num_attention_heads": N_HEADS,
    "head_dim": HEAD_UNITS,
    "global_head_dim": HEAD_UNITS,
    "kv_channels": HEAD_UNITS,
    "rotary_dim": HEAD_UNITS // 2,
    "ffn_dim": INNER_UNITS,
    "n_inner": INNER_UNITS,
}

REFUSAL = (
    "got a model without weights, of which only a recording is planned: td.plan(model, texts, "
    "tokens_per_second=2500). Load it with weights: td.load_model(name)"
)
CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class WeightlessModel(Model):
    """A model whose tensors have shapes and no values.

    Attributes:
        mode: mode of torch in which its passes run.
        planned_device: device on which the weights would lie.
    """

    mode: Any = None
    planned_device: torch.device = CPU

    @property
    def has_weights(self) -> bool:
        """Whether the model can be run."""
        return False

    @property
    def device(self) -> torch.device:
        """Device on which the weights would lie."""
        return self.planned_device

    @property
    def placement(self) -> str:
        """Type of that device."""
        return self.planned_device.type

    @property
    def trunk(self) -> torch.nn.Module:
        """Refused: a model without weights does not run.

        Raises:
            ModelError: always.
        """
        raise ModelError(REFUSAL)

    @property
    def weight_hash(self) -> str:
        """Refused: there are no weights.

        Raises:
            ModelError: always.
        """
        raise ModelError(REFUSAL)

    def flow_map(self, text: Any, *, bos: str = "tokenizer") -> ModelFlowMap:
        """Refused: a model without weights does not run.

        Raises:
            ModelError: always.
        """
        raise ModelError(REFUSAL)

    def untrained_twin(self, seed: int = 0) -> Model:
        """Refused: a twin lies on the device of its model, which may be planned only.

        Raises:
            ModelError: always.
        """
        raise ModelError(REFUSAL)

    @contextmanager
    def passing(self) -> Iterator[Callable[[Any], Any]]:
        """Context of forward passes that compute the shapes of all tensors, and no values."""
        trunk = trunk_of(self.hf_model)
        with evaluating(self.hf_model), self.mode, _GroupedProducts():
            yield lambda ids: trunk(input_ids=torch.as_tensor(ids), use_cache=False)


class _GroupedProducts(TorchDispatchMode):
    """Shapes of the products of experts in every precision; torch's own are of bfloat16 alone."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(func) == "aten._grouped_mm.default":
            tokens, weights = args[:2]
            return tokens.new_empty((*tokens.shape[:-1], weights.shape[-1]))
        return func(*args, **(kwargs or {}))


def weightless_model(
    model: str | Path,
    device: Any,
    placement: Mapping[str, Any],
    source: Mapping[str, Any],
    *,
    tokenizer: Any = None,
    sites: Mapping[str, str] | None = None,
) -> WeightlessModel:
    """Build a model from its configuration; of a hub, only that and the tokenizer are fetched.

    Args:
        model: hub id, folder, GGUF file or the bundled model.
        device: device on which the weights would lie.
        placement: options of `from_config` for precision and attention.
        source: options of `from_pretrained` for the repository.
        tokenizer: tokenizer that replaces the model's own.
        sites: sites named by hand.

    Raises:
        ModelError: the configuration cannot be read, or a small copy of the model cannot be built
            or has no sites.
    """
    from transformers import AutoConfig, AutoTokenizer

    on = planned(device)
    folder, name, origin = locate(str(model), source["local_files_only"], source.get("revision"))
    options = {**placement, "trust_remote_code": source["trust_remote_code"]}
    mode = FakeTensorMode()
    with quiet_transformers(), torch.inference_mode(False):
        auto = auto_class(name, folder, source)
        config = called(name, AutoConfig.from_pretrained, folder, **source)
        if tokenizer is None:
            tokenizer = called(name, AutoTokenizer.from_pretrained, folder, **source)
        try:
            small = _small_copy(auto, config, options)
            findings = _findings(Model(small, tokenizer, name, given_sites=sites))
            with mode:
                built = auto.from_config(config, **options).eval()
            whole = WeightlessModel(
                built, tokenizer, name, origin, sites, mode=mode, planned_device=on
            )
            whole.adopt(findings)
            whole.adopt({"found_sites": replace(whole.found_sites, n_units=_stream_units(whole))})
        except Exception as error:  # each architecture has its own errors for sizes it cannot have
            reason = next(iter(str(error).splitlines()), "no message")[:300]
            raise ModelError(
                f"the sites of {name!r} are not found without its weights "
                f"({type(error).__name__}: {reason}); plan it with them, so that its throughput is "
                "measured: td.plan(td.load_model(name), texts), or tdyn plan without "
                "--tokens-per-second"
            ) from error
    return whole


def planned(device: Any) -> torch.device:
    """Return the device that is named, which this machine need not have.

    Raises:
        ModelError: no device has such a name.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"got device={device!r}; a device is auto, cpu, cuda, cuda:1 or mps: device='cuda'"
        ) from error


def _small_copy(auto: Any, config: Any, options: Mapping[str, Any]) -> Any:
    """Model of the same class and depth with a narrow stream and fresh weights."""
    narrow = copy.deepcopy(config)
    text = narrow.get_text_config()
    heads, groups = (getattr(text, name, None) for name in ("num_attention_heads", GROUPS))
    inner = [name for name in text.to_dict() if name.endswith("intermediate_size")]
    # Heads of latent attention have a dimension of their own, whatever the width.
    own_heads = {"head_dim"} if hasattr(text, "qk_rope_head_dim") else set()
    for name, width in {**WIDTHS, **dict.fromkeys(inner, INNER_UNITS)}.items():
        if isinstance(getattr(text, name, None), int) and name not in own_heads:
            with suppress(AttributeError):  # derived from others
                setattr(text, name, width)
    if isinstance(groups, int):
        setattr(text, GROUPS, N_HEADS if groups == heads else min(groups, N_HEADS // 2))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return auto.from_config(narrow, **{**options, "dtype": torch.float32}).eval()


def _findings(small: Model) -> dict[str, Any]:
    """Sites and context length of the small copy."""
    return {"found_sites": small.found_sites, "context_length": small.context_length}


def _stream_units(model: WeightlessModel) -> int:
    """Width of the stream, read from the shape of its first state."""
    widths: list[int] = []

    def keep(label: str, stream: torch.Tensor) -> None:
        widths.append(stream.shape[-1])

    sites = model.found_sites.sites
    with model.passing() as run, reading(trunk_of(model.hf_model), sites, keep):
        run([[1, 2]])
    return widths[0]
