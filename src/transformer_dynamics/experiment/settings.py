"""Settings of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transformer_dynamics.claims.options import N_BOOTSTRAP
from transformer_dynamics.errors import TdynError
from transformer_dynamics.nulls.reruns import N_TWINS
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.registry import CLAIMS, MEASURES, PERTURBATIONS, Registry

if TYPE_CHECKING:
    import distributed


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run, in addition to model, texts and folder.

    Attributes:
        seed: Seed of nulls and bootstrap, and of the first untrained twin.
        recording: Options of `td.record`.
        n_null: Largest number of draws of each null; by default the number that a single claim
            needs to be supported after adjustment.
        n_twins: Number of untrained twins.
        n_bootstrap: Number of bootstrap draws over texts.
        n_perturbed: Number of texts that each perturbation follows; by default the perturbation's
            own number, or all texts if there are fewer.
        positions: Recorded tokens, as in `td.record`.
        claims: Ids of the claims; by default all. Claims of perturbations that are not chosen are
            left out, and p-values are adjusted over the others.
        measures: Names of the measures; by default all.
        perturbations: Names of the perturbations; by default all.
        client: A `distributed.Client` whose workers record the model and compute measures, null
            draws and bootstrap. The results are the same, so it is no input of a stage. Untrained
            twins, shuffled texts and perturbations run in this process.
        panels: Whether the panels and the table of arXiv 2502.12131 are computed.
        command: Command line of the run, for provenance.
        preset: `name` and `note` of the preset, for provenance.
        config: Options of the command, for provenance.
    """

    seed: int = 0
    recording: RecordingOptions = field(default_factory=RecordingOptions)
    n_null: int | None = None
    n_twins: int = N_TWINS
    n_bootstrap: int = N_BOOTSTRAP
    n_perturbed: int | None = None
    positions: Any = "last"
    claims: Sequence[str] | None = None
    measures: Sequence[str] | None = None
    perturbations: Sequence[str] | None = None
    client: distributed.Client | None = None
    panels: bool = False
    command: str = ""
    preset: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """Names of everything that a run does, and the claims that it leaves out.

    Attributes:
        claims: Ids of the claims whose perturbation is chosen.
        measures: Names of the measures.
        perturbations: Names of the perturbations.
        left_out: Id of a claim to the perturbation that is not chosen.
    """

    claims: tuple[str, ...]
    measures: tuple[str, ...]
    perturbations: tuple[str, ...]
    left_out: Mapping[str, str]


def select(settings: Settings) -> Selection:
    """Names of everything that a run with these settings does.

    Raises:
        TdynError: an unknown name, or a claim named together with perturbations that lack its own.
    """
    perturbations = known_names("perturbation", PERTURBATIONS, settings.perturbations)
    measures = known_names("measure", MEASURES, settings.measures)
    claims = known_names("claim", CLAIMS, settings.claims)
    needed = {name: CLAIMS.get(name).perturbation for name in claims}
    left_out = {
        name: perturbation
        for name, perturbation in needed.items()
        if perturbation is not None and perturbation not in perturbations
    }
    if left_out and settings.claims is not None:
        missing = list(dict.fromkeys(left_out.values()))
        raise TdynError(
            f"the claims {', '.join(left_out)} need {', '.join(missing)}, which is not among the "
            f"chosen perturbations; add it: --perturbations {','.join((*perturbations, *missing))}"
        )
    kept = tuple(name for name in claims if name not in left_out)
    return Selection(kept, measures, perturbations, left_out)


def known_names(noun: str, registry: Registry[Any], names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names in the registry's order, by default all.

    Raises:
        TdynError: a name that is not registered.
    """
    known = registry.all()
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise TdynError(f"there is no {noun} {unknown[0]!r}; there are: {', '.join(known)}")
    return tuple(name for name in known if names is None or name in names)
