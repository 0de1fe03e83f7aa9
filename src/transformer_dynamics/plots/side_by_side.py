"""One variable of several recordings in the same axes: `td.plot([recording, null], …)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from transformer_dynamics.errors import InputError
from transformer_dynamics.plots.backend import (
    Drawing,
    Histogram,
    Intervals,
    Lines,
    Role,
    variable_drawing,
)
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot(
    recordings: Recording | Sequence[Recording] | Mapping[str, Recording],
    measure: str,
    variable: str,
    *,
    ax: Axes | None = None,
    **parameters: Any,
) -> Axes:
    """One variable of a measure on each recording, drawn in the same axes with matplotlib.

    Args:
        recordings: the model's recording first, then its nulls or other recordings; a mapping
            gives them names, otherwise they are called by their kind.
        measure: name of a measure, as `"paths.kinematics"`; `tdyn list` prints them.
        variable: a variable of its result, as `"cosine"`.
        ax: the axes to draw on; by default new ones.
        **parameters: passed on to the measure.

    Raises:
        InputError: no recording came, or the variable is drawn as a matrix or as paths, which
            cannot share axes.
        KeyError: there is no such measure.

    >>> from transformer_dynamics import nulls, synthetic
    >>> recording = synthetic.spiral(n_samples=4)
    >>> axes = plot([recording, nulls.random_walk(recording)], "paths.kinematics", "speed")
    >>> axes.get_ylabel()
    'speed (stream units per step)'
    """
    return together(_named(recordings), measure, variable, parameters).plot(ax)


def together(
    recordings: Mapping[str, Recording], measure: str, variable: str, parameters: Mapping[str, Any]
) -> Drawing:
    """One drawing of a variable on several recordings, the first in the color of the model.

    Raises:
        InputError: see `plot`.
    """
    function = MEASURES.get(measure).function
    drawings = {
        name: variable_drawing(function(recording, **parameters), variable)
        for name, recording in recordings.items()
    }
    first = next(iter(drawings.values()))
    for kind, part in ((Lines, "series"), (Histogram, "groups"), (Intervals, "intervals")):
        if all(isinstance(drawing, kind) for drawing in drawings.values()):
            parts = [
                replace(row, name=f"{name}: {row.name}", role=_role(name, row.role, drawings))
                for name, drawing in drawings.items()
                for row in getattr(drawing, part)
            ]
            return replace(first, **{part: parts})  # type: ignore[type-var]
    raise InputError(
        f"got variable={variable!r} of {measure}, which is drawn as {type(first).__name__.lower()} "
        "and cannot share axes; draw each alone: result.td.plot("
        f"{variable!r}, ax=axes)"
    )


def _role(name: str, role: Role, drawings: Mapping[str, Drawing]) -> Role:
    return role if name == next(iter(drawings)) else "null"


def _named(
    recordings: Recording | Sequence[Recording] | Mapping[str, Recording],
) -> dict[str, Recording]:
    """Recordings by name: their null, or else the kind of system they come from."""
    if isinstance(recordings, Recording):
        recordings = [recordings]
    if isinstance(recordings, Mapping):
        named = dict(recordings)
    else:
        named = {}
        for index, recording in enumerate(recordings):
            name = str(recording.description.get("null") or recording.description["kind"])
            named[name if name not in named else f"{name} {index + 1}"] = recording
    if not named:
        raise InputError(
            "got no recording to draw; give one or several: "
            'td.plot([recording, td.nulls.random_walk(recording)], "paths.kinematics", "cosine")'
        )
    return named
