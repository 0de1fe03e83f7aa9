"""Configuration of the documentation, and the lists that are made from the registry."""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import transformer_dynamics
from transformer_dynamics.cli import main as cli
from transformer_dynamics.cli.options.presets import PRESETS
from transformer_dynamics.registry import CLAIMS, COMPARISONS, MEASURES, NULLS, PERTURBATIONS

DOCS = Path(__file__).parent
GENERATED = DOCS / "_generated"
# Pages of measures and perturbations: what the registry knows, and a part written by hand.
PAGES = "pages"
PERTURBATION = "transformer_dynamics.perturbation"

project = "transformer-dynamics"
author = "The transformer-dynamics authors"
project_copyright = author
release = version = transformer_dynamics.__version__

# Examples show what they print, warnings too; a warning's file and line would be this machine's.
warnings.formatwarning = lambda message, category, *_: f"{category.__name__}: {message}\n"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "myst_nb",
    "sphinx.ext.mathjax",
]
exclude_patterns = [
    "_build",
    "_generated",
    "examples",
    "gallery/*.ipynb",
    "calibration/*",
    "measures/*",
    "nulls/*",
    "claims/*",
]
# Docstrings of the package put code in single backticks, as Markdown does.
default_role = "code"

html_theme = "pydata_sphinx_theme"
html_title = f"{project} {version}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["style.css"]
# Pages of one level have nothing to navigate on the left; examples need the width.
html_sidebars = {
    name: []
    for name in (
        *("index", "getting_started", "concepts", "extending", "limits", "gallery_of_findings"),
        "gallery/*",
    )
}
html_theme_options = {
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    "navbar_persistent": ["search-button"],
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 120
toc_object_entries_show_parents = "hide"

myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "auto"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_output_stderr = "remove"
nb_execution_timeout = 600

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": (),
    "show_signature": False,
    "download_all_examples": False,
    "write_computation_times": False,
    "abort_on_example_error": True,
}


def measures_page() -> str:
    """Measures by family, each with its page."""
    entries = [*MEASURES.all().values(), *COMPARISONS.all().values()]
    families: dict[str, list[Any]] = {}
    for entry in entries:
        families.setdefault(entry.name.partition(".")[0], []).append(entry)
    parts = []
    for family, members in families.items():
        package = importlib.import_module(f"transformer_dynamics.measures.{family}")
        about = inspect.getdoc(package)
        parts += [f"## td.{family}", escape(about or ""), entry_table("measure", members)]
    return "\n\n".join([*parts, toctree(entries)])


def perturbations_page() -> str:
    """Perturbations, each with its page."""
    entries = list(PERTURBATIONS.all().values())
    return "\n\n".join([entry_table("perturbation", entries), toctree(entries)])


def entry_table(noun: str, entries: Iterable[Any]) -> str:
    """One row per entry, leading to its page."""
    rows = [
        (f"[`{entry.name}`](../{PAGES}/{entry.name}.md)", entry.title, entry.source)
        for entry in entries
    ]
    return table((noun, "title", "source"), rows)


def toctree(entries: Iterable[Any]) -> str:
    """The pages of entries, in the navigation."""
    lines = "\n".join(f"../{PAGES}/{entry.name}" for entry in entries)
    return f"```{{toctree}}\n:hidden:\n\n{lines}\n```"


def entry_page(entry: Any) -> str:
    """The page of one entry: facts from the registry, then the part by hand."""
    function = entry.function
    package = function.__module__.rpartition(".")[0]
    is_measure = package.startswith("transformer_dynamics.measures")
    call = entry.name if is_measure else f"perturbation.{function.__name__}"
    target = f"{package if is_measure else PERTURBATION}.{function.__name__}"
    first, _, _ = (inspect.getdoc(function) or "").partition("\n")
    parameters = [
        f"{name}={parameter.default!r}"
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not inspect.Parameter.empty and name != "on_progress"
    ]
    facts = [
        f"- **Call**: {{py:func}}`td.{call} <{target}>`",
        f"- **Defaults**: `{', '.join(parameters)}`" if parameters else "",
        f"- **Source**: {escape(entry.source)}" if entry.source else "",
    ]
    parts = [f"# {escape(entry.title)}", escape(first), "\n".join(fact for fact in facts if fact)]
    return "\n\n".join([*parts, by_hand("measures", entry.name)])


def by_hand(kind: str, name: str) -> str:
    """The hand-written part of an entry, its headings one level lower where it is not a page."""
    path = DOCS / kind / f"{name}.md"
    text = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    return text if kind == "measures" else re.sub(r"^## ", "### ", text, flags=re.MULTILINE)


DRAWN_FROM = {
    "recording": "a recording",
    "flow": "a flow map",
    "jacobians": "Jacobians of steps",
    "updates": "updates of a layer",
}


def nulls_page() -> str:
    """One row per null."""
    rows = [
        (
            link(entry),
            entry.keeps,
            entry.destroys,
            DRAWN_FROM[entry.of] + (" and a model" if entry.needs_model else ""),
        )
        for entry in NULLS.all().values()
    ]
    parts = [table(("null", "keeps", "destroys", "drawn from"), rows)]
    for name in NULLS.all():
        text = by_hand("nulls", name)
        parts += [f"## {name}", text] if text else []
    return "\n\n".join(parts)


def claims_page() -> str:
    """Claims one after the other, with all that decides their verdict."""
    known = NULLS.all()
    parts = []
    for claim in CLAIMS.all().values():
        side = "above" if claim.direction == "greater" else "below"
        facts = {
            "statistic": escape(claim.statistic),
            "holds": f"{side} {claim.threshold:g}",
            "and": "; ".join(
                f"{escape(each.name)} {each.direction} than {each.threshold:.3g}"
                for each in claim.conditions
            ),
            "must exceed": "; ".join(
                f"{link(known[name])}: {escape(why)}" for name, why in claim.nulls.items()
            ),
            "shown only": "; ".join(
                [f"{link(known[name])}: {escape(why)}" for name, why in claim.shown.items()]
                + [f"`{name}`: {escape(own.reason)}" for name, own in claim.own_nulls.items()]
            ),
            "source": escape(claim.source),
            "cannot tell": escape(claim.caveat),
        }
        lines = [f"- **{name}**: {text}" for name, text in facts.items() if text]
        parts += [f"## {claim.id}: {escape(claim.statement.rstrip('.'))}", "\n".join(lines)]
        parts.append(by_hand("claims", claim.id))
    return "\n\n".join(parts)


def commands_page() -> str:
    """One row per command."""
    rows = []
    groups = [("", cli.app)]
    groups += [(f"{each.name} ", each.typer_instance) for each in cli.app.registered_groups]
    for group, app in groups:
        for command in app.registered_commands if app is not None else ():
            callback = command.callback
            if callback is not None:
                name = command.name or callback.__name__
                rows.append((f"`tdyn {group}{name}`", inspect.getdoc(callback) or ""))
    return table(("command", "does"), rows)


def presets_page() -> str:
    """One row per preset."""
    rows = [
        (
            f"`{each.name}`",
            each.does,
            f"`{each.command}`" if each.command else "",
            each.cost or "not measured",
        )
        for each in PRESETS.values()
    ]
    return table(("preset", "a run with it", "options", "cost"), rows)


def statuses_page() -> str:
    """One row per exit status."""
    rows = [(str(status), meaning) for status, meaning in cli.EXIT_STATUSES.items()]
    return table(("status", "meaning"), rows)


def escape(text: str) -> str:
    """Plain text as Markdown; what stands in backticks is code already."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(
        piece if place % 2 else re.sub(r"([\\*_<>\[\]|$#])", r"\\\1", piece)
        for place, piece in enumerate(pieces)
    )


def link(entry: Any) -> str:
    """A null's name, leading to its function in the reference."""
    return f"{{py:func}}`{entry.name} <transformer_dynamics.nulls.{entry.function.__name__}>`"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; cells are plain text, but for what is code or a link."""
    lines = [list(head)]
    lines.append(["---"] * len(lines[0]))
    lines += [[_cell(text) for text in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\|", escape(" ".join(text.split())))


LISTS: dict[str, Callable[[], str]] = {
    "measures": measures_page,
    "perturbations": perturbations_page,
    "nulls": nulls_page,
    "claims": claims_page,
    "commands": commands_page,
    "presets": presets_page,
    "statuses": statuses_page,
}


def write_pages(*_: Any) -> None:
    """Write the lists and the pages; those that have not changed are left alone."""
    texts = {GENERATED / f"{name}.md": page() for name, page in LISTS.items()}
    for registry in (MEASURES, COMPARISONS, PERTURBATIONS):
        for name, entry in registry.all().items():
            texts[DOCS / PAGES / f"{name}.md"] = entry_page(entry)
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text + "\n":
            path.write_text(text + "\n", encoding="utf-8")


def as_restructured_text(_app: Any, what: str, _name: str, _of: Any, _opt: Any, lines: Any) -> None:
    """Keep |x| a norm and `factor`^s a power, which reStructuredText would misread.

    A property's first line may hold a colon; only that of an empty line is not taken for a type.
    """
    for place, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...")):
            continue
        pieces = re.split(r"(`[^`]*`)", line)
        pieces[::2] = [piece.replace("|", r"\|") for piece in pieces[::2]]
        lines[place] = re.sub(r"(`[^`]+`)(?=[\w^*+=(])", r"\1\\ ", "".join(pieces))
    if what in ("property", "attribute"):
        lines.insert(0, "")


def shown_default(
    _app: Any, _what: str, _name: str, _of: Any, _opt: Any, signature: str | None, returned: Any
) -> tuple[str | None, Any]:
    """A default factory as three dots: `<factory>` is no Python and cannot be parsed."""
    return signature and signature.replace("<factory>", "..."), returned


def setup(app: Any) -> None:
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", as_restructured_text, priority=400)
    app.connect("autodoc-process-signature", shown_default)
