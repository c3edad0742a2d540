"""Only the head learns, solved to its optimum on the frozen model's vectors: seconds, whatever the number of epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from ..strategy import Outline, Stage, Strategy
from ._rates import even

BESIDE = 0.2
"""Factor of the rate for a network of several layers above the frozen model: `lr` is meant for a linear head."""

@final
@dataclass(frozen=True, kw_only=True)
class HeadOnly(Strategy):
    """A linear probe."""

    lr: ClassVar[float] = 1e-2

    solve: bool = True
    """Solve the head to its optimum; false: train it step by step."""

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage: solved where the head is linear; what has no known optimum is learned step by step."""
        if any(not name.startswith("head.") for name in outline.head):
            return (Stage("head and what stands beside it", dict.fromkeys(outline.head, BESIDE)),)
        return (Stage("head", even(outline.head), solve=self.solve),)


strategy = HeadOnly
