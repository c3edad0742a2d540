"""Scores as Python has them: numbers that know their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, final


@final
class Score(float):
    """A number with its interval."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From an entry of `report.json`."""
        nan = float("nan")
        made = cls(nan if values["value"] is None else values["value"])
        made.low, made.high = (nan if values[k] is None else values[k] for k in ("low", "high"))
        return made

    def __repr__(self) -> str:
        return f"{float(self):.4g} ({self.low:.4g} to {self.high:.4g})"


@final
class Scores(dict[str, Score]):
    """Score name -> Score, headline first."""

    @classmethod
    def of(cls, values: Mapping[str, Mapping[str, Any]]) -> Self:
        """From `report.json`."""
        return cls({name: Score.of(value) for name, value in values.items()})
