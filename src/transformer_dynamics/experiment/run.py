"""Run: model, texts, folder, settings and ledger, shared by all stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformer_dynamics.claims.options import draws_needed
from transformer_dynamics.environment import return_memory, system_information
from transformer_dynamics.experiment.ledger import Ledger
from transformer_dynamics.experiment.reporter import Progress, Reporter, Silent
from transformer_dynamics.experiment.settings import Settings, select
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.model.loading import as_model
from transformer_dynamics.recording import Recording
from transformer_dynamics.storage.files import fingerprint, local_path, write_json
from transformer_dynamics.texts.inputs import Inputs


@dataclass
class Run:
    """A model, texts and a folder.

    Attributes:
        model: A `td.Model`, or anything that `td.load_model` takes.
        texts: Texts in any form that `td.record` takes.
        out: Folder of the run.
        settings: Settings.
        reporter: Receiver of the stages.
    """

    model: Any
    texts: Any
    out: Path
    settings: Settings = field(default_factory=Settings)
    reporter: Reporter = field(default_factory=Silent)

    def __post_init__(self) -> None:
        """Convert the arguments once for all stages."""
        self.model: Model = as_model(self.model)
        self.out = local_path(self.out)
        self._texts_sha256 = getattr(self.texts, "sha256", None)
        self.texts: Inputs = self.model.inputs(self.texts, bos=self.settings.recording.bos)

    @property
    def n_texts(self) -> int:
        """Number of texts."""
        return len(self.texts.token_lists)

    @property
    def store(self) -> Path:
        """Store of the results."""
        return self.out / "results.zarr"

    @property
    def ledger(self) -> Ledger:
        """Ledger of the finished stages."""
        return Ledger(self.out / "run.json")

    @contextmanager
    def stage(self, name: str, unit: str, inputs: Any = None) -> Iterator[Progress | None]:
        """Report a stage, and note it in the ledger if it ends without an error.

        Args:
            name: Name of the stage.
            unit: What its progress counts, in the plural.
            inputs: What its result depends on.

        Yields:
            Receiver of the progress.
        """
        with self.reporter.stage(name, unit) as progress, self.ledger.timed(name, inputs):
            yield progress
        return_memory()

    def note_provenance(self, recording: Recording) -> None:
        """Write model, texts, settings and versions to the ledger; keep what is known of stages."""
        provenance, before = recording.provenance, self.ledger.entries()
        settings = self.settings
        write_json(
            self.ledger.path,
            {
                "model": self.model.name,
                "model_origin": self.model.provenance,
                "architecture": provenance["architecture"],
                "weights_sha256": provenance["weights"],
                "hooks": provenance["hooks"],
                "adapters": provenance["adapters"],
                "dtype": self.model.dtype,
                "device": str(self.model.device),
                "attention": self.model.attention_implementation,
                "texts": self.texts.source,
                "texts_selection": dict(self.texts.selection),
                "texts_sha256": self._texts_sha256,
                "n_texts": self.n_texts,
                "bos": settings.recording.bos,
                "too_long": settings.recording.too_long,
                "seed": settings.seed,
                "n_null": settings.n_null or draws_needed(len(select(settings).claims)),
                "n_twins": settings.n_twins,
                "n_bootstrap": settings.n_bootstrap,
                "command": settings.command,
                "preset": dict(settings.preset),
                "config": dict(settings.config),
                "system": system_information(),
                "refused": before.get("refused", {}),
                "pending": before.get("pending", []),
                "stages": before.get("stages", {}),
            },
        )


def identity(recording: Recording) -> str:
    """Fingerprint of a recording's provenance and shape, without reading its states."""
    return fingerprint([recording.provenance, list(recording.shape)])
