"""Read weights with transformers, and refuse weights that do not fit the model.

A loader leaves a weight without a value random and only logs it. Here all weights that the stream
depends on must be found, and none may be left over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.wrappers import trunk_of

# Weights without effect on states: the pooler reads the last state, the others are derived.
WITHOUT_EFFECT = ("pooler.", ".inv_freq", ".attn.bias", ".masked_bias", "position_ids")
SHOWN = 3


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the libraries' progress bars and log messages inside the block."""
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


def called(name: str, load: Any, *args: Any, **options: Any) -> Any:
    """Call a loader of transformers and convert its errors to one `ModelError`."""
    try:
        return load(*args, **options)
    except Exception as error:  # each file format has its own error classes
        first = next((line for line in str(error).splitlines() if line.strip()), "no message")
        raise ModelError(
            f"cannot load the model {name!r} ({type(error).__name__}: {first.strip()[:300]}). "
            "Check the spelling and the network; a folder written by save_pretrained, a .gguf "
            "file and 'smollm2-135m' need no hub"
        ) from error


def with_weights(name: str, auto: Any, folder: Any, **options: Any) -> Any:
    """Load a model with all of its weights.

    Args:
        name: name of the model, for errors.
        auto: class of transformers that loads it.
        folder: path or hub id.
        options: options of `from_pretrained`.

    Raises:
        ModelError: the model cannot be loaded, weights are missing, or weights of the trunk are
            left over.
    """
    loaded, info = called(name, auto.from_pretrained, folder, output_loading_info=True, **options)
    missing = _effective(info["missing_keys"])
    if missing:
        in_trunk = _of_trunk(loaded, missing)
        raise ModelError(
            f"the weights of {name!r} do not fit {type(loaded).__name__}: {_listed(missing)} "
            f"missing and would be random. {_remedy(in_trunk, info['unexpected_keys'])}"
        )
    unexpected = _of_trunk(loaded, _effective(info["unexpected_keys"]))
    if unexpected:
        raise ModelError(
            f"the weights of {name!r} do not fit {type(loaded).__name__}: {_listed(unexpected)} "
            "left over, so the loaded model differs from the saved one. Correct its config.json, "
            "which names fewer layers or another architecture than the weights have, or save the "
            "model again: hf_model.save_pretrained(folder)"
        )
    return loaded


def _effective(keys: Iterable[Any]) -> list[str]:
    names = sorted(str(key) for key in keys)
    return [name for name in names if not any(part in f".{name}" for part in WITHOUT_EFFECT)]


def _of_trunk(loaded: Any, names: Iterable[str]) -> list[str]:
    """Return the names that belong to the trunk, with or without its prefix."""
    trunk = trunk_of(loaded)
    prefix = f"{getattr(loaded, 'base_model_prefix', '')}."
    children = {name for name, _ in trunk.named_children()}
    inside = []
    for name in names:
        own = name.removeprefix(prefix) if prefix != "." else name
        if own != name or own.split(".")[0] in children:
            inside.append(name)
    return inside


def _listed(names: list[str]) -> str:
    rest = len(names) - SHOWN
    shown = ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
    return f"{shown} {'is' if len(names) == 1 else 'are'}"


def _remedy(in_trunk: list[str], unexpected: Iterable[Any]) -> str:
    left_over = sorted(str(key) for key in unexpected)
    if any("_orig_mod." in name for name in left_over):
        return (
            f"The saved names ({left_over[0]}, ...) belong to a compiled model; save "
            "the model inside it: compiled_model._orig_mod.save_pretrained(folder)"
        )
    if in_trunk:
        rest = f" ({_listed(left_over)} left over)" if left_over else ""
        return (
            f"They were saved from another architecture or in part{rest}; save the whole model "
            "again: hf_model.save_pretrained(folder)"
        )
    return (
        "Its head was not saved; to record it without a head: "
        "td.load_model(transformers.AutoModel.from_pretrained(folder), tokenizer=tokenizer)"
    )
