"""Tables: views, places, and row ids that only the content of a row decides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.table import Part, Table
from tunesmith.errors import DataError

ROWS = [{"text": "good", "stars": 5}, {"text": "bad", "stars": 1}, {"text": None, "stars": None}, {"text": "so so", "stars": 3}]


def test_rows_columns_and_frames_make_the_same_table() -> None:
    by_columns = {"text": ["good", "bad", None, "so so"], "stars": [5, 1, None, 3]}
    tables = [Table.of(ROWS), Table.of(by_columns), Table.of(pa.table(by_columns))]
    assert all(table.rows() == ROWS and table.names == ("text", "stars") for table in tables)
    assert len({table.digest() for table in tables}) == 1


def test_empty_texts_and_nan_are_empty_cells() -> None:
    table = Table.of({"text": ["", "a", " "], "x": [float("nan"), 1.5, 2.0]})
    assert table.column("text") == [None, "a", " "]
    assert table.column("x") == [None, 1.5, 2.0]


def test_numpy_values_and_tuples_are_taken_as_python_values() -> None:
    table = Table.of([{"n": np.int64(3), "v": np.array([1.0, 2.0]), "t": ("a", "b")}])
    assert table.rows() == [{"n": 3, "v": [1.0, 2.0], "t": ["a", "b"]}]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([1, "x"], "row 2, column 'c': expected a number, as in row 1, got a text (x)"),
        (["x", None, {"a": 1}], "row 3, column 'c': expected a text, as in row 1, got an object"),
        ([True, 1], "row 2, column 'c': expected true or false, as in row 1"),
        ([1, 10**400], "row 2, column 'c': expected a number that is kept exactly"),
        ([0.5, 2**60 + 1], "row 2, column 'c': expected a number that is kept exactly"),
        ([object()], "row 1, column 'c'"),
    ],
)
def test_a_value_that_would_be_changed_is_refused_with_its_row(values: list[object], says: str) -> None:
    with pytest.raises(DataError) as refusal:
        Table.of({"c": values})
    assert says in str(refusal.value)


def test_columns_of_two_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="'a': 2, 'b': 1"):
        Table.of({"a": [1, 2], "b": [1]})


def test_an_unknown_column_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(DataError, match=r"did you mean 'stars'\?"):
        Table.of(ROWS).column("star")


@given(st.lists(st.integers(0, 3), max_size=8), st.data())
def test_a_view_of_a_view_is_the_view_of_the_rows(first: list[int], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.integers(0, len(first) - 1), max_size=8)) if first else []
    table = Table.of(ROWS, "f.csv")
    view = table.take(first).take(second)
    expected = [first[i] for i in second]
    assert view.rows() == [ROWS[i] for i in expected]
    assert view.row_ids.tolist() == [table.row_ids.tolist()[i] for i in expected]
    assert [view.place(i) for i in range(len(view))] == [f"f.csv, row {i + 1}" for i in expected]
    assert view.digest() == Table.of(view.rows() or {"text": [], "stars": []}).digest()


def test_take_takes_masks() -> None:
    assert Table.of(ROWS).take(np.array([True, False, False, True])).column("text") == ["good", "so so"]


def test_places_count_skipped_rows_and_name_the_file() -> None:
    arrow = pa.table({"a": pa.array(["1"] * 5, pa.large_string())})
    table = Table(arrow, [Part("a.csv", 3, skipped=(1, 3, 4)), Part("b/x.txt", 1, single=True), Part("c.csv", 1)])
    assert [table.place(i) for i in range(5)] == ["a.csv, row 2", "a.csv, row 5", "a.csv, row 6", "b/x.txt", "c.csv, row 1"]


TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=8)
CONTENT = st.fixed_dictionaries({"a": st.integers(-(2**53), 2**53), "b": TEXT})


@given(st.lists(CONTENT, min_size=1, max_size=6), st.data())
def test_row_ids_do_not_know_order_company_or_column_order(rows: list[dict[str, object]], data: st.DataObject) -> None:
    ids = Table.of(rows).row_ids.tolist()
    order = data.draw(st.permutations(range(len(rows))))
    mixed = Table.of([{"b": rows[i]["b"], "empty": None, "a": rows[i]["a"]} for i in order]).row_ids.tolist()
    assert mixed == [ids[i] for i in order]
    assert Table.of(rows[:1]).row_ids.tolist() == ids[:1]
    distinct = {(row["a"], row["b"] or None) for row in rows}
    assert len(set(ids)) == len(distinct)


def test_row_ids_know_values_not_types() -> None:
    as_numbers, as_floats, as_text = ({"x": column} for column in ([5, -2], [5.0, -2.0], ["5", "-2"]))
    assert Table.of(as_numbers).row_ids.tolist() == Table.of(as_floats).row_ids.tolist() == Table.of(as_text).row_ids.tolist()


def test_row_ids_tell_columns_and_cells_apart() -> None:
    different = [{"a": "x", "b": "y"}, {"a": "y", "b": "x"}, {"a": "xy"}, {"b": "xy"}, {"a": "x\x1eb\x1f1\x1fy"}, {}]
    tables = [Table.of([row, {"a": "_", "b": "_"}]) for row in different]
    assert len({int(table.row_ids[0]) for table in tables}) == len(different)


def test_row_ids_are_the_same_in_every_version() -> None:
    ids = Table.of({"text": ["a quiet, exact film", "文"], "stars": [5, None], "x": [0.1, 1e300], "l": [["a"], []]}).row_ids
    assert [f"{i:016x}" for i in ids.tolist()] == ["f4b02983562a4e76", "dd0f41090e8fa9ac"]


def test_digest_knows_the_order() -> None:
    table = Table.of(ROWS)
    assert table.digest() != table.take([1, 0, 2, 3]).digest()


def test_row_ids_of_many_rows_do_not_collide_and_cross_chunks() -> None:
    table = Table.of({"i": np.arange(50_000)})
    assert len(set(table.row_ids.tolist())) == 50_000
    assert table.take([49_999]).row_ids[0] == Table.of({"i": [49_999]}).row_ids[0]


def test_with_column_keeps_places_of_a_view() -> None:
    view = Table.of(ROWS, "f.csv").take([3, 1])
    changed = view.with_column("label", ["c", "d"]).with_column("stars", [30, 10])
    assert changed.rows() == [{"text": "so so", "stars": 30, "label": "c"}, {"text": "bad", "stars": 10, "label": "d"}]
    assert changed.place(0) == "f.csv, row 4"
    assert changed.row_ids.tolist() == Table.of(changed.rows()).row_ids.tolist()


def test_rename_keeps_rows_and_places() -> None:
    renamed = Table.of(ROWS, "f.csv").take([1]).rename({"stars": "label"})
    assert renamed.rows() == [{"text": "bad", "label": 1}] and renamed.place(0) == "f.csv, row 2"
    assert renamed.row_ids.tolist() == Table.of(renamed.rows()).row_ids.tolist()


def test_arrow_types_become_few() -> None:
    frame = pa.table({
        "cat": pa.array(["a", "b"]).dictionary_encode(), "small": pa.array([1, 2], pa.int8()), "f32": pa.array([0.5, None], pa.float32()),
        "big": pa.array([2**63, 1], pa.uint64()), "view": pa.array(["x", ""], pa.string_view()), "none": pa.nulls(2),
    })
    table = Table.of(frame)
    kinds = [str(table.arrow(name).type) for name in table.names]
    assert kinds == ["large_string", "int64", "double", "large_string", "large_string", "large_string"]
    assert table.rows()[0] == {"cat": "a", "small": 1, "f32": 0.5, "big": str(2**63), "view": "x", "none": None}


def test_a_table_of_nothing() -> None:
    table = Table.of([])
    assert len(table) == 0 and table.names == () and table.row_ids.shape == (0,) and table.rows() == []


def test_pandas_missing_values_are_empty() -> None:
    table = Table.of(pa.Table.from_pandas(pd.DataFrame({"a": [1.0, None], "b": ["x", None]})))
    assert table.rows()[1] == {"a": None, "b": None}
