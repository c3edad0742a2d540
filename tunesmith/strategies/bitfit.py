"""Only biases learn (a thousandth of the weights), and the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from ..errors import ModelError
from ..strategy import Outline, Stage, Strategy
from ._rates import even


@final
@dataclass(frozen=True, kw_only=True)
class BitFit(Strategy):
    """BitFit (arXiv 2106.10199)."""

    lr: ClassVar[float] = 2e-3

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage. Raises ModelError where the backbone has no biases, as Llama has none."""
        names = [name for name in outline.at_least(0) if name.endswith("bias") or name in outline.head]
        if set(names) <= set(outline.head):
            raise ModelError(
                "strategy 'bitfit'",
                expected="a backbone with biases",
                got="none",
                fix="use `lora`",
                code="method-does-not-fit",
            )
        return (Stage("biases", even(names)),)


strategy = BitFit
