"""Operations and activation memory of a forward pass, counted on two short passes.

Both are taken as a T + b T^2 for one text of T tokens: the second term is attention, which needs
no quadratic memory in a fused kernel. Operations are those of matrix products, convolutions and
attention, as torch counts them; elementwise ones are left out. Memory is the largest sum of the
tensors that live at one time, without weights. Cost: two passes of at most 64 tokens.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, shape_wrapper

from transformer_dynamics.model.language_model import Model
from transformer_dynamics.recording.plan import Plan

LONGEST = 64
FUSED_ATTENTION = (
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_cudnn_attention",
)
GROUPED_PRODUCTS = ("aten::_grouped_mm", "transformers::grouped_mm_fallback")
"""Products of sorted tokens `(token, unit)` with the matrices of experts `(expert, unit, unit)`."""


@dataclass(frozen=True)
class Quadratic:
    """Cost of one text of T tokens, `linear` T + `square` T^2."""

    linear: float
    square: float

    def of(self, n_texts: int, n_tokens: int) -> float:
        """Cost of `n_texts` texts that are padded to `n_tokens` tokens."""
        return n_texts * (self.linear + self.square * n_tokens) * n_tokens


@dataclass(frozen=True)
class PassCost:
    """Floating-point operations and bytes of activations of a forward pass."""

    flops: Quadratic
    activation_bytes: Quadratic


def pass_cost(model: Model, plan: Plan) -> PassCost:
    """Count operations and bytes on the beginning of the longest window, and on a half of it."""
    tokens = max((window.tokens for window in plan.windows), key=len)[:LONGEST]
    lengths = sorted({len(tokens), -(-len(tokens) // 2)})
    counted = [_count(model, tokens[:length]) for length in lengths]
    flops, sizes = zip(*counted, strict=True)
    return PassCost(_fitted(lengths, flops), _fitted(lengths, sizes))


def _fitted(lengths: list[int], costs: tuple[int, ...]) -> Quadratic:
    """Curve through the origin and the counted costs; negative curvature is rounding."""
    rates = np.array(costs) / np.array(lengths)
    if len(lengths) == 1:
        return Quadratic(float(rates[0]), 0.0)
    square = max(0.0, float((rates[1] - rates[0]) / (lengths[1] - lengths[0])))
    return Quadratic(float(rates[1] - square * lengths[1]), square)


def _count(model: Model, tokens: tuple[int, ...]) -> tuple[int, int]:
    """Count operations and the peak of living bytes of a pass over one text."""
    with model.passing() as run, _Counter() as counter:
        run([tokens])
    return counter.flops, counter.peak


def operators(names: Sequence[str]) -> list[Any]:
    """Operators of torch by namespace and name, those that this version has."""
    found = (getattr(getattr(torch.ops, space), name, None) for space, name in map(_split, names))
    return [operator for operator in found if operator is not None]


def _split(name: str) -> list[str]:
    return name.split("::")


def _formulas() -> dict[Any, Callable[..., int]]:
    """Number of operations of each operator, from the shapes of its arguments.

    torch lacks that of a CPU's attention and of the products of experts, and in version 2.11
    refuses keys that several heads of queries share.
    """
    return {
        **flop_registry,
        **dict.fromkeys(operators(FUSED_ATTENTION), shape_wrapper(_attention_flops)),
        **dict.fromkeys(operators(GROUPED_PRODUCTS), shape_wrapper(_grouped_flops)),
    }


def _attention_flops(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    """Operations of the products with keys and values, from the shapes of all three.

    >>> _attention_flops((1, 8, 10, 4), (1, 2, 20, 4), (1, 2, 20, 6))
    32000
    """
    n_texts, n_heads, n_queries, n_units = query
    return 2 * n_texts * n_heads * n_queries * key[-2] * (n_units + value[-1])


def _grouped_flops(tokens: Sequence[int], weights: Sequence[int], *_: Any, **__: Any) -> int:
    """Operations of the products of each token with the matrix of its expert.

    >>> _grouped_flops((10, 4), (8, 4, 3))
    240
    """
    return 2 * math.prod(tokens) * weights[-1]


class _Counter(TorchDispatchMode):
    """Operations of a pass, and the largest sum of bytes of living tensors that it returned."""

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.peak = 0, 0
        self._formulas = _formulas()
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, formula = kwargs or {}, self._formulas.get(func._overloadpacket)
        if formula is None and func.namespace == "aten":
            # Under inference, products arrive inside larger operators such as `linear`.
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        if formula is not None:
            self.flops += int(formula(*args, **kwargs, out_val=result))
        given = {_storage(each) for each in tree_leaves((args, kwargs)) if _is_tensor(each)}
        for each in tree_leaves(result):
            if _is_tensor(each) and _storage(each) not in given:  # a view takes no memory
                self._keep(each)
        return result

    def _keep(self, tensor: torch.Tensor) -> None:
        storage, key = tensor.untyped_storage(), _storage(tensor)
        self._sizes[key] = storage.nbytes()
        weakref.finalize(storage, self._sizes.pop, key, None)
        self.peak = max(self.peak, sum(self._sizes.values()))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.layout == torch.strided


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
