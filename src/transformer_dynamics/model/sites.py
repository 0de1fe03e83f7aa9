"""Find the sites of the residual stream in a model, and prove them.

Nothing is looked up by name. Inputs and outputs of the modules inside a layer, as seen in a probe
pass, must satisfy one of the identities of `model.checks.proof`: the layer adds the outputs of its
modules to the stream in two steps, in one, or normalizes the stream after each.

Layers must pass the stream on unchanged (each one's input is the one before's output), and what
stands behind a token must change nothing at it, on which right padding rests: in a causal model
because it never sees it, in an encoder under an attention mask. A model in which the texts of one
batch change each other (activations quantized per tensor) is run one text at a time. A model that
fails any of the rest is refused with what was seen; its sites can be given by hand, and then only
what stands behind a token is tested.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.proof import LayerProof, prove
from transformer_dynamics.model.checks.wrappers import trunk_of
from transformer_dynamics.model.hooks import Site, evaluating, reading
from transformer_dynamics.model.labels import FINAL, depth, parse
from transformer_dynamics.model.probe import ADVICE, SHARED_TOKENS, LayerTrace, probe, probe_tokens

# A sum recomputed from its parts in the model's own precision is exact or off by one rounding.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 4e-3, torch.float16: 5e-4}
# How far a text alone and in a batch may lie apart, as a multiple of the tolerance.
BATCH_SLACK = 5.0


@dataclass(frozen=True)
class Sites:
    """The sites of a model in order of depth, with the proof for each layer.

    Attributes:
        sites: where the stream is read.
        proofs: one per layer.
        n_units: dimension of the stream.
        causal: whether no token sees a later one; otherwise padding needs an attention mask.
        padding_error: largest change of a token's state by what stands behind it, over its norm;
            under a mask where the model is not causal.
        independent: whether a text has the same states alone and among others in a batch.
    """

    sites: tuple[Site, ...]
    proofs: tuple[LayerProof, ...]
    n_units: int
    causal: bool
    padding_error: float
    independent: bool = True

    @property
    def labels(self) -> tuple[str, ...]:
        """The sites' labels in order of depth."""
        return tuple(site.label for site in self.sites)


def find_sites(hf_model: Any) -> Sites:
    """Find and prove the sites of a model.

    Raises:
        ModelError: the residual identity does not hold somewhere, or the model is not causal.
    """
    traces = probe(hf_model)
    tolerance = TOLERANCE.get(traces[0].input.dtype, 1e-5)
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
    unseen = _unseen(hf_model, sites, tolerance)
    return Sites(tuple(sites), tuple(proofs), traces[0].input.shape[-1], *unseen)


def given_sites(hf_model: Any, given: Mapping[str, str]) -> Sites:
    """Sites named by hand, read once to see that they are there; no identity is proved.

    Args:
        hf_model: the model.
        given: label to `path:input` or `path:output`, the path being that of a module within the
            model without its head, in order of depth.

    Raises:
        ModelError: a label, path or port that does not exist, labels out of order, a module that
            does not run once per pass, or states of different widths.
    """
    sites = [_given_site(hf_model, label, place) for label, place in given.items()]
    depths = [depth(site.label) for site in sites]
    if not sites or depths != sorted(set(depths)):
        raise ModelError(
            f"got sites {', '.join(given) or 'of no name'}; give each once, in order of depth, as "
            "sites={'0.pre_attn': 'layers.0:input', ..., 'final': 'layers.11:output'}"
        )
    states = _read(hf_model, sites, probe_tokens(hf_model))
    widths = {label: read.shape[-1] for label, read in states.items()}
    if len(set(widths.values())) > 1:
        raise ModelError(f"got sites of different widths ({widths}); the stream has one width")
    tolerance = TOLERANCE.get(next(iter(states.values())).dtype, 1e-5)
    unseen = _unseen(hf_model, sites, tolerance)
    return Sites(tuple(sites), (), next(iter(widths.values())), *unseen)


def _given_site(hf_model: Any, label: str, place: str) -> Site:
    path, _, port = place.rpartition(":")
    paths = [name for name, _ in trunk_of(hf_model).named_modules()]
    try:
        parse(label)
    except ValueError as error:
        raise ModelError(str(error)) from error
    if port not in ("input", "output"):
        raise ModelError(
            f"got {place!r} for the site {label}; a place is a module's path and its port, as "
            "'layers.0:input' or 'layers.0:output'"
        )
    if path not in paths:
        near = ", ".join(difflib.get_close_matches(path, paths)) or ", ".join(paths[1:6])
        raise ModelError(
            f"there is no module {path!r} for the site {label} in {type(hf_model).__name__} "
            f"without its head; near that name: {near}"
        )
    return Site(label, path, "input" if port == "input" else "output")


def _check_chain(traces: list[LayerTrace], tolerance: float) -> None:
    for before, after in itertools.pairwise(traces):
        error = _difference(before.output, after.input)
        if error > tolerance:
            raise ModelError(
                f"the stream changes between {before.path} and {after.path}: the input of the "
                f"second differs from the output of the first by {error:.1e} of its norm; {ADVICE}"
            )


def _unseen(hf_model: Any, sites: Sequence[Site], tolerance: float) -> tuple[bool, float, bool]:
    """Test that a token's state depends on neither later tokens nor other texts.

    Returns:
        Whether the model is causal; how far what stands behind a token, or another text, changes
        its state, over its norm; whether texts of a batch leave each other alone.
    """
    tokens = probe_tokens(hf_model)
    together = _read(hf_model, sites, tokens)
    alone = [_read(hf_model, sites, tokens[text : text + 1]) for text in range(len(tokens))]
    others = max(
        _difference(together[site.label][text], read[site.label][0])
        for text, read in enumerate(alone)
        for site in sites
    )
    # Batches of one and of two sum in another order, which adds up over the layers.
    if others > BATCH_SLACK * max(tolerance, 1e-4):
        return False, others, False
    return (*_padding(hf_model, sites, tolerance, together), True)


def _padding(
    hf_model: Any, sites: Sequence[Site], tolerance: float, seen: Mapping[str, Tensor]
) -> tuple[bool, float]:
    """Whether the model is causal, and how far what stands behind a token changes its state.

    Args:
        hf_model: the model.
        sites: where its stream is read.
        tolerance: of the model's precision.
        seen: states of the probe's texts, which share their first tokens.
    """
    allowed = max(tolerance, 1e-4)
    tokens = probe_tokens(hf_model)
    later = max(
        _difference(states[1, :SHARED_TOKENS], states[0, :SHARED_TOKENS])
        for states in seen.values()
    )
    if later <= allowed:
        return True, later
    mask = torch.ones_like(tokens)
    mask[0, SHARED_TOKENS:] = 0
    padded = _read(hf_model, sites, tokens, mask)
    alone = _read(hf_model, sites, tokens[:1, :SHARED_TOKENS])
    masked = max(
        _difference(padded[site.label][0, :SHARED_TOKENS], alone[site.label][0]) for site in sites
    )
    if masked <= allowed:
        return False, masked
    raise ModelError(
        f"the model is not causal (later tokens change earlier states by {later:.1e} of their "
        f"norm), and an attention mask does not hide padding from it ({masked:.1e}; allowed "
        f"{allowed:.0e}); record it one text at a time elsewhere and use "
        "td.Recording.from_activations"
    )


def _read(
    hf_model: Any, sites: Sequence[Site], tokens: Tensor, mask: Tensor | None = None
) -> dict[str, Tensor]:
    """States `(text, position, unit)` at each site of one pass."""
    trunk = trunk_of(hf_model)
    states: dict[str, list[Tensor]] = {site.label: [] for site in sites}

    def keep(label: str, read: Tensor) -> None:
        states[label].append(read.detach().clone())

    options = {} if mask is None else {"attention_mask": mask}
    with evaluating(hf_model), reading(trunk, sites, keep):
        try:
            trunk(input_ids=tokens, use_cache=False, **options)
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            masked = "" if mask is None else " with an attention mask"
            raise ModelError(
                f"{type(hf_model).__name__} does not run on token ids of shape "
                f"{tuple(tokens.shape)}{masked} ({type(error).__name__}: {error}); capture its "
                "states elsewhere and use td.Recording.from_activations"
            ) from error
    for site in sites:
        found = states[site.label]
        if len(found) != 1 or found[0].shape[:-1] not in (tokens.shape, (tokens.numel(),)):
            shapes = ", ".join(str(tuple(each.shape)) for each in found) or "nothing"
            raise ModelError(
                f"the {site.port} of {site.module} gave {shapes} in one pass over tokens of shape "
                f"{tuple(tokens.shape)}; a site gives states (text, position, unit) once"
            )
    return {label: found[0].reshape(*tokens.shape, -1) for label, found in states.items()}


def _difference(states: Tensor, reference: Tensor) -> float:
    """|states - reference| / |reference|."""
    exact = reference.double()
    error = (states.double() - exact).norm() / exact.norm()
    return float(error) if torch.isfinite(error) else float("inf")
