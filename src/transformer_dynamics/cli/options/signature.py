"""Commands of typer from functions of one dataclass of options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, get_args, get_type_hints

import typer

from transformer_dynamics.cli.invocation import invoke
from transformer_dynamics.cli.options.flags import PANELS

Command = Callable[..., None]


def command(function: Callable[[Any, Any], None]) -> Command:
    """Make a command of typer.

    Args:
        function: Takes `options`, annotated by a dataclass of options, and `output`.

    Returns:
        Function with one argument per option, with the name and the docstring of `function`.
    """
    kind = get_type_hints(function)["options"]

    def called(context: typer.Context, **values: Any) -> None:
        invoke(function, kind(**values), context)

    parameters = [_parameter("context", typer.Context), *parameters_of(kind)]
    called.__name__ = function.__name__
    called.__doc__ = function.__doc__
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return called


def parameters_of(kind: type) -> list[inspect.Parameter]:
    """Parameters of a command, one per option.

    The order is that of the panels of the help text; in a panel, the command's own options come
    before those that it shares.
    """
    hints = get_type_hints(kind, include_extras=True)
    declared = [_parameter(each.name, hints[each.name], each.default) for each in fields(kind)]
    return sorted(declared, key=lambda each: (_panel(each), _generality(kind, each.name)))


def _parameter(name: str, annotation: Any, default: Any = MISSING) -> inspect.Parameter:
    """Parameter by keyword; `MISSING` for no default."""
    default = inspect.Parameter.empty if default is MISSING else default
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _panel(parameter: inspect.Parameter) -> int:
    """Place of the panel of an option; arguments come first."""
    declaration = get_args(parameter.annotation)[1]
    panel = declaration.rich_help_panel
    return PANELS.index(panel) if panel in PANELS else -1


def _generality(kind: type, name: str) -> int:
    """Number of classes between a command's options and the class that declares one of them."""
    declared = (inspect.get_annotations(each) for each in kind.__mro__)
    return next(place for place, names in enumerate(declared) if name in names)
