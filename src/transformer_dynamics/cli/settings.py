"""Settings of an experiment from the options of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformer_dynamics.cli.inputs import names_in, recording_options_of
from transformer_dynamics.cli.invocation import command_line
from transformer_dynamics.cli.options.configuration import configuration
from transformer_dynamics.cli.options.flags import PerturbFlags, RunFlags

if TYPE_CHECKING:
    from transformer_dynamics.experiment import Settings


def settings_of(options: PerturbFlags, note: str = "") -> Settings:
    """Make the settings of an experiment.

    Args:
        options: Options of `tdyn perturb` or `tdyn run`.
        note: Note on the texts of the preset.
    """
    from transformer_dynamics.experiment import Settings

    return Settings(
        seed=options.seed,
        recording=recording_options_of(options),
        positions=options.positions,
        n_twins=options.twins,
        n_perturbed=options.perturbed,
        perturbations=names_in(options.perturbations),
        command=command_line(),
        **(_of_run(options, note) if isinstance(options, RunFlags) else {}),
    )


def _of_run(options: RunFlags, note: str) -> dict[str, Any]:
    """Settings that only a whole run has."""
    return {
        "claims": names_in(options.claims),
        "measures": names_in(options.measures),
        "n_null": options.nulls,
        "n_bootstrap": options.bootstrap,
        "panels": options.panels,
        "preset": {"name": options.preset, "note": note},
        "config": configuration(options),
    }
