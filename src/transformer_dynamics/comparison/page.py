"""Page of a comparison, in one file that opens without a network, and its JSON file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from transformer_dynamics.claims.tables import badge_class, value_and_interval
from transformer_dynamics.comparison.claims.in_runs import ClaimInRuns
from transformer_dynamics.comparison.compared import RunsCompared
from transformer_dynamics.comparison.files import as_json
from transformer_dynamics.comparison.profiles import Profile
from transformer_dynamics.notebook import frame
from transformer_dynamics.report.figures import PageFigures
from transformer_dynamics.report.packing import island_json, packed_text
from transformer_dynamics.report.scripts import content_policy, static_text
from transformer_dynamics.report.templating import page_templates
from transformer_dynamics.storage.files import local_path, make_folder, write_json, write_text

SCRIPT = "comparison.js"
Draw = Callable[[str, object], Any]


def save_comparison(compared: RunsCompared, path: str | Path) -> Path:
    """Write the page, and next to it a `.json` file of the same name; return the page's path.

    Raises:
        TdynError: the folder cannot be written.
    """
    path = local_path(path)
    make_folder(path.parent)
    write_json(json_path(path), as_json(compared))
    write_text(path, render_comparison(compared))
    return path


def json_path(path: Path) -> Path:
    """JSON file next to a page."""
    return path.with_suffix(".json")


def comparison_frame(compared: RunsCompared) -> str:
    """The page in a frame, for a notebook."""
    return frame(render_comparison(compared), title="Comparison of runs")


def render_comparison(compared: RunsCompared) -> str:
    """HTML of the page."""
    figures, call = PageFigures(), python_call(compared)

    def drawn(name: str, source: object) -> Any:
        code = f"compared = {call}\ncompared.drawings({name!r})[{{index}}].plot()"
        return figures.add(name, source, lambda: compared.drawings(name), code)

    of_claims = {profile.name: profile for profile in compared.claim_profiles}
    claims = [_claim_entry(claim, compared, of_claims, drawn) for claim in compared.claims]
    profiles = [(each, drawn(each.name, each)) for each in compared.profiles]
    similarities = [
        (each, [] if each.result is None else drawn(each.other, each))
        for each in compared.similarities
    ]
    library = {"plotly": island_json(packed_text(static_text("plotly.js")))}
    page: str = _template().render(
        title=f"Comparison of {len(compared.runs)} runs",
        runs=[run.description() for run in compared.runs],
        notes=_notes(compared),
        claims=claims,
        profiles=profiles,
        similarities=similarities,
        islands={**figures.islands, **(library if figures.islands else {})},
        policy=content_policy(SCRIPT),
        style=static_text("page.css"),
        script=static_text(SCRIPT),
        compared=compared,
        call=call,
    )
    return page


def python_call(compared: RunsCompared) -> str:
    """Line of Python that makes the comparison again."""
    given = ", ".join(
        "recording" if run.path is None else repr(str(run.path)) for run in compared.runs
    )
    numbers = f"n_bootstrap={compared.n_bootstrap}, seed={compared.seed}"
    return f"td.compare_runs([{given}], {numbers})"


def _claim_entry(
    claim: ClaimInRuns, compared: RunsCompared, of_claims: Mapping[str, Profile], drawn: Draw
) -> dict[str, Any]:
    """Entry of a claim: a row for each run, with its difference from the first."""
    differences = [None, *claim.differences]
    rows = [
        {
            "run": run.name,
            "tested": tested,
            "css": badge_class(tested.word),
            "nulls": [] if tested.verdict is None else tested.verdict.ordered_nulls(),
            "difference": difference,
        }
        for run, tested, difference in zip(compared.runs, claim.tested, differences, strict=True)
    ]
    profile = of_claims.get(claim.id)
    figures = [] if profile is None else drawn(claim.id, profile)
    return {"claim": claim, "rows": rows, "figures": figures}


def _notes(compared: RunsCompared) -> list[str]:
    """Sentences on the runs that a reader needs before the numbers."""
    first, others = compared.runs[0], compared.runs[1:]
    notes = []
    for other in others:
        why = first.shared_with(other).reason
        if why:
            notes.append(f"{why[:1].upper()}{why[1:]}: their differences have independent draws.")
    if len({run.recording.shape[1] for run in compared.runs}) > 1:
        sites = ", ".join(f"{run.name} has {run.recording.shape[1]}" for run in compared.runs)
        notes.append(
            f"The runs have different numbers of sites ({sites}). A statistic per step, or counted "
            "over all sites, depends on their number."
        )
    if len({run.recording.shape[2] for run in compared.runs}) > 1:
        notes.append("The runs have different numbers of units; norms and speeds grow with them.")
    return notes


@cache
def _template() -> Any:
    environment = page_templates("comparison")
    environment.filters["estimate"] = lambda each: value_and_interval(each.value, each.interval)
    return environment.get_template("comparison.html")
