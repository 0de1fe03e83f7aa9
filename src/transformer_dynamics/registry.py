"""The one list of measures, perturbations, comparisons, nulls and claims.

The command, the report and the documentation read this list, so adding a measure, a perturbation,
a null or a claim is one module that registers itself. Built-in modules are found by walking the
packages `units`, `population`, `perturbation`, `nulls`, `claims` and `paper`; a module of a third
party is found through the entry point group `transformer_dynamics.plugins` (its value names a
module; importing it registers).
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import xarray as xr

import transformer_dynamics
from transformer_dynamics.attributes import storable
from transformer_dynamics.errors import UndefinedWarning

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from transformer_dynamics.drawing import Drawing

# What a null is drawn from: a recording, a flow map, step Jacobians, one layer's updates.
NullOf = Literal["recording", "flow", "jacobians", "updates"]
DIGITS = re.compile(r"(\d+)")
PLUGIN_GROUP = "transformer_dynamics.plugins"
BUILT_IN_PACKAGES = ("units", "population", "perturbation", "nulls", "claims", "paper")

Entry = TypeVar("Entry")
Function = TypeVar("Function", bound=Callable[..., Any])


class Registry(Generic[Entry]):
    """Named entries in natural order (C2 before C10), whatever order they came in."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._entries: dict[str, Entry] = {}

    def add(self, name: str, entry: Entry) -> None:
        """Register `entry`; the same name may come again only from the same definition."""
        known = self._entries.get(name)
        if known is not None and _origin(known) != _origin(entry):
            raise ValueError(
                f"the {self._noun} {name!r} is registered already by {_origin(known)}; "
                f"give the one in {_origin(entry)} another name"
            )
        self._entries[name] = entry

    def remove(self, name: str) -> None:
        """Take `name` out again, as a test does that registered it."""
        del self._entries[name]

    def get(self, name: str) -> Entry:
        """The entry called `name`; an unknown name lists the known ones."""
        load_built_in()
        if name not in self._entries:
            raise KeyError(f"no {self._noun} {name!r}; there are: {', '.join(self.all())}")
        return self._entries[name]

    def all(self) -> dict[str, Entry]:
        """Every entry by name."""
        load_built_in()
        return {name: self._entries[name] for name in sorted(self._entries, key=_natural)}


@dataclass(frozen=True)
class Drawable:
    """Registered function whose result can be drawn.

    Attributes:
        name: the name in the command and the report, `package.function`.
        title: a heading for people.
        source: where the definition comes from.
        function: what it is done to comes first; `xarray.Dataset` out.
        draw: result in, drawings out.
    """

    name: str
    title: str
    source: str
    function: Callable[..., xr.Dataset]
    draw: Callable[[xr.Dataset], list[Drawing]]


@dataclass(frozen=True)
class Measure(Drawable):
    """A registered measure: recording in.

    Attributes:
        per_sample: whether its variables along `sample` depend on that sample alone, so that their
            means can be gathered while a model runs.
        of_moments: whether the function takes moments as well.
    """

    per_sample: bool = False
    of_moments: bool = False


@dataclass(frozen=True)
class Perturbation(Drawable):
    """A registered experiment with the model in the loop: systems in, a dimension `system` out."""

    @property
    def n_texts(self) -> int:
        """Number of texts it follows by default."""
        return int(inspect.signature(self.function).parameters["n_texts"].default)


@dataclass(frozen=True)
class Comparison(Drawable):
    """A registered measure of two recordings."""


@dataclass(frozen=True)
class Panel(Drawable):
    """A registered panel of a paper's figure: conditions in, a dimension `condition` out.

    Attributes:
        reports: what the paper reports there.
    """

    reports: str = ""


@dataclass(frozen=True)
class Null:
    """A registered null: from a recording to one of the same shape, or from a flow map to another.

    Attributes:
        name: the name in claims and figures.
        keeps: what of the recording it leaves as it is.
        destroys: what it takes away.
        function: `(recording, seed=0) -> recording`, or the same of what it is drawn from.
        needs_model: whether a model must be run to draw it.
        of: what it is drawn from.
    """

    name: str
    keeps: str
    destroys: str
    function: Callable[..., Any]
    needs_model: bool = False
    of: NullOf = "recording"


MEASURES: Registry[Measure] = Registry("measure")
PERTURBATIONS: Registry[Perturbation] = Registry("perturbation")
COMPARISONS: Registry[Comparison] = Registry("comparison")
PANELS: Registry[Panel] = Registry("panel")
NULLS: Registry[Null] = Registry("null")
CLAIMS: Registry[Any] = Registry("claim")


def drawn_by(name: str) -> Drawable:
    """Entry that made a result of this name; an unknown name lists the measures."""
    for registry in (PERTURBATIONS, COMPARISONS, PANELS):
        if name in registry.all():
            return registry.get(name)
    return MEASURES.get(name)


def drawable_names() -> set[str]:
    """Names of everything that gives a result."""
    return {*MEASURES.all(), *PERTURBATIONS.all(), *COMPARISONS.all(), *PANELS.all()}


def measure(
    name: str,
    *,
    title: str,
    source: str,
    draw: Callable[[xr.Dataset], list[Drawing]],
    per_sample: bool = False,
    of_moments: bool = False,
) -> Callable[[Function], Function]:
    """Register a measure and stamp what it returns.

    The result's `attrs` receive `measure`, `title`, `source`, `parameters` (every argument but the
    recording), `version` and `recording` (the recording's own description), so that a result on
    disk says by itself what it is.
    """

    def decorate(function: Function) -> Function:
        def choose(recording: Any, axis: str = "depth", **_: Any) -> Callable[..., xr.Dataset]:
            # A path along tokens may cross blocks; the measure reads whole texts by itself.
            if not per_sample or axis != "depth" or getattr(recording, "in_memory", True):
                return function
            return functools.partial(_in_blocks, function)

        def describe(recording: Any) -> dict[str, Any]:
            return {"recording": recording.description}

        stamped = _stamped(function, (name, title, source), describe, choose)
        MEASURES.add(name, Measure(name, title, source, stamped, draw, per_sample, of_moments))
        return stamped  # type: ignore[return-value]

    return decorate


def perturbation(
    name: str, *, title: str, source: str, draw: Callable[[xr.Dataset], list[Drawing]]
) -> Callable[[Function], Function]:
    """Register an experiment with the model in the loop; its results are stamped as a measure's.

    `attrs["recording"]` describes the recording of the first system.
    """

    def decorate(function: Function) -> Function:
        def describe(systems: Any) -> dict[str, Any]:
            return {"recording": systems[0].recording.description}

        stamped = _stamped(function, (name, title, source), describe)
        PERTURBATIONS.add(name, Perturbation(name, title, source, stamped, draw))
        return stamped  # type: ignore[return-value]

    return decorate


def comparison(
    name: str, *, title: str, source: str, draw: Callable[[xr.Dataset], list[Drawing]]
) -> Callable[[Function], Function]:
    """Register a measure of two recordings; its results are stamped as a measure's.

    `attrs["recording"]` and `attrs["other"]` describe the two.
    """

    def decorate(function: Function) -> Function:
        def describe(recording: Any, other: Any) -> dict[str, Any]:
            return {"recording": recording.description, "other": other.description}

        stamped = _stamped(function, (name, title, source), describe)
        COMPARISONS.add(name, Comparison(name, title, source, stamped, draw))
        return stamped  # type: ignore[return-value]

    return decorate


def panel(
    name: str,
    *,
    title: str,
    source: str,
    reports: str,
    draw: Callable[[xr.Dataset], list[Drawing]],
) -> Callable[[Function], Function]:
    """Register a panel of a paper's figure; its results are stamped as a measure's.

    `attrs["recording"]` describes the recording of the first condition.
    """

    def decorate(function: Function) -> Function:
        def describe(conditions: Any) -> dict[str, Any]:
            return {"recording": conditions[0].recording.description}

        stamped = _stamped(function, (name, title, source), describe)
        PANELS.add(name, Panel(name, title, source, stamped, draw, reports))
        return stamped  # type: ignore[return-value]

    return decorate


def _stamped(
    function: Callable[..., xr.Dataset],
    names: tuple[str, str, str],
    describe: Callable[..., dict[str, Any]],
    choose: Callable[..., Callable[..., xr.Dataset]] | None = None,
) -> Callable[..., xr.Dataset]:
    """The function, whose results say by themselves what they are.

    Args:
        function: what it is done to comes first.
        names: its name, title and source.
        describe: of what it is done to, entries for the result's attrs.
        choose: what is called instead, by what it is done to and the parameters.
    """
    signature = inspect.signature(function)
    n_subjects = len(inspect.signature(describe).parameters)

    @functools.wraps(function)
    def stamped(*args: Any, **kwargs: Any) -> xr.Dataset:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = list(bound.arguments.items())
        subjects = [value for _, value in values[:n_subjects]]
        parameters = dict(values[n_subjects:])
        parameters.pop("on_progress", None)
        called = function if choose is None else choose(*subjects, **parameters)
        result = called(*args, **kwargs)
        name, title, source = names
        stamp = {
            "measure": name,
            "title": title,
            "source": source,
            "parameters": {key: _plain(value) for key, value in parameters.items()},
            "version": transformer_dynamics.__version__,
            **describe(*subjects),
        }
        return storable(result.assign_attrs(stamp))

    return stamped


def _in_blocks(
    function: Callable[..., xr.Dataset], recording: Any, *args: Any, **kwargs: Any
) -> xr.Dataset:
    """A per-sample measure of a recording on disk: some samples at a time, then joined."""
    pieces: list[xr.Dataset] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UndefinedWarning)
        for block in recording.sample_blocks():
            pieces.append(function(block, *args, **kwargs))
            del block
    if caught:
        warnings.warn(
            f"in {len(caught)} of {len(pieces)} blocks of samples, the first of which says: "
            f"{caught[0].message}",
            UndefinedWarning,
            stacklevel=3,
        )
    return xr.concat(pieces, "sample", data_vars="minimal", coords="minimal", compat="override")


def null(
    name: str,
    *,
    keeps: str,
    destroys: str,
    needs_model: bool = False,
    of: NullOf = "recording",
) -> Callable[[Function], Function]:
    """Register a null."""

    def decorate(function: Function) -> Function:
        NULLS.add(name, Null(name, keeps, destroys, function, needs_model, of))
        return function

    return decorate


@xr.register_dataset_accessor("td")
class Drawn:
    """The drawings of a measure's result: `result.td.plot()`, `result.td.figure()`.

    The measure is found by the name in the result's attrs, so that a result read back from disk
    can be drawn as well.
    """

    def __init__(self, result: xr.Dataset) -> None:
        self._result = result

    @property
    def drawings(self) -> list[Drawing]:
        """Every drawing that the measure makes of its result, the main one first."""
        return drawn_by(self._result.attrs["measure"]).draw(self._result)

    def plot(self, ax: Axes | None = None) -> Axes:
        """The main drawing, with matplotlib."""
        return self.drawings[0].plot(ax)

    def figure(self) -> Any:
        """The main drawing, as an interactive plotly figure."""
        return self.drawings[0].figure()


@functools.cache
def load_built_in() -> None:
    """Import every module of the built-in packages, and the plugins, so that they register."""
    for package in BUILT_IN_PACKAGES:
        module = importlib.import_module(f"transformer_dynamics.{package}")
        for name in _module_names(module.__path__):
            importlib.import_module(f"{module.__name__}.{name}")
    for entry_point in importlib.metadata.entry_points(group=PLUGIN_GROUP):
        entry_point.load()


def _module_names(path: Iterable[str]) -> list[str]:
    return sorted(info.name for info in pkgutil.iter_modules(path))


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key in which numbers within a name count as numbers."""
    return [(int(part or 0), "") if part.isdigit() else (0, part) for part in DIGITS.split(name)]


def _origin(entry: Any) -> str:
    function = getattr(entry, "function", entry)
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', '?')}"


def _plain(value: Any) -> Any:
    """A value as attrs can hold it."""
    if isinstance(value, str | int | float | bool | type(None)):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)
