"""Presets of `tdyn run`: named values of its options, and their costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from transformer_dynamics.errors import TdynError

QUICK, STANDARD, PAPER, FULL = "quick", "standard", "paper", "full"


@dataclass(frozen=True)
class Preset:
    """Named values of options.

    Attributes:
        name: Name after `--preset`.
        does: What a run with it gives, in a sentence or two.
        cost: Time of a run in forward passes of the model over the preset's own texts, with the
            bundled model on two cores; empty where no whole run was measured.
        values: Option to value.
    """

    name: str
    does: str
    cost: str
    values: Mapping[str, Any]

    @property
    def command(self) -> str:
        """Options of the command line with the same effect."""
        words = []
        for name, value in self.values.items():
            words.append(f"--{name.replace('_', '-')}")
            if value is not True:
                words.append(",".join(value) if isinstance(value, list) else str(value))
        return " ".join(words)


def preset_named(name: str) -> Preset:
    """Return a preset.

    Raises:
        TdynError: an unknown name.
    """
    if name not in PRESETS:
        raise TdynError(
            f"there is no preset {name!r}; there are: {', '.join(PRESETS)}. `tdyn list presets` "
            f"shows what they do, and this runs the paper's: tdyn run --preset {PAPER}"
        )
    return PRESETS[name]


_PRESETS = (
    Preset(
        QUICK,
        "A first look at 64 texts with few draws: the quick measures, the claims on the recording "
        "and on recovery from perturbations, teleport, and the logit lens. 39 draws are too few to "
        "support a claim alone after the adjustment for all claims; the standard preset has them.",
        "about 16",
        {
            "samples": 64,
            "nulls": 39,
            "twins": 2,
            "bootstrap": 199,
            "perturbed": 2,
            # The others take a third of the time of a run with all of them.
            "measures": [
                *("dimension.pca", "orbits.phase_portrait", "orbits.rotation_counts"),
                *("paths.kinematics", "paths.path_geometry", "units.correlation"),
                *("units.correlation_by_lag", "units.density", "units.mutual_information"),
            ],
            "perturbations": [
                *("perturbation.logit_lens", "perturbation.recovery", "perturbation.teleport"),
            ],
        },
    ),
    Preset(
        STANDARD,
        "The default: 512 texts, and draws enough to support a single claim.",
        "about 27",
        {},
    ),
    Preset(
        PAPER,
        "arXiv 2502.12131: 1000 texts of WikiText-2 (bundled ones without a hub), whole and of 100 "
        "to 500 characters, and every panel of its figures.",
        "",
        {
            "texts": "hf://Salesforce/wikitext:wikitext-2-raw-v1:train",
            "samples": 1000,
            "min_chars": 100,
            "max_chars": 500,
            "cut": "none",
            "panels": True,
        },
    ),
    Preset(
        FULL,
        "Narrow intervals: more texts, draws, twins and perturbed texts, and the panels.",
        "",
        {
            "samples": 2000,
            "nulls": 999,
            "twins": 16,
            "bootstrap": 2999,
            "perturbed": 24,
            "panels": True,
        },
    ),
)
PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _PRESETS})
