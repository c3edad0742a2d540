"""Low-rank updates beside frozen weights learn, and the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, final

from ..spec import Count, Positive, Share, Whole
from ..strategy import Outline, Stage, Strategy
from ._rates import adapted

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class Lora(Strategy):
    """LoRA (arXiv 2106.09685) on all linear maps of the layers (arXiv 2305.14314), in peft's format."""

    adapter: ClassVar[bool] = True
    lr: ClassVar[float] = 2e-3

    rank: Count = 8
    """Rank of the updates."""
    alpha: Positive = 16.0
    """The update is scaled by alpha / rank (rslora: alpha / root of rank)."""
    dropout: Share = 0.0
    """Dropout before the update."""
    targets: tuple[str, ...] = ()
    """Last parts of the names of the linear maps (`query`, `v_proj`); none: all in the layers."""
    layers: Whole = 0
    """Only this many upper layers get updates, so that what lies below is computed once; 0: all."""
    variant: Literal["plain", "rslora", "dora", "pissa"] = "plain"
    """plain; rslora (arXiv 2312.03732); dora (arXiv 2402.09353); pissa: from the largest singular values (arXiv 2404.02948)."""

    def shape(self, model: nn.Module, seed: int) -> None:
        """Wrap the backbone. Raises SpecError for targets that are none."""
        from peft import LoraConfig

        from ..models import adapters

        config = LoraConfig(
            task_type=adapters.TASK,
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            bias="none",
            target_modules=adapters.linear_targets(model, self.targets, self.layers),
            use_rslora=self.variant == "rslora",
            use_dora=self.variant == "dora",
            init_lora_weights="pissa" if self.variant == "pissa" else True,
            fan_in_fan_out=adapters.has_conv1d(model),
        )
        adapters.wrap(model, config, seed)

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage."""
        return (Stage("low-rank updates", adapted(outline)),)


strategy = Lora
