"""Longest text that a model accepts, found and verified by passes over short texts.

The configuration states a number of positions. A table of positions may hold fewer tokens than it
has rows: RoBERTa and its relatives begin after the row of the padding token. A pass over a few
tokens therefore shows which tables are indexed by position and from which row on, and a text of the
resulting length is embedded. Models with rotary or relative positions have no table, and the number
in the configuration is used.

Cost: two passes that end before the first layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.wrappers import trunk_of
from transformer_dynamics.model.hooks import PassEnded, Site, evaluating, own_thread

CONFIGURED = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "max_length")
PROBED = 6


def usable_context(hf_model: Any, first: Site) -> int | None:
    """Return the longest text in tokens; None if it is unlimited.

    Args:
        hf_model: the model.
        first: its first site, at which a pass may end.

    Raises:
        ModelError: a text of that length does not run.
    """
    configured = _configured(hf_model.config.get_text_config())
    tables = _tables(hf_model, first)
    if not tables:
        return configured
    limit = min([*tables, *([configured] if configured else [])])
    try:
        _embed(hf_model, first, limit)
    except (IndexError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"a text of {limit} tokens does not run in {type(hf_model).__name__}, although its "
            f"table of positions allows it ({str(error).splitlines()[0]}); correct "
            "max_position_embeddings in its configuration"
        ) from error
    return limit


def _configured(config: Any) -> int | None:
    for name in CONFIGURED:
        length = getattr(config, name, None)
        if isinstance(length, int) and length > 0:
            return length
    return None


def _tables(hf_model: Any, first: Site) -> list[int]:
    """Return the capacity in tokens of every table that is indexed by position."""
    embedding = hf_model.get_input_embeddings()
    capacities: list[int] = []

    def watch(module: nn.Module) -> Any:
        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            rows = getattr(module, "weight", None)
            start = _first_row([*args, *kwargs.values()])
            if start is not None and isinstance(rows, Tensor) and rows.dim() == 2:
                capacities.append(rows.shape[0] - start)

        return own_thread(before)

    with ExitStack() as hooks:
        for module in trunk_of(hf_model).modules():
            if module is not embedding and not list(module.children()):
                hook = module.register_forward_pre_hook(watch(module), with_kwargs=True)
                hooks.callback(hook.remove)
        _embed(hf_model, first, PROBED)
    return capacities


def _first_row(arguments: list[Any]) -> int | None:
    """Return the first row index of an argument that increases by one per position, else None."""
    for argument in arguments:
        if not isinstance(argument, Tensor) or argument.is_floating_point():
            continue
        rows = argument.reshape(-1)
        if rows.numel() == PROBED and bool((rows.diff() == 1).all()):
            return int(rows[0])
    return None


def _embed(hf_model: Any, first: Site, n_tokens: int) -> None:
    """Run a text of `n_tokens` tokens up to the first layer."""
    padding = getattr(hf_model.config.get_text_config(), "pad_token_id", None)
    # Some families give padding no position of its own, so no token may be the padding token.
    token = next(each for each in (1, 2) if each != padding)
    tokens = torch.full((1, n_tokens), token, device=hf_model.device)
    trunk = trunk_of(hf_model)
    with (
        evaluating(hf_model),
        _ending_at(trunk.get_submodule(first.module)),
        suppress(PassEnded),
    ):
        trunk(input_ids=tokens, use_cache=False)


@contextmanager
def _ending_at(module: nn.Module) -> Iterator[None]:
    def before(_: nn.Module, args: Any) -> None:
        raise PassEnded

    hook = module.register_forward_pre_hook(own_thread(before))
    try:
        yield
    finally:
        hook.remove()
