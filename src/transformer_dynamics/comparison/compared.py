"""Comparison of runs: `td.compare_runs(["runs/a", "runs/b"])`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.claims.tables import text_table
from transformer_dynamics.comparison.claims.differences import Difference
from transformer_dynamics.comparison.claims.estimates import Resampling
from transformer_dynamics.comparison.claims.in_runs import (
    ClaimInRuns,
    claim_row,
    claims_in_runs,
    claims_of,
)
from transformer_dynamics.comparison.claims.profiles import claim_profiles
from transformer_dynamics.comparison.compared_run import ComparedRun
from transformer_dynamics.comparison.opening import open_runs
from transformer_dynamics.comparison.profiles import Profile, measured_profiles
from transformer_dynamics.comparison.similarities import Similarity, similarity_of
from transformer_dynamics.errors import InputError
from transformer_dynamics.experiment import Reporter, Silent
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.recording import Recording

N_BOOTSTRAP = 499


@dataclass(frozen=True, repr=False)
class RunsCompared:
    """Two or more runs compared with the first one; `td.compare_runs` makes it.

    Attributes:
        runs: the runs in the given order; the first is the reference of all differences.
        claims: the claims that a run tested.
        profiles: quantities over relative depth.
        claim_profiles: profiles of claims over relative depth.
        similarities: similarity of each run but the first with the first.
        n_bootstrap: number of bootstrap draws.
        seed: seed of all draws.
    """

    runs: tuple[ComparedRun, ...]
    claims: tuple[ClaimInRuns, ...]
    profiles: tuple[Profile, ...]
    claim_profiles: tuple[Profile, ...]
    similarities: tuple[Similarity, ...]
    n_bootstrap: int
    seed: int

    @property
    def names(self) -> list[str]:
        """Names of the runs."""
        return [run.name for run in self.runs]

    def to_dataset(self) -> xr.Dataset:
        """Claims as one Dataset over `run` and `claim`.

        Returns:
            `value`, `value_low`, `value_high`, in the unit of each claim's statistic, and
            `verdict`; `difference` from the first run with `difference_low` and
            `difference_high`, NaN for the first run; `paired`, whether the same texts were
            resampled in both; `reason`, empty unless the difference is undefined.
        """
        over = ("run", "claim")
        tested = [[claim.tested[place] for claim in self.claims] for place in range(len(self.runs))]
        none = [Difference(self.names[0]) for _ in self.claims]
        others = [
            [claim.differences[place] for claim in self.claims]
            for place in range(len(self.runs) - 1)
        ]
        changes = [none, *others]
        variables: dict[str, Any] = {
            "value": _floats(tested, lambda each: each.value),
            "value_low": _floats(tested, lambda each: each.interval[0]),
            "value_high": _floats(tested, lambda each: each.interval[1]),
            "verdict": _objects(tested, lambda each: each.word),
            "difference": _floats(changes, lambda each: each.value),
            "difference_low": _floats(changes, lambda each: each.interval[0]),
            "difference_high": _floats(changes, lambda each: each.interval[1]),
            "paired": np.array([[each.is_paired for each in row] for row in changes], dtype=bool),
            "reason": _objects(changes, lambda each: each.reason),
        }
        shape = len(self.runs), len(self.claims)
        return xr.Dataset(
            {name: (over, values.reshape(shape)) for name, values in variables.items()},
            coords={
                "run": np.array(self.names, dtype=object),
                "claim": np.array([claim.id for claim in self.claims], dtype=object),
            },
            attrs={"reference": self.names[0], "n_bootstrap": self.n_bootstrap, "seed": self.seed},
        )

    @property
    def drawing_names(self) -> list[str]:
        """Names that `drawings` takes: of profiles, of claims, and of the other runs."""
        profiles = [profile.name for profile in (*self.profiles, *self.claim_profiles)]
        return profiles + [each.other for each in self.similarities if each.result is not None]

    def drawings(self, name: str) -> list[Drawing]:
        """Figures of a profile (`"paths.kinematics.cosine"`), a claim (`"C4"`), or a similarity.

        Args:
            name: name of a profile, id of a claim whose profile is a curve over depth, or name of
                another run for the similarity of its sites with the first run's.

        Raises:
            InputError: there is no figure of that name.
        """
        from transformer_dynamics.comparison.drawings import profile_drawing, similarity_drawings

        for profile in (*self.profiles, *self.claim_profiles):
            if profile.name == name:
                return [profile_drawing(profile)]
        for similarity in self.similarities:
            if similarity.other == name and similarity.result is not None:
                return similarity_drawings(similarity)
        raise InputError(
            f"there is no figure {name!r}; there are: {', '.join(self.drawing_names) or 'none'}"
        )

    def save(self, path: str | Path) -> Path:
        """Write the page, and next to it a JSON file of the same name; return the page's path.

        Raises:
            TdynError: the folder cannot be written.
        """
        from transformer_dynamics.comparison.page import save_comparison

        return save_comparison(self, path)

    def __repr__(self) -> str:
        head = ("claim", *self.names, *(f"{name} - {self.names[0]}" for name in self.names[1:]))
        rows = [claim_row(claim) for claim in self.claims]
        return f"{len(self.runs)} runs, {len(rows)} claims\n{text_table(head, rows)}"

    def _repr_html_(self) -> str:
        from transformer_dynamics.comparison.page import comparison_frame

        return comparison_frame(self)


def compare_runs(
    runs: Sequence[str | Path | Recording],
    *,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> RunsCompared:
    """Compare runs of any depths and widths with the first one.

    Args:
        runs: two or more folders of finished runs, or recordings (paths or `td.Recording`), as an
            untrained twin's `runs/a/nulls/untrained-0.zarr`. A recording is measured here; its
            claims have values and no verdicts.
        n_bootstrap: number of bootstrap draws over texts.
        seed: seed of all draws; the same seed gives the same bits.
        reporter: receiver of the stages.

    Returns:
        Claims with verdicts and differences, profiles over relative depth, similarities of sites.
        `.to_dataset()` gives the claims over `run` and `claim`, `.save("comparison.html")` writes
        the page and a JSON file; a notebook shows the page.

    Raises:
        InputError: fewer than two runs, a folder without a finished run, or a run of an old format;
            fewer than two draws.
    """
    if n_bootstrap < 2:
        raise InputError(
            f"got n_bootstrap={n_bootstrap}; an interval takes at least 2 draws: "
            f"td.compare_runs(['runs/a', 'runs/b'], n_bootstrap={N_BOOTSTRAP})"
        )
    stages = Silent() if reporter is None else reporter
    opened = open_runs(runs)
    names, resampling = claims_of(opened), Resampling(n_bootstrap, seed)
    with stages.stage("claims", "runs") as progress:
        claims = claims_in_runs(opened, names, resampling, progress)
    with stages.stage("profiles", "quantities"):
        profiles = measured_profiles(opened, resampling)
        of_claims = claim_profiles(opened, names, resampling)
    similarities = []
    with stages.stage("similarity", "pairs") as progress:
        for place, other in enumerate(opened[1:], 1):
            similarities.append(similarity_of(opened[0], other, seed))
            if progress is not None:
                progress(place, len(opened) - 1)
    return RunsCompared(
        tuple(opened),
        tuple(claims),
        tuple(profiles),
        tuple(of_claims),
        tuple(similarities),
        n_bootstrap,
        seed,
    )


def _floats(rows: Sequence[Sequence[Any]], read: Any) -> Any:
    return np.array([[read(each) for each in row] for row in rows], dtype=np.float64)


def _objects(rows: Sequence[Sequence[Any]], read: Any) -> Any:
    return np.array([[read(each) for each in row] for row in rows], dtype=object)
