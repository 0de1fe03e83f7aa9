"""Arguments and options that several commands of `tdyn` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelArgument = Annotated[
    str, typer.Argument(help="Hub id, folder, .gguf file, or smollm2-135m (bundled).")
]
TextsOption = Annotated[
    str,
    typer.Option(
        help="wikipedia-sample; a file or a quoted pattern (.txt, .jsonl, .json, .csv, .tsv, "
        ".parquet, also .gz); or hf://NAME[:CONFIG[:SPLIT]], a slice as train[:1000]."
    ),
]
TextsRevisionOption = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of the texts' hub data set.")
]
SamplesOption = Annotated[
    int | None, typer.Option(help="Number of texts; by default 512, or all where there are fewer.")
]
SeedOption = Annotated[int, typer.Option(help="Seed of everything that is drawn at random.")]
DeviceOption = Annotated[
    str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, or balanced over several.")
]
DtypeOption = Annotated[str, typer.Option(help="float32, bfloat16, float16, float64.")]
AttentionOption = Annotated[
    str | None, typer.Option(help="Attention implementation: sdpa, eager, flash_attention_2.")
]
RevisionOption = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")]
BosOption = Annotated[str, typer.Option(help="Begin token: tokenizer, always, never.")]
TooLongOption = Annotated[
    str, typer.Option(help="Texts longer than the context: refuse, truncate, window.")
]
BatchOption = Annotated[
    int | None, typer.Option(help="Tokens in one forward pass; by default by device.")
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Never reach for the network.")]
CodeOption = Annotated[
    bool, typer.Option("--trust-remote-code", help="Let a hub repository run its own code.")
]
ColumnOption = Annotated[
    str, typer.Option(help="Column of the texts; a nested one with dots, as doc.text.")
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        help="Column of the texts' groups (article, document), by which intervals and splits go; "
        "wikipedia-sample has its articles."
    ),
]
CutOption = Annotated[
    str | None,
    typer.Option(
        help="random ends each text at a seeded random word, none leaves it whole; by default "
        "random for wikipedia-sample, none for other texts."
    ),
]
MinOption = Annotated[int | None, typer.Option(help="Least characters of a text.")]
MaxOption = Annotated[int | None, typer.Option(help="Most characters of a text.")]
SitesOption = Annotated[
    Path | None,
    typer.Option(
        "--sites",
        help="JSON file with the sites by hand: label to module:port, in order of depth.",
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        help="paper: texts and number of texts of arXiv 2502.12131, and every panel of its figures "
        "with the table of its numbers. Options that are given win over it."
    ),
]
PerturbedOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Texts that each perturbation follows; by default its own number, mostly 20."
    ),
]
