"""The weights whose names match a pattern learn, and the head."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from ..errors import SpecError, listing
from ..strategy import Outline, Stage, Strategy
from ._rates import even

MAX_PATTERN = 200


@final
@dataclass(frozen=True, kw_only=True)
class Pattern(Strategy):
    """For choices that no other strategy makes: `patterns: [LayerNorm, query]`."""

    lr: ClassVar[float] = 2e-4

    patterns: tuple[str, ...] = ()
    """Regular expressions, searched for in parameters' names (`encoder.layer.5`, `LayerNorm`)."""

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage. Raises SpecError for no pattern, a broken one, or one that fits no name."""
        names = [*outline.at_least(0)]
        if not self.patterns:
            raise _bad("at least one regular expression", "none", names)
        chosen = {name for pattern in self.patterns for name in _matches(pattern, names)}
        return (Stage("by pattern", even([*(name for name in names if name in chosen or name in outline.head)])),)


def _matches(pattern: str, names: Sequence[str]) -> list[str]:
    try:
        expression = re.compile(pattern[:MAX_PATTERN])
    except re.error as error:
        raise _bad("a regular expression", f"{pattern!r} ({error})", names) from None
    found = [name for name in names if expression.search(name)]
    if not found:
        raise _bad("a pattern that fits a parameter's name", repr(pattern), names)
    return found


def _bad(expected: str, got: str, names: Sequence[str]) -> SpecError:
    return SpecError(
        "option 'patterns' of pattern",
        expected=expected,
        got=got,
        fix=f"names are like {listing(names[:: max(1, len(names) // 5)])}",
        code="bad-option",
    )


strategy = Pattern
