"""Figures of a run for print, one file each, and their captions.

<claim>-1.pdf, <claim>-2.pdf     of the claim's evidence
<result>-1.pdf, ...              of a measure, a perturbation, a comparison or a panel
captions.md, and captions.tex where the figures are PDF
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformer_dynamics.claims import Verdict
from transformer_dynamics.errors import TdynError
from transformer_dynamics.experiment.ledger import Ledger
from transformer_dynamics.experiment.verdicts import CLAIM_TESTS, load_verdicts
from transformer_dynamics.plots.backend import Drawing, Heatmap, Intervals, Lines
from transformer_dynamics.plots.printed import check_format, print_drawing
from transformer_dynamics.recording import open_recording
from transformer_dynamics.registry import CLAIMS, result_names
from transformer_dynamics.storage.files import local_path, make_folder, write_text
from transformer_dynamics.storage.results import load_result, saved_names

# Rows of the forms of drawings, each with a name and a role.
ROWS = ("series", "groups", "paths", "intervals")
TEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{each: f"\\{each}" for each in "&%$#_{}"},
    "²": r"$^2$",
    "±": r"$\pm$",
    "–": "--",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "π": r"$\pi$",
    "λ": r"$\lambda$",
    "α": r"$\alpha$",
    "|": r"$|$",
    "<": r"$<$",
    ">": r"$>$",
}


@dataclass(frozen=True)
class NamedFigure:
    """A figure with its name.

    Attributes:
        name: name of its file, without the ending.
        source: claim or result that it shows.
        drawing: the drawing.
        caption: plotted quantity, N, interval and null model.
    """

    name: str
    source: str
    drawing: Drawing
    caption: str

    @property
    def sentences(self) -> str:
        """Title, caption and interpretation."""
        title = self.drawing.title.rstrip(".")
        return f"{title}. {self.caption} {self.drawing.interpretation}".strip()


@dataclass(frozen=True)
class SavedFigures:
    """Written files.

    Attributes:
        folder: folder of all.
        paths: file of each figure by its name.
        captions: file of the captions.
    """

    folder: Path
    paths: dict[str, Path]
    captions: Path


def save_figures(
    run: str | Path,
    out: str | Path | None = None,
    *,
    file_format: str = "pdf",
    only: Sequence[str] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> SavedFigures:
    """Write the figures of a run, all of them or none.

    Args:
        run: folder of the run.
        out: folder of the figures; by default `figures` in the run's folder. Files of the same
            names are replaced, others are kept.
        file_format: `pdf`, `svg` or `png`.
        only: names of claims, results or single figures; by default all.
        on_progress: called with the number of figures drawn and their number.

    Raises:
        TdynError: there is no run, it has no figure, a name is unknown, the format is unknown, or
            the folder cannot be written.
    """
    check_format(file_format)
    folder = local_path(run)
    chosen = _chosen(run_figures(folder), only, folder)
    target = folder / "figures" if out is None else local_path(out)
    make_folder(target)
    paths = {figure.name: target / f"{figure.name}.{file_format}" for figure in chosen}
    with tempfile.TemporaryDirectory(dir=target, prefix=".figures.") as name:
        made = Path(name)
        for place, figure in enumerate(chosen, 1):
            print_drawing(figure.drawing, made / paths[figure.name].name, file_format)
            if on_progress is not None:
                on_progress(place, len(chosen))
        write_text(made / "captions.md", _markdown(chosen, file_format))
        if file_format == "pdf":
            write_text(made / "captions.tex", _tex(chosen))
        for path in made.iterdir():
            path.replace(target / path.name)
    return SavedFigures(target, paths, target / "captions.md")


def run_figures(folder: Path) -> list[NamedFigure]:
    """Figures of all claims and results of a run; those of stages to come are left out.

    Raises:
        TdynError: there is no run in the folder.
    """
    if not (folder / "recording.zarr").exists():
        raise TdynError(
            f"there is no run in {folder}: recording.zarr is missing; make one with "
            f"`tdyn run --out {folder}`"
        )
    pending = {stage["stage"] for stage in Ledger(folder / "run.json").entries().get("pending", [])}
    figures = [] if CLAIM_TESTS in pending else list(_of_claims(folder))
    known, store = result_names(), folder / "results.zarr"
    for name in saved_names(store):
        result = load_result(store, name) if name in known and name not in pending else None
        if result is None:
            continue
        for place, drawing in enumerate(result.td.drawings, 1):
            figures.append(NamedFigure(f"{name}-{place}", name, drawing, drawing.caption))
    return figures


def _of_claims(folder: Path) -> Iterator[NamedFigure]:
    n_samples = open_recording(folder / "recording.zarr").shape[0]
    for verdict in load_verdicts(folder):
        claim = CLAIMS.all().get(verdict.id)
        if claim is None or not verdict.evidence.data_vars:
            continue
        n_of_claim = n_samples
        if claim.perturbation is not None:
            perturbed = load_result(folder / "results.zarr", claim.perturbation)
            n_of_claim = 0 if perturbed is None else perturbed.sizes.get("sample", 0)
        for place, drawing in enumerate(claim.drawings(verdict.evidence), 1):
            caption = _claim_caption(verdict, drawing, n_of_claim)
            yield NamedFigure(f"{verdict.id}-{place}", verdict.id, drawing, caption)


def _claim_caption(verdict: Verdict, drawing: Drawing, n_samples: int) -> str:
    """Caption of a claim's figure, with N, interval and the null models that it shows."""
    evidence = verdict.evidence
    has_interval = isinstance(drawing, Lines | Intervals)
    resampled = evidence.attrs.get("resampled", "texts")
    kind = "groups of texts" if resampled == "groups" else resampled
    interval = f"95 % bootstrap over {kind}; of null models the central 95 %"
    nulls = ", ".join(_nulls_shown(drawing)) or "none"
    parts = [drawing.caption, f"N = {n_samples} samples." if n_samples else ""]
    parts += [f"Interval: {interval if has_interval else 'none'}.", f"Null models: {nulls}."]
    return " ".join(part for part in parts if part)


def _nulls_shown(drawing: Drawing) -> list[str]:
    """Null models that a printed figure shows; those behind a click in the legend are left out."""
    rows = [row for part in ROWS for row in getattr(drawing, part, ())]
    names = [row.name for row in rows if row.role == "null" and not getattr(row, "hidden", False)]
    if isinstance(drawing, Heatmap):
        texts = [text for _, text in (*drawing.x_ticks, *drawing.y_ticks)]
        texts += [*drawing.x_names, *drawing.y_names]
        names += [text for text in texts if text.startswith("null: ")]
    plain = [name.removeprefix("null: ").partition(":")[0].partition(" (")[0] for name in names]
    return list(dict.fromkeys(plain))


def _chosen(
    figures: Sequence[NamedFigure], only: Sequence[str] | None, folder: Path
) -> list[NamedFigure]:
    """The figures of some names, in their order; by default all.

    Raises:
        TdynError: there is no figure, or a name is neither a figure nor a source of one.
    """
    if not figures:
        raise TdynError(f"the run in {folder} has no results to draw: tdyn run --out {folder}")
    if only is None:
        return list(figures)
    sources = dict.fromkeys(figure.source for figure in figures)
    known = {*sources, *(figure.name for figure in figures)}
    unknown = [name for name in only if name not in known]
    if unknown or not only:
        numbers = [sum(figure.source == source for figure in figures) for source in sources]
        listed = ", ".join(
            f"{source} (-1 to -{number})" for source, number in zip(sources, numbers, strict=True)
        )
        raise TdynError(
            f"there is no figure {', '.join(map(repr, unknown)) or 'named'}; there are: {listed}; "
            f"one is chosen as: tdyn figures {folder} --only {figures[0].name}"
        )
    return [figure for figure in figures if {figure.name, figure.source} & set(only)]


def _markdown(figures: Sequence[NamedFigure], file_format: str) -> str:
    entries = [
        f"## {figure.name}\n\n![{figure.name}]({figure.name}.{file_format})\n\n{figure.sentences}\n"
        for figure in figures
    ]
    return "\n".join(["# Captions\n", *entries])


def _tex(figures: Sequence[NamedFigure]) -> str:
    entries = [
        "\\begin{figure}\n  \\centering\n"
        f"  \\includegraphics{{{figure.name}.pdf}}\n"
        f"  \\caption{{{tex_text(figure.sentences)}}}\n"
        f"  \\label{{fig:{figure.name}}}\n\\end{{figure}}\n"
        for figure in figures
    ]
    return "\n".join(entries)


def tex_text(text: str) -> str:
    r"""Text with the characters that LaTeX reads as commands replaced.

    >>> print(tex_text("95 % of x_1 & r²"))
    95 \% of x\_1 \& r$^2$
    """
    return "".join(TEX_SPECIAL.get(character, character) for character in text)
