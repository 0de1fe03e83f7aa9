"""Operations in forms whose backward pass takes many output vectors at once.

Fused attention and SiLU have no batched backward pass in torch: one vector would follow the other.
Inside `batched_derivatives` they are computed from elementary operations, which have one. Only the
last key and value of an attention carry gradients: the context's do not depend on the state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class batched_derivatives(TorchFunctionMode):  # used as a context manager
    """Replace fused operations of a pass of one state inside the block."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        function: Callable[..., Any] = _ELEMENTARY.get(func, func)
        return function(*args, **(kwargs or {}))


def _silu(stream: Tensor, inplace: bool = False) -> Tensor:
    return stream * torch.sigmoid(stream)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,
) -> Tensor:
    """Attention of one text, `(1, head, query, unit)`; anything else takes the fused operation."""
    if query.dim() != 4 or query.shape[0] != 1 or is_causal or dropout_p:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, **options
        )
    asked = query * (options.get("scale") or query.shape[-1] ** -0.5)
    n_heads, n_groups, n_keys = query.shape[1], key.shape[1], key.shape[2]
    bias = None if attn_mask is None else _bias(attn_mask, query.dtype)
    (keys, own_keys), (values, own_values) = _parted(key), _parted(value)
    results = []
    for head, own_query in enumerate(asked.squeeze(0).unbind()):
        group = head * n_groups // n_heads
        scores = [own_query @ each[group].T for each in (keys, own_keys)]
        biased = torch.cat(scores, dim=1)
        if bias is not None:
            biased = biased + bias.expand(1, n_heads, -1, n_keys)[0, head]
        weights = torch.exp(biased - biased.detach().amax(dim=1, keepdim=True))
        weights = weights / weights.sum(dim=1, keepdim=True)
        from_context = weights[:, :-1] @ values[group]
        results.append(from_context + weights[:, -1:] * own_values[group])
    return torch.stack(results)[None]


def _parted(rows: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Context's keys or values, and the state's own, by head, each `(key, unit)`."""
    # The backward pass of `unbind` is one operation, that of an index one per head.
    return rows[0, :, :-1].detach().unbind(), rows[..., -1:, :].squeeze(0).unbind()


def _bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf)


_ELEMENTARY = {F.scaled_dot_product_attention: _attention, F.silu: _silu}
