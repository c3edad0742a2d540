"""Attention as a CPU trains it fastest (`docs/performance.md`): PyTorch's fused kernel goes its way back in bf16 five to ten times slower
than in float32, and with dropout falls back to many passes over the weights, each with random numbers of its own."""

from __future__ import annotations

from typing import Any

import torch

from .dropout import BITS, mask

FUSED = torch.nn.functional.scaled_dot_product_attention


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, **settings: Any,
) -> torch.Tensor:  # fmt: skip
    """As `scaled_dot_product_attention`, (B, H, T, D), in the type that autocast asks for."""
    narrow = torch.is_autocast_enabled("cpu")
    asked = torch.get_autocast_dtype("cpu") if narrow else query.dtype
    dropped = round(dropout_p * 2**BITS)
    with torch.autocast("cpu", enabled=False):
        if 0 < dropped < 2**BITS and not any(settings.values()):
            allowed = _causal(query, key) if is_causal else attn_mask
            scaled = query * (query.shape[-1] ** -0.5 if scale is None else scale)
            return _dropped(*(one.to(asked) for one in (scaled, key, value)), allowed, dropped)
        wide = [one.float() if narrow else one for one in (query, key, value)]
        if attn_mask is not None and attn_mask.is_floating_point():
            attn_mask = attn_mask.to(wide[0].dtype)
        return FUSED(*wide, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal, scale=scale, **settings).to(asked)


def _dropped(
    query_BHTD: torch.Tensor, key_BHSD: torch.Tensor, value_BHSD: torch.Tensor, allowed: torch.Tensor | None, dropped: int
) -> torch.Tensor:
    """(B, H, T, D). `allowed`: true where a key may be seen, or numbers that are added; (B or 1, H or 1, T or 1, S)."""
    score_BHTS = query_BHTD @ key_BHSD.transpose(-1, -2)
    if allowed is not None and allowed.dtype == torch.bool:
        score_BHTS = score_BHTS.masked_fill(~allowed, torch.finfo(score_BHTS.dtype).min)
    elif allowed is not None:
        score_BHTS = score_BHTS + allowed.to(score_BHTS.dtype)
    weight_BHTS = torch.softmax(score_BHTS, -1)
    return (weight_BHTS * mask(weight_BHTS, dropped)) @ value_BHSD


def _causal(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    return torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
