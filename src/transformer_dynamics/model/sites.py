"""Find the sites of the residual stream in a model, and prove them.

No module is looked up by name. Inputs and outputs of the modules inside a layer, as seen in a probe
pass, must satisfy one of the identities of `checks.proof`. Layers must pass the stream on
unchanged: the input of each is the output of the one before. Later tokens and other texts must not
change a token's states (`checks.independence`). A model that fails is refused with the observed
values; its sites can be named by hand (`named_sites`), and then only independence is tested.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.independence import check_independence
from transformer_dynamics.model.checks.proof import LayerProof, prove
from transformer_dynamics.model.checks.states import relative_difference, tolerance_of
from transformer_dynamics.model.hooks import Site
from transformer_dynamics.model.labels import FINAL
from transformer_dynamics.model.probe import ADVICE, LayerTrace, probe


@dataclass(frozen=True)
class Sites:
    """Sites of a model in order of depth, with the proof for each layer.

    Attributes:
        sites: sites at which the stream is read.
        proofs: proof of each layer; empty for sites named by hand.
        n_units: dimension of the stream.
        causal: whether no token attends to later ones; otherwise padding needs an attention mask.
        padding_error: largest change of a token's state by later tokens, relative to its norm;
            under a mask if the model is not causal.
        independent: whether a text has the same states alone and in a batch.
    """

    sites: tuple[Site, ...]
    proofs: tuple[LayerProof, ...]
    n_units: int
    causal: bool
    padding_error: float
    independent: bool = True

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the sites in order of depth."""
        return tuple(site.label for site in self.sites)


def find_sites(hf_model: Any) -> Sites:
    """Find and prove the sites of a model.

    Raises:
        ModelError: the residual identity fails in a layer, or later tokens change earlier states
            even under a mask.
    """
    traces = probe(hf_model)
    tolerance = tolerance_of(traces[0].input.dtype)
    _check_chain(traces, tolerance)
    sites: list[Site] = []
    proofs: list[LayerProof] = []
    paths = [trace.path for trace in traces]
    for index, trace in enumerate(traces):
        proof, pre_mlp = prove(index, trace, paths, tolerance)
        proofs.append(proof)
        entry = "pre_block" if proof.kind == "single" else "pre_attn"
        sites.append(Site(f"{index}.{entry}", trace.path, "input"))
        if pre_mlp is not None:
            sites.append(Site(f"{index}.pre_mlp", f"{trace.path}.{pre_mlp}", "input"))
    sites.append(Site(FINAL, traces[-1].path, "output"))
    independence = check_independence(hf_model, sites, tolerance)
    return Sites(tuple(sites), tuple(proofs), traces[0].input.shape[-1], *independence)


def _check_chain(traces: list[LayerTrace], tolerance: float) -> None:
    for before, after in itertools.pairwise(traces):
        error = relative_difference(before.output, after.input)
        if error > tolerance:
            raise ModelError(
                f"the stream changes between {before.path} and {after.path}: the input of the "
                f"second differs from the output of the first by {error:.1e} of its norm; {ADVICE}"
            )
