"""A language model with its tokenizer and the sites of its residual stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.checks.context import usable_context
from transformer_dynamics.model.checks.identity import (
    active_adapters,
    foreign_hooks,
    structure_hash,
)
from transformer_dynamics.model.checks.tensors import weight_hash
from transformer_dynamics.model.checks.whole_model import require_same_states
from transformer_dynamics.model.checks.wrappers import trunk_of, unwrapped, vocabulary_size
from transformer_dynamics.model.hooks import evaluating
from transformer_dynamics.model.model_flow_map import NO_TOKENS, ModelFlowMap
from transformer_dynamics.model.named_sites import named_sites
from transformer_dynamics.model.passes.strategies import Strategy, choose_strategy
from transformer_dynamics.model.sites import Sites, find_sites
from transformer_dynamics.model.weights.twins import untrained_model
from transformer_dynamics.texts.inputs import Inputs, as_inputs


@dataclass(frozen=True, eq=False)
class Model:
    """A language model whose residual stream can be recorded.

    Attributes:
        hf_model: the Hugging Face model, unchanged.
        tokenizer: its tokenizer; None if texts are given as token ids.
        name: name in provenance and reports.
        provenance: further entries on the origin of the model.
        given_sites: sites named by hand, label to `path:port`; by default sites are found and
            proved.
        arguments: arguments with which `td.load_model` loads it in another process; None for a
            model in memory.
    """

    hf_model: Any
    tokenizer: Any
    name: str
    provenance: dict[str, Any] = field(default_factory=dict)
    given_sites: Mapping[str, str] | None = None
    arguments: Mapping[str, Any] | None = None

    @cached_property
    def found_sites(self) -> Sites:
        """Sites found and proved by a probe pass at first use, or the sites named by hand.

        Raises:
            ModelError: the residual identity does not hold, a named site does not exist, or the
                model passes other inputs than the token ids to its trunk.
        """
        if self.given_sites is not None:
            sites = named_sites(self.hf_model, self.given_sites)
        else:
            sites = find_sites(self.hf_model)
        require_same_states(self.hf_model, sites)
        return sites

    @property
    def sites(self) -> tuple[str, ...]:
        """Labels of the sites in order of depth."""
        return self.found_sites.labels

    @cached_property
    def _strategy(self) -> Strategy:
        return choose_strategy(self.hf_model, self.found_sites)

    def flow_map(self, text: Any, *, bos: str = "tokenizer") -> ModelFlowMap:
        """Return the flow map of a text's last token, which carries states over depth.

        The context, all earlier tokens, is held fixed.

        Args:
            text: one text or its token ids, in any form that `td.record` takes.
            bos: as in `td.RecordingOptions`.

        Raises:
            ModelError: the model is not causal, or its sites were named by hand.
            InputError: the text has no tokens or exceeds the model's context, or there are several
                texts.
            RecordingError: the argument is neither a text nor token ids, or the model has no
                tokenizer for a text.
        """
        if hasattr(text, "__len__") and len(text) == 0:
            raise InputError(NO_TOKENS)
        lists = self.inputs(text, bos=bos).token_lists
        if len(lists) != 1:
            raise InputError(
                f"got {len(lists)} texts; a flow map belongs to one text: "
                "flows = [model.flow_map(text) for text in texts]"
            )
        (ids,) = lists
        if self.context_length is not None and len(ids) > self.context_length:
            raise InputError(
                f"got a text of {len(ids)} tokens; the context of {self.name} holds "
                f"{self.context_length}: model.flow_map(token_ids[-{self.context_length}:])"
            )
        return ModelFlowMap(
            self.hf_model, self.found_sites, ids, strategy=self._strategy, name=self.name
        )

    def inputs(self, texts: Any, *, bos: str = "tokenizer") -> Inputs:
        """Convert texts in any form that `td.record` takes to token ids of this model.

        Args:
            texts: texts, token ids, encodings or chats.
            bos: as in `td.RecordingOptions`.

        Raises:
            RecordingError: the texts have another form.
        """
        pad = None if self.tokenizer is not None else self.hf_model.config.pad_token_id
        vocabulary = int(self.hf_model.get_input_embeddings().weight.shape[0])
        return as_inputs(texts, self.tokenizer, bos=bos, vocabulary=vocabulary, pad=pad)

    @property
    def predicts(self) -> bool:
        """Return whether the model has a head that predicts tokens."""
        return vocabulary_size(self.hf_model) is not None

    @property
    def trunk(self) -> torch.nn.Module:
        """The model without its head."""
        return trunk_of(self.hf_model)

    @contextmanager
    def passing(self) -> Iterator[Callable[[Any], Any]]:
        """Context of forward passes: a function that runs token ids `(text, position)`."""
        with evaluating(self.hf_model):
            yield lambda ids: self.trunk(
                input_ids=torch.as_tensor(ids, device=self.device), use_cache=False
            )

    @property
    def has_weights(self) -> bool:
        """Whether the model can be run, and not only planned."""
        return True

    @property
    def device(self) -> torch.device:
        """Device of the token ids: the device of the embedding, or of the whole model."""
        device_map = getattr(self.hf_model, "hf_device_map", {})
        accelerators = [name for name in device_map.values() if name not in ("disk", "cpu")]
        if accelerators:
            return torch.device(accelerators[0])
        device: torch.device = self.hf_model.device
        return torch.device("cpu") if device.type == "meta" else device

    @property
    def placement(self) -> str:
        """Types of the devices that hold the weights, such as `cuda` or `cpu+cuda`."""
        device_map = getattr(self.hf_model, "hf_device_map", {})
        kinds = {
            "disk" if name == "disk" else torch.device(name).type for name in device_map.values()
        }
        return "+".join(sorted(kinds)) or self.device.type

    @property
    def dtype(self) -> str:
        """Precision of the weights."""
        return str(self.hf_model.dtype).removeprefix("torch.")

    @property
    def attention_implementation(self) -> str:
        """Implementation of attention: sdpa, eager, flash_attention_2, ..."""
        return str(getattr(self.hf_model.config, "_attn_implementation", "unknown"))

    @cached_property
    def context_length(self) -> int | None:
        """Longest text in tokens that the configuration and the position table allow."""
        return usable_context(self.hf_model, self.found_sites.sites[0])

    @property
    def weight_hash(self) -> str:
        """SHA-256 over the current values of all tensors on all devices; computed at every call."""
        return weight_hash(self.hf_model)

    @property
    def computation(self) -> dict[str, Any]:
        """Everything that the states of a text depend on at this moment, for provenance."""
        autocast = torch.is_autocast_enabled(self.device.type)
        return {
            "architecture": type(unwrapped(self.hf_model)).__name__,
            "weights": self.weight_hash if self.has_weights else None,
            "structure": structure_hash(self.hf_model),
            "hooks": foreign_hooks(self.hf_model),
            "adapters": active_adapters(self.hf_model),
            "dtype": self.dtype,
            "autocast": str(torch.get_autocast_dtype(self.device.type)) if autocast else "off",
            "device": self.placement,
            "attention": self.attention_implementation,
        }

    @property
    def findings(self) -> dict[str, Any]:
        """Sites, strategy and context length as far as they are known, for `adopt`."""
        names = ("found_sites", "_strategy", "context_length")
        return {name: self.__dict__[name] for name in names if name in self.__dict__}

    def adopt(self, findings: Mapping[str, Any]) -> None:
        """Take over the findings of a model of the same architecture, which are not repeated."""
        self.__dict__.update(findings)

    def untrained_twin(self, seed: int = 0) -> Model:
        """Return the same architecture with freshly initialized weights.

        The caller's random state is neither read nor changed. The twin of a compiled model is not
        compiled, and the twin of an adapted model has no adapters.

        Args:
            seed: seed of the initialization.

        Raises:
            ModelError: the class of the model cannot be built from its configuration alone.
        """
        twin = untrained_model(self.hf_model, seed)
        with torch.inference_mode(False):
            twin = twin.to(self.device)
        name = f"{self.name} (untrained, seed {seed})"
        return Model(twin, self.tokenizer, name, {"untrained_seed": int(seed)}, self.given_sites)
