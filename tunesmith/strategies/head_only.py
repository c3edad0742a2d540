"""Only the head learns, solved to its optimum on the frozen model's vectors: seconds, whatever the number of epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from ..strategy import Outline, Stage, Strategy
from ._rates import even


@final
@dataclass(frozen=True, kw_only=True)
class HeadOnly(Strategy):
    """A linear probe."""

    lr: ClassVar[float] = 1e-2

    solve: bool = True
    """Solve the head to its optimum; false: train it step by step."""

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage."""
        return (Stage("head", even(outline.head), solve=self.solve),)


strategy = HeadOnly
