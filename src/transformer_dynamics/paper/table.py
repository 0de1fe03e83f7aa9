"""Table "paper reports / here / null": the numbers of the paper, ours, and those of the controls.

The number of a random walk is the mean of a few draws; untrained network and shuffled tokens are
one recording each. The control that is fair for a number is named in `fair`. The table as text
shows no NaN: a cell without a number gives the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.nulls.random_walk import random_walk
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.paper.conditions import RANDOM_WALK, SHUFFLED, SOURCE, Condition
from transformer_dynamics.paper.quantities import QUANTITIES, Quantity
from transformer_dynamics.perturbation.systems import MODEL, UNTRAINED
from transformer_dynamics.plots.backend import Drawing, Interval, Intervals
from transformer_dynamics.registry import panel
from transformer_dynamics.storage.attributes import attribute

N_WALKS = 3
NUMBERS = ("value", "low", "high")
CONTROLS = (RANDOM_WALK, SHUFFLED, UNTRAINED)
NOT_MADE = "not recorded in this run"
UNDEFINED = "not defined"
NO_FLOW = "no flow map"
ONE_TEXT = "no interval: one text"
RESAMPLES = "no interval: undefined in some resamples of the texts"
# No ratio is shown to a control whose magnitude is below this.
NEAR_ZERO = 0.1


def draw_table(result: xr.Dataset) -> list[Drawing]:
    """Draw every number relative to its fair control."""
    rows = []
    for _, row in result.groupby("row"):
        row = row.squeeze("row")
        control = float(row["control"].sel(condition=row["fair"].item()))
        ends = [float(row[name]) / control for name in NUMBERS]
        if np.isfinite(ends[0]) and abs(control) > NEAR_ZERO:
            low, high = sorted(end if np.isfinite(end) else ends[0] for end in ends[1:])
            name = f"{row['panel'].item()}: {row['quantity'].item()}"
            rows.append(Interval(name=name, value=ends[0], low=low, high=high))
    return [
        Intervals(
            title="Every number over that of its fair control, 95 % over texts",
            x_label="value over that of the control (1)",
            intervals=rows,
            caption="Numbers of the model relative to their fair control.",
            interpretation="A number at 1 equals the number of its control.",
        )
    ]


@panel(
    "paper.table",
    title="Numbers of the paper, of this run and of its controls",
    source=SOURCE,
    reports="The numbers of the text and the figures, for Llama 3.1 8B and 1000 texts.",
    draw=draw_table,
)
def paper_table(conditions: Sequence[Condition], *, n_walks: int = N_WALKS) -> xr.Dataset:
    """Compute the numbers of the paper for the model and its controls.

    Args:
        conditions: the model first, then its controls.
        n_walks: number of draws of the random walk; the table shows their mean.

    Returns:
        Along `row` the texts `panel`, `quantity`, `units`, `paper` and `fair`; `value`, `low`,
        `high`; `why`, the reason if there is no interval; `control` `(row, condition)`, the values
        of the controls. NaN without a number; `table_rows` gives the reason.

    Raises:
        InputError: the model does not come first.
    """
    if not conditions or conditions[0].name != MODEL:
        names = [condition.name for condition in conditions]
        raise InputError(
            f"got the conditions {names}; the table compares the model, which comes first: "
            "paper_table(paper_conditions(recording))"
        )
    own = np.array([quantity.measured(conditions[0], True) for quantity in QUANTITIES])
    known = {condition.name: condition for condition in conditions}
    controls = np.stack(
        [_of_walks(known, n_walks), *(_values(known.get(name)) for name in CONTROLS[1:])], axis=1
    )
    texts = {
        name: _column([getattr(each, name) for each in QUANTITIES])
        for name in ("panel", "units", "paper", "fair")
    }
    one_text = len(np.unique(conditions[0].recording.text_index)) < 2
    reason = ONE_TEXT if one_text else RESAMPLES
    has_interval = np.isfinite(own).all(axis=1)
    reasons = [
        "" if defined else each.why or reason
        for each, defined in zip(QUANTITIES, has_interval, strict=True)
    ]
    numbers = {name: ("row", column) for name, column in zip(NUMBERS, own.T, strict=True)}
    per_row = {"units": "of each row, in the variable units"}
    result = xr.Dataset(
        {
            "quantity": _column([each.name for each in QUANTITIES]),
            **texts,
            "why": _column(reasons),
            **numbers,
            "control": (("row", "condition"), controls),
        },
        coords={"condition": np.array(CONTROLS, dtype=object), "row": np.arange(len(QUANTITIES))},
        attrs={"n_walks": n_walks, "recorded": list(known)},
    )
    for name in (*numbers, "control"):
        result[name].attrs = dict(per_row)
    return result


def _column(texts: Sequence[str]) -> tuple[str, NDArray[np.object_]]:
    """Texts as a variable along `row`."""
    return "row", np.array(texts, dtype=object)


def _values(condition: Condition | None) -> Floats:
    """Quantities of a condition without their intervals, `(row)`."""
    if condition is None:
        return np.full(len(QUANTITIES), np.nan)
    return np.array([_plain(quantity, condition) for quantity in QUANTITIES])


def _plain(quantity: Quantity, condition: Condition) -> float:
    return quantity.measured(condition, False)[0]


def _of_walks(known: dict[str, Condition], n_walks: int) -> Floats:
    """Means over walks; quantities that need training are of the first walk alone."""
    if RANDOM_WALK not in known:
        return _values(None)
    first = known[RANDOM_WALK]
    draws = [_values(first)]
    for draw in range(1, n_walks):
        walk = random_walk(known[MODEL].recording, seed=first.seed + draw)
        draws.append(_without_training(Condition(RANDOM_WALK, walk, None, first.seed)))
    with np.errstate(invalid="ignore"):
        several = np.stack(draws)
        counts = np.isfinite(several).sum(axis=0)
        return np.asarray(np.nansum(several, axis=0) / np.where(counts == 0, np.nan, counts))


def _without_training(condition: Condition) -> Floats:
    return np.array(
        [
            np.nan if quantity.panel.startswith("3") else _plain(quantity, condition)
            for quantity in QUANTITIES
        ]
    )


def table_rows(result: xr.Dataset) -> list[dict[str, Any]]:
    """Format the table as text: a dictionary of cells per row, without NaN.

    Returns:
        `panel`, `quantity`, `paper`, `here` with its interval, and one cell for each control, the
        fair one named in `fair`. A cell without a number gives the reason.
    """
    recorded = set(attribute(result, "recorded"))
    rows = []
    for index in range(result.sizes["row"]):
        row = result.isel(row=index)
        controls = {name: _cell(row, name, name in recorded) for name in CONTROLS}
        rows.append(
            {
                "panel": str(row["panel"].item()),
                "quantity": f"{row['quantity'].item()} ({row['units'].item()})",
                "paper": str(row["paper"].item()),
                "here": _with_interval(row),
                "fair": str(row["fair"].item()),
                **controls,
            }
        )
    return rows


def _cell(row: xr.Dataset, name: str, is_recorded: bool) -> str:
    value = float(row["control"].sel(condition=name))
    if np.isfinite(value):
        return f"{value:.3g}"
    if not is_recorded:
        return NOT_MADE
    return NO_FLOW if row["panel"].item() == "4D" else UNDEFINED


def _with_interval(row: xr.Dataset) -> str:
    value, low, high = (float(row[name]) for name in NUMBERS)
    if not np.isfinite(value):
        return UNDEFINED
    if not np.isfinite([low, high]).all():
        return f"{value:.3g} ({row['why'].item()})"
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"
