"""Estimates of the time of stages, from the time that the run took to record its texts.

Measured once with the bundled model, 512 texts and two cores. A measure and the claims are taken to
grow with the texts, a perturbation with the texts that it follows. Another model or machine changes
the proportions, so that an estimate tells minutes from hours and no more.
"""

from __future__ import annotations

# Measures of at most a few seconds each, which the first page shows.
QUICK_MEASURES = (
    "dimension.pca",
    "orbits.phase_portrait",
    "orbits.rotation_counts",
    "paths.kinematics",
    "paths.path_geometry",
    "units.correlation",
    "units.correlation_by_lag",
    "units.correlation_pairs",
    "units.density",
    "units.mutual_information",
)
# Claims whose draws of nulls take longest: tested when the others are on the page.
SLOW_CLAIMS = ("C12", "C13")
# Seconds of a stage over the seconds of recording the same texts.
OF_RECORDING = {
    "shuffled_tokens": 0.3,
    "untrained": 2.0,
    "claims": 2.4,
    "dimension.autoencoder": 1.2,
    "dimension.held_out_pca": 0.1,
    "dimension.intrinsic_dimension": 0.2,
    "dimension.pca_per_site": 0.1,
    "dynamics.linear_maps": 0.3,
    "dynamics.rotate_and_stretch": 0.5,
    "dynamics.rotation": 0.1,
    "massive.activations": 0.1,
    "orbits.periodic_orbits": 0.3,
    "similarity.between_recordings": 0.1,
    "similarity.between_sites": 0.2,
    "units.communities": 0.3,
}
# Seconds of a perturbation for each text that it follows, over those of recording one text.
OF_ONE_TEXT = {
    "perturbation.basin": 13.0,
    "perturbation.community_gain": 120.0,
    "perturbation.flow_field": 35.0,
    "perturbation.jacobians": 300.0,
    "perturbation.logit_lens": 2.9,
    "perturbation.recovery": 79.0,
    "perturbation.skip_and_swap": 120.0,
    "perturbation.slow_points": 150.0,
    "perturbation.spectra": 670.0,
    "perturbation.teleport": 93.0,
    "perturbation.truncation": 50.0,
}


def estimated_seconds(
    stage: str, record_seconds: float, n_texts: int, n_followed: int
) -> float | None:
    """Estimate the time of a stage; None for one whose cost is not known.

    Args:
        stage: name of a measure, a perturbation, a null or the claims.
        record_seconds: seconds that the run took to record its texts.
        n_texts: number of texts.
        n_followed: number of texts that a perturbation follows.

    >>> estimated_seconds("perturbation.basin", 64.0, 512, 20)
    32.5
    """
    if stage.startswith("perturbation."):
        share = OF_ONE_TEXT.get(stage)
        return None if share is None else share * record_seconds / n_texts * n_followed
    return OF_RECORDING[stage] * record_seconds if stage in OF_RECORDING else None
