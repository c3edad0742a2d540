"""Arrow arrays made without pandas are those that Arrow makes, and the usual path of a run makes no others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runs import write_rows
from tests.source import ROOT
from tunesmith.data import bare

WHOLE_RUN = """
import json, sys
import tunesmith
run = tunesmith.fit({data!r}, model={model!r}, runs={runs!r}, limit=60, epochs=1, batch=8, threads=1, resamples=100, baselines=False)
assert len(run.predict(["a fair film", "a dull book"])) == 2
print(json.dumps(sorted(sys.modules)))
"""


@given(st.lists(st.none() | st.text(st.characters(codec="utf-8"))))
def test_texts_are_those_of_arrow(values: list[str | None]) -> None:
    made = bare.texts(values)
    made.validate(full=True)
    assert made.equals(pa.array(values, pa.large_string()))


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        bare.texts(["whole", "half \ud800"])


@pytest.mark.parametrize("kind", ["int8", "int32", "int64", "uint64", "float32", "float64"])
def test_numbers_are_those_of_arrow(kind: str) -> None:
    value_N = np.arange(12).astype(kind)
    for chosen_N in (value_N, value_N[::3], value_N[:0]):
        made = bare.numbers(chosen_N)
        made.validate(full=True)
        assert made.equals(pa.array(chosen_N))


@given(st.lists(st.none() | st.integers(0, 100)), st.integers(0, 3))
def test_whole_numbers_come_back(values: list[int | None], start: int) -> None:
    found = bare.whole_numbers(pa.array(values, pa.int32()).slice(start), empty=-1)
    assert found.dtype == np.int64 and found.tolist() == [-1 if value is None else value for value in values[start:]]


def test_single_cells() -> None:
    assert bare.text("word").as_py() == "word" and bare.number(-3, np.int32).equals(pa.scalar(-3, pa.int32()))
    assert bare.nothing(pa.float64()).as_py() is None


def test_a_run_needs_no_pandas(tiny_bert: Path, tmp_path: Path) -> None:
    code = WHOLE_RUN.format(data=str(write_rows(tmp_path / "rows.csv")), model=str(tiny_bert), runs=str(tmp_path / "runs"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "pandas" not in json.loads(done.stdout.splitlines()[-1])


@given(st.lists(st.lists(st.none() | st.integers(0, 9), max_size=4), max_size=5), st.data())
def test_cells_are_taken_from_the_chunks_that_hold_them(chunks: list[list[int | None]], data: st.DataObject) -> None:
    column = pa.chunked_array([pa.array(chunk, pa.int64()) for chunk in chunks], pa.int64())
    whole = column.to_pylist()
    positions = data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=12)) if whole else []
    found = bare.taken(column, np.array(positions, np.int64))
    assert found.type == column.type and found.to_pylist() == [whole[at] for at in positions]
