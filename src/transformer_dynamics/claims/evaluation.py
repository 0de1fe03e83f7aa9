"""Test claims on a recording: `td.evaluate_claims(recording, model=model)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import xarray as xr

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.decision import adjusted_together, decide
from transformer_dynamics.claims.evidence import Gathered, as_dataset
from transformer_dynamics.claims.gathering import gather
from transformer_dynamics.claims.handles import Handles
from transformer_dynamics.claims.null_comparison import compare
from transformer_dynamics.claims.null_draws import DrawPlan, Progress
from transformer_dynamics.claims.options import ClaimOptions, check_size
from transformer_dynamics.claims.recorded_nulls import pair_nulls
from transformer_dynamics.claims.subjects import Subject, subject_of
from transformer_dynamics.claims.verdicts import Verdicts
from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.parallel import Pool, Workers, client_of, task_pool
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import CLAIMS

if TYPE_CHECKING:
    from transformer_dynamics.claims.model_runs import ModelRuns

DEFAULT_OPTIONS = ClaimOptions()


def evaluate_claims(
    recording: Recording,
    *,
    model: object = None,
    model_nulls: Mapping[str, Recording | Sequence[Recording]] | None = None,
    perturbed: Mapping[str, xr.Dataset] | None = None,
    claims: Sequence[str] | None = None,
    options: ClaimOptions = DEFAULT_OPTIONS,
    seed: int = 0,
    on_progress: Progress | None = None,
    **workers: Unpack[Workers],
) -> Verdicts:
    """Test claims on the sublayers of a recording (every site but the final one).

    Args:
        recording: the recording.
        model: its model, or anything that `td.load_model` takes; used to record untrained twins
            and shuffled texts and to perturb the model. Without it and without `model_nulls` these
            nulls are missing, and a claim that needs one of them is not supported.
        model_nulls: recordings of nulls that run a model, by name; for `untrained` one per seed.
        perturbed: results of perturbations, by name; those that are missing are made with `model`.
        claims: ids of the claims; by default all registered ones, those that perturb the model
            only with `model` or `perturbed`.
        options: numbers of draws, twins and threads.
        seed: seed of all draws; the same seed gives the same bits.
        on_progress: called with the number of draws done and their largest number.
        workers: `client=client`, a Dask client whose workers compute bootstrap and draws in place
            of threads of this process, with the same results. The model runs in this process.

    Returns:
        One verdict per claim; `.to_dataframe()` gives a table.

    Raises:
        InputError: too few samples, sites or draws; an unknown claim; a claim that perturbs the
            model without one; a null that holds other samples; a client that is not connected.
    """
    client = client_of("evaluate_claims", workers)
    _check_options(options)
    check_size(recording.shape[0], recording.sites, options)
    results = dict(perturbed or {})
    tested = _chosen(claims, results, model)
    paired = pair_nulls(recording, model_nulls or {})
    if model is not None:
        runs = _model_runs(model, recording, options.n_twins, seed)
        nulls = runs.nulls(tested, dict(model_nulls or {}))
        results = runs.perturbed(tested, results, nulls)
        made = {name: null for name, null in nulls.items() if name not in paired}
        paired |= pair_nulls(recording, made)
    sublayers = recording.sublayers
    subjects = {claim.id: subject_of(claim, sublayers, paired, results) for claim in tested}
    plan = DrawPlan(options.draws(len(tested)), seed)
    with task_pool(options.n_threads, client) as pool:
        handles = Handles(pool)
        numbers: dict[str, Any] = {"n_bootstrap": options.n_bootstrap, "plan": plan}
        numbers["on_progress"] = on_progress
        gathered = gather(tested, subjects, sublayers, pool=pool, handles=handles, **numbers)
        return _verdicts(tested, gathered, subjects, pool, handles)


def _verdicts(
    tested: Sequence[Claim],
    gathered: Mapping[str, Gathered],
    subjects: Mapping[str, Subject],
    pool: Pool,
    handles: Handles,
) -> Verdicts:
    """Verdicts of claims that are tested together; their notes are computed in parallel."""
    noted = []
    for claim in tested:
        subject = subjects[claim.id]
        evidence = as_dataset(claim, gathered[claim.id], subject)
        task = pool.submit(_note, claim, handles.of(subject.data), evidence)
        noted.append((claim, gathered[claim.id], evidence, task))
    return adjusted_together(
        [
            decide(claim, own, compare(claim, own), evidence, task.result())
            for claim, own, evidence, task in noted
        ]
    )


def _note(claim: Claim, data: Any, evidence: xr.Dataset) -> str:
    return claim.note(data, evidence)


def _check_options(options: object) -> None:
    if not isinstance(options, ClaimOptions):
        raise InputError(
            f"got options={options!r:.60} of type {type(options).__name__}; numbers of draws are "
            "given as td.evaluate_claims(recording, options=td.ClaimOptions(n_null=199))"
        )


def _chosen(
    names: Sequence[str] | None, perturbed: Mapping[str, xr.Dataset], model: object
) -> list[Claim]:
    """The claims to test, in the given order."""
    known = CLAIMS.all()
    wanted = list(known) if names is None else [names] if isinstance(names, str) else list(names)
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise InputError(
            f"there is no claim {', '.join(map(repr, unknown)) or 'named'}; there are "
            f"{', '.join(known)}: td.evaluate_claims(recording, claims=['C1'])"
        )
    claims: list[Claim] = [known[name] for name in wanted]
    testable = [
        claim for claim in claims if claim.perturbation in {None, *perturbed} or model is not None
    ]
    if names is not None and len(testable) < len(claims):
        refused = ", ".join(claim.id for claim in claims if claim not in testable)
        raise InputError(
            f"{refused} perturb the model, which was not given: td.evaluate_claims(recording, "
            f"model=model, claims={wanted})"
        )
    return testable


def _model_runs(model: Any, recording: Recording, n_twins: int, seed: int) -> ModelRuns:
    # Imported here: a worker that computes draws needs no torch.
    from transformer_dynamics.claims.model_runs import ModelRuns
    from transformer_dynamics.model.loading import as_model

    return ModelRuns(as_model(model), recording, n_twins, seed)
