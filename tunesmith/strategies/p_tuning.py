"""Learnt tokens in front of each text, made by a small network, and the head; the model itself is untouched."""

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
class PTuning(Strategy):
    """P-tuning (arXiv 2103.10385): `prompt` with a network that ties the tokens together."""

    adapter: ClassVar[bool] = True
    lr: ClassVar[float] = 3e-3

    tokens: Count = 20
    """Number of learnt tokens; they take their place from the longest text that the model can read."""
    width: Count = 128
    """Width of the network's hidden layers."""

    def shape(self, model: nn.Module, seed: int) -> None:
        """Wrap the backbone. Raises ModelError where the architecture does not allow it."""
        from peft import PromptEncoderConfig

        from ..models import adapters

        sizes = adapters.prompt_sizes(model, self.tokens)
        config = PromptEncoderConfig(
            task_type=adapters.TASK, num_virtual_tokens=self.tokens, encoder_hidden_size=self.width, **sizes
        )
        adapters.wrap(model, config, seed)
        adapters.check_virtual(model, "p-tuning")

    def positions(self) -> int:
        """The learnt tokens stand before the text."""
        return self.tokens

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage."""
        return (Stage("prompt", adapted(outline)),)


strategy = PTuning
