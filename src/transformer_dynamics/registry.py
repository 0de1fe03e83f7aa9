"""The one list of measures, perturbations, nulls and claims.

The command, the report and the documentation read this list, so adding a measure, a perturbation,
a null or a claim is one module that registers itself. Built-in modules are found by walking the
packages `units`, `population`, `perturbation`, `nulls` and `claims`; a third party's module is
found through the entry point group `transformer_dynamics.plugins` (its value names a module;
importing it registers).
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
from transformer_dynamics.errors import UndefinedWarning

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from transformer_dynamics.drawing import Drawing

# What a null is drawn from: a recording, a flow map, step Jacobians, one layer's updates.
NullOf = Literal["recording", "flow", "jacobians", "updates"]
DIGITS = re.compile(r"(\d+)")
PLUGIN_GROUP = "transformer_dynamics.plugins"
BUILT_IN_PACKAGES = ("units", "population", "perturbation", "nulls", "claims")

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
class Measure:
    """A registered measure.

    Attributes:
        name: the name in the command and the report, `package.function`.
        title: a heading for people.
        source: where the definition comes from.
        function: recording in, `xarray.Dataset` out.
        draw: result in, drawings out.
        per_sample: whether its variables along `sample` depend on that sample alone, so that their
            means can be gathered while a model runs.
        of_moments: whether the function takes moments as well.
    """

    name: str
    title: str
    source: str
    function: Callable[..., xr.Dataset]
    draw: Callable[[xr.Dataset], list[Drawing]]
    per_sample: bool = False
    of_moments: bool = False


@dataclass(frozen=True)
class Perturbation:
    """A registered experiment with the model in the loop.

    Attributes:
        name: the name in the command and the report, `perturbation.function`.
        title: a heading for people.
        source: where the definition comes from.
        function: systems in, `xarray.Dataset` with a dimension `system` out.
        draw: result in, drawings out.
    """

    name: str
    title: str
    source: str
    function: Callable[..., xr.Dataset]
    draw: Callable[[xr.Dataset], list[Drawing]]

    @property
    def n_texts(self) -> int:
        """How many texts it follows by default."""
        return int(inspect.signature(self.function).parameters["n_texts"].default)


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
NULLS: Registry[Null] = Registry("null")
CLAIMS: Registry[Any] = Registry("claim")


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
        signature = inspect.signature(function)

        @functools.wraps(function)
        def stamped(recording: Any, *args: Any, **kwargs: Any) -> xr.Dataset:
            bound = signature.bind(recording, *args, **kwargs)
            bound.apply_defaults()
            _, *parameters = bound.arguments.items()
            if per_sample and not getattr(recording, "in_memory", True):
                result = _in_blocks(function, recording, args, kwargs)
            else:
                result = function(recording, *args, **kwargs)
            stamp = _stamp(name, title, source, parameters)
            return result.assign_attrs(**stamp, recording=recording.description)

        MEASURES.add(name, Measure(name, title, source, stamped, draw, per_sample, of_moments))
        return stamped  # type: ignore[return-value]

    return decorate


def perturbation(
    name: str, *, title: str, source: str, draw: Callable[[xr.Dataset], list[Drawing]]
) -> Callable[[Function], Function]:
    """Register an experiment with the model in the loop; its results are stamped as a measure's.

    `attrs["recording"]` describes the recording of the first stack.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def stamped(systems: Any, *args: Any, **kwargs: Any) -> xr.Dataset:
            bound = signature.bind(systems, *args, **kwargs)
            bound.apply_defaults()
            _, *parameters = bound.arguments.items()
            told = [item for item in parameters if item[0] != "on_progress"]
            result: xr.Dataset = function(systems, *args, **kwargs)
            stamp = _stamp(name, title, source, told)
            return result.assign_attrs(**stamp, recording=systems[0].recording.description)

        PERTURBATIONS.add(name, Perturbation(name, title, source, stamped, draw))
        return stamped  # type: ignore[return-value]

    return decorate


def _stamp(
    name: str, title: str, source: str, parameters: Iterable[tuple[str, Any]]
) -> dict[str, Any]:
    """What says by itself what a result is."""
    return {
        "measure": name,
        "title": title,
        "source": source,
        "parameters": {key: _plain(value) for key, value in parameters},
        "version": transformer_dynamics.__version__,
    }


def _in_blocks(
    function: Callable[..., xr.Dataset], recording: Any, args: Any, kwargs: Any
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
        name = self._result.attrs["measure"]
        known = PERTURBATIONS if name in PERTURBATIONS.all() else MEASURES
        return known.get(name).draw(self._result)

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
