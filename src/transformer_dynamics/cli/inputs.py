"""Model, texts and options of a command, loaded from the values of its options.

A command names each option in its signature, where typer reads it. The functions here take the
values of the shared options from the command's context.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from transformer_dynamics.cli.progress import complaints
from transformer_dynamics.errors import TdynError, TextsError

if TYPE_CHECKING:
    from transformer_dynamics.model.language_model import Model
    from transformer_dynamics.recording.options import RecordingOptions

DEFAULT_SAMPLES = 512


def command_line() -> str:
    """Command as it was typed."""
    return shlex.join(["tdyn", *sys.argv[1:]])


def run_folder(model_name: str) -> Path:
    """Default folder of a run: `runs/NAME`."""
    return Path("runs") / (Path(model_name).name.strip(".") or "model")


def load_model_of(context: typer.Context, sites: Path | None = None) -> Model:
    """Load the model of a command.

    Args:
        context: Context of the command.
        sites: JSON file that names the sites, if there is one.

    Raises:
        TdynError: the model cannot be loaded, or the file names no sites.
    """
    from transformer_dynamics.model.loading import ModelOptions, load_model
    from transformer_dynamics.storage.files import read_json

    named = None if sites is None else read_json(sites)
    if sites is not None and not isinstance(named, dict):
        raise TdynError(
            f"{sites} holds no sites; it is a JSON object like "
            '{"0.pre_attn": "layers.0:input", "final": "layers.11:output"}'
        )
    given = context.params
    daily = {name: given[name] for name in ("device", "dtype", "revision", "offline")}
    rare = {name: given[name] for name in ("attention", "trust_remote_code")}
    with complaints.status(f"loading {given['model']}"):
        return load_model(given["model"], sites=named, **daily, options=ModelOptions(**rare))


def load_texts_of(context: typer.Context) -> Any:
    """Load the texts of a command; by default 512, or all if there are fewer."""
    from transformer_dynamics.texts import load_texts, text_arguments

    given = context.params
    source, samples = given["texts"], given["samples"]
    names = ("seed", "column", "group", "cut", "min_chars", "max_chars", "offline")
    chosen = {"revision": given["texts_revision"], **{name: given[name] for name in names}}
    choice = text_arguments(chosen)
    with complaints.status(f"loading {source}"):
        if samples is not None:
            return load_texts(source, samples, **choice)
        if source.startswith("hf://"):  # a large dataset is not read whole to count its texts
            with contextlib.suppress(TextsError):
                return load_texts(source, DEFAULT_SAMPLES, **choice)
        samples = min(DEFAULT_SAMPLES, len(load_texts(source, **choice)))
        return load_texts(source, samples, **choice)


def load_preset_texts_of(context: typer.Context, preset: str) -> tuple[Any, str]:
    """Load the texts of a preset, and a note on them; options on the command line override it.

    Raises:
        TdynError: an unknown preset.
    """
    from transformer_dynamics.paper.preset import PAPER, TEXT_OPTIONS, paper_texts

    if preset != PAPER:
        raise TdynError(
            f"there is no preset {preset!r}; there is {PAPER}: tdyn run --preset {PAPER}"
        )
    given = {
        TEXT_OPTIONS[name]: value
        for name, value in context.params.items()
        if name in TEXT_OPTIONS and _was_given(context, name)
    }
    with complaints.status("loading the texts of the paper"):
        loaded = paper_texts(given, seed=context.params["seed"])
    complaints.print(Text(loaded.note), soft_wrap=True)
    return loaded.texts, loaded.note


def recording_options_of(context: typer.Context, **others: Any) -> RecordingOptions:
    """Options of the recording of a command, and others."""
    from transformer_dynamics.recording.options import RecordingOptions

    names = ("bos", "too_long", "batch_tokens")
    return RecordingOptions(**{name: context.params[name] for name in names}, **others)


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
