"""Words of a command line from its options."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

ARGUMENTS = ("model",)


def words_of(options: Any) -> list[str]:
    """Words that give these options; those with their default are left out.

    Arguments come last, after `--`, since their text may begin with a dash.
    """
    words, arguments = [], []
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name in ARGUMENTS:
            arguments.append(str(value))
        elif field.default is MISSING or value != field.default:
            flag = f"--{field.name.replace('_', '-')}"
            words += [flag] if value is True else [flag, str(value)]
    return [*words, "--", *arguments]
