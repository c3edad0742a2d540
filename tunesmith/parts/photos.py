"""Pictures in the cells of a table: encoded where they are there, nothing where a cell is empty.

Axes: N rows, K columns of pictures, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..spec import Choice
from ..task import Example, Row
from . import pixels

LETTERS = 4
"""Characters that a token of a text stands for, roughly: what batches are cut by need not be exact."""


def there(cell: Any) -> bool:
    """Whether a cell has a picture."""
    return bool(cell.get("path") or cell.get("bytes")) if isinstance(cell, dict) else bool(cell)


def encode(rows: Sequence[Row], names: Sequence[str], processor: Any) -> list[Example]:
    """`pixel_values` (K, C, H, W) float32, zeros where there is none, and `seen` (K,): 1 where there is one.

    Raises DataError where a picture cannot be read whole.
    """
    made = []
    for row in rows:
        seen_K = np.array([there(row.get(name)) for name in names], np.int64)
        pixels_KCHW = np.zeros((len(names), *processor.shape), np.float32)
        for at in np.flatnonzero(seen_K).tolist():
            pixels_KCHW[at] = pixels.encode(row[names[at]], processor.pictures)
        made.append({"pixel_values": pixels_KCHW, "seen": seen_K})
    return made


def lengths(texts: Sequence[str], kept: int, columns: Sequence[Sequence[Any]], tokens: int) -> np.ndarray:
    """(N,) about how many tokens a row has: those of its texts, `kept` at most, and `tokens` of each picture."""
    words_N = np.array([min(kept, 2 + len(text) // LETTERS) for text in texts], np.int64)
    seen_KN = np.array([[there(cell) for cell in cells] for cells in columns], np.int64)
    return np.asarray(words_N + tokens * seen_KN.sum(0))


def told(names: Sequence[str], model: str, gaps: Sequence[int]) -> dict[str, Choice[Any]]:
    """How each column of pictures is read, for the ledger. `gaps`: training rows without one."""
    without = [f"; {count:,} rows without one, and a flag for these" if count else "" for count in gaps]
    read = f"pictures, read by the image encoder {model}"
    return {f"column {name!r}": Choice("picture", f"{read}{gap}") for name, gap in zip(names, without)}
