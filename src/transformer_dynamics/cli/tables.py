"""Tables and paths that the command prints on standard output."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Column, Table
from rich.text import Text


def proof_table(name: str, found: Any) -> Table:
    """Table of the sites of a model and their proof, layer by layer."""
    table = Table(
        "layer",
        "identity",
        "added to the stream, in order",
        "errors",
        title=f"{name}: {len(found.sites)} sites of {found.n_units} units",
    )
    for proof in found.proofs:
        table.add_row(
            str(proof.layer),
            proof.kind,
            "; ".join(branch.formula for branch in proof.branches),
            "; ".join(f"{branch.error:.1e}" for branch in proof.branches),
        )
    return table


def given_table(found: Any) -> Table:
    """Table of sites that were named by hand."""
    table = Table("site", "module", "port", title=f"{len(found.sites)} sites, named by hand")
    for site in found.sites:
        table.add_row(site.label, site.module, site.port)
    return table


def entries_table(title: str, registry: Any) -> Table:
    """Table of the entries of a registry, with titles and sources."""
    table = Table(Column("name", no_wrap=True), "title", "source", title=title)
    for entry in registry.all().values():
        table.add_row(entry.name, entry.title, entry.source)
    return table


def compared_table(compared: Any) -> Table:
    """Table of claims in several runs, and of the differences from the first run."""
    names = compared.names
    table = Table(
        "claim",
        *(Column(f"{name}: value [95 %], verdict", overflow="fold") for name in names),
        *(Column(f"{name} - {names[0]}", overflow="fold") for name in names[1:]),
    )
    for claim in compared.claims:
        values = [f"{_estimate(each)}\n{each.word}" for each in claim.tested]
        differences = [_estimate(each) for each in claim.differences]
        table.add_row(claim.id, *values, *differences, end_section=True)
    return table


def _estimate(each: Any) -> str:
    """A value with its interval, or alone where that is undefined."""
    low, high = each.interval
    if not math.isfinite(low):
        return _number(each.value)
    return f"{_number(each.value)} [{_number(low)}, {_number(high)}]"


def comparison_table(result: Any, other: str) -> Table:
    """Table of the similarity with another run at equal relative depth, by quarter of depth."""
    null = "permuted samples"
    table = Table(
        "quarter of depth",
        "CKA [95 % over texts]",
        null,
        "Procrustes distance [95 %]",
        null,
        title=f"Similarity of the first run and {other}",
    )
    for quarter in result["quarter"].values:
        row, cells = result.sel(quarter=quarter), []
        for name in ("quarter_cka", "quarter_procrustes"):
            value, low, high, mean, sd = (
                float(row[name + end]) for end in ("", "_low", "_high", "_permuted", "_permuted_sd")
            )
            cells += [f"{value:.3f} [{low:.3f}, {high:.3f}]", f"{mean:.3f} ± {sd:.3f}"]
        table.add_row(str(quarter), *cells)
    return table


def perturbation_table(results: Mapping[str, Any]) -> Table:
    """Table of results of perturbations, with their variables and number of texts."""
    from transformer_dynamics.storage.attributes import attribute

    table = Table("perturbation", Column("variables", overflow="fold"), "texts")
    for name, result in results.items():
        n_texts = str(attribute(result, "parameters")["n_texts"])
        table.add_row(name, ", ".join(str(variable) for variable in result.data_vars), n_texts)
    return table


def verdict_table(verdicts: Iterable[Any]) -> Table:
    """Table of verdicts with their values and nulls."""
    table = Table(
        "claim",
        Column("statement", overflow="fold"),
        "value [95 % over texts]",
        Column("nulls: mean (p)", overflow="fold"),
        "verdict",
    )
    for verdict in verdicts:
        low, high = verdict.interval
        nulls = "\n".join(
            f"{name.replace('_', ' ')} {_number(null.mean)} ({_number(null.p)})"
            + ("" if null.decides else " shown only")
            for name, null in verdict.ordered_nulls()
        )
        table.add_row(
            verdict.id,
            verdict.statement,
            f"{_number(verdict.value)} [{_number(low)}, {_number(high)}]",
            nulls,
            Text(verdict.verdict, style="bold"),
            end_section=True,
        )
    return table


def _number(value: float) -> str:
    """Format with three digits; a dash for an undefined value."""
    return f"{value:.3g}" if math.isfinite(value) else "-"
