"""Every format and dialect gives the same rows, byte for byte, and says how it was read."""

from __future__ import annotations

import gzip
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.data.files import NAUGHTY, as_csv, load, notes, write, zipped
from tunesmith.data.ledger import Ledger
from tunesmith.data.read import read
from tunesmith.data.table import Table
from tunesmith.errors import DataError
from tunesmith.spec import Data

ROWS: list[dict[str, Any]] = [
    {"text": "Good, quiet film", "label": "pos", "stars": 5},
    {"text": 'He said "no"', "label": "neg", "stars": 1},
    {"text": "two\nlines", "label": "pos", "stars": None},
    {"text": "文 and 😀", "label": None, "stars": 3},
]


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def as_arrow(rows: list[dict[str, Any]], stream: bool = False) -> bytes:
    table, sink = pa.Table.from_pylist(rows), io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def as_excel(rows: list[dict[str, Any]]) -> bytes:
    openpyxl = pytest.importorskip("openpyxl")
    book, sink = openpyxl.Workbook(), io.BytesIO()
    book.active.append(list(rows[0]))
    for row in rows:
        book.active.append(list(row.values()))
    book.save(sink)
    return sink.getvalue()


LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
FORMATS: dict[str, tuple[str, str | bytes]] = {
    "comma": ("a.csv", as_csv(ROWS)),
    "semicolon": ("a.csv", as_csv(ROWS, ";")),
    "tab": ("a.csv", as_csv(ROWS, "\t")),
    "tab in tsv": ("a.tsv", as_csv(ROWS, "\t", all_quoted=True)),
    "pipe": ("a.csv", as_csv(ROWS, "|")),
    "all quoted": ("a.csv", as_csv(ROWS, all_quoted=True)),
    "crlf": ("a.csv", as_csv(ROWS, end="\r\n")),
    "cr": ("a.csv", as_csv(ROWS, end="\r")),
    "no last line end": ("a.csv", as_csv(ROWS).rstrip("\n")),
    "empty lines": ("a.csv", as_csv(ROWS, end="\n\n")),
    "backslash": ("a.csv", as_csv(ROWS, all_quoted=True, escape="\\")),
    "excel's sep line": ("a.csv", "sep=;\n" + as_csv(ROWS, ";")),
    "bom": ("a.csv", as_csv(ROWS).encode("utf-8-sig")),
    "utf-16": ("a.csv", as_csv(ROWS).encode("utf-16")),
    "utf-16 big-endian": ("a.csv", b"\xfe\xff" + as_csv(ROWS).encode("utf-16-be")),
    "utf-32": ("a.csv", as_csv(ROWS).encode("utf-32")),
    "no ending": ("rows", as_csv(ROWS)),
    "json lines": ("a.jsonl", LINES),
    "json lines with bom": ("a.jsonl", LINES.encode("utf-8-sig")),
    "json lines, crlf": ("a.ndjson", LINES.replace("\n", "\r\n")),
    "json lines called json": ("a.json", LINES),
    "json array": ("a.json", json.dumps(ROWS)),
    "indented json": ("a.json", json.dumps(ROWS, indent=2, ensure_ascii=False)),
    "array in jsonl": ("a.jsonl", json.dumps(ROWS)),
    "rows in an object": ("a.json", json.dumps({"version": 1, "data": ROWS})),
    "columns in an object": ("a.json", json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]})),
    "parquet": ("a.parquet", as_parquet(ROWS)),
    "arrow": ("a.arrow", as_arrow(ROWS)),
    "feather": ("a.feather", as_arrow(ROWS)),
    "arrow stream": ("a.arrows", as_arrow(ROWS, stream=True)),
    "excel": ("a.xlsx", as_excel(ROWS)),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("packed", ["plain", "gz", "zip"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, packed: str) -> None:
    file, content = FORMATS[name]
    data = content if isinstance(content, bytes) else content.encode()
    path = tmp_path / file
    if packed == "plain":
        write(path, data)
    elif packed == "gz":
        path = write(tmp_path / f"{file}.gz", gzip.compress(data))
    else:
        if name == "no ending":
            pytest.skip("a member of an archive is chosen by its ending")
        path = zipped(tmp_path / "a.zip", {f"folder/{file}": data, "README": "about", "__MACOSX/._a.csv": "x"})
    table = load(path)
    assert table.rows() == ROWS
    assert table.row_ids.tolist() == Table.of(ROWS).row_ids.tolist()
    assert table.place(2).endswith(f"{file}{'.gz' if packed == 'gz' else ''}, row 3")


def test_what_was_found_is_noted(tmp_path: Path) -> None:
    assert "delimiter semicolon; the first line names the columns" in notes(write(tmp_path / "a.csv", as_csv(ROWS, ";")))
    assert "read as utf-16" in notes(write(tmp_path / "b.csv", as_csv(ROWS).encode("utf-16")))
    assert "a JSON array, not JSON lines" in notes(write(tmp_path / "c.jsonl", json.dumps(ROWS)))
    assert "the rows are the list 'data'; left out: version" in notes(write(tmp_path / "d.json", json.dumps({"version": 1, "data": ROWS})))
    assert "5 empty lines passed over" in notes(write(tmp_path / "e.csv", as_csv(ROWS, end="\n\n")))


def test_mixed_line_ends_and_line_ends_in_quotes(tmp_path: Path) -> None:
    table = load(write(tmp_path / "a.csv", 'text,label\r\n"x\r\ny",1\nz,2\rw,3\r\n"a\rb",4'))
    assert table.rows() == [{"text": t, "label": n} for t, n in (("x\r\ny", 1), ("z", 2), ("w", 3), ("a\rb", 4))]


@pytest.mark.parametrize("all_quoted", [True, False])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_naughty_strings_in_csv(tmp_path: Path, delimiter: str, all_quoted: bool) -> None:
    rows = [{"text": text, "label": f"l{i % 2}"} for i, text in enumerate(NAUGHTY)]
    table = load(write(tmp_path / "a.csv", as_csv(rows, delimiter, all_quoted=all_quoted)))
    assert table.column("text") == NAUGHTY


@pytest.mark.parametrize("ascii_only", [True, False])
def test_naughty_strings_in_json_lines(tmp_path: Path, ascii_only: bool) -> None:
    lines = "".join(json.dumps({"text": text}, ensure_ascii=ascii_only) + "\n" for text in NAUGHTY)
    assert load(write(tmp_path / "a.jsonl", lines)).column("text") == NAUGHTY


def test_naughty_strings_in_parquet_and_texts_in_folders(tmp_path: Path) -> None:
    rows = [{"text": text} for text in NAUGHTY]
    assert load(write(tmp_path / "a.parquet", as_parquet(rows))).column("text") == NAUGHTY
    for i, text in enumerate(NAUGHTY):
        write(tmp_path / "texts" / "a label" / f"{i}.txt", text)
    assert load(tmp_path / "texts").column("text") == NAUGHTY


CELL = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\ufeff"), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8), delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    all_quoted=st.booleans(),
)
def test_any_text_comes_back(tmp_path: Path, rows: list[tuple[str, str]], delimiter: str, end: str, all_quoted: bool) -> None:
    made = [{"text": "x" + text, "label": "y" + label} for text, label in rows]
    content = as_csv(made, delimiter, end, all_quoted=all_quoted)
    lines = [line for line in re.split("\r\n|[\r\n]", content) if line]
    # Quotes are plain characters in some files of these two kinds: there, lines that all have two cells are rows.
    assume(all_quoted or delimiter in ",;" or len(lines) == len(made) + 1 or any(line.count(delimiter) != 1 for line in lines))
    assert load(write(tmp_path / "a.csv", content), header=True, delimiter=delimiter).rows() == made


# -- numbers and types ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "", "-20"], [1, None, -20]),
        (["1", "2.5", ".5", "1e3", "-0.25"], [1.0, 2.5, 0.5, 1000.0, -0.25]),
        (["007", "1"], ["007", "1"]),
        (["+49301234", "1"], ["+49301234", "1"]),
        (["1,234", "5"], ["1,234", "5"]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["1", "NaN"], ["1", "NaN"]),
        (["1", "inf"], ["1", "inf"]),
        (["1", "1e999"], ["1", "1e999"]),
        (["1", " 2"], ["1", " 2"]),
        (["1", "0x1F"], ["1", "0x1F"]),
        (["-0", "1"], [0.0, 1.0]),
        (["1", "x"], ["1", "x"]),
        (["True", "False"], ["True", "False"]),
        (["2024-01-01", "2024-01-02"], ["2024-01-01", "2024-01-02"]),
        (["999999999999999999", "1"], [999999999999999999, 1]),
    ],
)
def test_only_what_is_written_as_a_number_is_one(tmp_path: Path, cells: list[str], values: list[object]) -> None:
    path = write(tmp_path / "a.csv", as_csv([{"text": "t", "x": cell} for cell in cells], all_quoted=True))
    read_back = load(path, header=True).column("x")
    assert read_back == values and list(map(type, read_back)) == list(map(type, values))


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**17), 10**17))
def test_numbers_are_read_exactly(number: float) -> None:
    from tunesmith.data.numbers import Numbers, is_number

    written = repr(number)
    assert is_number(written)
    batch = pa.table({"x": pa.array([written], pa.large_string())})
    numbers = Numbers(["x"])
    numbers.watch(batch)
    assert numbers.cast(batch).column("x").to_pylist() == [number]


def test_excel_keeps_dates_and_numbers(tmp_path: Path) -> None:
    import datetime

    rows = [{"text": "a", "when": datetime.datetime(2024, 5, 1), "x": 1.5}, {"text": "b", "when": None, "x": 2}]
    assert load(write(tmp_path / "a.xlsx", as_excel(rows))).rows() == rows


def test_json_numbers_and_lists_keep_their_kind(tmp_path: Path) -> None:
    rows = [{"i": 9007199254740993, "f": 0.1, "l": ["a", "b"], "b": True, "o": {"k": 1}}, {"i": -1, "f": 2, "l": [], "b": None, "o": None}]
    table = load(write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert table.rows() == rows
    assert str(table.arrow("i").type) == "int64" and math.isclose(table.column("f")[1], 2.0)


def test_columns_may_come_and_go_in_json_lines(tmp_path: Path) -> None:
    lines = ['{"a": 1}'] * 12_000 + ['{"b": "x", "a": 2.5}', "{}"]
    table = load(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert len(table) == 12_002 and table.rows([0, 12_000, 12_001]) == [{"a": 1.0, "b": None}, {"a": 2.5, "b": "x"}, {"a": None, "b": None}]


# -- rows that cannot be read -----------------------------------------------------------------------------------------


def test_skipped_rows_are_counted_listed_and_leave_the_numbers_right(tmp_path: Path) -> None:
    content = 'text,label,x\na,l,1\nb,l\nc,l,3,4\nd,l,5\n"e" f,l,6\ng,l,7\n"open,l,8\nh,l,9\n'
    ledger = Ledger()
    table = load(write(tmp_path / "a.csv", content), ledger, bad_rows="skip")
    assert table.column("text") == ["a", "d", "g", "h"] and table.column("x") == [1, 5, 7, 9]
    assert [table.place(i) for i in range(4)] == [f"a.csv, row {n}" for n in (1, 4, 6, 8)]
    (entry,) = [entry for entry in ledger.entries if entry.action == "skipped"]
    assert entry.count == 4
    assert entry.rows[0] == "a.csv, row 2 (line 3): expected 3 cells, got 2"
    assert entry.rows[1] == "a.csv, row 3 (line 4): expected 3 cells, got 4"
    assert str(entry.rows[2]).startswith("a.csv, row 5 (line 6): expected a delimiter after the quote")
    assert str(entry.rows[3]).startswith("a.csv, row 7 (line 8)")


def test_skipped_lines_of_json(tmp_path: Path) -> None:
    ledger = Ledger()
    table = load(write(tmp_path / "a.jsonl", '{"a": 1}\n{"a": 2,}\n\n[3]\n{"a": 4}\n'), ledger, bad_rows="skip")
    assert table.column("a") == [1, 4] and [table.place(i) for i in (0, 1)] == ["a.jsonl, row 1", "a.jsonl, row 4"]
    assert ledger.count("skipped") == 2


def test_every_row_is_loaded_or_listed(tmp_path: Path) -> None:
    lines = [f"text {i},l{i % 3}" + (",more" if i % 7 == 0 else "") for i in range(1, 30_001)]
    ledger = Ledger()
    table = load(write(tmp_path / "a.csv", "text,label\n" + "\n".join(lines)), ledger, bad_rows="skip")
    assert len(table) + ledger.count("skipped") == 30_000
    numbers = [int(text.split()[1]) for text in table.column("text")]
    assert [table.place(i) for i in range(len(table))] == [f"a.csv, row {n}" for n in numbers]


# -- several files, folders -------------------------------------------------------------------------------------------


def test_several_files_are_one_table(tmp_path: Path) -> None:
    one = write(tmp_path / "a.csv", "\ufefftext,label\nx,1\n")
    two = write(tmp_path / "b.csv", "\ufefflabel,text\n2,y\n2.5,z\n")
    table = load([one, two])
    assert table.names == ("text", "label") and table.column("label") == [1.0, 2.0, 2.5]
    assert [table.place(i) for i in range(3)] == ["a.csv, row 1", "b.csv, row 1", "b.csv, row 2"]
    assert sorted(table.row_ids.tolist()) == sorted([*load(one).row_ids.tolist(), *load(two).row_ids.tolist()])


def test_a_file_without_header_takes_the_names_of_another(tmp_path: Path) -> None:
    headed = write(tmp_path / "a.tsv", "index\tsentence\tlabel\n0\tx y\ta\n1\tz w\tb\n")
    bare = write(tmp_path / "b.tsv", "2\tu v\ta\n3\ts t\tb\n")
    ledger = Ledger()
    table = load([headed, bare], ledger)
    assert table.names == ("index", "sentence", "label") and table.column("index") == [0, 1, 2, 3]
    assert any("b.tsv: no header; takes the column names of a.tsv" in entry.why for entry in ledger.entries)
    alone = read(str(bare), Data(), Ledger(), names=("index", "sentence", "label"))
    assert alone.names == ("index", "sentence", "label")


def test_labels_that_are_numbers_in_one_file_and_text_in_another(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.csv", "text,label\nx,1\ny,\n"), write(tmp_path / "b.csv", "text,label\nz,good\n")
    ledger = Ledger()
    table = load([one, two], ledger)
    assert table.column("label") == ["1", None, "good"]
    assert ledger.count("cast") == 1 and "column 'label' is text in b.csv" in ledger.entries[-1].why


def test_a_column_empty_in_one_file_has_the_type_of_the_other(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.csv", "text,x\na,\n"), write(tmp_path / "b.csv", "text,x\nb,2\n")
    ledger = Ledger()
    assert load([one, two], ledger).column("x") == [None, 2] and ledger.count("cast") == 0


def test_a_folder_per_label(tmp_path: Path) -> None:
    for label, number, text in (("pos", 10, "fine"), ("pos", 2, "good"), ("neg", 1, "bad\n"), ("neg", 3, "")):
        write(tmp_path / "reviews" / label / f"{number}.txt", text)
    write(tmp_path / "reviews" / "neg" / "picture.jpg", b"\xff\xd8\xff")
    write(tmp_path / "reviews" / ".DS_Store", b"\0")
    ledger = Ledger()
    table = load(tmp_path / "reviews", ledger)
    assert table.column("text") == ["bad\n", None, "good", "fine"] and table.column("label") == ["neg", "neg", "pos", "pos"]
    assert table.place(3) == "reviews/pos/10.txt" and table.take([2]).place(0) == "reviews/pos/2.txt"
    assert "passed over 1 other file: neg/picture.jpg" in ledger.entries[-1].why


def test_shards_in_a_folder_are_one_table(tmp_path: Path) -> None:
    for i in (10, 2, 1):
        write(tmp_path / "shards" / f"part-{i}.parquet", as_parquet([{"n": i}]))
    assert load(tmp_path / "shards").column("n") == [1, 2, 10]


def test_members_of_an_archive(tmp_path: Path) -> None:
    members = {"some.tsv": "text\tlabel\na\tx\n", "sub/more.tsv.gz": gzip.compress(b"text\tlabel\nb\ty\n"), "about.md": "#"}
    path = zipped(tmp_path / "a.zip", members)
    assert load(path).column("text") == ["a", "b"]
    assert load(path / "sub/more.tsv.gz").column("text") == ["b"]
    with pytest.raises(DataError, match=r"did you mean 'some.tsv'\?"):
        load(path / "smoe.tsv")
