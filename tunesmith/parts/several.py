"""Several targets of the rows of one table: what kind each is, who has which, and outputs of all of them side by side.

Axes: N rows, M features' rows, K targets, C columns of a target.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ..data.arrays import objects
from ..data.audit import target_findings
from ..data.finding import Finding, refuse
from ..data.profile import Profile
from ..data.table import Table
from ..errors import DataError
from ..spec import Choice
from ..task import Outputs, Task, Truth
from . import columns, entities, marked

Kind = Literal["class", "number", "labels", "tags", "spans"]
TASK_OF: Mapping[str, str] = {
    "class": "text-classification", "number": "text-regression", "labels": "text-multilabel",
    "tags": "token-classification", "spans": "token-classification",
}
"""The task that does a target of this kind."""
OPTION_OF = {"class": "label", "number": "target", "labels": "labels", "tags": "tags", "spans": "spans"}
"""The option by which that task knows the target's column."""
WORDWISE = ("tags", "spans")
CONSTANT = "constant-target"
"""The finding that a column says one number in all rows."""
LOOKED = 1000
"""Cells looked at to tell a target's kind."""
NEARLY = 0.99
"""Share of rows with a tag for each word from which a column is taken for tags."""


# -- kinds ------------------------------------------------------------------------------------------------------------


def kind_of(table: Table, profile: Profile, text: str, name: str) -> Choice[str]:
    """What kind of target a column is, and why. Raises DataError where it is none."""
    found = [(said, cell) for said, cell in zip(table.column(text), table.column(name)) if there(cell)][:LOOKED]
    if found and _are_spans([cell for _, cell in found]):
        return Choice("spans", f"{name!r} holds spans of {text!r}")
    if found and _are_tags(found):
        return Choice("tags", f"{name!r} holds a tag for each word of {text!r}")
    column = profile.columns[name]
    natures = {"classes": "class", "numbers": "number", "tags": "labels"}
    kind = natures.get(columns.nature(column, profile.rows))
    if kind is None:
        raise DataError(
            f"column {name!r}", expected="labels, numbers, lists of labels, or a tag for each word", got=columns.describe(column),
            fix="name other columns as targets, or their kinds: --set options.kinds=[class, number]", code="no-target",
        )
    words = {"class": "one label of", "number": "a number:", "labels": "any of several labels:"}[kind]
    return Choice(kind, f"{name!r} is {words} {columns.describe(column)}")


def guess(profile: Profile, taken: Iterable[str]) -> list[str]:
    """Columns that look like targets, where none was named: those with a target's name, else all that could be one."""
    known = (*columns.CLASS_NAMES, *columns.NUMBER_NAMES, *columns.TAG_NAMES, *marked.TAG_NAMES)
    fits = [
        column.name for column in profile.columns.values()
        if column.name not in taken and not columns.is_split(column) and (columns.nature(column, profile.rows) != "none")
    ]
    called = [name for name in fits if any(columns.same_name(name, other) for other in known)]
    return called if len(called) > 1 else fits


def _are_spans(cells: Sequence[Any]) -> bool:
    try:
        return any(marked.mentions(cell) for cell in cells)
    except marked.Misfit:
        return False


def _are_tags(found: Sequence[tuple[Any, Any]]) -> bool:
    pairs = [(marked.items(said) or [], marked.items(cell) or []) for said, cell in found]
    alike = sum(len(said) == len(cell) for said, cell in pairs)
    return alike >= NEARLY * len(pairs) and any(len(cell) > 1 for _, cell in pairs)


def numeric(rows: Table, name: str, kind: str) -> list[Finding]:
    """What is wrong with a target's numbers."""
    return target_findings(rows, [name], "number") if kind == "number" and len(rows) else []


# -- who has which ----------------------------------------------------------------------------------------------------


def there(cell: Any) -> bool:
    """Whether a row has this target: an empty list is an answer (no label), an empty cell is none."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return False
    return not isinstance(cell, str) or bool(cell.strip())


def having(table: Table, name: str) -> np.ndarray:
    """Positions of the rows that have a target."""
    return np.flatnonzero([there(cell) for cell in table.column(name)])


def learned(train: Table, name: str, kind: str) -> Table:
    """The training rows that have a target. Raises DataError where none has, or all say the same number."""
    rows = train.take(having(train, name))
    if not len(rows):
        raise DataError(
            f"column {name!r}", expected="training rows that have this target", got="none", fix="leave the target out", code="no-rows"
        )
    refuse(one for one in numeric(rows, name, kind) if one.code == CONSTANT)
    return rows


def truths(parts: Mapping[str, Task], table: Table) -> Truth:
    """(N,) objects: what each row says of each target, as the target's task encodes it; None where it has none."""
    rows: list[dict[str, Any]] = [dict.fromkeys(parts) for _ in range(len(table))]
    for name, part in parts.items():
        at_M = having(table, name)
        for at, value in zip(at_M.tolist(), part.truth(table.take(at_M)) if len(at_M) else ()):
            rows[at][name] = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return objects(rows)


def of_target(truth: Truth, name: str, kind: str) -> tuple[np.ndarray, Truth]:
    """(N,) bool, whether a row has the target, and the truth of the M rows that have it, as the target's task made it."""
    known_N = np.array([row[name] is not None for row in truth], bool)
    values = [row[name] for row in truth if row[name] is not None]
    if kind in WORDWISE:
        return known_N, objects(values)
    if kind == "class":
        return known_N, np.array(values, np.int64)
    width = max((len(value) for value in values), default=0)  # labels: a further column counts unknown ones, if there are any
    filled = np.array([value + [0] * (width - len(value)) for value in values], np.float64).reshape(len(values), width)
    return known_N, filled if kind == "number" else filled.astype(np.int64)


# -- side by side -----------------------------------------------------------------------------------------------------


def own(outputs: Outputs, name: str) -> Outputs:
    """The outputs of one target."""
    start = f"{name}: "
    return {key.removeprefix(start): value for key, value in outputs.items() if key.startswith(start)}


def named(outputs: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Outputs of one target under names that tell whose they are."""
    return {f"{name}: {key}": value for key, value in outputs.items()}


def width(part: Any, kind: str) -> int:
    """Columns of the head that answers a target."""
    if kind in WORDWISE:
        return len(entities.labels(part.types, part.written == "plain"))
    return len(getattr(part, {"class": "labels", "number": "means", "labels": "vocabulary"}[kind]))


def spread(known_N: np.ndarray, value_M: np.ndarray) -> np.ndarray:
    """(N, ...) values of the rows that have them, zeros (None of objects) elsewhere."""
    found = np.empty(len(known_N), object) if value_M.dtype == object else np.zeros((len(known_N), *value_M.shape[1:]), value_M.dtype)
    found[known_N] = value_M
    return found


def pooled(values_TD: np.ndarray, starts: np.ndarray, how: str) -> np.ndarray:
    """(M, D) vectors of texts from those of their tokens, which stand end to end: as `models.heads.pool`."""
    if how == "mean":
        return np.asarray(np.add.reduceat(values_TD, starts[:-1], axis=0) / np.diff(starts)[:, None])
    return np.asarray(values_TD[starts[1:] - 1 if how == "last" else starts[:-1]])


def mean_of_rows(value_E: np.ndarray, row_N: np.ndarray) -> np.ndarray:
    """(N, C) means over the windows of each row."""
    count = int(row_N.max()) + 1 if len(row_N) else 0
    if count == len(row_N):
        return value_E
    total = np.zeros((count, *value_E.shape[1:]), np.float64)
    np.add.at(total, row_N, value_E)
    return (total / np.bincount(row_N)[:, None]).astype(value_E.dtype)


def goals(pattern_N: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Groups of rows that have the same targets, and how many rows of each an epoch sees: shares in proportion to the sizes to the
    power of 1 / temperature (arXiv 1907.05019), as many rows in all as there are."""
    _, group_N, size_G = np.unique(pattern_N, axis=0, return_inverse=True, return_counts=True)
    share_G = size_G ** (1 / temperature)
    goal_G = np.maximum(1, np.round(share_G / share_G.sum() * len(pattern_N))).astype(np.int64)
    return group_N.ravel(), goal_G


def in_words(table: Table, name: str) -> Table:
    """The table with lists of tokens as texts."""
    cells = table.column(name)
    if not any(isinstance(cell, list) for cell in cells):
        return table
    return table.with_column(name, [" ".join(map(str, cell)) if isinstance(cell, list) else cell for cell in cells])
