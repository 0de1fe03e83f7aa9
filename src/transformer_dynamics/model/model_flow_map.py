"""Flow map of a language model for the last token of one text.

Two strategies give the same numbers. `shared`: G states are G tokens of one sequence, all at the
last token's position, under a mask in which each attends to the context and to itself (as in tree
attention); the context's keys and values are stored once, and a state costs one token from its
layer on. `repeated`: the whole text runs once per state, which is exact for every causal model and
slower by the number of tokens. `choose_strategy` compares both on a few tokens; the clean state of
each text must also reproduce the clean trajectory, which fails if a sliding window is shorter than
the text, and then the text is repeated. Jacobians are one backward pass over a copy per output.

Limits: no models that are not causal, no sites named by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.checks.derivatives import differentiating
from transformer_dynamics.model.checks.states import relative_error
from transformer_dynamics.model.flow_map import FlowMap, Pullback, Step
from transformer_dynamics.model.labels import FINAL, parse
from transformer_dynamics.model.passes.batched_derivatives import batched_derivatives
from transformer_dynamics.model.passes.joint import even_slices, joint_passes
from transformer_dynamics.model.passes.runner import FAILURES, Runner
from transformer_dynamics.model.passes.strategies import Strategy, require_causal
from transformer_dynamics.model.sites import Sites
from transformer_dynamics.numerics.arrays import Floats

# More states per pass compute more masked attention between states; fewer read the weights more
# often.
STATES_PER_PASS = 192
TOKENS_PER_PASS = 4096
# Vectors of one backward pass, which do not see each other.
VECTORS_PER_PASS = 1024
NO_TOKENS = "got a text of no tokens; a flow map follows a text's last token"


class ModelFlowMap(FlowMap):
    """Flow map of the last token of one text.

    Attributes:
        strategy: `shared` (one context for all states) or `repeated` (the text once per state).
    """

    @torch.inference_mode(False)
    def __init__(
        self,
        hf_model: Any,
        sites: Sites,
        token_ids: Sequence[int],
        *,
        strategy: Strategy,
        name: str,
    ) -> None:
        """Run the text once.

        Args:
            hf_model: the model.
            sites: its sites with their proofs.
            token_ids: token ids of the text.
            strategy: result of `choose_strategy` for this model.
            name: name of the model in results.

        Raises:
            InputError: there are no tokens.
            ModelError: the model is not causal, or its sites were named by hand.
        """
        if not len(token_ids):
            raise InputError(NO_TOKENS)
        require_causal(sites)
        self.sites = sites.labels
        self.name = name
        self._runner = Runner(hf_model, sites)
        tokens = torch.as_tensor(token_ids, device=hf_model.device)
        self._context = self._runner.run_clean(tokens, cached=strategy == "shared")
        self.clean = _as_numpy(self._context.clean)
        self.strategy: Strategy = "repeated" if self._context.cache is None else "shared"
        if self.strategy == "shared" and not self._reproduces_clean_trajectory():
            self._context = self._runner.run_clean(tokens, cached=False)
            self.strategy = "repeated"

    @property
    def n_bytes(self) -> int:
        """Memory of the context and the unperturbed trajectory."""
        return self.clean.nbytes + self._context.n_bytes

    def _reproduces_clean_trajectory(self) -> bool:
        first = self._context.clean[:1]
        try:
            states = self._runner.run(self._context, first, self.sites[0], self.sites)
        except FAILURES:
            return False
        carried = torch.stack([states[label][0] for label in self.sites])
        return bool((relative_error(carried, self._context.clean) <= self._runner.tolerance).all())

    def _advance(self, states: Floats, start: str, stop: str, keep: tuple[str, ...]) -> Floats:
        return self._advance_many({start: states}, stop, {start: keep})[start]

    @torch.inference_mode(False)
    def _advance_many(
        self, states: Mapping[str, Floats], stop: str, keep: Mapping[str, tuple[str, ...]]
    ) -> dict[str, Floats]:
        results = {
            start: np.empty((len(each), len(keep[start]), self.n_units))
            for start, each in states.items()
        }
        layers = {start: self._layer(start) for start in sorted(states, key=self.sites.index)}
        sizes = {start: (len(states[start]), layer) for start, layer in layers.items()}
        for batch in joint_passes(sizes, self._layer(stop), self._states_per_pass):
            given = {start: self._tensor(states[start][rows]) for start, rows in batch}
            labels = {stop, *(label for start, _ in batch for label in keep[start])}
            carried = self._runner.run_many(self._context, given, tuple(labels))
            first = 0
            for start, rows in batch:
                last = first + len(given[start])
                for index, label in enumerate(keep[start]):
                    results[start][rows, index] = (
                        states[start][rows]
                        if label == start
                        else _as_numpy(carried[label][first:last])
                    )
                first = last
        return results

    def _layer(self, site: str) -> int:
        """Index of the layer at whose beginning or within which a site lies."""
        return len(self._context.outputs) if site == FINAL else parse(site)[0]

    @torch.inference_mode(False)
    def _log_probabilities(self, states: Floats, start: str) -> Floats:
        pieces = []
        for _, batch in self._passes(states):
            logits = self._runner.logits(self._context, batch, start)
            pieces.append(_as_numpy(torch.log_softmax(logits.double(), dim=-1)))
        return np.concatenate(pieces)

    def _vjp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats:
        many = None
        if len(vectors) > 1:
            many = self._batched_products(vectors, [(start, stop)], at[np.newaxis])
        if many is None:
            return self._pulled_back_by_copies(vectors, at, start, stop)
        products: Floats = many[0]
        return products

    def _jacobians(self, steps: list[Step], at: Floats) -> Floats:
        matrices = self._batched_products(np.eye(self.n_units), steps, at)
        return super()._jacobians(steps, at) if matrices is None else matrices

    def _batched_products(self, vectors: Floats, steps: list[Step], at: Floats) -> Floats | None:
        """Products u^T J of vectors with every step, `(step, vector, unit)`, many at once.

        None if this model's backward pass does not take many vectors, or gives wrong products: the
        sum over vectors is compared with the product of the vectors' sum, from a plain pass. A
        model whose attention hands over the state's key elsewhere than last would lose a term.
        """
        if self.strategy != "shared" or not self._runner.batches_derivatives:
            return None
        try:
            with batched_derivatives():
                states, ends = self._differentiable_steps(steps, at)
            products = np.empty((len(steps), *vectors.shape))
            for step, (state, end) in enumerate(zip(states, ends, strict=True)):
                products[step] = self._pulled_back(vectors, state, end)
            _, pull_back = self._linearize_steps(steps, at)
            expected = pull_back(np.repeat(vectors.sum(axis=0)[np.newaxis], len(steps), axis=0))
            errors = np.linalg.norm(products.sum(axis=1) - expected, axis=1)
            sizes = np.linalg.norm(products, axis=2).sum(axis=1)
            if (errors <= self._runner.tolerance * sizes).all():
                return products
        except FAILURES:
            pass
        self._runner.batches_derivatives = False
        return None

    def _linearize_steps(self, steps: list[Step], at: Floats) -> tuple[Floats, Pullback]:
        states, ends = self._differentiable_steps(steps, at)

        def pull_back(vectors: Floats) -> Floats:
            with differentiating(self._runner.hf_model):
                outputs = list(self._tensor(self._states(vectors))[:, None])
                gradients = torch.autograd.grad(ends, states, outputs, retain_graph=True)
            return _as_numpy(torch.cat(gradients))

        return _as_numpy(torch.cat(ends)), pull_back

    def _differentiable_steps(
        self, steps: list[Step], at: Floats
    ) -> tuple[list[Tensor], list[Tensor]]:
        """State and end of every step, `(1, unit)`, as tensors of graphs that do not meet."""
        self._runner.require_derivatives()
        runs = [slice(0, len(steps))]
        if len(steps) > 1 and not self._joins(steps, at):
            runs = [slice(index, index + 1) for index in range(len(steps))]
        with differentiating(self._runner.hf_model):
            states = [each.clone().requires_grad_(True) for each in self._tensor(at)[:, None]]
            ends = [
                end
                for rows in runs
                for end in self._runner.run_steps(
                    self._context, steps[rows], states[rows], torch.enable_grad
                )
            ]
        return states, ends

    def _joins(self, steps: list[Step], at: Floats) -> bool:
        """Return whether one pass can carry a state through each of these steps.

        Compared once, on each step's state at the next step, with states of one step each: layers
        that read what an earlier layer made of the state would take that of another step.
        """
        for (_, stop), (start, _) in pairwise(steps):
            # A state between the branches of a layer takes the place of the layer's input.
            meet = start == stop and parse(start)[1] != "pre_mlp"
            if not meet and self._layer(start) <= self._layer(stop):
                return False
        if self._runner.joins_steps is None:
            self._runner.joins_steps = self._agrees_joined(steps, np.roll(at, 1, axis=0))
        return self._runner.joins_steps

    def _agrees_joined(self, steps: list[Step], at: Floats) -> bool:
        states = list(self._tensor(at)[:, None])
        try:
            joined = torch.cat(self._runner.run_steps(self._context, steps, states))
        except FAILURES:
            return False
        alone = torch.cat(
            [
                self._runner.run(self._context, state, start, (stop,))[stop]
                for state, (start, stop) in zip(states, steps, strict=True)
            ]
        )
        return bool((relative_error(joined, alone) <= self._runner.tolerance).all())

    def _pulled_back(self, vectors: Floats, state: Tensor, end: Tensor) -> Floats:
        """Products u^T J from one pass, whose backward pass takes many vectors at once."""
        result = np.empty_like(vectors)
        with differentiating(self._runner.hf_model):
            for rows in even_slices(len(vectors), VECTORS_PER_PASS):
                batch = self._tensor(vectors[rows])
                many = len(batch) > 1  # one vector needs no batched operations
                outputs = batch[:, np.newaxis] if many else batch
                (gradient,) = torch.autograd.grad(
                    end, state, outputs, retain_graph=True, is_grads_batched=many
                )
                result[rows] = _as_numpy(gradient).reshape(len(batch), -1)
        return result

    def _pulled_back_by_copies(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats:
        """Products u^T J from one backward pass over a copy of the state per vector."""
        self._runner.require_derivatives()
        result = np.empty_like(vectors)
        with differentiating(self._runner.hf_model):
            for rows, batch in self._passes(vectors):
                state = self._tensor(at).expand(len(batch), -1).clone().requires_grad_(True)
                carried = self._runner.run(self._context, state, start, (stop,), torch.enable_grad)
                (gradient,) = torch.autograd.grad(carried[stop], state, batch)
                result[rows] = _as_numpy(gradient)
        return result

    def _jvp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats:
        result = np.empty_like(vectors)
        with self._forward_derivatives():
            for rows, batch in self._passes(vectors):
                state = self._tensor(at).expand(len(batch), -1)
                dual = forward_ad.make_dual(state.clone(), batch)
                carried = self._runner.run(self._context, dual, start, (stop,), torch.enable_grad)
                result[rows] = _tangent(carried[stop])
        return result

    def _jvp_many(
        self, changes: Mapping[str, Floats], stops: Mapping[str, str]
    ) -> dict[str, Floats]:
        results: dict[str, Floats] = {}
        for group in self._overlapping(changes, stops):
            if len(group) == 1:
                results |= super()._jvp_many({group[0]: changes[group[0]]}, stops)
                continue
            with self._forward_derivatives():
                duals = {}
                for start in group:
                    state = self._context.clean[self.sites.index(start)]
                    tangent = self._tensor(changes[start])
                    dual = forward_ad.make_dual(state.expand(len(tangent), -1).clone(), tangent)
                    duals[start] = dual
                keep = tuple(stops[start] for start in group)
                carried = self._runner.run_many(self._context, duals, keep, torch.enable_grad)
                last = np.cumsum([len(changes[start]) for start in group])
                for start, end in zip(group, last, strict=True):
                    rows = slice(end - len(changes[start]), end)
                    results[start] = _tangent(carried[stops[start]])[rows]
        return results

    def _overlapping(
        self, changes: Mapping[str, Floats], stops: Mapping[str, str]
    ) -> Iterator[list[str]]:
        """Starts in order of depth, in groups whose first one does not stop before the others."""
        group: list[str] = []
        for start in sorted(changes, key=self.sites.index):
            n_states = sum(len(changes[each]) for each in [*group, start])
            is_apart = group and self._layer(start) >= self._layer(stops[group[0]])
            if group and (is_apart or n_states > self._states_per_pass):
                yield group
                group = []
            group.append(start)
        if group:
            yield group

    @contextmanager
    def _forward_derivatives(self) -> Iterator[None]:
        """Let passes carry dual numbers inside the block."""
        self._runner.require_derivatives()
        # The other attention kernels have no forward derivatives.
        with (
            differentiating(self._runner.hf_model),
            sdpa_kernel(SDPBackend.MATH),
            forward_ad.dual_level(),
        ):
            yield

    def _tensor(self, states: Floats) -> Tensor:
        return torch.as_tensor(
            states, dtype=self._context.clean.dtype, device=self._context.clean.device
        )

    @property
    def _states_per_pass(self) -> int:
        if self.strategy == "shared":
            return STATES_PER_PASS
        return max(1, TOKENS_PER_PASS // len(self._context.tokens))

    def _passes(self, states: Floats) -> Iterator[tuple[slice, Tensor]]:
        for rows in even_slices(len(states), self._states_per_pass):
            yield rows, self._tensor(states[rows])


def _tangent(dual: Tensor) -> Floats:
    return _as_numpy(forward_ad.unpack_dual(dual).tangent)


def _as_numpy(tensor: Tensor) -> Floats:
    """Convert a tensor to a float64 array."""
    array: Floats = tensor.detach().double().cpu().numpy()
    return array
