"""Options of the commands of `tdyn`, declared once: type, default and help text of each.

A command takes one of these dataclasses; `options.signature` makes the signature that typer reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from transformer_dynamics.cli.options.presets import PRESETS, STANDARD

# Panels of the help text in their order; arguments come before them.
RUN, TEXTS, MODEL, RECORDING, WORKERS, EXPERIMENT, OUTPUT = (
    "Run",
    "Texts",
    "Model",
    "Recording",
    "Workers",
    "Experiment",
    "Output",
)
PANELS = (RUN, TEXTS, MODEL, RECORDING, WORKERS, EXPERIMENT, OUTPUT)
_run, _texts, _model, _recording, _workers, _experiment, _output = (
    partial(typer.Option, rich_help_panel=panel) for panel in PANELS
)


@dataclass(frozen=True, kw_only=True)
class OutputFlags:
    """Options of the messages of a command."""

    quiet: Annotated[bool, _output("--quiet", help="Print errors and the final result alone.")] = (
        False
    )
    verbose: Annotated[
        bool, _output("--verbose", help="Also print versions and the seconds of each stage.")
    ] = False
    json: Annotated[
        bool,
        _output(
            "--json",
            help="Print one JSON object per line on standard output: stages and the final result. "
            "Text for people goes to standard error.",
        ),
    ] = False
    no_color: Annotated[
        bool, _output("--no-color", help="Print without colors, as the variable NO_COLOR does.")
    ] = False
    log: Annotated[Path | None, _output(help="File to which the log lines are appended.")] = None


@dataclass(frozen=True, kw_only=True)
class DaskFlags:
    """Workers of a command."""

    dask: Annotated[
        str | None,
        _run(
            help="Workers that compute: local:4 (processes on this machine), or the scheduler of a "
            "cluster, tcp://host:8786 or scheduler.json. The results are the same.",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ModelFlags:
    """Model of a command."""

    model: Annotated[
        str, typer.Argument(help="Hub id, folder, .gguf file, or smollm2-135m (bundled).")
    ] = "smollm2-135m"
    device: Annotated[
        str, _model(help="auto, cpu, cuda, cuda:1, mps, or balanced (over several devices).")
    ] = "auto"
    device_map: Annotated[
        str | None,
        _model(
            help="Distribution of the weights over devices: auto, balanced, sequential, or a JSON "
            "file from module to device (a GPU's number, cpu, disk). It replaces --device."
        ),
    ] = None
    dtype: Annotated[str, _model(help="float32, bfloat16, float16, float64.")] = "float32"
    attention: Annotated[
        str | None, _model(help="Attention implementation: sdpa, eager, flash_attention_2.")
    ] = None
    revision: Annotated[str | None, _model(help="Branch, tag or commit of a hub id.")] = None
    sites: Annotated[
        Path | None,
        _model(help="JSON file that names the sites: label to module:port, in order of depth."),
    ] = None
    offline: Annotated[bool, _model(help="Do not use the network.", show_default=False)] = False
    trust_remote_code: Annotated[
        bool,
        _model(help="Allow a hub repository to run its own code.", show_default=False),
    ] = False


@dataclass(frozen=True, kw_only=True)
class SharedFlags(ModelFlags, OutputFlags):
    """Model, texts and recording: the options of every command that runs a model over texts."""

    seed: Annotated[int, _run(help="Seed of all random draws.")] = 0
    texts: Annotated[
        str,
        _texts(
            help="wikipedia-sample; a file or a quoted pattern (.txt, .jsonl, .json, .csv, .tsv, "
            ".parquet, also .gz); or hf://NAME[:CONFIG[:SPLIT]], where SPLIT may be a slice such "
            "as train[:1000]."
        ),
    ] = "wikipedia-sample"
    samples: Annotated[
        int | None, _texts(help="Number of texts; by default 512, or all if there are fewer.")
    ] = None
    column: Annotated[
        str, _texts(help="Column with the texts; a nested one with dots, such as doc.text.")
    ] = "text"
    group: Annotated[
        str | None,
        _texts(
            help="Column with the group of each text (article, document); intervals and splits are "
            "by group. wikipedia-sample is grouped by article."
        ),
    ] = None
    cut: Annotated[
        str | None,
        _texts(
            help="random ends each text at a random word (seeded), none keeps it whole; by default "
            "random for wikipedia-sample, none for other texts."
        ),
    ] = None
    min_chars: Annotated[int | None, _texts(help="Minimum number of characters of a text.")] = None
    max_chars: Annotated[int | None, _texts(help="Maximum number of characters of a text.")] = None
    texts_revision: Annotated[
        str | None, _texts(help="Branch, tag or commit of the hub dataset of the texts.")
    ] = None
    positions: Annotated[
        str,
        _recording(
            help="Recorded tokens: last, last_content (no special token), all, skip:4 (all but the "
            "first 4), random:8 (8 per text)."
        ),
    ] = "last"
    storage: Annotated[str, _recording(help="auto, float32, or float16 (half the size).")] = "auto"
    bos: Annotated[str, _recording(help="Begin token: tokenizer, always, never.")] = "tokenizer"
    too_long: Annotated[
        str,
        _recording(help="Treatment of texts longer than the context: refuse, truncate, window."),
    ] = "refuse"
    batch_tokens: Annotated[
        int | None,
        _recording(help="Tokens in a forward pass; the default depends on device and units."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ShardFlags(SharedFlags):
    """Options of a recording in shards."""

    shard_samples: Annotated[
        int | None,
        _workers(
            min=1,
            help="Number of samples in a shard, which one worker records at a time; by default "
            "about 256, or 256 MB for several positions of a text.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class RecordFlags(ShardFlags, DaskFlags):
    """Options of `tdyn record`."""

    out: Annotated[Path, _run(help="Folder of the recording, ending in .zarr.")] = Path(
        "recording.zarr"
    )
    keep: Annotated[
        str, _recording(help="states, or moments: streaming statistics of constant size.")
    ] = "states"
    plan: Annotated[
        bool,
        _workers(
            "--plan",
            help="Write the empty recording, and print its size and the time of a worker.",
        ),
    ] = False
    worker: Annotated[
        bool,
        _workers(
            "--worker",
            help="Record as one of many workers, on this machine or on others that see the folder. "
            "LOCAL_RANK or SLURM_LOCALID chooses the GPU.",
        ),
    ] = False
    workers: Annotated[
        str | None,
        _workers(help="Start this number of workers on this machine, or gpus: one on each GPU."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class SlurmFlags(RecordFlags):
    """Options of `tdyn slurm record`: those of `tdyn record`, and the resources of the array."""

    script: Annotated[Path, _run(help="The sbatch file.")] = Path("record.sbatch")
    array: Annotated[
        str, _workers(help="Number of tasks, such as 32; 32%8 for at most 8 at a time.")
    ] = "8"
    gpus: Annotated[
        int,
        _workers(
            help="GPUs of a task, each with a worker of its own; with --device-map one worker uses "
            "all of them."
        ),
    ] = 0
    time: Annotated[
        str, _workers(help="Time limit of a task: 4h, 90m, 1d12h or SLURM's 04:00:00.")
    ] = "4h"
    cpus: Annotated[int | None, _workers(help="Cores of a worker; by default SLURM's choice.")] = (
        None
    )
    memory: Annotated[
        str | None, _workers(help="Memory of a task, such as 64G; by default SLURM's choice.")
    ] = None
    partition: Annotated[str | None, _workers(help="Partition; by default SLURM's choice.")] = None
    account: Annotated[str | None, _workers(help="Account; by default your own.")] = None
    name: Annotated[str, _workers(help="Name of the job.")] = "tdyn-record"
    logs: Annotated[Path, _workers(help="Folder of the log files, one for each task.")] = Path(
        "logs"
    )
    setup: Annotated[
        list[str] | None,
        _workers(help="Line of shell that runs first, such as 'module load cuda'; repeat it."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class PlanFlags(ShardFlags):
    """Options of `tdyn plan`."""

    out: Annotated[
        Path, _run(help="Folder of the recording to be made, on the disk that will hold it.")
    ] = Path("recording.zarr")
    workers: Annotated[int, _run(help="Number of workers, each with a device of its own.")] = 1
    tokens_per_second: Annotated[
        float | None,
        _run(help="Known throughput of one worker; by default it is measured for some seconds."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class PerturbFlags(SharedFlags):
    """Options of `tdyn perturb`, which `tdyn run` shares."""

    out: Annotated[
        Path | None,
        _run(help="Folder of the run; by default runs/<model>, or runs/<model>-<preset>."),
    ] = None
    perturbations: Annotated[
        list[str] | None,
        _experiment(
            help="Names of perturbations, separated by commas or repeated, or none; by default "
            "all.",
        ),
    ] = None
    perturbed: Annotated[
        int | None,
        _experiment(
            min=1, help="Number of texts per perturbation; by default its own number, 2 to 24."
        ),
    ] = None
    twins: Annotated[
        int, _experiment(min=2, help="Number of untrained twins, each with its own seed.")
    ] = 5


def _preset_names() -> list[str]:
    return list(PRESETS)


@dataclass(frozen=True, kw_only=True)
class RunFlags(PerturbFlags, DaskFlags):
    """Options of `tdyn run`."""

    preset: Annotated[
        str,
        _run(
            help="quick (a first look), standard, paper (texts, number of texts and panels of "
            "arXiv 2502.12131) or full; `tdyn list presets` shows their values and costs. Other "
            "options override the preset.",
            autocompletion=_preset_names,
        ),
    ] = STANDARD
    config: Annotated[
        Path | None,
        _run(
            help="YAML file with options by name, such as `samples: 64`. It overrides the preset; "
            "the command line overrides the file."
        ),
    ] = None
    print_config: Annotated[
        bool,
        _run("--print-config", help="Print all options as YAML for --config, and run nothing."),
    ] = False
    claims: Annotated[
        list[str] | None,
        _experiment(
            help="Ids of claims, separated by commas or repeated, or none; by default all. "
            "p-values are adjusted over the chosen claims.",
        ),
    ] = None
    measures: Annotated[
        list[str] | None,
        _experiment(
            help="Names of measures, separated by commas or repeated, or none; by default all.",
        ),
    ] = None
    nulls: Annotated[
        int | None,
        _experiment(
            help="Maximum number of draws of each null; by default the number that one claim needs."
        ),
    ] = None
    bootstrap: Annotated[int, _experiment(help="Number of bootstrap draws over texts.")] = 999
    panels: Annotated[
        bool,
        _experiment(
            help="Compute the panels and the table of arXiv 2502.12131.", show_default=False
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class MeasureFlags(OutputFlags, DaskFlags):
    """Options of `tdyn measure`."""

    recording: Annotated[
        str,
        typer.Argument(
            help="A recording or moments, such as recording.zarr; or the address of a recording in "
            "another store, such as s3://bucket/recording.zarr."
        ),
    ]
    measures: Annotated[
        list[str] | None,
        _run(
            help="Names of measures, separated by commas or repeated; by default all.",
        ),
    ] = None
    out: Annotated[
        Path | None,
        _run(help="Store of the results; by default results.zarr next to the recording."),
    ] = None
