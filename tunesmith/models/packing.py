"""Rows of a batch end to end, without padding: positions begin anew with each row, and no row attends to another.

The model's own attention is put in the place of one that knows where rows begin: PyTorch's kernel for rows of unlike length on a GPU in
half precision, else a call a row. Whether an architecture can be packed is tried on a few tokens, not believed.

Axes: B rows, T tokens padded, M tokens of all rows together, H heads, D features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from .heads import bare, evaluating, inputs, virtual_tokens

NAME = "tunesmith_packed"
"""Under which transformers finds this attention; masks it makes none for a name that it does not know."""
TOLERANCE, COARSE = 1e-4, 5e-2
"""Largest difference from padded vectors, as a share of the largest number: in float32, in half precision."""
HALF = (torch.bfloat16, torch.float16)
Batch = Mapping[str, torch.Tensor]


@final
@dataclass(frozen=True)
class Packed:
    """How a model's rows are packed."""

    first: int = 0
    """The first token's position: 0, or after the padding token's own (RoBERTa)."""
    most: int = 0
    """Longest row that may be packed; 0: any. Layers that see a window are exact while rows lie well within it."""

    def takes(self, batch: Batch) -> bool:
        """Whether the batch can be packed: rows padded on the right, none too long."""
        mask_BT = batch["attention_mask"]
        return not self.most or int(mask_BT.sum(1).max()) <= self.most

    def hidden(self, module: nn.Module, batch: Batch) -> torch.Tensor:
        """The tokens' vectors as the padded batch gives them, (B, T, D); 0 where padding stands."""
        mask_BT = batch["attention_mask"].bool()
        at_M = mask_BT.reshape(-1).nonzero()[:, 0]
        place_BT = torch.arange(mask_BT.shape[1], device=mask_BT.device).expand_as(mask_BT) + self.first
        given = {n: v for n, v in inputs(module, batch).items() if n != "attention_mask"}
        ends_B = mask_BT.sum(1).cumsum(0, dtype=torch.int32)
        starts = torch.cat([ends_B.new_zeros(1), ends_B])
        longest = int(mask_BT.sum(1).max())
        given |= {n: v.reshape(-1)[at_M][None] for n, v in given.items() if isinstance(v, torch.Tensor) and v.shape == mask_BT.shape}
        given |= {"position_ids": place_BT.reshape(-1)[at_M][None], "cu_seq_lens_q": starts, "cu_seq_lens_k": starts}
        with attending(module):
            found_MD = module(**given, max_length_q=longest, max_length_k=longest).last_hidden_state[0]
        hidden_RD = found_MD.new_zeros(mask_BT.numel(), found_MD.shape[-1]).index_copy(0, at_M, found_MD)
        return hidden_RD.view(*mask_BT.shape, -1)


def attend(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any = None, dropout: float = 0.0,
    scaling: float | None = None, cu_seq_lens_q: torch.Tensor | None = None, max_length_q: int = 0, **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of rows that stand end to end: query (1, H, M, D) to (1, M, H, D), as transformers calls it.

    Raises NotImplementedError for what it does not know (a mask, a bias of positions, caps), so that such a model is not packed.
    """
    odd = [name for name in ("position_bias", "softcap", "s_aux", "head_mask") if more.get(name) is not None]
    if cu_seq_lens_q is None or attention_mask is not None or odd:
        raise NotImplementedError(", ".join(odd) or "a call without the rows' beginnings")
    asked = more.get("is_causal")
    causal = bool(getattr(module, "is_causal", True) if asked is None else asked)
    shared = query.shape[1] != key.shape[1]
    narrow = narrowed(query, key, value)
    if query.is_cuda and narrow[0].dtype in HALF and not dropout:
        from torch.nn.attention.varlen import varlen_attn

        turned = [part[0].transpose(0, 1).contiguous() for part in narrow]
        window = (-1, 0) if causal else (-1, -1)
        ends = cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q
        found: Any = varlen_attn(*turned, *ends, scale=scaling, window_size=window, enable_gqa=shared)
        return found[None], None
    lengths = cu_seq_lens_q.diff().tolist()
    rows = zip(*(part.split(lengths, 2) for part in (query, key, value)), strict=True)
    settings: dict[str, Any] = {"dropout_p": dropout, "scale": scaling, "is_causal": causal, "enable_gqa": shared}
    return torch.cat([scaled_dot_product_attention(*row, **settings) for row in rows], 2).transpose(1, 2).contiguous(), None


def narrowed(*parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """In the type that autocast asks for, if it does: turned positions (RoPE) leave queries and keys in float32, values in bf16."""
    kind = parts[0].device.type
    return tuple(part.to(torch.get_autocast_dtype(kind)) for part in parts) if torch.is_autocast_enabled(kind) else parts


@contextmanager
def attending(module: nn.Module, name: str = NAME) -> Iterator[None]:
    """Within, the module's layers use `attend`, or the attention of this name."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if NAME not in ALL_ATTENTION_FUNCTIONS:
        ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
    config: Any = bare(module).config
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before


def suited(model: Any) -> tuple[Packed | None, str]:
    """How this model is packed, and why it is not; one of the two says nothing. Tried on two rows of a few tokens."""
    module = getattr(model, "backbone", None)
    if not hasattr(model, "packed") or module is None or model.source.modality != "text":
        return None, "only texts of encoders and decoders are packed"
    if virtual_tokens(module) or hasattr(bare(module), "tunesmith_bottlenecks"):
        return None, "learnt tokens stand before each row" if virtual_tokens(module) else "bottlenecks were not tried with it"
    config: Any = bare(module).config
    batch = _few(config, next(module.parameters()).device)
    why = "its attention does not keep rows apart"
    for first in dict.fromkeys((0, (getattr(config, "pad_token_id", 0) or 0) + 1)):
        made = Packed(first, _window(config) // 2)
        try:
            if made.takes(batch) and _same(module, batch, made):
                return made, ""
        except (NotImplementedError, TypeError, ValueError, RuntimeError, KeyError, IndexError, AttributeError) as error:
            why = f"its attention cannot be replaced ({' '.join(str(error).split())[:80]})"
    return None, why


def _few(config: Any, device: torch.device) -> dict[str, torch.Tensor]:
    ids_BT = (torch.arange(10, device=device).reshape(2, 5) * 7 + 5) % config.vocab_size
    mask_BT = torch.tensor([[1] * 5, [1, 1, 1, 0, 0]], device=device)
    return {"input_ids": ids_BT, "attention_mask": mask_BT}


def _same(module: nn.Module, batch: Batch, made: Packed) -> bool:
    seen_BT = batch["attention_mask"].bool()
    with evaluating(module), torch.no_grad():
        expected = module(**inputs(module, batch)).last_hidden_state[seen_BT].float()
        found = made.hidden(module, batch)[seen_BT].float()
    allowed = COARSE if torch.is_autocast_enabled(seen_BT.device.type) else TOLERANCE
    return bool((found - expected).abs().max() <= allowed * expected.abs().max().clamp(min=1e-6))


def _window(config: Any) -> int:
    """The narrowest window in which a layer sees; 0: none has one."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    windows = [getattr(text, name, None) for name in ("sliding_window", "local_attention", "attention_chunk_size")]
    return min((int(w) for w in windows if isinstance(w, int) and w > 0), default=0)
