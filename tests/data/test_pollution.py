"""CSV files polluted one way at a time, as files in the wild are: the exact table comes out, or a refusal; never another table.

The classes are those of Pollock (Vitagliano et al., VLDB 2023, doi 10.14778/3594512.3594518); the files are made here from one clean
table. The authors' own 2,290 files are not at hand.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.files import as_csv, load, write
from tunesmith.errors import DataError

HEAD = ["date", "time", "quantity", "price", "product", "comment"]
COMMENTS = ["", "a, b; c", 'says "yes"', "two\nlines", "ünï"]
CELLS = [
    [f"{1 + i % 28:02}/0{1 + i % 9}/2018", f"{i % 24:02}:{i % 60:02}", str(i % 13), f"{i}.{i % 10}5", f"product {i}", COMMENTS[i % 5]]
    for i in range(84)
]
TABLE = [dict(zip(HEAD, row, strict=True)) for row in CELLS]
CLEAN = as_csv(TABLE)


def as_texts(path: Path, **options: object) -> list[list[str]]:
    """The table's cells as they would be written, header first."""
    table = load(path, **options)
    return [list(table.names), *([("" if v is None else shown(v)) for v in row.values()] for row in table.rows())]


def shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def expected(cells: list[list[str]] = CELLS, head: list[str] = HEAD) -> list[list[str]]:
    return [head, *([c if i != 3 else f"{float(c):g}" for i, c in enumerate(row)] for row in cells)]


def changed(at: int, line: str) -> str:
    """The clean file with one more line before row `at` (counted from 0)."""
    records = [as_csv([row]).split("\n", 1)[1] for row in TABLE]
    return "".join([CLEAN.split("\n", 1)[0], "\n", *records[:at], line, "\n", *records[at:]])


SAME: dict[str, str | bytes] = {
    "clean": CLEAN,
    "no line end at the end": CLEAN.removesuffix("\n"),
    "two line ends at the end": CLEAN + "\n",
    "records end in CRLF": as_csv(TABLE, end="\r\n"),
    "records end in CR": as_csv(TABLE, end="\r"),
    "all cells quoted": as_csv(TABLE, all_quoted=True),
    **{f"delimiter {mark!r}": as_csv(TABLE, mark) for mark in (";", "\t", "|")},
    "escaped by a backslash": as_csv(TABLE, escape="\\"),
    "byte order mark": b"\xef\xbb\xbf" + CLEAN.encode(),
    "utf-16": CLEAN.encode("utf-16"),
    "an empty line in the middle": changed(40, ""),
    "empty lines at the end": CLEAN + "\n\n\n",
    "sep= line": "sep=;\n" + as_csv(TABLE, ";"),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_table(tmp_path: Path, name: str) -> None:
    assert as_texts(write(tmp_path / "a.csv", SAME[name])) == expected()


@pytest.mark.parametrize("count", [1, 5, 20, 84])
def test_fewer_rows_and_columns(tmp_path: Path, count: int) -> None:
    assert as_texts(write(tmp_path / "a.csv", as_csv(TABLE[:count]))) == expected(CELLS[:count])


@pytest.mark.parametrize("mark", [":", "#", "^", "~", "!"])
def test_a_delimiter_that_is_named(tmp_path: Path, mark: str) -> None:
    plain = [row | {"comment": "", "time": "x", "date": str(i)} for i, row in enumerate(TABLE)]
    found = as_texts(write(tmp_path / "a.csv", as_csv(plain, mark)), delimiter=mark)
    assert [row[4] for row in found] == ["product", *(row["product"] for row in plain)]


RAGGED: dict[str, str] = {
    "a cell less": changed(40, "1,2,3,4,5"),
    "a cell more": changed(40, "1,2,3,4,5,6,7"),
    "a lone word": changed(40, "subtotal"),
    "a title above": "Sales of 2018\n" + CLEAN,
    "a note below": CLEAN + "end of the file,,\n",
    "a quote that never closes": changed(83, '1,2,3,4,5,"open'),
    "text after a quote": changed(40, '1,2,3,4,5,"a"b'),
    "a row doubled in one line": changed(40, ",".join("abcdefghijkl")),
}


@pytest.mark.parametrize("name", RAGGED)
def test_rows_of_another_length_are_refused_or_left_out_and_counted(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.csv", RAGGED[name])
    with pytest.raises(DataError) as caught:
        load(path)
    assert caught.value.code in ("ragged-row", "bad-quotes", "unclosed-quote") and "line " in str(caught.value), str(caught.value)
    if name not in ("a title above", "a quote that never closes"):
        assert as_texts(path, bad_rows="skip") == expected(), "the sound rows, and no other"


def test_without_a_header_columns_have_made_up_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", CLEAN.split("\n", 1)[1])
    assert as_texts(path, header=False) == expected(head=[f"column_{i}" for i in range(1, 7)])
    assert as_texts(path) == expected(head=[f"column_{i}" for i in range(1, 7)])


def test_a_header_of_one_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'price' at columns 3, 4"):
        load(write(tmp_path / "a.csv", CLEAN.replace("quantity", "price", 1)))


ENCODED = [("latin-1", "ünï"), ("cp1252", "€"), ("gb18030", "文本"), ("utf-16-le", "文"), ("shift_jis", "表")]


@pytest.mark.parametrize(("encoding", "word"), ENCODED)
def test_other_encodings_are_refused_until_they_are_named(tmp_path: Path, encoding: str, word: str) -> None:
    rows = [row | {"comment": word} for row in TABLE]
    path = write(tmp_path / "a.csv", as_csv(rows).encode(encoding))
    with pytest.raises(DataError) as caught:
        load(path)
    assert caught.value.code in ("bad-encoding", "nul-byte") and "--encoding" in str(caught.value)
    assert load(path, encoding=encoding).column("comment") == [word] * len(rows)
