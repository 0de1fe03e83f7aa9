"""Checks of a model's files: pointers of git-lfs, broken JSON, truncated weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from transformer_dynamics.errors import ModelError

LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def check_folder(folder: Path) -> None:
    """Refuse a model's folder with a broken file.

    Raises:
        ModelError: a file is a pointer of git-lfs, not JSON, or shorter than its header states.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".safetensors", ".bin", ".gguf", ".model"):
            refuse_pointer(path)
        if path.suffix == ".safetensors":
            _check_safetensors(path)
    if (folder / "config.json").exists():
        _check_json(folder / "config.json")


def refuse_pointer(path: Path) -> None:
    """Refuse a text file that git-lfs leaves in place of a large one.

    Raises:
        ModelError: the file is such a pointer.
    """
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise ModelError(
                f"{path} is a pointer of git-lfs and not the file itself; fetch it: git lfs pull"
            )


def _check_json(path: Path) -> None:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(
            f"{path} is not valid JSON ({error}); copy the folder again, or save the model again: "
            "hf_model.save_pretrained(folder)"
        ) from error
    if not isinstance(config, Mapping):
        raise ModelError(
            f"{path} holds no configuration; allowed is a JSON object with a model_type: "
            "hf_model.config.save_pretrained(folder)"
        )


def _check_safetensors(path: Path) -> None:
    """Compare the size of the file with the size in its header."""
    size = path.stat().st_size
    broken = ModelError(
        f"{path} is not a complete safetensors file ({size} bytes); it was cut off or has another "
        "format: copy it again"
    )
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise broken
        try:
            header = json.loads(file.read(length))
            stops = [
                entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise broken from error
    if size != 8 + length + max(stops, default=0):
        raise broken
