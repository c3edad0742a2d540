"""Every format and dialect gives the same rows, byte for byte, and says how it was read."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import resource
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.files import NAUGHTY, load, notes, write, zipped
from tunesmith.data.ledger import Ledger
from tunesmith.data.read import read
from tunesmith.data.table import Table
from tunesmith.errors import DataError, ResourceError
from tunesmith.spec import Data

ROWS: list[dict[str, Any]] = [
    {"text": "Good, quiet film", "label": "pos", "stars": 5},
    {"text": 'He said "no"', "label": "neg", "stars": 1},
    {"text": "two\nlines", "label": "pos", "stars": None},
    {"text": "文 and 😀", "label": None, "stars": 3},
]


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",", end: str = "\n", *, all_quoted: bool = False, escape: str = '"') -> str:
    """As RFC 4180 has it. (The csv module's writer leaves a line feed unquoted where lines end in CR, until Python 3.13.)"""

    def cell(value: Any) -> str:
        text = "" if value is None else str(value)
        marks = all_quoted or any(mark in text for mark in (delimiter, '"', "\r", "\n"))
        return '"' + text.replace('"', escape + '"') + '"' if marks else text

    return "".join(delimiter.join(map(cell, row)) + end for row in [list(rows[0]), *(list(row.values()) for row in rows)])


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
    path = write(tmp_path / "a.csv", as_csv(made, delimiter, end, all_quoted=all_quoted))
    assert load(path, header=True, delimiter=delimiter).rows() == made


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


# -- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "headed"),
    [
        ("text,label\nx y,a\nz w,b\n", True),
        ("a stirring film,1\na dull one,0\n", False),
        ("ham\tGo until jurong point\nspam\tFree entry\nham\tOk lar\n", False),
        ("A plane is taking off.,An air plane is taking off.,5.0\nA man plays.,A man sings.,3.8\n", False),
        ("tweet,sentiment_class\nhello there,pos\nbye now,neg\n", True),
        ("text\nhello there\nbye now\n", True),
        ("hello there\nbye now\n", False),
    ],
)
def test_headers(tmp_path: Path, content: str, headed: bool) -> None:
    path = write(tmp_path / "a.csv", content)
    lines = content.count("\n")
    assert len(load(path)) == lines - headed
    made_up = "column_1" if "," in content or "\t" in content else "text"
    assert (f"no header: columns are called {made_up}" in notes(path)) is not headed
    assert len(load(path, header=True)) == lines - 1
    assert load(path, header=False).names[0] == made_up and len(load(path, header=False)) == lines


def test_an_unnamed_column_gets_a_name(tmp_path: Path) -> None:
    assert load(write(tmp_path / "a.csv", ",text\n0,x\n1,y\n")).names == ("column_1", "text")


# -- quotes -----------------------------------------------------------------------------------------------------------


def test_quotes_in_tab_files_are_characters_unless_they_are_marks(tmp_path: Path) -> None:
    plain = 'ham\t"Hello there\nspam\tHe said "no"\nham\tbye" now\n'
    assert load(write(tmp_path / "a.tsv", plain)).column("column_2") == ['"Hello there', 'He said "no"', 'bye" now']
    marks = 'text\tlabel\n"He said ""no"""\ta\n"tab\tinside"\tb\n'
    assert load(write(tmp_path / "b.tsv", marks)).column("text") == ['He said "no"', "tab\tinside"]
    everywhere = '"text"\t"label"\n"Yes"\t"a"\n"No"\t"b"\n'
    assert load(write(tmp_path / "c.tsv", everywhere)).column("text") == ["Yes", "No"]


def test_what_the_sample_of_a_tab_file_did_not_show_is_read_right(tmp_path: Path) -> None:
    many = "".join(f"row number {i} of many\tl{i % 2}\n" for i in range(70_000))
    path = write(tmp_path / "a.tsv", "text\tlabel\n" + many + '"tab\tinside"\tl0\n')
    assert load(path).column("text")[-1] == "tab\tinside"
    path = write(tmp_path / "b.tsv", 'text\tlabel\n"a ""b"""\tl1\n' + many + '"open\tl0\n')
    assert load(path).column("text")[-1] == '"open'


def test_single_quotes_and_spaces_after_delimiters(tmp_path: Path) -> None:
    assert load(write(tmp_path / "a.csv", "text,label\n'a, b',x\n'c, d',y\n")).column("text") == ["a, b", "c, d"]
    assert load(write(tmp_path / "b.csv", 'text, label\n"a, b", "x, y"\nc, z\n')).rows()[0] == {"text": "a, b", "label": "x, y"}


def test_quoted_cells_across_blocks(tmp_path: Path) -> None:
    rows = [{"text": f"line {i}\n" * 40, "label": f"l{i % 3}"} for i in range(12_000)]
    table = load(write(tmp_path / "a.csv", as_csv(rows)))
    assert len(table) == 12_000 and table.rows([0, 5_999, 11_999]) == [rows[0], rows[5_999], rows[11_999]]


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
    assert "passed over 1 other files: reviews/neg/picture.jpg" in ledger.entries[-1].why


def test_shards_in_a_folder_are_one_table(tmp_path: Path) -> None:
    for i in (10, 2, 1):
        write(tmp_path / "shards" / f"part-{i}.parquet", as_parquet([{"n": i}]))
    assert load(tmp_path / "shards").column("n") == [1, 2, 10]


def test_members_of_an_archive(tmp_path: Path) -> None:
    members = {"train.tsv": "text\tlabel\na\tx\n", "sub/dev.tsv.gz": gzip.compress(b"text\tlabel\nb\ty\n"), "about.md": "#"}
    path = zipped(tmp_path / "a.zip", members)
    assert load(path).column("text") == ["b", "a"]
    assert load(path / "sub/dev.tsv.gz").column("text") == ["b"]
    with pytest.raises(DataError, match=r"did you mean 'train.tsv'\?"):
        load(path / "trian.tsv")


# -- large files ------------------------------------------------------------------------------------------------------


def test_large_files_are_mapped_and_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("spool", "read", "delimited"):
        monkeypatch.setattr(f"tunesmith.data.{module}.LARGE", 20_000)
    monkeypatch.setattr("tunesmith.data.spool.SEGMENT", 10_000)
    monkeypatch.setattr("tunesmith.data.encoding.Text.blocks.__defaults__", (5_000,))
    rows = [{"id": i, "text": f"text, of row {i}", "x": i / 4} for i in range(3_000)]
    path = write(tmp_path / "a.csv", as_csv(rows) + "too,few\n")
    small, ledger, again = Table.of(rows), Ledger(), Ledger()
    table = load(path, ledger, bad_rows="skip")
    assert table.rows() == rows and table.row_ids.tolist() == small.row_ids.tolist() and table.digest() == small.digest()
    monkeypatch.setattr("tunesmith.data.read.READERS", {})
    kept = load(path, again, bad_rows="skip")
    assert kept.rows() == rows and kept.place(2_999) == "a.csv, row 3000"
    assert again.as_json() == ledger.as_json() and again.count("skipped") == 1
    with pytest.raises(KeyError):
        load(path, delimiter=",", bad_rows="skip")
    assert not [p for p in (Path(os.environ["TUNESMITH_CACHE"]) / "tables").iterdir() if p.suffix not in (".arrow", ".json")]


def test_a_full_disk_is_said_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("spool", "read"):
        monkeypatch.setattr(f"tunesmith.data.{module}.LARGE", 20_000)
    path = write(tmp_path / "a.csv", as_csv([{"text": f"text of row {i}", "label": f"l{i % 2}"} for i in range(5_000)]))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(ResourceError) as caught:
            load(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "TUNESMITH_CACHE" in str(caught.value) and caught.value.exit_code == 5
    assert not list((Path(os.environ["TUNESMITH_CACHE"]) / "tables").iterdir())
    assert len(load(path)) == 5_000


def test_a_cache_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(write(tmp_path / "file", "x")))
    with pytest.raises(ResourceError, match="TUNESMITH_CACHE"):
        load(write(tmp_path / "a.csv.gz", gzip.compress(b"text,label\na,b\n")))


def test_a_damaged_cache_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("spool", "read"):
        monkeypatch.setattr(f"tunesmith.data.{module}.LARGE", 20_000)
    rows = [{"text": f"text of row {i}", "label": f"l{i % 2}"} for i in range(5_000)]
    path = write(tmp_path / "a.csv", as_csv(rows))
    load(path)
    for kept in (Path(os.environ["TUNESMITH_CACHE"]) / "tables").iterdir():
        write(kept, kept.read_bytes()[:50])
        assert load(path).rows() == rows


def test_large_json_lines_change_columns_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.data.spool.LARGE", 20_000)
    monkeypatch.setattr("tunesmith.data.spool.SEGMENT", 10_000)
    monkeypatch.setattr("tunesmith.data.json_rows.BATCH", 100)
    rows: list[dict[str, Any]] = [{"a": i} if i < 1_500 else {"a": i + 0.5, "b": [f"t{i}"]} for i in range(3_000)]
    table = load(write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert table.column("a") == [row["a"] for row in rows] and table.column("b") == [row.get("b") for row in rows]
