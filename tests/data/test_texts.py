"""Texts that are read when asked, tables that lie in files: the same words and digests as in memory, and little of them is held."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tunesmith import spec
from tunesmith.data import mapped, texts
from tunesmith.data.cells import normalise
from tunesmith.data.dataset import arrange, read_sources
from tunesmith.data.table import Part, Table
from tunesmith.data.texts import Texts

WORDS = [f"w{i}" for i in range(3000)]


def in_file(rows: dict[str, list[object]], path: Path, batch: int = 7) -> Table:
    table = normalise(pa.table(rows))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch)
    return Table(mapped.open_table(path), [Part("a", table.num_rows)])


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Table, Table]:
    rows: dict[str, list[object]] = {
        "one": [f"text {i}" if i % 5 else None for i in range(50)], "two": [["a", str(i)] for i in range(50)],
    }
    return Table.of(rows), in_file(rows, tmp_path / "a.arrow")


def test_texts_are_the_same_in_whatever_way_they_are_asked_for(tables: tuple[Table, Table]) -> None:
    here, there = tables
    view = there.take(np.array([40, 3, 3, 21]))
    found = Texts([there, view], ["one", "two"])
    wanted = [f"{'' if one is None else one}\x00{' '.join(two)}" for table in (here, view) for one, two in
              zip(table.column("one"), table.column("two"))]
    assert list(found) == wanted and len(found) == 54
    assert [found[i] for i in (0, 49, 50, 53)] == [wanted[i] for i in (0, 49, 50, 53)] and found[48:52] == wanted[48:52]
    order = np.array([53, 0, 51, 17, 17])
    assert texts.at(found, order) == texts.at(wanted, order) == [wanted[i] for i in order]


def test_pages_that_were_given_back_are_read_again(tables: tuple[Table, Table]) -> None:
    here, there = tables
    for _ in range(2):
        assert there.rows() == here.rows()
        mapped.rest()
    assert there.digest() == here.digest() and np.array_equal(there.row_ids, here.row_ids)


def test_the_digest_of_a_part_is_that_of_its_rows_alone(tables: tuple[Table, Table]) -> None:
    here, there = tables
    order = np.array([9, 2, 30, 31, 4])
    for names in (None, ["two"]):
        alone = Table.of([{name: row[name] for name in names or here.names} for row in here.rows(order)])
        assert there.take(order).digest(names) == here.take(order).digest(names) == alone.digest()


def test_places_are_said_when_asked() -> None:
    table = Table.of({"text": ["a", "b", "c", "d"]}, "a.csv").take([3, 1])
    assert list(table.places([0, 1])) == table.places(np.array([0, 1]))[:5] == ["a.csv, row 4", "a.csv, row 2"]
    assert table.places([1])[0] == "a.csv, row 2" and len(table.places([0, 1])) == 2


def test_reading_and_parting_hold_few_of_the_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text more costs its numbers, far less than itself (here 1,400 characters)."""
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    for bound, value in {
        "spool.LARGE": 1 << 18, "spool.SEGMENT": 1 << 18, "mapped.TOGETHER": 64, "shingles.BLOCK": 20_000,
        "noise.MOST_ROWS": 200, "leaks.SAMPLE": 200, "leaks.COLUMN_SAMPLE": 200, "profile.SAMPLE": 200, "content.CHUNK": 64,
    }.items():
        monkeypatch.setattr(f"tunesmith.data.{bound}", value)
    few, many = (_most_traced(tmp_path / f"{rows}.csv", rows) for rows in (300, 1_200))
    assert (many - few) / 900 < 700


def _most_traced(path: Path, rows: int) -> int:
    draw = random.Random(0)
    path.write_text("text,label\n" + "".join(f"{' '.join(draw.choices(WORDS, k=250))},{draw.choice('ab')}\n" for _ in range(rows)))
    asked = spec.Data(train=str(path))
    tracemalloc.start()
    try:
        arrange(read_sources(asked), asked, inputs=["text"], targets=["label"], kind="label", seed=0)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
