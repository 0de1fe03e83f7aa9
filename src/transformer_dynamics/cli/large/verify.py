"""Command `tdyn verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Column, Table

from transformer_dynamics.cli.options.folder_flags import VerifyFlags
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.errors import TdynError

if TYPE_CHECKING:
    from transformer_dynamics.recording.disk.verification import Verification


def verify(options: VerifyFlags, output: Output) -> None:
    """Compare every chunk of a recording with its checksum; exit status 1 names what is broken."""
    from transformer_dynamics.recording.disk.verification import verify as verify_stores

    with output.stage("verify", "recordings"):
        found = verify_stores(options.folder)
    table = Table(
        "store", "kind", "files read", "not recorded yet", Column("broken", overflow="fold")
    )
    for each in found:
        table.add_row(
            str(each.path),
            each.kind,
            str(each.n_files),
            str(each.n_missing),
            "\n".join(f"{name}: {fault}" for name, fault in each.faults.items()) or "-",
        )
    output.result(Result([table], {"stores": [_fields(each) for each in found]}))
    broken = [f"{each.path}/{name}" for each in found for name in each.faults]
    if broken:
        raise TdynError(
            f"{len(broken)} files are broken: {', '.join(broken[:3])}"
            f"{', ...' if len(broken) > 3 else ''}; the same `tdyn record` command as before "
            "records broken chunks again"
        )


def _fields(found: Verification) -> dict[str, object]:
    return {
        "path": str(found.path),
        "kind": found.kind,
        "files": found.n_files,
        "missing": found.n_missing,
        "broken": found.faults,
    }
