"""Arguments and options of the commands of `tdyn`, with their help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelArgument = Annotated[
    str, typer.Argument(help="Hub id, folder, .gguf file, or smollm2-135m (bundled).")
]
RecordingArgument = Annotated[
    Path, typer.Argument(help="A recording or moments, such as recording.zarr.")
]
RunArgument = Annotated[Path, typer.Argument(help="Folder of a run, such as runs/demo.")]
FirstArgument = Annotated[Path, typer.Argument(help="Folder of a run, or a recording.")]
SecondArgument = Annotated[Path, typer.Argument(help="Another one, of the same texts.")]

# Texts.
TextsOption = Annotated[
    str,
    typer.Option(
        help="wikipedia-sample; a file or a quoted pattern (.txt, .jsonl, .json, .csv, .tsv, "
        ".parquet, also .gz); or hf://NAME[:CONFIG[:SPLIT]], where SPLIT may be a slice such as "
        "train[:1000]."
    ),
]
TextsRevisionOption = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of the hub dataset of the texts.")
]
SamplesOption = Annotated[
    int | None, typer.Option(help="Number of texts; by default 512, or all if there are fewer.")
]
ColumnOption = Annotated[
    str, typer.Option(help="Column with the texts; a nested one with dots, such as doc.text.")
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        help="Column with the group of each text (article, document); intervals and splits are by "
        "group. wikipedia-sample is grouped by article."
    ),
]
CutOption = Annotated[
    str | None,
    typer.Option(
        help="random ends each text at a random word (seeded), none keeps it whole; by default "
        "random for wikipedia-sample, none for other texts."
    ),
]
MinOption = Annotated[int | None, typer.Option(help="Minimum number of characters of a text.")]
MaxOption = Annotated[int | None, typer.Option(help="Maximum number of characters of a text.")]
PresetOption = Annotated[
    str | None,
    typer.Option(
        help="paper: the texts of arXiv 2502.12131 and their number, every panel of its figures, "
        "and the table of its numbers. Options on the command line override the preset."
    ),
]

# Model.
DeviceOption = Annotated[
    str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, or balanced (over several devices).")
]
DtypeOption = Annotated[str, typer.Option(help="float32, bfloat16, float16, float64.")]
AttentionOption = Annotated[
    str | None, typer.Option(help="Attention implementation: sdpa, eager, flash_attention_2.")
]
RevisionOption = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Do not use the network.")]
CodeOption = Annotated[
    bool, typer.Option("--trust-remote-code", help="Allow a hub repository to run its own code.")
]
SitesOption = Annotated[
    Path | None,
    typer.Option(
        "--sites",
        help="JSON file that names the sites: label to module:port, in order of depth.",
    ),
]

# Recording.
BosOption = Annotated[str, typer.Option(help="Begin token: tokenizer, always, never.")]
TooLongOption = Annotated[
    str, typer.Option(help="Treatment of texts longer than the context: refuse, truncate, window.")
]
BatchOption = Annotated[
    int | None,
    typer.Option(help="Number of tokens in a forward pass; the default depends on the device."),
]
PositionsOption = Annotated[
    str,
    typer.Option(
        help="Recorded tokens: last, last_content (no special token), all, skip:4 (all but the "
        "first 4), random:8 (8 per text)."
    ),
]
KeepOption = Annotated[
    str, typer.Option(help="states, or moments: streaming statistics of constant size.")
]
StorageOption = Annotated[str, typer.Option(help="auto, float32, or float16 (half the size).")]

# Experiment.
SeedOption = Annotated[int, typer.Option(help="Seed of all random draws.")]
NullsOption = Annotated[
    int | None,
    typer.Option(
        help="Maximum number of draws of each null; by default the number that one claim needs."
    ),
]
TwinsOption = Annotated[
    int, typer.Option(min=2, help="Number of untrained twins, each with its own seed.")
]
BootstrapOption = Annotated[int, typer.Option(help="Number of bootstrap draws over texts.")]
PerturbedOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of texts per perturbation; by default its own number, mostly 20.",
    ),
]
MeasureOption = Annotated[
    list[str] | None, typer.Option("--measure", help="Name of a measure; may be repeated.")
]
PerturbationOption = Annotated[
    list[str] | None,
    typer.Option("--perturbation", help="Name of a perturbation; may be repeated."),
]

# Outputs.
RunFolderOption = Annotated[
    Path | None, typer.Option(help="Folder of the run; by default runs/<model>.")
]
RecordingOption = Annotated[Path, typer.Option(help="Folder of the recording, ending in .zarr.")]
ResultsOption = Annotated[
    Path | None,
    typer.Option(help="Store of the results; by default results.zarr next to the recording."),
]
PageOption = Annotated[
    Path, typer.Option(help="HTML page; results.zarr is written to the same folder.")
]
