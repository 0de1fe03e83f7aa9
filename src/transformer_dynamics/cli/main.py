"""The command `tdyn`: parses, calls, prints; it computes nothing itself."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from transformer_dynamics.cli.options import (
    AttentionOption,
    BatchOption,
    BosOption,
    CodeOption,
    ColumnOption,
    CutOption,
    DeviceOption,
    DtypeOption,
    GroupOption,
    MaxOption,
    MinOption,
    ModelArgument,
    OfflineOption,
    PerturbedOption,
    PresetOption,
    RevisionOption,
    SamplesOption,
    SeedOption,
    SitesOption,
    TextsOption,
    TextsRevisionOption,
    TooLongOption,
)
from transformer_dynamics.cli.progress import Bars, complaints
from transformer_dynamics.cli.tables import (
    comparison_table,
    entries_table,
    given_table,
    proof_table,
    verdict_table,
)
from transformer_dynamics.errors import TdynError, TextsError
from transformer_dynamics.storage.attributes import attribute

DEFAULT_SAMPLES = 512
# What typer returns for Ctrl-C: 128 + SIGINT, as shells have it.
INTERRUPTED = 130

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The residual stream of a transformer as a dynamical system over depth.",
)
console = Console()


@app.command()
def run(
    context: typer.Context,
    model: ModelArgument = "smollm2-135m",
    texts: TextsOption = "wikipedia-sample",
    samples: SamplesOption = None,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; by default runs/<model>.")
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    attention: AttentionOption = None,
    revision: RevisionOption = None,
    bos: BosOption = "tokenizer",
    too_long: TooLongOption = "refuse",
    batch_tokens: BatchOption = None,
    column: ColumnOption = "text",
    group: GroupOption = None,
    cut: CutOption = None,
    min_chars: MinOption = None,
    max_chars: MaxOption = None,
    texts_revision: TextsRevisionOption = None,
    nulls: Annotated[
        int | None,
        typer.Option(help="Most draws of each null; by default as many as one claim needs."),
    ] = None,
    twins: Annotated[int, typer.Option(min=2, help="Untrained twins, a seed each.")] = 8,
    bootstrap: Annotated[int, typer.Option(help="Draws of the bootstrap over texts.")] = 999,
    perturbed: PerturbedOption = None,
    preset: PresetOption = None,
    offline: OfflineOption = False,
    trust_remote_code: CodeOption = False,
) -> None:
    """Record, measure, perturb, test the claims against their nulls, and write the report."""
    from transformer_dynamics.experiment import Experiment, Settings
    from transformer_dynamics.recording.options import RecordingOptions

    loaded = _load(model, device, dtype, attention, revision, offline, trust_remote_code)
    note = ""
    if preset is None:
        chosen = _texts(
            texts,
            samples,
            seed=seed,
            column=column,
            group=group,
            cut=cut,
            min_chars=min_chars,
            max_chars=max_chars,
            revision=texts_revision,
            offline=offline,
        )
    else:
        chosen, note = _preset_texts(preset, context, seed)
    folder = out or _run_folder(loaded.name)
    settings = Settings(
        seed=seed,
        preset={} if preset is None else {"name": preset, "note": note},
        recording=RecordingOptions(bos=bos, too_long=too_long, batch_tokens=batch_tokens),
        n_null=nulls,
        n_twins=twins,
        n_bootstrap=bootstrap,
        n_perturbed=perturbed,
        command=shlex.join(["tdyn", *sys.argv[1:]]),
    )
    with Bars() as bars:
        verdicts = Experiment(loaded, chosen, folder, settings, bars).run()
    console.print(verdict_table(verdicts))
    console.print(
        f"\n{folder / 'report.html'}\n{folder / 'claims.json'}", highlight=False, soft_wrap=True
    )


@app.command()
def record(
    model: ModelArgument = "smollm2-135m",
    texts: TextsOption = "wikipedia-sample",
    samples: SamplesOption = None,
    seed: SeedOption = 0,
    out: Annotated[Path, typer.Option(help="Folder to be made, ending in .zarr.")] = Path(
        "recording.zarr"
    ),
    positions: Annotated[
        str,
        typer.Option(
            help="last, last_content (no special token), all, skip:4, random:8 (8 per text)."
        ),
    ] = "last",
    keep: Annotated[
        str, typer.Option(help="states, or moments: streaming statistics in constant space.")
    ] = "states",
    storage: Annotated[str, typer.Option(help="auto, float32, or float16 at half the size.")] = (
        "auto"
    ),
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    attention: AttentionOption = None,
    revision: RevisionOption = None,
    bos: BosOption = "tokenizer",
    too_long: TooLongOption = "refuse",
    batch_tokens: BatchOption = None,
    column: ColumnOption = "text",
    group: GroupOption = None,
    cut: CutOption = None,
    min_chars: MinOption = None,
    max_chars: MaxOption = None,
    texts_revision: TextsRevisionOption = None,
    offline: OfflineOption = False,
    trust_remote_code: CodeOption = False,
    sites: SitesOption = None,
) -> None:
    """Record the residual stream of a model over texts."""
    from transformer_dynamics.recording.options import RecordingOptions
    from transformer_dynamics.recording.record import record as record_states

    options = RecordingOptions(
        bos=bos, too_long=too_long, seed=seed, storage=storage, batch_tokens=batch_tokens
    )
    loaded = _load(model, device, dtype, attention, revision, offline, trust_remote_code, sites)
    chosen = _texts(
        texts,
        samples,
        seed=seed,
        column=column,
        group=group,
        cut=cut,
        min_chars=min_chars,
        max_chars=max_chars,
        revision=texts_revision,
        offline=offline,
    )
    with Bars() as bars, bars.stage("record", "tokens") as progress:
        made = record_states(
            loaded,
            chosen,
            positions,
            out=out,
            keep=keep,  # type: ignore[call-overload]
            options=options,
            on_progress=progress,
        )
    n_samples, n_sites, n_units = made.shape
    held = "" if keep == "states" else "moments of "
    console.print(
        f"{out}: {held}{n_samples} samples, {n_sites} sites, {n_units} units", soft_wrap=True
    )


@app.command()
def measure(
    recording: Annotated[Path, typer.Argument(help="A recording or moments, as recording.zarr.")],
    name: Annotated[
        list[str] | None, typer.Option("--measure", help="A measure; may be given again.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Store of results; by default results.zarr beside it.")
    ] = None,
) -> None:
    """Run measures on a recording, or on moments, and keep their results."""
    from transformer_dynamics.recording import open_recording
    from transformer_dynamics.recording.moments.moments import holds_moments, open_moments
    from transformer_dynamics.registry import MEASURES
    from transformer_dynamics.storage import results

    known = MEASURES.all()
    moments = open_moments(recording) if holds_moments(recording) else None
    able = [each for each in known if moments is None or moments.can_measure(each)]
    chosen = name or able
    for each in chosen:
        if each not in known:
            raise TdynError(f"there is no measure {each!r}; there are: {', '.join(known)}")
    loaded = None if moments is not None else open_recording(recording).load_if_small()
    store = out or recording.parent / "results.zarr"
    table = Table("measure", Column("variables", overflow="fold"), "seconds")
    for each in chosen:
        start = time.perf_counter()
        result = known[each].function(loaded) if moments is None else moments.measure(each)
        results.save_result(store, each, result)
        seconds = f"{time.perf_counter() - start:.2f}"
        table.add_row(each, ", ".join(str(variable) for variable in result.data_vars), seconds)
    console.print(table)
    console.print(str(store), highlight=False, soft_wrap=True)


@app.command()
def perturb(
    model: ModelArgument = "smollm2-135m",
    texts: TextsOption = "wikipedia-sample",
    samples: SamplesOption = None,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; by default runs/<model>.")
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--perturbation", help="A perturbation; may be given again."),
    ] = None,
    perturbed: PerturbedOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    attention: AttentionOption = None,
    revision: RevisionOption = None,
    bos: BosOption = "tokenizer",
    too_long: TooLongOption = "refuse",
    batch_tokens: BatchOption = None,
    column: ColumnOption = "text",
    group: GroupOption = None,
    cut: CutOption = None,
    min_chars: MinOption = None,
    max_chars: MaxOption = None,
    texts_revision: TextsRevisionOption = None,
    offline: OfflineOption = False,
    trust_remote_code: CodeOption = False,
) -> None:
    """Put other states into the model and follow them; Jacobians, layers left out or swapped.

    Records first what is not recorded yet; a later `tdyn run` into the same folder goes on from it.
    """
    from transformer_dynamics.experiment import Experiment, Settings
    from transformer_dynamics.recording.options import RecordingOptions

    loaded = _load(model, device, dtype, attention, revision, offline, trust_remote_code)
    chosen = _texts(
        texts,
        samples,
        seed=seed,
        column=column,
        group=group,
        cut=cut,
        min_chars=min_chars,
        max_chars=max_chars,
        revision=texts_revision,
        offline=offline,
    )
    folder = out or _run_folder(loaded.name)
    settings = Settings(
        seed=seed,
        recording=RecordingOptions(bos=bos, too_long=too_long, batch_tokens=batch_tokens),
        n_perturbed=perturbed,
        command=shlex.join(["tdyn", *sys.argv[1:]]),
    )
    with Bars() as bars:
        made = Experiment(loaded, chosen, folder, settings, bars).perturb(name)
    table = Table("perturbation", Column("variables", overflow="fold"), "texts")
    for each, result in made.items():
        followed = str(attribute(result, "parameters")["n_texts"])
        table.add_row(each, ", ".join(str(variable) for variable in result.data_vars), followed)
    console.print(table)
    console.print(
        f"{folder / 'results.zarr'}\n{folder / 'report.html'}", highlight=False, soft_wrap=True
    )


@app.command()
def compare(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a recording.")],
    other: Annotated[Path, typer.Argument(help="Another, of the same texts.")],
    out: Annotated[
        Path, typer.Option(help="The page to be written; results.zarr goes beside it.")
    ] = Path("comparison/report.html"),
    seed: SeedOption = 0,
) -> None:
    """Compare two recordings of the same texts, site by site."""
    from transformer_dynamics.measures.similarity import between_recordings
    from transformer_dynamics.recording import open_recording
    from transformer_dynamics.report import write_report
    from transformer_dynamics.storage import results

    inner = [folder / "recording.zarr" for folder in (run, other)]
    paths = [a if a.exists() else b for a, b in zip(inner, (run, other), strict=True)]
    recordings = [open_recording(path).load_if_small() for path in paths]
    result = between_recordings(*recordings, seed=seed)
    name = result.attrs["measure"]
    write_report(out, {name: result}, [], recording=recordings[0])
    results.save_result(out.parent / "results.zarr", name, result)
    console.print(comparison_table(result))
    console.print(str(out), highlight=False, soft_wrap=True)


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(help="A run's folder, as runs/demo.")],
) -> None:
    """Write the page of a run again from what lies in its folder."""
    from transformer_dynamics.experiment import report_run

    console.print(str(report_run(run_folder)), highlight=False, soft_wrap=True)


@app.command()
def sites(
    model: ModelArgument = "smollm2-135m",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    attention: AttentionOption = None,
    revision: RevisionOption = None,
    offline: OfflineOption = False,
    trust_remote_code: CodeOption = False,
    by_hand: SitesOption = None,
) -> None:
    """Print where a model's residual stream is read, and the proof, layer by layer."""
    loaded = _load(model, device, dtype, attention, revision, offline, trust_remote_code, by_hand)
    found = loaded.found_sites
    console.print(proof_table(loaded.name, found) if found.proofs else given_table(found))
    if any(proof.kind == "parallel" for proof in found.proofs):
        console.print(
            "Attention and MLP are added at once: no stream between them, no pre_mlp site."
        )
    unseen = "Later tokens" if found.causal else "An encoder: masked tokens behind it"
    if any(proof.kind == "post-norm" for proof in found.proofs):
        console.print("The stream itself is normalized: a step is not what a branch adds alone.")
    if found.proofs:
        console.print(
            "Errors are norms of the difference over the norm of the sum, on a probe of a few "
            "tokens."
        )
    else:
        console.print("Named by hand and not proved: no residual identity was tested.")
    if not found.independent:
        unseen = "Other texts of its batch, which is why texts run one at a time,"
    console.print(f"{unseen} change a token's state by {found.padding_error:.1e} of its norm.")


@app.command("list")
def list_entries() -> None:
    """Print the measures, perturbations, nulls and claims that there are."""
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
    made = (
        entries_table("Measures of a recording", MEASURES),
        entries_table("Comparisons of two recordings", COMPARISONS),
        entries_table("Perturbations, with the model in the loop", PERTURBATIONS),
        entries_table("Panels of arXiv 2502.12131, with --preset paper", PANELS),
    )
    for table in (*made, nulls, claims):
        console.print(table)


@app.command()
def doctor() -> None:
    """Print versions, the machine, the cache and which optional parts are installed."""
    from transformer_dynamics.environment import examine

    table = Table("what", "found", show_header=False)
    for what, found in examine().items():
        table.add_row(what, str(found))
    console.print(table)


def main() -> None:
    """Entry point: every error meant for the user is one message and a non-zero exit."""
    try:
        app()
    except TdynError as error:
        complaints.print(Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
        raise SystemExit(1) from None
    except SystemExit as end:
        if end.code == INTERRUPTED:
            command = shlex.join(["tdyn", *sys.argv[1:]])
            complaints.print(
                Text(f"interrupted; what is finished is kept. To go on: {command}"), soft_wrap=True
            )
        raise


def _run_folder(model_name: str) -> Path:
    """The folder of a run that was given none: `runs/NAME`."""
    return Path("runs") / (Path(model_name).name.strip(".") or "model")


def _load(
    model: str,
    device: str,
    dtype: str,
    attention: str | None,
    revision: str | None,
    offline: bool,
    trust: bool,
    sites: Path | None = None,
) -> Any:
    from transformer_dynamics.model.loading import ModelOptions, load_model
    from transformer_dynamics.storage.files import read_json

    given = None if sites is None else read_json(sites)
    if sites is not None and not isinstance(given, dict):
        raise TdynError(
            f"{sites} holds no sites; it is a JSON object like "
            '{"0.pre_attn": "layers.0:input", "final": "layers.11:output"}'
        )

    with complaints.status(f"loading {model}"):
        return load_model(
            model,
            device=device,
            dtype=dtype,
            revision=revision,
            offline=offline,
            sites=given,
            options=ModelOptions(attention=attention, trust_remote_code=trust),
        )


def _preset_texts(preset: str, context: typer.Context, seed: int) -> tuple[Any, str]:
    """The preset's texts and a note on them; options that were given win."""
    from transformer_dynamics.paper.preset import PAPER, TEXT_OPTIONS, paper_texts

    if preset != PAPER:
        raise TdynError(
            f"there is no preset {preset!r}; there is {PAPER}: tdyn run --preset {PAPER}"
        )
    given = {
        TEXT_OPTIONS[name]: value
        for name, value in context.params.items()
        if name in TEXT_OPTIONS and _was_given(context, name)
    }
    with complaints.status("loading the texts of the paper"):
        found = paper_texts(given, seed=seed)
    complaints.print(Text(found.note), soft_wrap=True)
    return found.texts, found.note


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _texts(source: str, samples: int | None, **choice: Any) -> Any:
    """The texts; `choice` by the names of `load_texts` and `TextOptions`."""
    from transformer_dynamics.texts import load_texts, text_arguments

    arguments = text_arguments(choice)
    with complaints.status(f"loading {source}"):
        if samples is not None:
            return load_texts(source, samples, **arguments)
        if source.startswith("hf://"):  # a large data set is not read whole to count its texts
            with contextlib.suppress(TextsError):
                return load_texts(source, DEFAULT_SAMPLES, **arguments)
        samples = min(DEFAULT_SAMPLES, len(load_texts(source, **arguments)))
        return load_texts(source, samples, **arguments)
