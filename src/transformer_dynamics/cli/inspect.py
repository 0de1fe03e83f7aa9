"""Commands that print and compute nothing: `tdyn sites`, `tdyn list`, `tdyn doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.table import Table

from transformer_dynamics.cli.inputs import load_model_of
from transformer_dynamics.cli.options import (
    AttentionOption,
    CodeOption,
    DeviceOption,
    DtypeOption,
    ModelArgument,
    OfflineOption,
    RevisionOption,
    SitesOption,
)
from transformer_dynamics.cli.tables import console, entries_table, given_table, proof_table

if TYPE_CHECKING:
    from transformer_dynamics.model.sites import Sites


def sites(
    context: typer.Context,
    model: ModelArgument = "smollm2-135m",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    attention: AttentionOption = None,
    revision: RevisionOption = None,
    offline: OfflineOption = False,
    trust_remote_code: CodeOption = False,
    by_hand: SitesOption = None,
) -> None:
    """Print the sites of the residual stream of a model, and their proof, layer by layer."""
    loaded = load_model_of(context, by_hand)
    found = loaded.found_sites
    console.print(proof_table(loaded.name, found) if found.proofs else given_table(found))
    for note in _notes(found):
        console.print(note)


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


def list_entries() -> None:
    """Print all measures, comparisons, perturbations, panels, nulls and claims."""
    from transformer_dynamics.registry import (
        CLAIMS,
        COMPARISONS,
        MEASURES,
        NULLS,
        PANELS,
        PERTURBATIONS,
    )

    nulls = Table("null", "keeps", "destroys", title="Nulls")
    for null in NULLS.all().values():
        nulls.add_row(null.name, null.keeps, null.destroys)
    claims = Table("claim", "statement", "must exceed", title="Claims")
    for claim in CLAIMS.all().values():
        claims.add_row(claim.id, claim.statement, ", ".join(claim.nulls))
    entries = (
        entries_table("Measures of a recording", MEASURES),
        entries_table("Comparisons of two recordings", COMPARISONS),
        entries_table("Perturbations, with the model in the loop", PERTURBATIONS),
        entries_table("Panels of arXiv 2502.12131, with --preset paper", PANELS),
    )
    for table in (*entries, nulls, claims):
        console.print(table)


def doctor() -> None:
    """Print versions, the machine, the cache and the installed extras."""
    from transformer_dynamics.environment import examine

    table = Table("property", "value", show_header=False)
    for name, value in examine().items():
        table.add_row(name, str(value))
    console.print(table)
