"""Tables that cannot be used, and odd ones that can: each through `tunesmith fit` or `check`, with the sentence it ends in."""

# ruff: noqa: E501  sentences are written whole, as a user reads them
from __future__ import annotations

import json
import zipfile
from io import BytesIO

import pytest

from tests.cases.conftest import as_csv, as_jsonl, rows, write

GOOD = as_csv(rows())
LINES = as_jsonl(rows())
BYTES = GOOD.encode()


def _xlsx() -> bytes:
    sink = BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    return sink.getvalue()


REFUSED: dict[str, tuple[str, str | bytes, tuple[str, ...], str, str]] = {
    # case -> file, content, more words of the command, code, the whole sentence (… stands for anything)
    "1 empty file": ("a.csv", b"", (), "empty-file", "a.csv: expected rows, got an empty file: no rows; check the file"),
    "2 header only": ("a.csv", "text,label\n", (), "no-rows", "a.csv: expected rows, got 0 rows: a header only; check the file"),
    "one row": (
        "a.csv", "text,label\na fine film,good\n", (), "too-few-rows",
        "a.csv: expected at least 10 rows, to learn from and to test on, got 1 row; add rows",
    ),
    "one row of JSON": (
        "a.jsonl", '{"text": "a fine film", "label": "good"}', (), "too-few-rows",
        "a.jsonl: expected at least 10 rows, to learn from and to test on, got 1 row; add rows",
    ),
    "two rows": ("a.csv", "text,label\na fine film,good\na bad one,bad\n", (), "too-few-rows", "a.csv: expected at least 10 rows…, got 2 rows; add rows…"),
    "5 latin-1": (
        "a.csv", BYTES + b"caf\xe9,yes\n", (), "bad-encoding",
        f"a.csv, line 122: expected text in utf-8, got the byte 0xe9 at byte {len(BYTES) + 3:,}; say --encoding latin-1 (or …), or save the file as UTF-8",
    ),
    "6 NUL": ("a.csv", BYTES + b"a\0b,yes\n", (), "nul-byte", "a.csv, line 122: expected text, got a NUL byte; remove it, or save the file anew"),
    "7 a cell too many": (
        "a.csv", GOOD + "a,b,yes\n", (), "ragged-row",
        "a.csv, line 122 (row 121): expected 2 cells, got 3 (the last is 'yes'); mend the line, or say --bad-rows skip to leave such rows out and list them",
    ),
    "8 open quote": (
        "a.csv", GOOD + '"open,yes\n' + GOOD.replace('"', ""), (), "unclosed-quote",
        "a.csv, line 122: expected a closing quote for the quote that opens here, got none before the end of the file…; close it, or double it (\"\")…",
    ),
    "9 a huge cell": (
        "a.csv", GOOD + "x" * (9 << 20) + ",yes\n", (), "field-over-limit",
        "a.csv, line 122: expected cells and lines of at most 8 MiB, got a longer one: field over limit; …",
    ),
    "10 two readings": (
        "a.csv", "1,5;2,5\n3,5;4,5\n", (), "doubtful-delimiter",
        "a.csv: expected one way to part the cells, got 2 that fit all rows: delimiter comma gives 3 cells (…); delimiter semicolon gives 2 cells (…); "
        "say --delimiter comma or --delimiter semicolon",
    ),
    "11 a name twice": (
        "a.csv", "text,label,text\na,b,c\n", (), "duplicate-columns",
        "a.csv: expected a different name for each column, got 'text' at columns 1, 3; rename them",
    ),
    "12 label column": ("a.csv", GOOD, ("--label", "lable"), "unknown-column", "a.csv: expected a column 'lable', got columns text, label; did you mean 'label'?"),
    "12 group column": (
        "a.csv", GOOD, ("--group", "athor"), "unknown-column",
        "a.csv: expected a column 'athor', got the columns text, label; use one of text, label",
    ),
    "14 thousands": (
        "a.csv", "text,price\n" + "".join(f'"{t}","1,{i:03}"\n' for i, (t, _) in enumerate(rows())), (), "locale-number",
        "a.csv, row 1: expected plain numbers in column 'price', got '1,000', '1,001', '1,002' and 117 more in 120 rows (also …); write 1234.5, without separators",
    ),
    "14 decimal commas": (
        "a.csv", "text,price\n" + "".join(f'"{t}","1.{i:03},5"\n' for i, (t, _) in enumerate(rows())),
        ("--task", "text-regression", "--target", "price"), "locale-number",
        "a.csv, row 1: expected plain numbers in column 'price', got '1.000,5', … in 120 rows (also …); write 1234.5, without separators",
    ),
    "17 line 7 of 10": (
        "a.jsonl", "".join(LINES.splitlines(True)[:6]) + '{"text": "x" "label": 1}\n' + "".join(LINES.splitlines(True)[:3]), (), "bad-json",
        "a.jsonl, line 7, column 14: expected a comma or the bracket that closes, got '\"label\": 1}'; mend the file there",
    ),
    "18 object and text": (
        "a.jsonl", '{"text": {"a": 1}, "label": "y"}\n' * 1231 + '{"text": "x", "label": "y"}\n', (), "mixed-types",
        "a.jsonl, row 1232, column 'text': expected an object, as in row 1, got a text (x); write the column in one way",
    ),
    "19 deep": (
        "a.json", "[" * 100_000, (), "too-deep", "a.json, line 1, column 2: expected at most 100 levels of lists and objects, got more; flatten it"
    ),
    "20 NaN": (
        "a.jsonl", '{"text": "a", "label": NaN}\n', (), "not-a-number",
        "a.jsonl, line 1, column 24: expected JSON that keeps its values, got NaN; write null for an empty cell",
    ),
    "20 Infinity": (
        "a.jsonl", '{"text": "a", "label": -Infinity}\n', (), "not-a-number",
        "a.jsonl, line 1, column 24: expected JSON that keeps its values, got -Infinity; write null for an empty cell",
    ),
    "20 400 digits": (
        "a.jsonl", '{"text": "a", "label": ' + "9" * 400 + "}\n", (), "number-too-large",
        "a.jsonl, line 1, column 24: expected JSON that keeps its values, got an integer of 400 digits; write it as text, in quotes",
    ),
    "21 a key twice": (
        "a.jsonl", '{"text": "a", "label": 1, "text": "b"}\n', (), "duplicate-key",
        "a.jsonl, line 1, column 27: expected JSON that keeps its values, got the key 'text' twice in one object; remove one",
    ),
    "22 not Parquet": (
        "a.parquet", GOOD, (), "wrong-magic",
        "a.parquet: expected a Parquet file, as its name says, got something else (not a Parquet file: it begins with b'text,lab'); …",
    ),
    "23 Excel called CSV": ("a.csv", _xlsx(), (), "wrong-format", "a.csv: expected CSV, as its name says, got a file that is a ZIP or XLSX file; …"),
    "24 pickle": (
        "a.pkl", b"\x80\x04", (), "can-run-code",
        "a.pkl: expected CSV, …, got a .pkl file, refused unopened: such files can run code when they are read; write the rows as CSV, JSONL or Parquet and give that",
    ),
    "24 joblib that is not there": ("", "", ("a.joblib",), "can-run-code", "a.joblib: …, got a .joblib file, refused unopened: …"),
    "no text": (
        "a.csv", "a,b\n" + "".join(f"{i},{i % 3}\n" for i in range(40)), (), "no-text",
        "a.csv: expected a column of text, got columns that hold none: 'a' (…), 'b' (3 different numbers from 0 to 2); name it: --text COLUMN",
    ),
    "text alone": (
        "a.csv", "text\n" + "".join(f"{t}\n" for t, _ in rows()), (), "no-target",
        "a.csv: expected a column with a label or a number beside the text 'text', got no other column; …",
    ),
}


def matches(pattern: str, message: str) -> bool:
    """Whether a message is the pattern's, in which … stands for anything."""
    at = 0
    pieces = pattern.split("…")
    if not message.startswith(pieces[0]) or not message.endswith(pieces[-1]):
        return False
    for piece in pieces:
        at = message.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return len(pieces) > 1 or message == pattern


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_one_sentence(refused, case: str) -> None:
    name, content, words, code, sentence = REFUSED[case]
    files = [write(name, content)] if name else []
    message = refused("fit", *files, *words, exit=3, code=code)
    assert matches(sentence, message), message


def accepted(tunesmith, *words: str) -> dict:
    """What `check` says of data that are sound but for warnings."""
    said = tunesmith("check", *words, "--json")
    assert said.code == 0, said.out + said.err
    return said.json[0]


def ledger_of(found: dict) -> str:
    return "\n".join(entry["why"] for entry in found["ledger"])


def test_3_byte_order_marks_in_both_files(tunesmith, here) -> None:
    write("a.csv", b"\xef\xbb\xbf" + BYTES)
    write("b.csv", b"\xef\xbb\xbf" + as_csv(rows(30, start=200)).encode())
    accepted(tunesmith, "a.csv", "--test", "b.csv", "--text", "text")  # a mark in the name would be no column 'text'


def test_4_utf_16_is_read_and_said(tunesmith, here) -> None:
    write("a.csv", b"\xff\xfe" + GOOD.encode("utf-16-le"))
    assert "read as utf-16" in ledger_of(accepted(tunesmith, "a.csv"))


def test_7_skipped_rows_are_counted_and_listed(tunesmith, here) -> None:
    write("a.csv", GOOD + "a,b,yes\n")
    entry = next(e for e in accepted(tunesmith, "a.csv", "--bad-rows", "skip")["ledger"] if e["action"] == "skipped")
    assert entry["count"] == 1 and entry["rows"] == ["a.csv, row 121 (line 122): expected 2 cells, got 3"]
    assert "row 121 (line 122): expected 2 cells, got 3" in tunesmith("check", "a.csv", "--bad-rows", "skip").out


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "pipe")])
def test_10_other_delimiters_are_found_and_said(tunesmith, here, mark: str, name: str) -> None:
    write("a.csv", GOOD.replace(",", mark))
    assert f"delimiter {name}" in ledger_of(accepted(tunesmith, "a.csv"))


def test_13_mixed_line_ends_and_ends_within_quotes_count_exactly(tunesmith, here) -> None:
    lines = GOOD.splitlines()
    ends = ["\r\n", "\r", "\n"]
    write("a.csv", "".join(line + ends[i % 3] for i, line in enumerate(lines)) + '"one\r\ntwo\nthree",yes\n')
    from tunesmith import api

    data = api.check(api.make_spec("a.csv")).data
    assert data.profile.rows == 121
    assert sum(len(data.part(p)) for p in ("train", "validation", "calibration", "test")) == 121


def test_16_an_array_in_jsonl_is_its_elements_and_that_is_said(tunesmith, here) -> None:
    write("a.jsonl", json.dumps([{"text": t, "label": y} for t, y in rows()]))
    assert "its elements are the rows" in ledger_of(accepted(tunesmith, "a.jsonl"))


def test_20_whole_numbers_are_kept_to_the_last_digit(tunesmith, here) -> None:
    from tests.data.files import load

    big = [2**63 - 1, -(2**63), 2**53 + 1]
    write("a.jsonl", "".join(json.dumps({"text": "x", "n": n}) + "\n" for n in big))
    assert load(here / "a.jsonl").column("n") == big


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_22_cut_parquet(refused, here, share: float) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = BytesIO()
    pq.write_table(pa.table({"text": [t for t, _ in rows()], "label": [y for _, y in rows()]}), sink)
    write("a.parquet", sink.getvalue()[: int(len(sink.getvalue()) * share)])
    message = refused("fit", "a.parquet", exit=3, code="damaged-file")
    assert message.startswith("a.parquet: expected a whole Parquet file, got "), message
