"""The main job: record, draw the nulls that run a model, measure, perturb, test, report.

Each stage leaves its output in the run's folder and a fingerprint of its inputs in `run.json`; a
stage whose inputs have not changed is not done again, and an interrupted run goes on where it
stopped.

    <out>/recording.zarr        the recording
    <out>/nulls/<name>.zarr     of the untrained twins (`untrained-<seed>`) and the shuffled texts
    <out>/results.zarr          results of measures and perturbations, and the claims' evidence
    <out>/claims.json           the verdicts
    <out>/report.html           the page
    <out>/run.json              model, texts, settings, versions, timings
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr

from transformer_dynamics.claims import ClaimOptions, Verdict, Verdicts, evaluate_claims
from transformer_dynamics.claims.options import N_BOOTSTRAP, N_TWINS, check_size, draws_needed
from transformer_dynamics.environment import system_information, version
from transformer_dynamics.errors import InputError, ModelError, TdynError
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.model.loading import as_model
from transformer_dynamics.nulls.reruns import untrained_twins
from transformer_dynamics.paper import CONTROLS, PAPER, paper_conditions
from transformer_dynamics.perturbation.systems import systems as make_systems
from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.record import record
from transformer_dynamics.registry import (
    CLAIMS,
    COMPARISONS,
    MEASURES,
    NULLS,
    PANELS,
    PERTURBATIONS,
    result_names,
)
from transformer_dynamics.report import write_report
from transformer_dynamics.storage import results
from transformer_dynamics.storage.files import (
    fingerprint,
    local_path,
    make_folder,
    read_json,
    write_json,
)
from transformer_dynamics.texts.inputs import Inputs

Progress = Callable[[int, int], None]


class Reporter(Protocol):
    """Told of stages as they begin, advance and end; silent by default."""

    def stage(self, name: str, unit: str) -> AbstractContextManager[Progress | None]:
        """A stage begins; the value is called with the work done and the work in all."""
        ...

    def skipped(self, name: str) -> None:
        """A stage was done before."""
        ...

    def refused(self, name: str, why: str) -> None:
        """A stage cannot be done with this model."""
        ...


class Silent:
    """The reporter that says nothing."""

    def stage(self, name: str, unit: str) -> AbstractContextManager[Progress | None]:
        """Nothing is shown."""
        return nullcontext()

    def skipped(self, name: str) -> None:
        """Nothing is shown."""

    def refused(self, name: str, why: str) -> None:
        """Nothing is shown."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run, in addition to model, texts and folder.

    Attributes:
        seed: of nulls and bootstrap, and of the first untrained twin.
        recording: options of `td.record`.
        n_null: the most draws of each null; by default those that a single claim needs to be
            supported after adjustment.
        n_twins: untrained twins.
        n_bootstrap: draws of the bootstrap over texts.
        n_perturbed: texts that each perturbation follows; by default its own number, or all texts
            where there are fewer.
        command: the command that was given, for provenance.
        preset: `name` and `note` of the preset; the paper's makes its panels and its table.
    """

    seed: int = 0
    recording: RecordingOptions = field(default_factory=RecordingOptions)
    n_null: int | None = None
    n_twins: int = N_TWINS
    n_bootstrap: int = N_BOOTSTRAP
    n_perturbed: int | None = None
    command: str = ""
    preset: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Experiment:
    """A run: a model, texts, a folder.

    Attributes:
        model: a `td.Model`, or anything that `td.load_model` takes.
        texts: texts in any form that `td.record` takes.
        out: the run's folder.
        settings: everything else.
        reporter: told of the stages.
    """

    model: Any
    texts: Any
    out: Path
    settings: Settings = field(default_factory=Settings)
    reporter: Reporter = field(default_factory=Silent)

    def __post_init__(self) -> None:
        """Settle what was given, once for all stages."""
        self.model: Model = as_model(self.model)
        self.out = local_path(self.out)
        self._texts_sha256 = getattr(self.texts, "sha256", None)
        self.texts: Inputs = self.model.inputs(self.texts, bos=self.settings.recording.bos)

    @property
    def n_texts(self) -> int:
        """Number of texts."""
        return len(self.texts.token_lists)

    def run(self) -> Verdicts:
        """Do every stage that is not done yet, and return the verdicts.

        Raises:
            TdynError: anything that the user can mend; what is finished by then is kept.
        """
        options = ClaimOptions(n_null=self.settings.n_null, n_bootstrap=self.settings.n_bootstrap)
        check_size(self.n_texts, self.model.sites, options)
        make_folder(self.out)
        recording = self._record()  # refuses a folder that holds another run, and changes nothing
        self._note_provenance(recording)
        nulls = self._nulls(recording, self._named_nulls())
        self.measure(recording)
        twins = nulls["untrained"]
        self._compare(recording, twins[0])
        perturbed = self._perturb(recording, twins, list(PERTURBATIONS.all()))
        if self.settings.preset.get("name") == PAPER:
            self._paper(recording, nulls)
        verdicts = self._test(recording, nulls, perturbed)
        self._report()
        return verdicts

    def perturb(self, names: Sequence[str] | None = None) -> dict[str, xr.Dataset]:
        """Record, and do perturbations alone, all or those named.

        Raises:
            TdynError: no such perturbation, or the model allows none of them.
        """
        chosen = list(PERTURBATIONS.all()) if names is None else list(names)
        unknown = [name for name in chosen if name not in PERTURBATIONS.all()]
        if unknown:
            raise TdynError(
                f"there is no perturbation {unknown[0]!r}; there are: "
                f"{', '.join(PERTURBATIONS.all())}"
            )
        make_folder(self.out)
        recording = self._record()
        self._note_provenance(recording)
        nulls = self._nulls(recording, {"untrained"})
        perturbed = self._perturb(recording, nulls["untrained"], chosen)
        if not perturbed:
            refused = (read_json(self.out / "run.json") or {}).get("refused", {})
            raise TdynError("; ".join(f"{name}: {why}" for name, why in refused.items()))
        self._report()
        return perturbed

    def paper(self) -> None:
        """Record, and make the panels and the table of arXiv 2502.12131 alone."""
        make_folder(self.out)
        recording = self._record()
        self._note_provenance(recording)
        self._paper(recording, self._nulls(recording, set(CONTROLS)))
        self._report()

    def measure(self, recording: Recording, names: Sequence[str] | None = None) -> None:
        """Run measures with their defaults and keep their results."""
        chosen = list(MEASURES.all()) if names is None else list(names)
        inputs = {"recording": self._identity(recording), "version": version()}
        store = self.out / "results.zarr"
        pending = [
            name
            for name in chosen
            if not self._is_done(f"measure {name}", inputs)
            or results.load_result(store, name) is None
        ]
        if not pending:
            self.reporter.skipped("measure")
            return
        loaded = recording.load_if_small()
        with self.reporter.stage("measure", "measures") as progress:
            for place, name in enumerate(pending):
                with self._timed(f"measure {name}", inputs):
                    result = MEASURES.get(name).function(loaded)
                    results.save_result(store, name, result)
                if progress is not None:
                    progress(place + 1, len(pending))

    def _compare(self, recording: Recording, twin: Recording) -> None:
        """Compare the arrangement of the same samples in the model and in an untrained twin."""
        name, store = "similarity.between_recordings", self.out / "results.zarr"
        inputs = {
            "recording": self._identity(recording),
            "untrained": self._identity(twin),
            "seed": self.settings.seed,
            "version": version(),
        }
        (rows,) = np.isin(recording.text_index, twin.text_index).nonzero()
        if self._is_done(name, inputs) and results.load_result(store, name) is not None:
            self.reporter.skipped(name)
            return
        both = recording.isel(sample=rows).load_if_small(), twin.load_if_small()
        with self.reporter.stage(name, "recordings"), self._timed(name, inputs):
            result = COMPARISONS.get(name).function(*both, seed=self.settings.seed)
            results.save_result(store, name, result)

    def _record(self) -> Recording:
        path = self.out / "recording.zarr"
        if path.exists():
            self.reporter.skipped("record")
            return self._recorded(path, None)
        with self.reporter.stage("record", "tokens") as progress, self._timed("record", None):
            return self._recorded(path, progress)

    def _recorded(self, path: Path, progress: Progress | None) -> Recording:
        return record(
            self.model,
            self.texts,
            out=path,
            options=self.settings.recording,
            on_progress=progress,
        )

    def _named_nulls(self) -> set[str]:
        """The nulls that some claim names."""
        return {name for claim in CLAIMS.all().values() for name in claim.all_nulls}

    def _nulls(self, recording: Recording, named: set[str]) -> dict[str, list[Recording]]:
        """Recordings of those of the named nulls that run a model, one or one per seed."""
        folder, seed = self.out / "nulls", self.settings.seed
        drawn: dict[str, list[Recording]] = {}
        for name, null in NULLS.all().items():
            if not null.needs_model or name not in named:
                continue
            how: dict[str, Any] = {"model": self.model, "options": self.settings.recording}
            if name == "untrained":
                seeds = range(seed, seed + self.settings.n_twins)
                paths = [folder / f"untrained-{each}.zarr" for each in seeds]
                make = partial(untrained_twins, recording, seeds=seeds, out=folder, **how)
            else:
                paths = [folder / f"{name}.zarr"]
                make = partial(null.function, recording, seed=seed, out=paths[0], **how)
            if all(path.exists() for path in paths):
                self.reporter.skipped(name)
                made = make()
            else:
                with self.reporter.stage(name, "tokens") as progress, self._timed(name, None):
                    made = make(on_progress=progress)
            drawn[name] = [made] if isinstance(made, Recording) else list(made)
        return drawn

    def _perturb(
        self, recording: Recording, twins: Sequence[Recording], names: Sequence[str]
    ) -> dict[str, xr.Dataset]:
        """Results of perturbations; those that the model does not allow are noted as refused."""
        store = self.out / "results.zarr"
        done: dict[str, xr.Dataset] = {}
        pending = []
        for name in names:
            result = results.load_result(store, name)
            if result is not None and self._is_done(name, self._perturbing(name, recording, twins)):
                self.reporter.skipped(name)
                done[name] = result
            else:
                pending.append(name)
        refused = {}
        if pending:
            systems = make_systems(self.model, recording, twins=twins, seed=self.settings.seed)
        for name in pending:
            inputs = self._perturbing(name, recording, twins)
            how = {"n_texts": inputs["n_texts"], "seed": self.settings.seed}
            try:
                with self.reporter.stage(name, "texts") as progress, self._timed(name, inputs):
                    function = PERTURBATIONS.get(name).function
                    result = function(systems, on_progress=progress, **how)
                    results.save_result(store, name, result)
                # As it is stored: sums round by the order of an array in memory.
                done[name] = results.load_result(store, name) or result
            except (ModelError, InputError) as error:
                refused[name] = str(error)
                self.reporter.refused(name, str(error))
        self._note(refused=refused)
        return done

    def _paper(self, recording: Recording, nulls: dict[str, list[Recording]]) -> None:
        """Panels and table of arXiv 2502.12131; those that the model does not allow are noted."""
        store = self.out / "results.zarr"
        inputs = {
            "recording": self._identity(recording),
            "nulls": {name: self._identity(null[0]) for name, null in nulls.items()},
            "seed": self.settings.seed,
            "version": version(),
        }
        pending = [name for name in PANELS.all() if not self._is_done(name, inputs)]
        if not pending:
            self.reporter.skipped(PAPER)
            return
        refused = {}
        with self.reporter.stage(PAPER, "panels") as progress:
            conditions = paper_conditions(
                recording,
                {name: several[0] for name, several in nulls.items()},
                model=self.model,
                seed=self.settings.seed,
            )
            for place, name in enumerate(pending):
                try:
                    with self._timed(name, inputs):
                        results.save_result(store, name, PANELS.get(name).function(conditions))
                except (ModelError, InputError) as error:
                    refused[name] = str(error)
                    self.reporter.refused(name, str(error))
                if progress is not None:
                    progress(place + 1, len(pending))
        known = (read_json(self.out / "run.json") or {}).get("refused", {})
        self._note(refused={**known, **refused})

    def _perturbing(
        self, name: str, recording: Recording, twins: Sequence[Recording]
    ) -> dict[str, Any]:
        """The inputs of a perturbation's result."""
        asked = self.settings.n_perturbed or PERTURBATIONS.get(name).n_texts
        return {
            "recording": self._identity(recording),
            "untrained": [self._identity(twin) for twin in twins],
            "n_texts": min(asked, self.n_texts),
            "seed": self.settings.seed,
            "version": version(),
        }

    def _test(
        self,
        recording: Recording,
        nulls: dict[str, list[Recording]],
        perturbed: dict[str, xr.Dataset],
    ) -> Verdicts:
        inputs = {
            "recording": self._identity(recording),
            "nulls": {
                name: [self._identity(null) for null in several] for name, several in nulls.items()
            },
            "perturbed": {
                name: self._perturbing(name, recording, nulls["untrained"]) for name in perturbed
            },
            "claims": list(CLAIMS.all()),
            "seed": self.settings.seed,
            "n_null": self.settings.n_null,
            "n_bootstrap": self.settings.n_bootstrap,
            "version": version(),
        }
        if self._is_done("test", inputs) and (self.out / "claims.json").exists():
            self.reporter.skipped("test")
            return load_verdicts(self.out)
        with self.reporter.stage("test", "draws") as progress, self._timed("test", inputs):
            verdicts = evaluate_claims(
                recording,
                model_nulls=nulls,
                perturbed=perturbed,
                options=ClaimOptions(
                    n_null=self.settings.n_null, n_bootstrap=self.settings.n_bootstrap
                ),
                seed=self.settings.seed,
                on_progress=progress,
            )
            for verdict in verdicts:
                results.save_result(
                    self.out / "results.zarr", f"claims/{verdict.id}", verdict.evidence
                )
            write_json(self.out / "claims.json", [verdict.as_json() for verdict in verdicts])
        return verdicts

    def _report(self) -> None:
        with self.reporter.stage("report", "pages"), self._timed("report", None):
            report_run(self.out)

    def _identity(self, recording: Recording) -> str:
        """Identity of a recording's states, found without reading them."""
        return fingerprint([recording.provenance, list(recording.shape)])

    def _note_provenance(self, recording: Recording) -> None:
        made = recording.provenance
        known = read_json(self.out / "run.json") or {}
        write_json(
            self.out / "run.json",
            {
                "model": self.model.name,
                "model_origin": self.model.provenance,
                "architecture": made["architecture"],
                "weights_sha256": made["weights"],
                "hooks": made["hooks"],
                "adapters": made["adapters"],
                "dtype": self.model.dtype,
                "device": str(self.model.device),
                "attention": self.model.attention_implementation,
                "texts": self.texts.source,
                "texts_selection": dict(self.texts.selection),
                "texts_sha256": self._texts_sha256,
                "n_texts": self.n_texts,
                "bos": self.settings.recording.bos,
                "too_long": self.settings.recording.too_long,
                "seed": self.settings.seed,
                "n_null": self.settings.n_null or draws_needed(len(CLAIMS.all())),
                "n_twins": self.settings.n_twins,
                "n_bootstrap": self.settings.n_bootstrap,
                "command": self.settings.command,
                "preset": dict(self.settings.preset),
                "system": system_information(),
                "stages": known.get("stages", {}),
            },
        )

    def _is_done(self, stage: str, inputs: Any) -> bool:
        stages = (read_json(self.out / "run.json") or {}).get("stages", {})
        return bool(stages.get(stage, {}).get("inputs") == fingerprint(inputs))

    @contextmanager
    def _timed(self, stage: str, inputs: Any) -> Iterator[None]:
        """Note a stage's time and inputs in `run.json` once it has ended without an error."""
        start = time.perf_counter()
        yield
        seconds = round(time.perf_counter() - start, 2)
        stages = (read_json(self.out / "run.json") or {}).get("stages", {})
        self._note(stages={**stages, stage: {"seconds": seconds, "inputs": fingerprint(inputs)}})

    def _note(self, **entries: Any) -> None:
        """Put entries into `run.json`."""
        write_json(self.out / "run.json", {**(read_json(self.out / "run.json") or {}), **entries})


def load_verdicts(out: Path) -> Verdicts:
    """The verdicts of a finished run, with their evidence."""
    entries = read_json(out / "claims.json")
    if entries is None:
        return Verdicts()
    verdicts = []
    for entry in entries:
        evidence = results.load_result(out / "results.zarr", f"claims/{entry['id']}")
        verdicts.append(Verdict.from_json(entry, xr.Dataset() if evidence is None else evidence))
    return Verdicts(verdicts)


def report_run(out: Path) -> Path:
    """Write the page of a run from what lies in its folder.

    Raises:
        TdynError: there is no run in the folder.
    """
    out = local_path(out)
    if not (out / "recording.zarr").exists():
        raise TdynError(
            f"there is no run in {out}: recording.zarr is missing; make one with "
            f"`tdyn run --out {out}`"
        )
    known = result_names()
    names = [name for name in results.saved_names(out / "results.zarr") if name in known]
    found = {name: results.load_result(out / "results.zarr", name) for name in names}
    return write_report(
        out / "report.html",
        {name: result for name, result in found.items() if result is not None},
        load_verdicts(out),
        recording=open_recording(out / "recording.zarr"),
        run=read_json(out / "run.json") or {},
    )
