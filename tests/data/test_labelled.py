"""A labelled file for a finished run: spelled as the run learned, cleaned as it was, with what it never learned named."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith import spec
from tunesmith.data import labelled
from tunesmith.data.table import Table
from tunesmith.errors import DataError


def ready(cells: list[Any], kind: str = "label", known: tuple[str, ...] = ("yes", "no"), **options: Any) -> labelled.Labelled:
    table = Table.of([{"text": f"text {i}", "y": cell} for i, cell in enumerate(cells)], "new.csv")
    return labelled.ready(table, spec.Data(**options), inputs=["text"], targets=["y"], kind=kind, known=known)


def test_twins_are_spelled_as_learned_where_the_run_merged_them() -> None:
    found = ready(["yes", "YES", "no ", "No"], merge_labels=True)
    assert found.rows.column("y") == ["yes", "yes", "no", "no"] and not found.findings
    (entry,) = found.ledger.entries
    assert (entry.action, entry.rows) == ("merged", ("new.csv, row 2", "new.csv, row 3", "new.csv, row 4"))


def test_twins_are_named_where_it_did_not() -> None:
    found = ready(["yes", "YES", "no"])
    assert found.rows.column("y") == ["yes", "YES", "no"]
    assert [f.code for f in found.findings] == ["unknown-label"] and "case or space alone" in found.findings[0].fix


def test_labels_that_were_never_learned_are_named_with_rows_and_counted() -> None:
    (told,) = ready(["yes", "perhaps", "no", "perhaps", "never"]).findings
    assert told.level == "warning" and told.rows == ("new.csv, row 2", "new.csv, row 4", "new.csv, row 5")
    assert told.message == "3 rows have a label that the run never learned, which counts as wrong: 'perhaps' (2), 'never' (1)"


def test_tags_are_spelled_and_named_one_by_one() -> None:
    found = ready(["a|B", "c|a", "z"], kind="labels", known=("a", "b", "c"), merge_labels=True)
    assert found.rows.column("y") == ["a|b", "c|a", "z"] and "'z' (1)" in found.findings[0].message


def test_empty_labels_are_refused_or_dropped_as_in_training() -> None:
    with pytest.raises(DataError, match=r"new.csv, row 2: expected a label in every row, got an empty cell \(or NaN\) in 1 row"):
        ready(["yes", None, "no"])
    found = ready(["yes", "nan", "no"], empty="drop")
    assert len(found.rows) == 2 and found.ledger.entries[0].rows == ("new.csv, row 2",)
    with pytest.raises(DataError, match="tunesmith predict"):
        ready([None, None])


def test_numbers_written_as_text_are_numbers_and_others_are_refused() -> None:
    assert ready(["1.5", " 2 "], kind="number", known=()).rows.column("y") == [1.5, 2.0]
    with pytest.raises(DataError, match=r"new.csv, row 2: expected plain numbers in column 'y', got '1,5' in 1 row; write 1234.5"):
        ready(["1.5", "1,5"], kind="number", known=())


def test_a_missing_column_is_named() -> None:
    table = Table.of([{"text": "x", "lable": "yes"}], "new.csv")
    with pytest.raises(DataError, match="expected a column 'label'.*did you mean 'lable'"):
        labelled.ready(table, spec.Data(), inputs=["text"], targets=["label"], kind="label", known=("yes",))
