"""Labels of sites and steps, independent of any model: `"7.pre_attn"`, `"final"`.

A transformer with L layers has 2L + 1 sites, `0.pre_attn, 0.pre_mlp, ..., (L-1).pre_mlp, final`. If
its layers add attention and MLP in parallel it has L + 1 sites, since there is no stream between
them. Blocks without attention have one `pre_block` site each. Other dynamical systems have sites of
the kind `state`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

FINAL = "final"
KINDS = ("pre_attn", "pre_mlp", "pre_block", FINAL, "state")

STEP_KINDS = {
    ("pre_attn", "pre_mlp"): "attention",
    ("pre_mlp", "pre_attn"): "mlp",
    ("pre_mlp", FINAL): "mlp",
    ("pre_attn", "pre_attn"): "layer",
    ("pre_attn", FINAL): "layer",
    ("pre_block", "pre_block"): "block",
    ("pre_block", FINAL): "block",
}


def parse(label: str) -> tuple[int, str]:
    """Split a label into layer and kind; the final site has layer -1.

    >>> parse("7.pre_mlp")
    (7, 'pre_mlp')
    >>> parse("final")
    (-1, 'final')
    """
    if label == FINAL:
        return -1, FINAL
    layer, _, kind = label.partition(".")
    if not layer.isdigit() or kind not in KINDS:
        raise ValueError(
            f"{label!r} is not a site label; labels are '7.pre_attn', '7.pre_mlp', '7.state' "
            "or 'final'"
        )
    return int(layer), kind


def depth(label: str) -> tuple[float, int]:
    """Return a sort key that puts sites in order of depth.

    >>> sorted(["final", "10.pre_attn", "9.pre_mlp", "9.pre_attn"], key=depth)
    ['9.pre_attn', '9.pre_mlp', '10.pre_attn', 'final']
    """
    layer, kind = parse(label)
    return (math.inf if kind == FINAL else layer), KINDS.index(kind)


def step_kind(start: str, stop: str) -> str:
    """Return the kind of a step: attention, mlp, layer (both at once), block or step.

    >>> step_kind("3.pre_attn", "3.pre_mlp"), step_kind("3.pre_mlp", "4.pre_attn")
    ('attention', 'mlp')
    """
    return STEP_KINDS.get((parse(start)[1], parse(stop)[1]), "step")


def state_labels(n_sites: int) -> list[str]:
    """Return labels for a system other than a transformer: `0.state`, `1.state`, ..."""
    return [f"{index}.state" for index in range(n_sites)]


def transformer_labels(n_layers: int, *, parallel: bool = False) -> list[str]:
    """Return the labels of a transformer's sites in order of depth.

    >>> transformer_labels(2)
    ['0.pre_attn', '0.pre_mlp', '1.pre_attn', '1.pre_mlp', 'final']
    """
    kinds: Sequence[str] = ("pre_attn",) if parallel else ("pre_attn", "pre_mlp")
    return [f"{layer}.{kind}" for layer in range(n_layers) for kind in kinds] + [FINAL]
