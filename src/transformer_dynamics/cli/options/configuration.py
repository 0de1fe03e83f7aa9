"""Configuration of a run: command line over file over preset over defaults.

A file holds options by name, `samples: 64`, with `-` or `_`. The options of the messages
(`--quiet`, `--log` and the like) do not belong to it.
"""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer
import yaml

from transformer_dynamics.cli.options.flags import OutputFlags, RunFlags
from transformer_dynamics.cli.options.presets import preset_named
from transformer_dynamics.errors import TdynError
from transformer_dynamics.storage.files import plain

COMMAND_LINE_ALONE = {field.name for field in fields(OutputFlags)} | {"config", "print_config"}
WORDS = {str: "text", int: "a whole number", bool: "true or false", Path: "a path", list: "a list"}


def allowed_keys() -> list[str]:
    """Keys of a configuration, sorted."""
    return sorted(field.name for field in fields(RunFlags) if field.name not in COMMAND_LINE_ALONE)


def resolve(defaults: RunFlags, given: Mapping[str, Any], context: typer.Context) -> RunFlags:
    """Return the options of a run.

    Args:
        defaults: Options with their defaults and the values of the command line.
        given: Options that were named on the command line, with their values.
        context: Context of the command, which checks the ranges of numbers.

    Raises:
        TdynError: an unknown preset; a file that cannot be read, with an unknown key or with a
            value of another type.
    """
    chosen = {} if defaults.config is None else read_configuration(defaults.config, context)
    chosen |= given
    preset = preset_named(chosen.get("preset", defaults.preset))
    values = {field.name: getattr(defaults, field.name) for field in fields(defaults)}
    return type(defaults)(**{**values, **preset.values, **chosen})


def configuration(flags: RunFlags) -> dict[str, Any]:
    """Resolved options of a run by name, in plain types, as YAML and `run.json` hold them."""
    values = {name: getattr(flags, name) for name in (field.name for field in fields(flags))}
    return {
        name: plain(value) if isinstance(value, os.PathLike) else value
        for name, value in values.items()
        if name not in COMMAND_LINE_ALONE
    }


def as_yaml(config: Mapping[str, Any]) -> str:
    """Write a configuration as YAML."""
    text: str = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    return text


def read_configuration(path: Path, context: typer.Context) -> dict[str, Any]:
    """Read options from a YAML file.

    Raises:
        TdynError: the file cannot be read, or holds an unknown key or a value of another type.
    """
    try:
        text = path.read_text(encoding="utf-8")
        read, repeated = yaml.safe_load(text), _repeated(yaml.compose(text, yaml.SafeLoader))
    except OSError as error:
        raise TdynError(
            f"cannot read the configuration {path}: {error.strerror}; write one with "
            f"`tdyn run --print-config > {path}`"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TdynError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict | None):
        raise TdynError(f"{path} holds {read!r:.60}; allowed is one option per line: samples: 64")
    if repeated:
        raise TdynError(f"{path} gives {', '.join(repeated)} twice; keep one line of each")
    named = {str(key).replace("-", "_"): value for key, value in (read or {}).items()}
    unknown = [key for key in named if key not in allowed_keys()]
    if unknown:
        raise TdynError(
            f"{path} names {', '.join(map(repr, unknown))}; allowed are: "
            f"{', '.join(allowed_keys())}"
        )
    return {key: _checked(path, key, value, context) for key, value in named.items()}


def _repeated(node: Any) -> list[str]:
    """Keys that a file gives more than once; YAML would keep the last."""
    pairs = getattr(node, "value", ())
    keys = [str(pair[0].value).replace("-", "_") for pair in pairs if isinstance(pair, tuple)]
    return sorted({key for key in keys if keys.count(key) > 1})


def _checked(path: Path, key: str, value: Any, context: typer.Context) -> Any:
    """Convert a value of the file to the type of its option.

    Raises:
        TdynError: a value of another type, or a number out of range.
    """
    kind, optional = _type_of(key)
    if value is None and optional:
        return None
    if kind is list and isinstance(value, str):
        return [value]
    taken = str if kind is Path else kind
    fits = isinstance(value, taken) and not (kind is int and isinstance(value, bool))
    if not fits or (kind is list and not all(isinstance(each, str) for each in value)):
        raise TdynError(
            f"{path}: {key} is {value!r:.60} of type {type(value).__name__}; allowed is "
            f"{WORDS[kind]}{' or null' if optional else ''}"
            + (f': {key}: "{value}"' if taken is str and value is not None else "")
        )
    if kind is not int:
        return kind(value)
    (parameter,) = (each for each in context.command.params if each.name == key)
    try:
        return parameter.process_value(context, value)
    except typer.BadParameter as error:
        raise TdynError(f"{path}: {key}: {error.message}") from error


def _type_of(key: str) -> tuple[type, bool]:
    """Type of an option, and whether it may be missing."""
    hint = get_type_hints(RunFlags)[key]
    kinds = get_args(hint) if get_origin(hint) in {types.UnionType, typing.Union} else (hint,)
    (kind,) = (each for each in kinds if each is not type(None))
    return get_origin(kind) or kind, len(kinds) > 1
