"""Rows of the table: the numbers that arXiv 2502.12131 prints or shows."""

from __future__ import annotations

from dataclasses import dataclass

from transformer_dynamics.paper.conditions import RANDOM_WALK
from transformer_dynamics.paper.rotation_statistics import (
    largest,
    least,
    mean_magnitude,
    shuffled_turns,
    signed_mean,
    turns,
)
from transformer_dynamics.paper.statistics import (
    Measured,
    copula_at,
    correlation_at,
    correlation_of,
    kde_at,
    kinematic_at,
)
from transformer_dynamics.paper.teleport import FIXED, HORIZON, OWN
from transformer_dynamics.paper.variance_statistics import (
    autoencoder_share,
    component_share,
    error_ratio,
)
from transformer_dynamics.perturbation.systems import UNTRAINED

SHOWN = "shown, not printed"
NOT_PRINTED = "not printed"
ONE_PROMPT = "no interval: one prompt"


@dataclass(frozen=True)
class Quantity:
    """One row of the table.

    Attributes:
        panel: panel of the paper that shows it.
        name: name of the quantity.
        units: its unit.
        paper: value or finding that the paper reports.
        measured: value and, if asked for, interval of a condition.
        fair: name of the control that is fair for it.
        why: reason if it never has an interval.
    """

    panel: str
    name: str
    units: str
    paper: str
    measured: Measured
    fair: str = RANDOM_WALK
    why: str = ""


def _teleport_rows() -> list[Quantity]:
    depths = {
        "0": "does not recover",
        "L/4 - 1": "recovers",
        "L/2 - 1": "recovers",
        "3L/4 - 1": "recovers",
        "L - 1": "does not recover",
    }
    ranges = {FIXED: "-15 to 15", OWN: "range of the texts"}
    return [
        Quantity(
            "4D",
            f"squared error after {HORIZON} sublayers over its start, layer {layer}, grid {words}",
            "1",
            f"{finding}, no number",
            error_ratio(span, depth),
            UNTRAINED,
            ONE_PROMPT,
        )
        for span, words in ranges.items()
        for depth, (layer, finding) in enumerate(depths.items())
    ]


QUANTITIES = (
    Quantity("1C", "r at the first step", "1", "> 0.8", correlation_at(0)),
    Quantity("1D", "r within a layer", "1", "above r across layers", correlation_of("attention")),
    Quantity("1D", "r across layers", "1", "below r within a layer", correlation_of("mlp")),
    Quantity("1E", "cosine, first step", "1", "about 0.52", kinematic_at("cosine", 0)),
    Quantity("1E", "cosine, 3/4 of depth", "1", "0.97 to 0.99", kinematic_at("cosine", 0.75)),
    Quantity("1E", "cosine, last step", "1", "a dip", kinematic_at("cosine", 1)),
    Quantity("1F", "speed, first step", "stream units", "< 1", kinematic_at("speed", 0), UNTRAINED),
    Quantity(
        "1F", "speed, middle", "stream units", "2 to 5", kinematic_at("speed", 0.5), UNTRAINED
    ),
    Quantity(
        "1F",
        "speed, at 61/63 of depth",
        "stream units",
        "up to about 24",
        kinematic_at("speed", 61 / 63),
        UNTRAINED,
    ),
    Quantity("1H", "information at step 0, kernel", "nats", "4.4", kde_at(0)),
    Quantity("1H", "information at step 5, kernel", "nats", "about 1.0", kde_at(5)),
    Quantity("1H", "information at the last step, kernel", "nats", "about 1.5", kde_at(-1)),
    Quantity("1H", "information at step 0, copula", "nats", "not used", copula_at(0)),
    Quantity("1H", "information at step 5, copula", "nats", "not used", copula_at(5)),
    Quantity("1H", "information at the last step, copula", "nats", "not used", copula_at(-1)),
    Quantity("2", "rotation count, mean magnitude", "turns", "10.74", turns(mean_magnitude)),
    Quantity("2", "rotation count, signed mean", "turns", NOT_PRINTED, turns(signed_mean)),
    Quantity("2", "rotation count, least magnitude of a unit", "turns", "about 6", turns(least)),
    Quantity("2", "rotation count, largest of a unit", "turns", "about 16", turns(largest)),
    Quantity("2", "permuted points, signed mean", "turns", "about 0", shuffled_turns(signed_mean)),
    Quantity(
        "2", "permuted points, mean magnitude", "turns", "not used", shuffled_turns(mean_magnitude)
    ),
    *(
        Quantity("3D", f"autoencoder, {words}", "1", reported, measured, UNTRAINED)
        for words, reported, measured in (
            ("all sublayers, about the global mean", NOT_PRINTED, autoencoder_share("global mean")),
            (
                "least sublayer, about the global mean",
                "0.60",
                autoencoder_share("global mean", min),
            ),
            ("best sublayer, about the global mean", "0.77", autoencoder_share("global mean", max)),
            ("all sublayers, about their own means", "not used", autoencoder_share("site mean")),
        )
    ),
    *(
        Quantity("4B", f"variance of PC{component + 1}", "1", SHOWN, component_share(component))
        for component in range(3)
    ),
    *_teleport_rows(),
)
