"""Model, texts and options of a recording, loaded from the options of a command."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_dynamics.cli.options.flags import (
    ModelFlags,
    PerturbFlags,
    RunFlags,
    ShardFlags,
    SharedFlags,
)
from transformer_dynamics.cli.options.presets import PAPER, PRESETS, STANDARD
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.errors import TdynError, TextsError

if TYPE_CHECKING:
    from transformer_dynamics.model.language_model import Model
    from transformer_dynamics.recording.options import RecordingOptions

DEFAULT_SAMPLES = 512
# Name that chooses nothing, in place of a list of names.
NONE = "none"


def run_folder(options: PerturbFlags, model_name: str) -> Path:
    """Folder of a run, by default `runs/NAME`, or `runs/NAME-PRESET` for other texts."""
    name = Path(model_name).name.strip(".") or "model"
    if isinstance(options, RunFlags) and options.preset != STANDARD:
        name = f"{name}-{options.preset}"
    return options.out or Path("runs") / name


def names_in(given: Sequence[str] | None) -> tuple[str, ...] | None:
    """Split names at commas; `none` alone is no name, and None stands for all.

    >>> names_in(["C1,C2", "C7"]), names_in(["none"]), names_in(None)
    (('C1', 'C2', 'C7'), (), None)
    """
    if given is None:
        return None
    names = [name.strip() for each in given for name in each.split(",")]
    named = dict.fromkeys(name for name in names if name)
    return () if list(named) == [NONE] else tuple(named)


def load_model_of(options: ModelFlags, output: Output, *, weights: bool = True) -> Model:
    """Load the model of a command.

    Args:
        options: options of the command.
        output: output of the command.
        weights: whether its weights are loaded.

    Raises:
        TdynError: the model cannot be loaded, or the file of `--sites` names no sites.
    """
    from transformer_dynamics.model.loading import ModelOptions, load_model
    from transformer_dynamics.storage.files import read_json

    named = None if options.sites is None else read_json(options.sites)
    if options.sites is not None and not isinstance(named, dict):
        raise TdynError(
            f"{options.sites} holds no sites; it is a JSON object like "
            '{"0.pre_attn": "layers.0:input", "final": "layers.11:output"}'
        )
    daily = {name: getattr(options, name) for name in ("device", "dtype", "revision", "offline")}
    rare = {name: getattr(options, name) for name in ("attention", "trust_remote_code")}
    rare |= {"device_map": _device_map_of(options), "weights": weights}
    with output.stage("load_model", "models"):
        return load_model(options.model, sites=named, **daily, options=ModelOptions(**rare))


def _device_map_of(options: ModelFlags) -> Any:
    """Distribution over devices by its name, or read from a JSON file."""
    from transformer_dynamics.storage.files import read_json

    given = options.device_map
    if given is None or not given.endswith(".json"):
        return given
    read = read_json(Path(given).expanduser())
    if not isinstance(read, dict) or not read:
        raise TdynError(
            f"{given} holds no distribution over devices; it is a JSON object like "
            '{"model.embed_tokens": 0, "model.layers.0": 0, "model.norm": "cpu"}'
        )
    return read


def load_texts_of(options: SharedFlags, output: Output) -> Any:
    """Load the texts of a command; by default 512, or all if there are fewer."""
    from transformer_dynamics.texts import load_texts, text_arguments

    source, samples = options.texts, options.samples
    names = ("seed", "column", "group", "cut", "min_chars", "max_chars", "offline")
    chosen = {name: getattr(options, name) for name in names}
    choice = text_arguments({"revision": options.texts_revision, **chosen})
    with output.stage("load_texts", "texts"):
        if samples is not None:
            return load_texts(source, samples, **choice)
        if source.startswith("hf://"):  # a large dataset is not read whole to count its texts
            with contextlib.suppress(TextsError):
                return load_texts(source, DEFAULT_SAMPLES, **choice)
        samples = min(DEFAULT_SAMPLES, len(load_texts(source, **choice)))
        return load_texts(source, samples, **choice)


def load_run_texts(options: RunFlags, output: Output) -> tuple[Any, str]:
    """Load the texts of a run, and a note on them.

    The paper's preset takes bundled texts where its own cannot be loaded. Options that differ from
    the preset override it.
    """
    if options.preset != PAPER:
        return load_texts_of(options, output), ""
    from transformer_dynamics.paper.preset import TEXT_OPTIONS, paper_texts

    values = {**_defaults(), **PRESETS[PAPER].values}
    given = {
        own: getattr(options, name)
        for name, own in TEXT_OPTIONS.items()
        if getattr(options, name) != values[name]
    }
    with output.stage("load_texts", "texts"):
        loaded = paper_texts(given, seed=options.seed)
    output.note(loaded.note)
    return loaded.texts, loaded.note


def recording_options_of(options: SharedFlags) -> RecordingOptions:
    """Options of the recording of a command."""
    from transformer_dynamics.recording.options import RecordingOptions

    names = ["bos", "too_long", "batch_tokens", "storage"]
    names += ["shard_samples"] if isinstance(options, ShardFlags) else []
    # With other positions the states do not depend on the seed, and another seed finds them done.
    seed = options.seed if options.positions.startswith("random") else 0
    return RecordingOptions(**{name: getattr(options, name) for name in names}, seed=seed)


def _defaults() -> dict[str, Any]:
    """Options of a run with their defaults."""
    return vars(RunFlags())
