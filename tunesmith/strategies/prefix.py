"""Learnt keys and values in front of each text, in every layer, and the head; the model itself is untouched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from ..spec import Count
from ..strategy import Outline, Stage, Strategy
from ._rates import adapted

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class Prefix(Strategy):
    """Prefix tuning (arXiv 2101.00190; for classification, arXiv 2110.07602). For architectures that keep keys and values. In an
    encoder-decoder they stand in front of what the decoder writes."""

    adapter: ClassVar[bool] = True
    lr: ClassVar[float] = 1e-2

    tokens: Count = 20
    """Number of learnt keys and values in each layer."""

    def shape(self, model: nn.Module, seed: int) -> None:
        """Wrap the backbone. Raises ModelError where the architecture does not allow it."""
        from peft import PrefixTuningConfig

        from ..models import adapters

        sizes = adapters.prompt_sizes(model, self.tokens, inside=True)
        config = PrefixTuningConfig(task_type=adapters.TASK, num_virtual_tokens=self.tokens, **sizes)
        adapters.wrap(model, config, seed)
        adapters.check_virtual(model, "prefix")

    def positions(self) -> int:
        """The learnt tokens stand before the text, or before what a decoder writes."""
        return self.tokens

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage."""
        return (Stage("prefix", adapted(outline)),)


strategy = Prefix
