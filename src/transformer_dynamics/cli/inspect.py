"""Commands that print and compute nothing: `tdyn sites`, `tdyn list`, `tdyn doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from transformer_dynamics.cli.inputs import load_model_of
from transformer_dynamics.cli.options.flags import ModelFlags
from transformer_dynamics.cli.options.presets import PRESETS
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.cli.tables import entries_table, given_table, proof_table
from transformer_dynamics.errors import TdynError

if TYPE_CHECKING:
    from transformer_dynamics.model.sites import Sites

KINDS = ("measures", "comparisons", "perturbations", "panels", "nulls", "claims", "presets")


def sites(options: ModelFlags, output: Output) -> None:
    """Print the sites of the residual stream of a model, and their proof, layer by layer."""
    loaded = load_model_of(options, output)
    found = loaded.found_sites
    table = proof_table(loaded.name, found) if found.proofs else given_table(found)
    output.result(Result([table, *_notes(found)]))


def _notes(found: Sites) -> list[str]:
    """Sentences on the proof of the sites."""
    kinds = {proof.kind for proof in found.proofs}
    notes = []
    if "parallel" in kinds:
        notes.append("Attention and MLP are added in parallel: there is no pre_mlp site.")
    if "post-norm" in kinds:
        notes.append("The stream itself is normalized: a step is more than the branch's output.")
    if found.proofs:
        notes.append(
            "Errors are the norm of the difference over the norm of the sum, on a probe of a few "
            "tokens."
        )
    else:
        notes.append("Named by hand and not proved: no residual identity was tested.")
    others = "Later tokens" if found.causal else "Masked tokens (the model is an encoder)"
    if not found.independent:
        others = "Other texts of the batch (so texts run one at a time)"
    notes.append(f"{others} change a token's state by {found.padding_error:.1e} of its norm.")
    return notes


def _kinds() -> list[str]:
    return list(KINDS)


def list_entries(
    kind: Annotated[
        str | None,
        typer.Argument(help=f"{', '.join(KINDS)}; by default all.", autocompletion=_kinds),
    ] = None,
) -> None:
    """Print all measures, comparisons, perturbations, panels, nulls, claims and presets."""
    if kind not in (None, *KINDS):
        raise TdynError(f"there is no list of {kind!r}; there are: {', '.join(KINDS)}")
    for each in KINDS if kind is None else (kind,):
        Console().print(_table(each))


def _table(kind: str) -> Table:
    """Table of all entries of a kind."""
    from transformer_dynamics.registry import (
        CLAIMS,
        COMPARISONS,
        MEASURES,
        NULLS,
        PANELS,
        PERTURBATIONS,
    )

    if kind == "presets":
        return _presets()
    if kind == "nulls":
        table = Table("null", "keeps", "destroys", title="Nulls")
        for null in NULLS.all().values():
            table.add_row(null.name, null.keeps, null.destroys)
        return table
    if kind == "claims":
        table = Table("claim", "statement", "must exceed", title="Claims")
        for claim in CLAIMS.all().values():
            table.add_row(claim.id, claim.statement, ", ".join(claim.nulls))
        return table
    titled = {
        "measures": ("Measures of a recording", MEASURES),
        "comparisons": ("Comparisons of two recordings", COMPARISONS),
        "perturbations": ("Perturbations, with the model in the loop", PERTURBATIONS),
        "panels": ("Panels of arXiv 2502.12131, with --panels or --preset paper", PANELS),
    }
    return entries_table(*titled[kind])


def _presets() -> Table:
    """Table of the presets of `tdyn run`."""
    table = Table(
        Column("preset", no_wrap=True),
        "a run with it",
        Column("options", overflow="fold"),
        Column("cost", justify="right"),
        title="Presets of `tdyn run --preset`",
        caption="Cost: time of the run in forward passes of the model over the preset's own texts, "
        "measured with the bundled model on two cores.",
    )
    for preset in PRESETS.values():
        table.add_row(
            preset.name, preset.does, preset.command or "-", preset.cost or "not measured"
        )
    return table


def doctor() -> None:
    """Print versions, the machine, the cache and the installed extras."""
    from transformer_dynamics.environment import examine

    table = Table("property", "value", show_header=False)
    for name, value in examine().items():
        table.add_row(name, str(value))
    Console().print(table)
