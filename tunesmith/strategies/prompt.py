"""Learnt tokens in front of each text, and the head; the model itself is untouched."""

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
class Prompt(Strategy):
    """Prompt tuning (arXiv 2104.08691). Good for large models, weak below about a billion weights."""

    adapter: ClassVar[bool] = True
    lr: ClassVar[float] = 3e-2

    tokens: Count = 20
    """Number of learnt tokens; they take their place from the longest text that the model can read."""

    def shape(self, model: nn.Module, seed: int) -> None:
        """Wrap the backbone; the tokens start as those of random words. Raises ModelError where the architecture does not allow it."""
        from peft import PromptTuningConfig, PromptTuningInit

        from ..models import adapters

        sizes = adapters.prompt_sizes(model, self.tokens)
        # peft keeps the wrapped model's own vectors of random words: a far better start than noise of size one (section 3.2).
        config = PromptTuningConfig(
            task_type=adapters.TASK,
            prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB,
            num_virtual_tokens=self.tokens,
            **sizes,
        )
        adapters.wrap(model, config, seed)
        adapters.check_virtual(model, "prompt")

    def positions(self) -> int:
        """The learnt tokens stand before the text."""
        return self.tokens

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage."""
        return (Stage("prompt", adapted(outline)),)


strategy = Prompt
