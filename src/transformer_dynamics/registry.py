"""The one list of measures, perturbations, comparisons, nulls and claims.

The command, the report and the documentation read this list, so adding a measure, a perturbation,
a null or a claim is one module that registers itself. Built-in modules are found by walking the
packages `measures`, `perturbation`, `nulls`, `plots`, `claims` and `paper`; a module of a third
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
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.parallel import blas_threads_for
from transformer_dynamics.plots.backend import Drawing, default_drawings, variable_drawing
from transformer_dynamics.stamping import in_blocks, stamped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Draw = Callable[[xr.Dataset], list[Drawing]]

# What a null is drawn from: a recording, a flow map, step Jacobians, one layer's updates.
NullOf = Literal["recording", "flow", "jacobians", "updates"]
DIGITS = re.compile(r"(\d+)")
PLUGIN_GROUP = "transformer_dynamics.plugins"
BUILT_IN_PACKAGES = ("measures", "perturbation", "nulls", "plots", "claims", "paper")

Registered = TypeVar("Registered")
Function = TypeVar("Function", bound=Callable[..., Any])


class Registry(Generic[Registered]):
    """Named entries in natural order (C2 before C10), whatever order they came in."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._entries: dict[str, Registered] = {}

    def add(self, name: str, entry: Registered) -> None:
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

    def get(self, name: str) -> Registered:
        """The entry called `name`; an unknown name lists the known ones."""
        load_built_in()
        if name not in self._entries:
            raise KeyError(f"no {self._noun} {name!r}; there are: {', '.join(self.all())}")
        return self._entries[name]

    def all(self) -> dict[str, Registered]:
        """Every entry by name."""
        load_built_in()
        return {name: self._entries[name] for name in sorted(self._entries, key=_natural)}


@dataclass(frozen=True)
class Entry:
    """Registered function that gives a result.

    Attributes:
        name: the name in the command and the report, `family.function`.
        title: a heading for people.
        source: where the definition comes from.
        function: its subject or subjects come first; `xarray.Dataset` out.
    """

    name: str
    title: str
    source: str
    function: Callable[..., xr.Dataset]


@dataclass(frozen=True)
class Measure(Entry):
    """A registered measure: recording in.

    Attributes:
        per_sample: whether its variables along `sample` depend on that sample alone, so that their
            means can be gathered while a model runs.
        of_moments: whether the function takes moments as well.
    """

    per_sample: bool = False
    of_moments: bool = False


@dataclass(frozen=True)
class Perturbation(Entry):
    """A registered experiment with the model in the loop: systems in, a dimension `system` out.

    Attributes:
        perturbs: whether it perturbs states. A readout of unperturbed states costs little, so that
            the number of perturbed texts that a user chooses does not limit it.
    """

    perturbs: bool = True

    @property
    def n_texts(self) -> int:
        """Number of texts it follows by default."""
        return int(inspect.signature(self.function).parameters["n_texts"].default)

    def n_followed(self, n_perturbed: int | None) -> int:
        """Number of texts it follows where a user chose a number of perturbed texts, or none."""
        return n_perturbed if n_perturbed and self.perturbs else self.n_texts


@dataclass(frozen=True)
class Comparison(Entry):
    """A registered measure of two recordings."""


@dataclass(frozen=True)
class Panel(Entry):
    """A registered panel of a paper's figure: conditions in, a dimension `condition` out.

    Attributes:
        reports: what the paper reports there.
        claims: claims that test it.
        stand_ins: figures of the same quantity, for a run that did not compute the panel, the best
            one first: a claim or a result with the index of its figure, as `C4#0`.
    """

    reports: str = ""
    claims: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()


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
FIGURES: Registry[Draw] = Registry("figure")
NULLS: Registry[Null] = Registry("null")
CLAIMS: Registry[Any] = Registry("claim")


def entry_of(name: str) -> Entry:
    """Entry that made a result of this name; an unknown name lists the measures."""
    for registry in (PERTURBATIONS, COMPARISONS, PANELS):
        if name in registry.all():
            return registry.get(name)
    return MEASURES.get(name)


def result_names() -> set[str]:
    """Names of everything that gives a result."""
    return {*MEASURES.all(), *PERTURBATIONS.all(), *COMPARISONS.all(), *PANELS.all()}


def measure(
    name: str,
    *,
    title: str = "",
    source: str = "",
    draw: Draw | None = None,
    per_sample: bool = False,
    of_moments: bool = False,
) -> Callable[[Function], Function]:
    """Register a measure, `recording -> xarray.Dataset`, and stamp its results.

    The result's `attrs` receive `measure`, `title`, `source`, `parameters` (every argument but the
    recording), `version` and `recording` (the recording's own description), so that a result on
    disk says by itself how it was made.

    Args:
        name: `family.function`; the only argument that a measure needs.
        title: a heading; by default the function's name in words.
        source: where the definition comes from, as `arXiv 2502.12131`.
        draw: result in, drawings out; by default they follow from the result's dimensions.
        per_sample: see `Measure`.
        of_moments: see `Measure`.
    """

    def choose(
        function: Callable[..., xr.Dataset], recording: Any, axis: str = "depth", **_: Any
    ) -> Callable[..., xr.Dataset]:
        # A path along tokens may cross blocks; the measure reads whole texts by itself.
        if not per_sample or axis != "depth" or getattr(recording, "in_memory", True):
            return function
        return functools.partial(in_blocks, function)

    return _register(
        MEASURES,
        functools.partial(Measure, per_sample=per_sample, of_moments=of_moments),
        (name, title, source, draw),
        lambda recording: {"recording": recording.description},
        choose,
        lambda recording: blas_threads_for(recording.shape[-1]),
    )


def perturbation(
    name: str,
    *,
    title: str = "",
    source: str = "",
    draw: Draw | None = None,
    perturbs: bool = True,
) -> Callable[[Function], Function]:
    """Register an experiment with the model in the loop, `systems -> xarray.Dataset`.

    Its other arguments and its results' attrs are those of `measure`; `attrs["recording"]`
    describes the recording of the first system.

    Args:
        name: see `measure`.
        title: see `measure`.
        source: see `measure`.
        draw: see `measure`.
        perturbs: see `Perturbation`.
    """
    return _register(
        PERTURBATIONS,
        functools.partial(Perturbation, perturbs=perturbs),
        (name, title, source, draw),
        lambda systems: {"recording": systems[0].recording.description},
    )


def comparison(
    name: str, *, title: str = "", source: str = "", draw: Draw | None = None
) -> Callable[[Function], Function]:
    """Register a measure of two recordings, `(recording, other) -> xarray.Dataset`.

    Its arguments and its results' attrs are those of `measure`; `attrs["recording"]` and
    `attrs["other"]` describe the two.
    """
    return _register(
        COMPARISONS,
        Comparison,
        (name, title, source, draw),
        lambda recording, other: {"recording": recording.description, "other": other.description},
    )


def panel(
    name: str,
    *,
    title: str,
    source: str,
    reports: str,
    draw: Draw,
    claims: tuple[str, ...] = (),
    stand_ins: tuple[str, ...] = (),
) -> Callable[[Function], Function]:
    """Register a panel of a paper's figure, `conditions -> xarray.Dataset`.

    Its results' attrs are those of `measure`; `attrs["recording"]` describes the recording of the
    first condition. `reports`, `claims` and `stand_ins` are those of `Panel`.
    """
    return _register(
        PANELS,
        functools.partial(Panel, reports=reports, claims=claims, stand_ins=stand_ins),
        (name, title, source, draw),
        lambda conditions: {"recording": conditions[0].recording.description},
    )


def figure(name: str) -> Callable[[Draw], Draw]:
    """Register the drawings of every result called `name`."""

    def decorate(draw: Draw) -> Draw:
        FIGURES.add(name, draw)
        return draw

    return decorate


def _register(
    registry: Registry[Any],
    make: Callable[..., Entry],
    names: tuple[str, str, str, Draw | None],
    describe: Callable[..., dict[str, Any]],
    choose: Callable[..., Callable[..., xr.Dataset]] | None = None,
    around: Callable[..., AbstractContextManager[None]] | None = None,
) -> Callable[[Function], Function]:
    """Decorator that registers a function, with its results stamped.

    Args:
        registry: where it is entered.
        make: entry from name, title, source and stamped function.
        names: its name, title, source and drawings.
        describe: of its subjects, entries for the result's attrs.
        choose: the function to call, given the function, its subjects and its parameters.
        around: the context in which it is called, given its subjects.
    """
    name, title, source, draw = names
    title = title or name.rpartition(".")[2].replace("_", " ").capitalize()

    def decorate(function: Function) -> Function:
        wrapped = stamped(function, (name, title, source), describe, choose, around)
        registry.add(name, make(name, title, source, wrapped))
        if draw is not None:
            figure(name)(draw)
        return wrapped  # type: ignore[return-value]

    return decorate


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
    """The drawings of a result: `result.td.plot()`, `result.td.figure("cosine")`.

    The drawings registered for the result's name come first; a result without any is drawn by its
    dimensions, as is a variable that is asked for by name. A result read back from disk is drawn
    the same.
    """

    def __init__(self, result: xr.Dataset) -> None:
        self._result = result

    @property
    def drawings(self) -> list[Drawing]:
        """Every drawing of the result, the main one first.

        Raises:
            InputError: the result is a part of one, without variables that its figures need.
        """
        name = self._result.attrs.get("measure", "")
        figures = FIGURES.all()
        if name not in figures:
            return default_drawings(self._result)
        try:
            return figures[name](self._result)
        except KeyError as error:
            variables = ", ".join(map(str, self._result.data_vars)) or "none"
            raise InputError(
                f"the figures of {name} need more than this part of its result, which has the "
                f"variables {variables} ({error}); draw the whole result, or one variable: "
                f"result.td.plot({str(next(iter(self._result.data_vars), 'name'))!r})"
            ) from error

    def drawing(self, variable: str | None = None) -> Drawing:
        """The main drawing, or that of one variable by its dimensions.

        Raises:
            InputError: there is no such variable, or it has no dimension to be drawn over.
        """
        if variable is None:
            return self.drawings[0]
        return variable_drawing(self._result, variable)

    def plot(self, variable: str | None = None, *, ax: Axes | None = None) -> Axes:
        """The main drawing, or that of one variable, with matplotlib."""
        return self.drawing(variable).plot(ax)

    def figure(self, variable: str | None = None) -> Any:
        """The main drawing, or that of one variable, as an interactive plotly figure."""
        return self.drawing(variable).figure()


@functools.cache
def load_built_in() -> None:
    """Import every module of the built-in packages, and the plugins, so that they register."""
    for package in BUILT_IN_PACKAGES:
        for name in _module_names(f"transformer_dynamics.{package}"):
            importlib.import_module(name)
    for entry_point in importlib.metadata.entry_points(group=PLUGIN_GROUP):
        entry_point.load()


def _module_names(package: str) -> list[str]:
    """Modules of a package and of the packages within it, by their dotted names."""
    path: Iterable[str] = importlib.import_module(package).__path__
    return sorted(info.name for info in pkgutil.walk_packages(path, f"{package}."))


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key in which numbers within a name count as numbers."""
    return [(int(part or 0), "") if part.isdigit() else (0, part) for part in DIGITS.split(name)]


def _origin(entry: Any) -> str:
    function = getattr(entry, "function", entry)
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', '?')}"
