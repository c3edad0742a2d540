"""Factors of the learning rate by depth, shared by the strategies."""

from __future__ import annotations

from collections.abc import Iterable

from ..strategy import Outline


def even(names: Iterable[str]) -> dict[str, float]:
    """The full rate for each."""
    return dict.fromkeys(names, 1.0)


def decayed(outline: Outline, decay: float, lowest: int = 0) -> dict[str, float]:
    """`decay` to the power of the distance from the top layer, for everything at depth `lowest` or above.

    The top layer, what follows it, and the head learn at the full rate (arXiv 1801.06146, 2006.05987).
    """
    return {name: decay ** max(0, outline.layers - outline.depths[name]) for name in outline.at_least(lowest)}


def adapted(outline: Outline) -> dict[str, float]:
    """Adapters and head at the full rate; the backbone is frozen."""
    return even([*sorted(outline.adapters), *outline.head])
