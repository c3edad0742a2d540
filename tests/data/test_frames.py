"""Frames from Python become files named by their content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.data.files import load
from tunesmith.data.frames import write_frame
from tunesmith.data.table import Table
from tunesmith.errors import DataError

COLUMNS: dict[str, list[Any]] = {"text": ["a", None, "c"], "label": ["x", "y", "x"], "n": [1, 2, 3], "f": [0.5, None, 2.0]}
FRAMES: dict[str, Any] = {
    "pandas": pd.DataFrame(COLUMNS),
    "pandas with categories": pd.DataFrame(COLUMNS).astype({"label": "category", "f": "float32"}),
    "pandas with a filtered index": pd.DataFrame({k: [v[0], *v] for k, v in COLUMNS.items()})[1:],
    "polars": pl.DataFrame(COLUMNS),
    "lazy polars": pl.LazyFrame(COLUMNS),
    "arrow": pa.table(COLUMNS),
    "record batch": pa.RecordBatch.from_pydict(COLUMNS),
    "columns": COLUMNS,
    "rows": [dict(zip(COLUMNS, cells)) for cells in zip(*COLUMNS.values())],
}


@pytest.mark.parametrize("name", FRAMES)
def test_every_frame_gives_the_same_table(tmp_path: Path, name: str) -> None:
    path = write_frame(FRAMES[name], tmp_path / "frames")
    table = load(path)
    assert table.rows() == Table.of(COLUMNS).rows() and table.place(2) == f"{path.name}, row 3"
    assert write_frame(FRAMES[name], tmp_path / "frames") == path == write_frame(FRAMES["columns"], tmp_path / "frames")


def test_another_content_is_another_file(tmp_path: Path) -> None:
    one = write_frame(FRAMES["pandas"], tmp_path)
    assert one != write_frame(FRAMES["pandas"].assign(n=[1, 2, 4]), tmp_path)
    assert one != write_frame(FRAMES["pandas"].rename(columns={"n": "m"}), tmp_path)
    assert one != write_frame(FRAMES["pandas"][::-1], tmp_path)


def test_named_indexes_and_series_are_columns(tmp_path: Path) -> None:
    assert load(write_frame(pd.DataFrame(COLUMNS).set_index("label"), tmp_path)).names == ("label", "text", "n", "f")
    assert load(write_frame(pd.Series(["a", "b"], name="text"), tmp_path)).column("text") == ["a", "b"]
    assert load(write_frame(pd.DataFrame({0: ["a"], 1: ["b"]}), tmp_path)).names == ("0", "1")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (pd.DataFrame({"a": ["x", 1]}), "mixed-types"), ([{"a": "x"}, {"a": 1}], "mixed-types"),
        (pd.DataFrame(), "no-rows"), ([], "no-rows"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "duplicate-columns"), (np.zeros((2, 2)), "not-a-frame"), (7, "not-a-frame"),
    ],
    ids=str,
)
def test_what_is_no_table_is_refused(tmp_path: Path, frame: Any, code: str) -> None:
    with pytest.raises(DataError) as caught:
        write_frame(frame, tmp_path)
    assert caught.value.code == code and not list(tmp_path.iterdir())
