"""How many frames a model makes of a sound: arithmetic alone, so that batches can be cut before a sound is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, Self, final

SAMPLES, MEL, WHISPER, AST = "samples", "mel", "whisper", "ast"
"""Kinds of models: they read samples through convolutions, mel frames of any number, or windows of one length."""
HOP, FRAME = 160, 400
"""Samples between two mel frames, and of one."""


@final
@dataclass(frozen=True)
class Frames:
    """What is known of a model's frames."""

    kind: str = SAMPLES
    rate: int = 16_000
    """Samples a second."""
    positions: int = 0
    """Tokens of a window, where it is fixed."""
    most_seconds: int = 30
    """Longest sound of one pass."""
    kernels: tuple[int, ...] = ()
    """Of the convolutions over samples."""
    strides: tuple[int, ...] = ()

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """From what `plain` gave."""
        return cls(*values)

    def plain(self) -> tuple[Any, ...]:
        """As a fitted field of a task keeps it."""
        return astuple(self)

    @property
    def fixed(self) -> bool:
        """Whether the model reads windows of one length, filled up with silence."""
        return self.kind in (WHISPER, AST)

    @property
    def least(self) -> int:
        """Fewest samples of which the model can make two frames; shorter sounds are filled up with silence."""
        if self.kind in (AST, MEL):
            return FRAME + 4 * HOP
        samples = 2 if self.kind == SAMPLES else 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            samples = (samples - 1) * stride + kernel
        return samples

    def count(self, samples: int, seconds: int) -> int:
        """Frames of a sound of so many samples, of which `seconds` are read; silence that fills a window is not counted."""
        samples = max(min(samples, seconds * self.rate), self.least)
        if self.kind == AST:
            return 1
        if self.kind == WHISPER:
            return -(-samples // (2 * HOP))
        if self.kind == MEL:
            return (1 + (samples - FRAME) // HOP) // 2
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    def cost(self, samples: int, seconds: int) -> int:
        """Tokens that such a sound costs: frames, with the silence that fills a window."""
        if self.kind == AST:
            return self.positions
        return seconds * self.rate // (2 * HOP) if self.kind == WHISPER else self.count(samples, seconds)

    def seconds(self, frame: int) -> float:
        """Where a frame begins, in seconds."""
        step = 2 * HOP
        for stride in self.strides[:1] if self.kind == SAMPLES else ():
            step = stride
        for stride in self.strides[1:] if self.kind == SAMPLES else ():
            step *= stride
        return frame * step / self.rate
