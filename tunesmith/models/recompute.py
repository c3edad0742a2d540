"""Layers that keep their inputs only, and are computed again on the way back: the memory of one layer instead of all, for about a third
more time (activation checkpointing, arXiv 1604.06174). Dropout draws the same again, so that the gradient is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .heads import bare
from .outline import stacks
from .packing import attending

Context = Callable[[], AbstractContextManager[Any]]
"""Makes what a forward pass is in beside autocast."""


@contextmanager
def recomputing(model: Any, context: Context) -> Iterator[None]:
    """Within, the layers of `model.backbone` are computed so; the second time in `context` as well."""
    module = bare(model.backbone)
    before = []
    for block in (block for _, blocks in stacks(module) for block in blocks):
        before.append((vars(block), vars(block).get("forward")))
        vars(block)["forward"] = partial(_twice, block.forward, lambda: (nullcontext(), _again(module, context)))
    try:
        yield
    finally:
        for own, forward in before:
            own.pop("forward")
            own.update({"forward": forward} if forward else {})


def _twice(forward: Callable[..., Any], contexts: Callable[[], Any], *args: Any, **kwargs: Any) -> Any:
    """What a layer answers. One that writes into a cache of keys and values would write twice: such a call is computed once."""
    if not torch.is_grad_enabled() or kwargs.get("past_key_values") is not None:
        return forward(*args, **kwargs)
    return checkpoint(partial(forward, **kwargs), *args, use_reentrant=False, context_fn=contexts)


def _again(module: nn.Module, context: Context) -> AbstractContextManager[Any]:
    """As it is now: packed rows are told apart by an attention that is in place in the forward pass only."""
    name = getattr(getattr(module, "config", None), "_attn_implementation", None)
    return _entering(context(), nullcontext() if name is None else attending(module, name))


@contextmanager
def _entering(*contexts: AbstractContextManager[Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for one in contexts:
            stack.enter_context(one)
        yield
