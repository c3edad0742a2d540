"""Outputs and truth of rows as Arrow columns and JSON, and back.

Rows of like shape are lists of numbers; rows of unlike shape (dtype object: tags of each word, texts, lists of spans) are JSON texts.

Axes: N rows.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa


def to_arrow(value_N: np.ndarray, kind: Any) -> pa.Array:
    """(N, ...) numbers as lists of `kind`, each row flat; (N,) objects as JSON texts."""
    if value_N.dtype == object:
        return pa.array([json.dumps(plain(value), ensure_ascii=False) for value in value_N], pa.string())
    return pa.array(list(value_N.reshape(len(value_N), -1).astype(kind)), pa.list_(pa.from_numpy_dtype(kind)))


def from_arrow(column: pa.ChunkedArray | pa.Array, kind: Any) -> np.ndarray:
    """What `to_arrow` wrote: (N, C) numbers, or (N,) objects whose rectangular lists of numbers are arrays of `kind` again."""
    values = column.to_pylist()
    if not pa.types.is_string(column.type):
        return np.array(values, kind)
    found = np.empty(len(values), object)
    for row, text in enumerate(values):
        found[row] = parsed(json.loads(text), kind)
    return found


def as_json(value_N: np.ndarray) -> list[Any]:
    """Rows as JSON has them."""
    return [plain(value) for value in value_N]


def plain(value: Any) -> Any:
    """A row as JSON has it."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def parsed(value: Any, kind: Any = np.float32) -> Any:
    """A row that JSON had: a rectangular list of numbers is an array, everything else stays what it is."""
    if not isinstance(value, list) or not _numbers(value):
        return value
    try:
        return np.array(value, kind)
    except ValueError:
        return value


def _numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(_numbers(one) for one in value)
    return isinstance(value, int | float) and not isinstance(value, bool)
