"""The house style that can be counted: sizes, first words of docstrings, words of no field."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "transformer_dynamics"
MODULES = sorted(PACKAGE.rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "docs" / "reference").glob("*.md"))
FIRST_WORDS = ("What", "Whom", "That", "Where", "How")
DIALECT = re.compile(
    r"\b(told|beside|foretold|made otherwise|so many|here and there|is their work|put elsewhere"
    r"|stands? for itself|must be freed of|apart from each other|gives? as much)\b"
)


def test_sizes_keep_their_limits(capsys):
    spec = importlib.util.spec_from_file_location("sizes", ROOT / "benchmarks" / "sizes.py")
    sizes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sizes)
    assert sizes.main() == 0, capsys.readouterr().out


def docstrings(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def test_no_summary_starts_with_a_question():
    found = [
        f"{path.relative_to(PACKAGE)}:{line} {text.splitlines()[0]}"
        for path in MODULES
        for line, text in docstrings(path)
        if text.split()[0].rstrip(",:.") in FIRST_WORDS
    ]
    assert not found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_texts_of_the_package_use_the_words_of_the_field(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    strings = [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    found = [f"{line}: {match[0]}" for line, text in strings for match in DIALECT.finditer(text)]
    assert not found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_use_the_words_of_the_field(path):
    text = path.read_text(encoding="utf-8")
    assert not [match[0] for match in DIALECT.finditer(text)]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
