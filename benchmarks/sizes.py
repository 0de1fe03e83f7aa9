"""Sizes of modules and functions of the package, counted from its syntax trees.

`python benchmarks/sizes.py` prints a line for each figure with its limit, names what exceeds it,
and ends with 1 where something does. The length of a function is its lines from `def` to its last
statement, docstring included.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

PACKAGE = Path(__file__).parents[1] / "src" / "transformer_dynamics"
MEDIAN_MODULE, MEDIAN_FUNCTION, LONG_FUNCTION, LONGEST_FUNCTION = 140, 11, 40, 60
MOST_ARGUMENTS = 8
MOST_MODULES = 12
# The command takes an argument for each option; the claims are one module each.
MANY_ARGUMENTS, MANY_MODULES = "cli", "claims"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> int:
    """Print the figures; 1 where one exceeds its limit."""
    modules = sorted(PACKAGE.rglob("*.py"))
    functions = [(path, function) for path in modules for function in _functions(path)]
    lengths = sorted(_length(function) for _, function in functions)
    too_long = [_named(*pair) for pair in functions if _length(pair[1]) > LONGEST_FUNCTION]
    too_many = [
        _named(path, function)
        for path, function in functions
        if _n_arguments(function) > MOST_ARGUMENTS and _folder(path) != MANY_ARGUMENTS
    ]
    full = [
        f"{folder.relative_to(PACKAGE.parent)} ({_n_modules(folder)})"
        for folder in sorted({path.parent for path in modules})
        if folder.name != MANY_MODULES and _n_modules(folder) > MOST_MODULES
    ]
    checks = [
        _at_most("median module", median(map(_n_lines, modules)), MEDIAN_MODULE),
        _at_most("median function", median(lengths), MEDIAN_FUNCTION),
        _at_most("95th percentile function", lengths[int(0.95 * len(lengths))], LONG_FUNCTION),
        _none(f"functions over {LONGEST_FUNCTION} lines", too_long),
        _none(f"functions over {MOST_ARGUMENTS} arguments outside the command", too_many),
        _none(f"folders with more than {MOST_MODULES} modules", full),
    ]
    print(f"{len(modules)} modules, {len(functions)} functions")
    return 0 if all(checks) else 1


def _functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def _length(function: Function) -> int:
    """Lines from `def` to the end, with the docstring."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _n_arguments(function: Function) -> int:
    taken = function.args
    named = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs]
    return len([argument for argument in named if argument.arg not in ("self", "cls")])


def _n_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _n_modules(folder: Path) -> int:
    return len([path for path in folder.glob("*.py") if path.name != "__init__.py"])


def _folder(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def _named(path: Path, function: Function) -> str:
    return f"{path.relative_to(PACKAGE)}:{function.lineno} {function.name}"


def _at_most(name: str, value: float, limit: int) -> bool:
    print(f"{name}: {value:g} lines (at most {limit})")
    return value <= limit


def _none(name: str, found: list[str]) -> bool:
    print(f"{name}: {len(found)}")
    for each in found:
        print(f"    {each}")
    return not found


if __name__ == "__main__":
    sys.exit(main())
