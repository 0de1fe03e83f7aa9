"""Find the sites of the residual stream in a model, and prove them.

Nothing is looked up by name. For every layer with input `x` and output `y`, what a probe pass saw
of the modules inside it must satisfy one of these identities, `a` and `b` being outputs of modules
and `c` a constant (1 but for families with a residual multiplier):

- sequential: a module receives `m = x + c a`, `a` having been put out before, and `y = m + c b` for
  a `b` put out after. `m` is the stream between attention and MLP: the pre_mlp site.
- single: `y = x + c a`. One branch, as in state-space models: the input is a pre_block site.
- parallel: `y = x + c (a + b)`. Attention and MLP are added at once: there is no stream between
  them, and only pre_attn is a site.
- post-norm: a module receives `x + c a` and puts out `m`, and another receives `m + c b` and puts
  out `y`. The stream itself is normalised, twice a layer, so that a step is not what a branch adds
  alone; `m` is the pre_mlp site.

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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from transformer_dynamics.errors import ModelError
from transformer_dynamics.residual.hooks import Site, evaluating, reading
from transformer_dynamics.residual.labels import FINAL, depth, parse
from transformer_dynamics.residual.probe import (
    SHARED_TOKENS,
    Event,
    LayerTrace,
    probe,
    probe_tokens,
)
from transformer_dynamics.residual.wrappers import trunk_of

# A sum recomputed from its parts in the model's own precision is exact or off by one rounding.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 4e-3, torch.float16: 5e-4}
# How far a text alone and in a batch may lie apart, as a multiple of the tolerance.
BATCH_SLACK = 5.0
# Of an update that is itself within the tolerance, a branch must explain all but this share.
UNEXPLAINED = 0.1


@dataclass(frozen=True)
class Branch:
    """What is added to the stream.

    Attributes:
        name: the module whose output it is, within the layer; two joined by + in a parallel layer.
        scale: what its output is multiplied with.
        error: |total - (start + scale output)| / |total|.
    """

    name: str
    scale: float
    error: float


@dataclass(frozen=True)
class LayerProof:
    """The identity that a layer satisfies.

    Attributes:
        layer: its index.
        kind: sequential, single, parallel or post-norm.
        branches: what it adds to the stream, in order.
        between: in a post-norm layer the module that puts out the stream between the branches.
    """

    layer: int
    kind: str
    branches: tuple[Branch, ...]
    between: str = ""

    @property
    def error(self) -> float:
        """The largest error of its branches."""
        return max(branch.error for branch in self.branches)


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
    for index, trace in enumerate(traces):
        proof, pre_mlp = _prove(index, trace, tolerance)
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
                f"second differs from the output of the first by {error:.1e} of its norm"
            )


def _prove(index: int, trace: LayerTrace, tolerance: float) -> tuple[LayerProof, str | None]:
    """The proof of one layer and the module before which the pre_mlp site lies, if there is one."""
    seen: list[Branch] = []
    for place, event in enumerate(trace.events):
        if event.port != "input" or torch.equal(event.states, trace.input):
            continue
        first = _branch(event.states, trace.input, trace.events[:place], tolerance)
        if first is None or first.error > tolerance:
            continue
        second = _branch(trace.output, event.states, trace.events[place:], tolerance)
        if second is not None:
            seen.append(second)
            if second.error <= tolerance:
                return LayerProof(index, "sequential", (first, second)), event.name
    single = _branch(trace.output, trace.input, trace.events, tolerance)
    if single is not None:
        seen.append(single)
        if single.error <= tolerance:
            return LayerProof(index, "single", (single,)), None
    pairs = _branch(trace.output, trace.input, _sums(trace.events), tolerance)
    if pairs is not None:
        seen.append(pairs)
        if pairs.error <= tolerance:
            return LayerProof(index, "parallel", (pairs,)), None
    post_norm = _prove_post_norm(index, trace, tolerance)
    if post_norm is not None:
        return post_norm
    raise ModelError(_refusal(trace, seen, tolerance))


def _prove_post_norm(
    index: int, trace: LayerTrace, tolerance: float
) -> tuple[LayerProof, str] | None:
    """The proof of a layer whose two sums are normalised, and the module that then receives `m`."""
    events = trace.events
    for place, entry in enumerate(events):
        first = _sum_into(entry, trace.input, events[:place], tolerance)
        if first is None:
            continue
        left = _leaving(entry, events, place)
        if left is None:
            continue
        middle = events[left].states
        for other in range(left + 1, len(events)):
            second = _sum_into(events[other], middle, events[left:other], tolerance)
            end = None if second is None else _leaving(events[other], events, other)
            if second is None or end is None or not torch.equal(events[end].states, trace.output):
                continue
            for event in events[left + 1 : other]:
                if event.port == "input" and torch.equal(event.states, middle):
                    proof = LayerProof(index, "post-norm", (first, second), events[left].name)
                    return proof, event.name
    return None


def _sum_into(
    entry: Event, start: Tensor, before: Sequence[Event], tolerance: float
) -> Branch | None:
    """The branch with which `start` makes what enters a module, if there is one."""
    if entry.port != "input" or torch.equal(entry.states, start):
        return None
    branch = _branch(entry.states, start, before, tolerance)
    return branch if branch is not None and branch.error <= tolerance else None


def _leaving(entry: Event, events: Sequence[Event], place: int) -> int | None:
    """Where the module that `entry` enters puts out its result."""
    return next(
        (
            later
            for later in range(place + 1, len(events))
            if events[later].name == entry.name and events[later].port == "output"
        ),
        None,
    )


def _refusal(trace: LayerTrace, seen: list[Branch], tolerance: float) -> str:
    names = ", ".join(dict.fromkeys(event.name.split(".")[0] for event in trace.events))
    best = min(seen, key=lambda branch: branch.error, default=None)
    nearest = "" if best is None else f"; nearest: {best.name}, off by {best.error:.1e} of the norm"
    return (
        f"the residual identity fails in {trace.path}: what the modules in it ({names}) put out "
        f"does not add up to its update, in sequence, alone or in parallel{nearest} (allowed "
        f"{tolerance:.0e}). Where you know its stream, name the sites by hand: "
        "td.load_model(model, sites={'0.pre_attn': 'layers.0:input', ...})"
    )


def _sums(events: Iterable[Event]) -> list[Event]:
    """Sums of two outputs of modules that do not contain each other, as a parallel layer adds."""
    outputs = [event for event in events if event.port == "output"]
    return [
        Event(f"{one.name} + {other.name}", "output", one.states + other.states)
        for one, other in itertools.combinations(outputs, 2)
        if not other.name.startswith(f"{one.name}.") and not one.name.startswith(f"{other.name}.")
    ]


def _branch(
    total: Tensor, start: Tensor, events: Iterable[Event], tolerance: float
) -> Branch | None:
    """The output that leads from `start` to `total`: the outermost that does, or the nearest."""
    update = total.double() - start.double()
    size, norm = float(update.norm()), float(total.double().norm())
    branches = []
    for event in events:
        if event.port != "output":
            continue
        output = event.states.double()
        scale = float((update * output).sum() / (output * output).sum().clamp_min(1e-300))
        if abs(scale - 1) < 1e-2:
            scale = 1.0
        # Added as the model adds, in its own precision, so that a true branch is exact.
        left = float((total - (start + event.states * scale)).double().norm())
        error = left / norm if left <= max(UNEXPLAINED * size, 1e-12 * norm) else float("inf")
        branches.append(Branch(event.name, scale, error))
    fitting = [branch for branch in branches if branch.error <= tolerance]
    if fitting:
        return min(fitting, key=lambda branch: branch.name.count("."))
    return min(branches, key=lambda branch: branch.error, default=None)


def _unseen(hf_model: Any, sites: Sequence[Site], tolerance: float) -> tuple[bool, float, bool]:
    """What a token's state does not depend on.

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
    return (*_padding(hf_model, sites, tolerance), True)


def _padding(hf_model: Any, sites: Sequence[Site], tolerance: float) -> tuple[bool, float]:
    """Whether the model is causal, and how far what stands behind a token changes its state."""
    allowed = max(tolerance, 1e-4)
    tokens = probe_tokens(hf_model)
    seen = _read(hf_model, sites, tokens)
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
        f"{allowed:.0e}); record it one text at a time elsewhere and use td.from_captured"
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
        trunk(input_ids=tokens, use_cache=False, **options)
    for site in sites:
        found = states[site.label]
        if len(found) != 1 or found[0].numel() % tokens.numel():
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
