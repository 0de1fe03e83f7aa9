"""One variable of several recordings in the same axes: `td.plot([recording, null], …)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from transformer_dynamics.errors import InputError
from transformer_dynamics.plots.backend import (
    Drawing,
    Histogram,
    Intervals,
    Lines,
    variable_drawing,
)
from transformer_dynamics.plots.backend.captions import with_null
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXAMPLE = 'td.plot([recording, td.nulls.random_walk(recording)], "paths.kinematics", "cosine")'
INTERPRETATION = (
    "A recording differs from another, or from a null model, where their intervals do not overlap."
)


def plot(
    recordings: Recording | Sequence[Recording] | Mapping[str, Recording],
    measure: str,
    variable: str,
    *,
    ax: Axes | None = None,
    **parameters: Any,
) -> Axes:
    """Draw one variable of a measure for each recording in the same axes, with matplotlib.

    Args:
        recordings: the model's recording first, then its nulls or other recordings; the keys of a
            mapping are their names, otherwise the null, the model or the system names them.
        measure: name of a measure, as `"paths.kinematics"`; `tdyn list` prints them.
        variable: a variable of its result, as `"cosine"`.
        ax: axes to draw on; by default new ones.
        **parameters: arguments of the measure.

    Raises:
        InputError: there is no recording, the variable cannot be drawn, or it is drawn as a matrix
            or as points, which cannot share axes.
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
    """One drawing of a variable of several recordings; nulls have the dashed lines of nulls.

    Raises:
        InputError: see `plot`.
    """
    function = MEASURES.get(measure).function
    drawings = {
        name: variable_drawing(function(recording, **parameters), variable)
        for name, recording in recordings.items()
    }
    first = next(iter(drawings.values()))
    nulls = [name for name in list(recordings)[1:] if "null" in recordings[name].provenance]
    for kind, part in ((Lines, "series"), (Histogram, "groups"), (Intervals, "intervals")):
        if all(isinstance(drawing, kind) for drawing in drawings.values()):
            rows = []
            for name, drawing in drawings.items():
                named = [replace(row, name=f"{name}: {row.name}") for row in getattr(drawing, part)]
                # Points by kind of step are shown once; a null's would hide its line.
                shown = [row for row in named if row.role != "detail" or drawing is first]
                rows += [replace(row, role="null") for row in shown] if name in nulls else shown
            return replace(
                first,  # type: ignore[type-var]
                caption=with_null(first.caption, ", ".join(nulls)),
                interpretation=INTERPRETATION,
                **{part: rows},
            )
    raise InputError(
        f"got variable={variable!r} of {measure}, which is drawn as {type(first).__name__.lower()} "
        "and cannot share axes; draw each recording in its own: "
        f"td.{measure}(recording).td.plot({variable!r})"
    )


def recording_name(provenance: Mapping[str, Any]) -> str:
    """Name of a recording in a figure: its model or system, and its null if it is one.

    >>> recording_name({"system": "spiral", "null": "random_walk"})
    'spiral, random walk'
    """
    system = str(provenance.get("system", "a recording")).replace("_", " ")
    name = str(provenance.get("model", system))
    null = str(provenance.get("null", "")).replace("_", " ")
    return f"{name}, {null}" if null else name


def _named(
    recordings: Recording | Sequence[Recording] | Mapping[str, Recording],
) -> dict[str, Recording]:
    """Recordings by name; of equal names the second and later ones are numbered."""
    if isinstance(recordings, Recording):
        recordings = [recordings]
    listed: Any = recordings if isinstance(recordings, Iterable) else [recordings]
    values = list(listed.values() if isinstance(listed, Mapping) else listed)
    others = [type(value).__name__ for value in values if not isinstance(value, Recording)]
    if others or not values:
        raise InputError(
            f"got {others[0] if others else 'no recording'} to draw; give a recording, or several "
            f"in a list or by name: {EXAMPLE}"
        )
    if isinstance(recordings, Mapping):
        return {str(name): recording for name, recording in recordings.items()}
    named: dict[str, Recording] = {}
    for recording in values:
        null = str(recording.provenance.get("null", "")).replace("_", " ")
        name = null or recording_name(recording.provenance)
        count = sum(known.partition(" #")[0] == name for known in named)
        named[f"{name} #{count + 1}" if count else name] = recording
    return named
