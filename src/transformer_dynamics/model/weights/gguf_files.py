"""Convert GGUF files once to float32 safetensors in the cache.

Reading the packed file takes many times longer than reading the safetensors.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
from pathlib import Path

import torch

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.weights.checkpoints import called, quiet_transformers, with_weights
from transformer_dynamics.model.weights.model_files import refuse_pointer
from transformer_dynamics.storage.cache import cache_dir
from transformer_dynamics.storage.files import make_folder, remove_folder

# Part of the cached folder's name, so that an older conversion is never reused.
CONVERSION = 1


def converted(gguf: Path) -> str:
    """Return the folder with a GGUF file's weights as float32 safetensors, created at first use.

    Raises:
        ModelError: the file does not exist or is not a GGUF file.
    """
    if not gguf.is_file():
        raise ModelError(
            f"the file {gguf} does not exist; name an existing .gguf file: "
            "td.load_model('model.gguf')"
        )
    refuse_pointer(gguf)
    with gguf.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(
                f"{gguf} is not a GGUF file, which begins with the letters GGUF; copy it again"
            )
    with gguf.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    parent = cache_dir() / "models"
    folder = parent / f"{gguf.stem}-{digest[:16]}-{CONVERSION}"
    if folder.exists():
        return str(folder)
    make_folder(parent)
    partial = Path(tempfile.mkdtemp(dir=parent, prefix=".converting-"))
    try:
        _convert(gguf, partial)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.exists():  # otherwise another process has created it
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
    # The reader draws a progress bar on standard error that cannot be turned off.
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        loaded = with_weights(
            gguf.name, AutoModelForCausalLM, gguf.parent, dtype=torch.float32, **source
        )
        tokenizer = called(gguf.name, AutoTokenizer.from_pretrained, gguf.parent, **source)
        config = loaded.config
        # The weights are plain floats now; a model with a quantization entry cannot be saved.
        del config.quantization_config
        fresh = type(loaded)(config)
        fresh.load_state_dict(loaded.state_dict())
        fresh.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
