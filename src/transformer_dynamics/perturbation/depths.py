"""Sites at which perturbations start, and the steps between sites."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.labels import parse


def layer_sites(sites: Sequence[str]) -> tuple[str, ...]:
    """First site of every layer, and the last site: the ends of steps over whole layers.

    >>> layer_sites(["0.pre_attn", "0.pre_mlp", "1.pre_attn", "1.pre_mlp", "final"])
    ('0.pre_attn', '1.pre_attn', 'final')
    """
    first: dict[int, str] = {}
    for label in sites[:-1]:
        first.setdefault(parse(label)[0], label)
    return (*first.values(), sites[-1])


def quarter_sites(sites: Sequence[str]) -> tuple[str, ...]:
    """First sites of layers 0, L/4 - 1, L/2 - 1, 3L/4 - 1 and L - 1, as in arXiv 2502.12131.

    Fractions are rounded down. A small model may have fewer than five distinct layers; each is
    named once.

    >>> quarter_sites([*(f"{layer}.pre_attn" for layer in range(32)), "final"])
    ('0.pre_attn', '7.pre_attn', '15.pre_attn', '23.pre_attn', '31.pre_attn')
    >>> quarter_sites(["0.pre_attn", "1.pre_attn", "2.pre_attn", "final"])
    ('0.pre_attn', '1.pre_attn', '2.pre_attn')
    """
    layers = layer_sites(sites)[:-1]
    n_layers = len(layers)
    chosen = [0, *(max(0, quarter * n_layers // 4 - 1) for quarter in range(1, 5))]
    return tuple(layers[layer] for layer in dict.fromkeys(chosen))


def chosen_starts(
    sites: Sequence[str], starts: Sequence[str] | None, *, call: str
) -> tuple[str, ...]:
    """Sites of the perturbations as given, by default those of `quarter_sites`.

    Args:
        sites: sites of the system in order of depth.
        starts: sites as given; None or none for the default.
        call: the call that works, with `{}` in place of a site.

    Raises:
        InputError: a site is unknown.
    """
    chosen = tuple(starts or quarter_sites(sites))
    unknown = [start for start in chosen if start not in sites]
    if unknown:
        raise InputError(
            f"got starts={list(chosen)}, of which {', '.join(map(repr, unknown))} are no sites; "
            f"the recording has {', '.join(sites[:4])}, ... {sites[-1]}: "
            f"{call.format(repr(sites[0]))}"
        )
    return chosen


def step_names(sites: Sequence[str]) -> list[str]:
    """Names of the steps between consecutive sites."""
    return [f"{start} to {stop}" for start, stop in pairwise(sites)]
