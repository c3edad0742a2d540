"""A backbone with one linear head on the text's vector, or on each token's.

Axes: B rows of a batch, T tokens, D features, C outputs.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, final

import torch
from torch import nn

from ..errors import ModelError
from . import sound, vision
from .source import Backbone

if TYPE_CHECKING:
    from .fusion import Fusion
    from .packing import Packed
    from .pictures import Sight
    from .prefix import Cut

Batch = Mapping[str, torch.Tensor]
SPANS = "spans"
"""Pooling that gives the text's own vector and those of two spans in it, side by side: `spans` (B, T) has a bit for each of the two."""
DEPTHS = "depths"
"""Pooling of images that gives what the layers say at several depths, each as its mean over the image, before the image's own vector."""
CACHED = ("hidden_BTD", "features_BTD", "pooled_BD")
ATTENTION_DROPOUTS = ("attention_dropout", "attn_dropout_prob", "attention_probs_dropout_prob", "dropout", "activation_dropout")
"""Numbers by which families whose attention is one fused call, or that drop by a function, keep their rates."""
START = 0.02
"""Standard deviation of a new head's weights, that of BERT's own (arXiv 1810.04805)."""


def bare(module: nn.Module) -> nn.Module:
    """The transformers model inside a peft wrapper, or the module itself."""
    inner = getattr(module, "get_base_model", None)
    return inner() if callable(inner) else module


def inputs(module: nn.Module, batch: Batch) -> dict[str, Any]:
    """What of the batch the backbone's forward has a name for (`token_type_ids` is none of DistilBERT's).

    With virtual tokens in front, segment ids and positions are the wrapper's business: they are left out.
    """
    names = argument_names(type(bare(module)))
    found: dict[str, Any] = {name: tensor for name, tensor in batch.items() if name in names}
    if virtual_tokens(module):
        found = {name: tensor for name, tensor in found.items() if name not in {"token_type_ids", "position_ids"}}
    return found | ({"use_cache": False} if "use_cache" in names else {})


@lru_cache(maxsize=64)
def argument_names(kind: type[nn.Module]) -> frozenset[str]:
    """What the forward pass of such modules may be given by name."""
    return frozenset(inspect.signature(kind.forward).parameters)


def virtual_tokens(module: nn.Module) -> int:
    """How many learnt tokens a peft wrapper (prompt, prefix or P-tuning) puts in front of each text."""
    config = getattr(module, "active_peft_config", None)
    return config.num_virtual_tokens if getattr(config, "is_prompt_learning", False) else 0


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Dropout off inside, every part's own mode back afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def set_dropout(model: nn.Module, rate: float) -> None:
    """Set every dropout of the model, those inside attention included, to this rate."""
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = rate
        for name in ATTENTION_DROPOUTS:
            if isinstance(vars(part).get(name), float):
                setattr(part, name, rate)
        if not rate and "DropPath" in type(part).__name__:
            part.drop_prob = 0.0  # else the depth's own rates, as pretrained with


def pool(hidden_BTD: torch.Tensor, mask_BT: torch.Tensor, how: str) -> torch.Tensor:
    """One vector of a text from its tokens' vectors, in float32; padding counts for nothing. Returns (B, D).

    `mean`: over the tokens of the mask; `cls`: the first real token; `last`: the last real token, on whichever side padding stands.
    Virtual tokens that prompt tuning put in front are left out: hidden_BTD may be longer than the mask by those.
    """
    hidden_BTD = hidden_BTD[:, hidden_BTD.shape[1] - mask_BT.shape[1] :].float()
    if how == "mean":
        mask_BT1 = mask_BT.to(hidden_BTD.dtype).unsqueeze(-1)
        return (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1).clamp(min=1.0)
    place_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
    order_BT = mask_BT.ne(0) * (place_T + 1 if how == "last" else place_T.numel() - place_T)
    return hidden_BTD[torch.arange(len(hidden_BTD), device=hidden_BTD.device), order_BT.argmax(1)]


PACE = 50.0
"""How many times faster moves between labels learn than other weights: the rates that suit an encoder would leave them where they began."""


@final
class Chained(nn.Linear):
    """A linear head that also learns how readily one output follows another: `moves_CC` (from, to), nothing at first."""

    def __init__(self, width: int, out: int, device: Any = None) -> None:
        super().__init__(width, out, device=device)
        self.paced_CC = nn.Parameter(torch.zeros(out, out, device=device))

    @property
    def moves_CC(self) -> torch.Tensor:
        """Added to the scores of a sequence for each step from an output to the next."""
        return PACE * self.paced_CC.float()


@final
class Pooled(nn.Module):
    """Backbone, pooling, dropout, linear head: `model(batch)` -> logits_BC; without pooling (`tokens`) -> logits_BTC.

    Pooling `spans` (relations): three vectors of width D side by side, (B, 3 D). Pooling `depths` (numbers for images): `vision.at_depths`.
    With a `beside` (tables), the numbers in `table` (B, F) stand beside the vector, and its answer is added to the head's.
    A batch with `pooled_BD` or `features_BTD` runs the head only; one with `hidden_BTD` runs the layers above `cut` (`prefix.cut`).
    """

    def __init__(
        self, backbone: Backbone, out: int, dropout: float = 0.1, seed: int = 0, pooling: str = "", symbols: Sequence[str] = (),
        beside: Fusion | None = None, noises: int = 0, sight: Sight | None = None, chained: bool = False,
    ) -> None:
        """`out`: number of outputs C; `symbols`: what they stand for, where the head spells; `noises`: targets whose noise is learned
        (`noise_K`, arXiv 1705.07115). `sight`: reads pictures, with a `beside`. `chained`: the head is a `Chained` one.

        The head's weights depend on `seed` alone, never on the global generator.
        """
        super().__init__()
        self.backbone: Any = backbone.module
        self.dropout = nn.Dropout(dropout)
        self.pooling = pooling or backbone.source.pooling
        self.beside, self.sight = beside, sight
        read = self._width(backbone) + (beside.width if beside else 0)
        self.head: Any = nn.utils.skip_init(Chained if chained else nn.Linear, read, out)
        self.source = backbone.source
        self.spare = backbone.spare
        self.cut: Cut | None = None
        self.packed: Packed | None = None
        self.symbols = tuple(symbols)
        self.noise_K = nn.Parameter(torch.zeros(noises)) if noises else None
        self.reset_head(seed)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits (B, C)."""
        features = self.features(batch)
        if not self.training:  # narrow products have rounded enough: what is left is small
            with torch.autocast(features.device.type, enabled=False):
                return self._answered(features.float())
        return self._answered(features)

    def _answered(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.dropout(features))
        return logits if self.beside is None else logits + self.beside(features)

    @property
    def whole_only(self) -> bool:
        """Whether what lies above a cut of the backbone is not all that the head reads: pictures have an encoder of their own, and several
        depths are read from below, too."""
        return self.sight is not None or self.pooling == DEPTHS

    @property
    def per_token(self) -> bool:
        """Whether the head answers each token, rather than the whole text."""
        return self.pooling == "tokens"

    def features(self, batch: Batch) -> torch.Tensor:
        """What the head reads, before dropout: the texts' vectors (B, D) or the tokens' (B, T, D), float32."""
        for name in ("pooled_BD", "features_BTD"):
            if name in batch:
                return batch[name].float()
        if self.source.modality == "image":
            seen, deep = self.seen(batch), self.pooling == DEPTHS
            return vision.at_depths(seen, self.source.pooling) if deep else vision.pool(seen, self.pooling)
        if self.source.modality == "audio":
            return self._heard(batch)
        if self.per_token:
            return self.hidden(batch)[:, -batch["attention_mask"].shape[1] :].float()  # virtual tokens in front have no answer
        if self.pooling == SPANS:
            masks = [batch["spans"] & bit for bit in (1, 2)]
            hidden_BTD = self.hidden(batch)
            text_BD = pool(hidden_BTD, batch["attention_mask"], self.source.pooling)
            return torch.cat([text_BD, *(pool(hidden_BTD, mask_BT.ne(0), "mean") for mask_BT in masks)], 1)
        vector_BD = pool(self.hidden(batch), batch["attention_mask"], self.pooling)
        if self.beside is None:
            return vector_BD
        return torch.cat([vector_BD, *([self.sight(batch)] if self.sight is not None else []), batch["table"].float()], 1)

    def train(self, mode: bool = True) -> Self:
        """As of any module, but batch norm keeps the statistics of pretraining."""
        super().train(mode)
        vision.freeze_statistics(self.backbone)
        return self

    def _width(self, backbone: Backbone) -> int:
        """Numbers of the vector that comes of the backbone."""
        if self.pooling != DEPTHS:
            return backbone.source.hidden * (3 if self.pooling == SPANS else 1)
        with evaluating(self.backbone):
            return vision.width_at_depths(bare(self.backbone), backbone.source.pooling)

    def _heard(self, batch: Batch) -> torch.Tensor:
        output = sound.hear(bare(self.backbone), batch)
        if self.pooling == "pooler":
            return vision.pool(output, "pooler")
        hidden_BTD = output.last_hidden_state
        if self.per_token:
            return sound.joined(hidden_BTD, batch["frames"], batch["windows"], batch["length"]).float()
        return pool(hidden_BTD, sound.frame_mask(hidden_BTD, batch["frames"]), self.pooling)

    def seen(self, batch: Batch) -> Any:
        """What the backbone answers to images: its own output object."""
        if "hidden_BTD" in batch:
            assert self.cut is not None, "a batch of cached hidden states needs model.cut"
            return self.cut.answer(batch)
        asked = {"output_hidden_states": True} if self.pooling == DEPTHS else {}
        return self.backbone(**inputs(self.backbone, batch), **asked)

    def hidden(self, batch: Batch) -> torch.Tensor:
        """The tokens' vectors as the backbone gives them: (B, T, D)."""
        if "hidden_BTD" in batch:
            assert self.cut is not None, "a batch of cached hidden states needs model.cut"
            return self.cut.above(batch)
        extra, most = virtual_tokens(self.backbone), self.source.positions
        tokens = batch["attention_mask"].shape[1]
        if extra and most and tokens + extra > most:
            raise ModelError(
                f"a text of {tokens} tokens",
                expected=f"at most {most - extra}, as {extra} of {most} positions are learnt tokens",
                got=str(tokens),
                fix="shorten texts (`max_length`) or use fewer learnt tokens",
                code="text-too-long",
            )
        if self.packed is not None and self.training and self.packed.takes(batch):
            return self.packed.hidden(self.backbone, batch)
        return self.backbone(**inputs(self.backbone, batch)).last_hidden_state

    def reset_head(self, seed: int) -> None:
        """A new head: weights that depend on `seed` alone, a bias of zero."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.head.weight.copy_(torch.empty(self.head.weight.shape).normal_(0.0, START, generator=generator))
            self.head.bias.zero_()
            if isinstance(self.head, Chained):
                self.head.paced_CC.zero_()
        if self.beside is not None:
            self.beside.reset(seed)

    def set_head(self, weight_CD: torch.Tensor, bias_C: torch.Tensor) -> None:
        """Put a solved head in place; the tensors keep their identity, so an optimiser that holds them goes on."""
        with torch.no_grad():
            self.head.weight.copy_(torch.as_tensor(weight_CD))
            self.head.bias.copy_(torch.as_tensor(bias_C))
