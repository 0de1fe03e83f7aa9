"""Command `tdyn status`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Column, Table

from transformer_dynamics.cli.options.folder_flags import StatusFlags
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.cli.output.stage import clock_time

if TYPE_CHECKING:
    from transformer_dynamics.experiment.status import StageStatus
    from transformer_dynamics.recording.workers.status import StoreStatus


def status(options: StatusFlags, output: Output) -> None:
    """Print how far a recording or a run is: done, running, stale and failed parts, time left."""
    from transformer_dynamics.experiment.status import folder_status

    found = folder_status(options.folder)
    tables = [_stores(found.stores)] if found.stores else []
    tables += [_shards(each) for each in found.stores if each.running or each.stale or each.failed]
    if found.stages:
        tables.append(_stages(found.stages))
    fields = {
        "stores": [each.to_dict() for each in found.stores],
        "stages": [asdict(each) for each in found.stages],
    }
    output.result(Result(tables, fields))


def _stores(stores: tuple[StoreStatus, ...]) -> Table:
    table = Table(
        Column("store", overflow="fold"),
        *("state", "samples", "shards done", "tokens done", "tokens/s", "time left"),
    )
    for each in stores:
        shards = "-" if each.shards_done is None else f"{each.shards_done}"
        if each.n_shards is not None:
            shards += f" of {each.n_shards}"
        table.add_row(
            each.path,
            each.state,
            "-" if each.n_samples is None else str(each.n_samples),
            shards,
            "-" if each.tokens_done is None else f"{each.tokens_done:.1%}",
            "-" if each.tokens_per_second is None else f"{each.tokens_per_second:.4g}",
            "-" if each.seconds_left is None else clock_time(each.seconds_left),
        )
    return table


def _shards(store: StoreStatus) -> Table:
    """Table of the shards of a growing recording that are in progress or failed."""
    table = Table(
        *("shard", "state", "host", "device", "since", "last sign of life"),
        Column("why", overflow="fold"),
        title=store.path,
    )
    for state, claims in (("running", store.running), ("stale", store.stale)):
        for claim in claims:
            age = f"{clock_time(claim.age)} ago"
            host = f"{claim.host} ({claim.pid})"
            table.add_row(str(claim.shard), state, host, claim.device, claim.started, age, "")
    for failure in store.failed:
        table.add_row(
            str(failure.shard), "failed", failure.host, "", failure.when, "", failure.error
        )
    return table


def _stages(stages: tuple[StageStatus, ...]) -> Table:
    table = Table("stage", "state", "time", Column("why", overflow="fold"))
    for each in stages:
        about = "about " if each.state == "to come" else ""
        spent = "-" if each.seconds is None else f"{about}{clock_time(each.seconds)}"
        table.add_row(each.name, each.state, spent, each.why)
    return table
