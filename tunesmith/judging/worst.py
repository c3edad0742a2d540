"""Rows to look at: the ones the model gets most wrong, and a sample of right ones. Texts stay raw; whoever renders them
escapes them.

Axes: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import images, sounds
from ..parts.words import of_tokens
from ..task import Mark
from .slices import Rows
from .view import View, words

LONGEST = 1200
"""Characters of a cell that are kept in the report."""


def worst(of: View, table: Rows, inputs: Sequence[str], count: int = 20) -> list[dict[str, Any]]:
    """Wrongly answered rows (for numbers: any) with the highest loss, highest first."""
    return [example(of, table, inputs, row) for row in worst_at(of, count)]


def worst_at(of: View, count: int = 20) -> list[int]:
    """Positions of these rows."""
    candidates = np.arange(of.rows) if of.measured else np.flatnonzero(~of.right_N)
    order: list[int] = candidates[np.argsort(-of.loss_N[candidates], kind="stable")].tolist()
    return order[:count]


def right(of: View, table: Rows, inputs: Sequence[str], count: int = 8, seed: int = 0) -> list[dict[str, Any]]:
    """A random sample of the rows answered right (for numbers: of the closer half; for texts that are more or less right: of all),
    most certain first."""
    return [example(of, table, inputs, row) for row in right_at(of, count, seed)]


def right_at(of: View, count: int = 8, seed: int = 0) -> list[int]:
    """Positions of these rows."""
    candidates = np.arange(of.rows) if of.by_degree else np.flatnonzero(of.right_N)
    drawn = np.random.default_rng([seed, of.rows, 6]).permutation(candidates)[:count]
    order: list[int] = drawn[np.argsort(of.loss_N[drawn], kind="stable")].tolist()
    return order


def example(of: View, table: Rows, inputs: Sequence[str], row: int) -> dict[str, Any]:
    """One row: `place`, `inputs` (column -> text), `pictures` (column -> small image or sound), `marks` (column -> [start, end, truth or
    answer, label]), `truth`, `answer`, `confidence`, `loss`, `right`."""
    cells, marks = table.rows([row])[0], of.marks[row] if of.marks else ()
    seen = {name: _small(cells[name]) for name in inputs if is_file(cells.get(name))}
    shown = {name: _shown(cells.get(name), [mark for mark in marks if mark.column == name]) for name in inputs}
    return {
        "place": table.place(row),
        "inputs": {name: text for name, (text, _) in shown.items()},
        "marks": {name: found for name, (_, found) in shown.items() if found},
        "pictures": {name: picture for name, picture in seen.items() if picture},
        "truth": words(of, row, of.truth), "answer": words(of, row, of.chosen),
        "confidence": None if np.isnan(of.sure_N[row]) else float(of.sure_N[row]),
        "loss": float(of.loss_N[row]), "right": bool(of.right_N[row]),
    }


def _small(cell: Any) -> str:
    """A `data:` address of a small copy of an image, or of the beginning of a sound."""
    return sounds.player(cell) if "rate" in cell else images.thumbnail(cell)


def is_file(cell: Any) -> bool:
    """Whether a cell stands for a file (`data.files`)."""
    return isinstance(cell, dict) and "content" in cell


def _shown(cell: Any, marks: Sequence[Mark]) -> tuple[str, list[list[Any]]]:
    """The cell, of a file its name, of a long one the part with the first mark, and the marks in that part."""
    cell = Path(images.name_of(cell)).name if is_file(cell) else cell
    text = of_tokens(list(map(str, cell))).text if isinstance(cell, list) else "" if cell is None else str(cell)
    start = 0
    if len(text) > LONGEST and marks:
        start = max(0, min(min(mark.start for mark in marks) - LONGEST // 4, len(text) - LONGEST))
    end = start + LONGEST
    before, after = "… " if start else "", f"… ({len(text):,} characters)" if len(text) > LONGEST else ""
    move = len(before) - start
    inside = [mark for mark in marks if mark.start < end and mark.end > start]
    found = [[max(m.start, start) + move, min(m.end, end) + move, m.of, m.label] for m in inside]
    return f"{before}{text[start:end]}{after}", found
