"""Bad input: each is refused before anything is done with it, with the place, what was found, and what to do."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.files import NAUGHTY, load, lying_zip, tree, write, zipped
from tunesmith.errors import DataError, SpecError

PARQUET = io.BytesIO()
pq.write_table(pa.table({"text": [f"text {i}" for i in range(5000)], "label": [i % 3 for i in range(5000)]}), PARQUET)
ARROW = io.BytesIO()
with pa.ipc.new_file(ARROW, pa.schema([("text", pa.string())])) as _writer:
    _writer.write_table(pa.table({"text": [f"text {i}" for i in range(500)]}))

REFUSED: dict[str, tuple[str, str | bytes, str, tuple[str, ...]]] = {
    # name -> file, content, code, what the message says
    "empty file": ("a.csv", "", "empty-file", ("a.csv", "no rows")),
    "empty lines only": ("a.csv", "\n\n \n", "empty-file", ("no rows",)),
    "byte order mark only": ("a.csv", b"\xef\xbb\xbf", "empty-file", ("no rows",)),
    "wide byte order mark only": ("a.csv", b"\xff\xfe", "empty-file", ("no rows",)),
    "mark in json": ("a.jsonl", b"\xff\xfe", "empty-file", ("no rows",)),
    "excel's sep line only": ("a.csv", "sep=;\n", "empty-file", ("no rows",)),
    "header only": ("a.csv", "text,label\n", "no-rows", ("0 rows", "header only")),
    "latin-1": ("a.csv", b"text,label\nok,a\ncaf\xe9 noir,b\n", "bad-encoding", ("line 3", "0xe9", "byte 19", "--encoding latin-1")),
    "cut utf-8": ("a.csv", "text,label\nok,文".encode()[:-1], "bad-encoding", ("line 2", "byte 14")),
    "half surrogate in bytes": ("a.csv", b"text,label\nx\xed\xa0\x80,a\n", "bad-encoding", ("line 2", "byte 12")),
    "nul": ("a.csv", "text,label\na,b\nx\0y,c\n", "nul-byte", ("line 3", "NUL")),
    "utf-16 without mark": ("a.csv", "text,label\na,b\n".encode("utf-16-le"), "nul-byte", ("--encoding utf-16-le",)),
    "a cell more": (
        "a.csv", "a,b,c\n1,2,3\n1,2,3,x y\n",
        "ragged-row", ("line 3", "row 2", "expected 3 cells, got 4", "x y", "--bad-rows skip"),
    ),
    "a cell less": ("a.csv", "a,b,c\n1,2,3\n4,5\n", "ragged-row", ("line 3", "row 2", "expected 3 cells, got 2")),
    "a cell more after line ends in quotes": ("a.csv", 'a,b\n"1\n2",x\n1,2,3\n', "ragged-row", ("line 4", "row 2")),
    "unclosed quote": ("a.csv", 'a,b\nx,y\nz,"open\n1,2\n3,4\n', "unclosed-quote", ("line 3", "closing quote")),
    "unclosed quote on a later line of its row": ("a.csv", 'a,b\n"x\ny","open\n1,2\n', "unclosed-quote", ("line 3",)),
    "unclosed quote at the very end": ("a.csv", 'a,b\nx,"', "unclosed-quote", ("line 2",)),
    "text after a quote": ("a.csv", 'a,b\n"x" y,z\nu,v\n', "bad-quotes", ("line 2", "row 1")),
    "duplicate names": ("a.csv", "text,label,text\na,b,c\n", "duplicate-columns", ("text", "columns 1, 3")),
    "duplicate names after spaces": ("a.csv", "text,label, text\na,b,c\n", "duplicate-columns", ("columns 1, 3",)),
    "doubtful delimiter": (
        "a.csv", "1,5;2,5\n3,5;4,5\n",
        "doubtful-delimiter", ("comma", "semicolon", "--delimiter comma or --delimiter semicolon"),
    ),
    "broken line of json": ("a.jsonl", '{"a": 1}\n' * 6 + '{"a": 1,, "b": 2}\n' + '{"a": 1}\n' * 3, "bad-json", ("line 7", "column 9")),
    "object and text": (
        "a.jsonl", '{"a": {"b": 1}}\n' + '{"a": {"b": 2}}\n' * 1230 + '{"a": "x"}\n',
        "mixed-types", ("row 1232", "row 1", "'a'", "(x)"),
    ),
    "empty text among numbers": (
        "a.jsonl", '{"a": 1.5}\n{"a": ""}\n', "mixed-types", ("row 2, column 'a'", "a text (empty)", "null where"),
    ),
    "deep list": ("a.json", "[" * 100_000, "too-deep", ("line 1, column 2", "100 levels")),
    "deep object in lines": ("a.jsonl", '{"a":' * 100_000, "too-deep", ("line 1", "100 levels")),
    "deep and whole": ("a.jsonl", '{"a": ' + "[" * 150 + "]" * 150 + "}", "too-deep", ("line 1, column 106",)),
    "NaN": ("a.jsonl", '{"text": "NaN", "x": 1}\n{"text": "NaN", "x": NaN}\n', "not-a-number", ("line 2, column 22", "NaN", "null")),
    "Infinity": ("a.json", '[{"x": -Infinity}]', "not-a-number", ("line 1, column 8", "-Infinity")),
    "400 digits": ("a.jsonl", '{"x": ' + "9" * 400 + "}", "number-too-large", ("line 1, column 7", "400 digits")),
    "5000 digits": ("a.jsonl", '{"x": ' + "9" * 5000 + "}", "number-too-large", ("5,000 digits",)),
    "2^63": ("a.jsonl", '{"x": 9223372036854775808}', "number-too-large", ("9223372036854775808",)),
    "beyond a double": ("a.jsonl", '{"x": 1e999}', "number-too-large", ("1e999",)),
    "whole numbers that a double cannot hold": (
        "a.jsonl", '{"x": 9007199254740993}\n{"x": 0.5}\n',
        "number-too-large", ("row 1", "9007199254740993"),
    ),
    "duplicate key": ("a.jsonl", '{"o": {"a": 1}, "a": 1, "b": "a", "a": 2}', "duplicate-key", ("line 1, column 35", "'a'")),
    "duplicate key inside": ("a.json", '[{"o": {"k": 1, "k": 1}}]', "duplicate-key", ("line 1, column 17",)),
    "half a surrogate in a key": ("a.jsonl", '{"a": "fine"}\n{"\\ud800": "x"}', "lone-surrogate", ("half of a surrogate", "rename it")),
    "numbers, not objects": ("a.json", "[1, 2]", "not-an-object", ("row 1", "a number (1)")),
    "text, not an object": ("a.jsonl", '{"a": 1}\n"x"\n', "not-an-object", ("row 2 (line 2)",)),
    "one object": ("a.json", '{"text": "x", "label": "y"}', "not-rows", ("keys text, label",)),
    "two lists": ("a.json", '{"train": [{"a": 1}], "test": [{"a": 1}]}', "not-rows", ("lists train, test",)),
    "nothing in the array": ("a.json", "[]", "no-rows", ("0 rows",)),
    "objects without keys": ("a.json", "[{}, {}]", "no-columns", ("empty ones",)),
    "array that does not end": ("a.json", '[{"a": 1},\n {"a": 2}', "bad-json", ("line 2, column 10", "the end of the text")),
    "more after the array": ("a.json", '[{"a": 1}]\n{}', "bad-json", ("line 2, column 1",)),
    "cut parquet": ("a.parquet", PARQUET.getvalue()[:-10], "damaged-file", ("Parquet",)),
    "half a parquet": ("a.parquet", PARQUET.getvalue()[: len(PARQUET.getvalue()) // 2], "damaged-file", ("Parquet",)),
    "not parquet": ("a.parquet", "text,label\na,b\n", "wrong-magic", ("not a Parquet file", "text,lab")),
    "csv that is parquet": ("a.csv", PARQUET.getvalue(), "wrong-format", ("a Parquet file",)),
    "cut arrow": ("a.arrow", ARROW.getvalue()[:-20], "damaged-file", ("Arrow",)),
    "not arrow": ("a.arrow", "text", "wrong-magic", ("not an Arrow file",)),
    "not excel": ("a.xlsx", "text,label\na,b\n", "wrong-magic", ("not an Excel file",)),
    "old excel": ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "wrong-format", ("old Excel", ".xlsx or CSV")),
    "pickle called csv": ("a.csv", b"\x80\x04\x95\x10\x00", "wrong-format", ("Python pickle", "run code")),
    "png called csv": ("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(50), "wrong-format", ("PNG",)),
    "pdf": ("a.txt", "%PDF-1.7\n", "wrong-format", ("PDF",)),
    "sqlite": ("a.csv", b"SQLite format 3\0", "wrong-format", ("SQLite",)),
    "gzip without its ending": ("a.csv", gzip.compress(b"text,label\na,b\n"), "wrong-format", ("gzip",)),
    "cut gzip": ("a.csv.gz", gzip.compress(b"text,label\n" + os.urandom(9000))[:-500], "damaged-file", ("whole archive",)),
    "flipped gzip": ("a.csv.gz", gzip.compress(b"text,label\na,b\n")[:-8] + bytes(8), "damaged-file", ("a.csv.gz",)),
    "not gzip": ("a.csv.gz", "text,label\na,b\n", "wrong-magic", ("not a gzip file",)),
    "gzip in gzip": ("a.csv.gz.gz", gzip.compress(gzip.compress(b"a,b\n1,2\n")), "nested-archive", ("archive within",)),
    "pickle in gzip": ("a.pkl.gz", gzip.compress(b"\x80\x04"), "can-run-code", ("run code",)),
    "not zip": ("a.zip", "hello", "wrong-magic", ("not a ZIP file",)),
    "cut zip": ("a.zip", b"PK\x03\x04" + bytes(100), "damaged-file", ("whole archive",)),
}


def refusal(path: Path | list[Path], seconds: float = 2.0, **options: object) -> DataError:
    """The error of reading a path, which must come soon, speak of this project's words only, and leave nothing behind."""
    cache = Path(os.environ["TUNESMITH_CACHE"])
    start = time.process_time()
    with pytest.raises(DataError) as caught:
        load(path, **options)
    assert time.process_time() - start < seconds
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value) and "Traceback" not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert not {name for name in tree(cache) if not name.endswith("tables")}, "something was left in the cache"
    return caught.value


@pytest.mark.parametrize("name", REFUSED)
def test_bad_files_are_refused_with_place_and_remedy(tmp_path: Path, name: str) -> None:
    file, content, code, says = REFUSED[name]
    error = refusal(write(tmp_path / file, content))
    assert error.code == code, str(error)
    assert str(error).startswith(file) and all(words in str(error) for words in says), str(error)


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".joblib", ".pt", ".npy", ".PKL", ".ckpt"])
def test_formats_that_run_code_are_not_even_opened(tmp_path: Path, suffix: str) -> None:
    pipe = tmp_path / f"data{suffix}"
    os.mkfifo(pipe)  # opening it would block for ever
    assert refusal(pipe).code == "can-run-code"
    assert refusal(tmp_path / f"missing{suffix}").code == "can-run-code"


def test_excel_called_csv_and_excel_without_rows(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.save(tmp_path / "empty.xlsx")
    assert refusal(tmp_path / "empty.xlsx").code == "no-rows"
    book.active.append(["text", "label"])
    book.save(tmp_path / "header.xlsx")
    assert refusal(tmp_path / "header.xlsx").code == "no-rows"
    book.active.append(["x", 1])
    book.active.append(["y", "one"])
    book.save(tmp_path / "mixed.xlsx")
    mixed = refusal(tmp_path / "mixed.xlsx")
    assert mixed.code == "mixed-types" and "row 2, column 'label'" in str(mixed)
    renamed = refusal((tmp_path / "mixed.xlsx").rename(tmp_path / "rows.csv"))
    assert renamed.code == "wrong-format" and "a ZIP or XLSX file" in str(renamed)
    damaged = write(tmp_path / "damaged.xlsx", (tmp_path / "empty.xlsx").read_bytes().replace(b"xl/workbook.xml", b"xl/workbook.xmx"))
    assert refusal(damaged).code == "damaged-file"


def test_excel_without_openpyxl_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.xlsx", {"xl/workbook.xml": ""})
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    error = refusal(path)
    assert error.code == "missing-extra" and "pip install 'tunesmith[excel]'" in str(error)


# -- paths ------------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_named_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv", "text,label\na,b\n")
    error = refusal(tmp_path / "revews.csv")
    assert error.code == "no-such-file" and "did you mean 'reviews.csv'?" in str(error)
    assert "there is reviews.csv" in str(refusal(tmp_path / "zzz.parquet"))
    assert "no 'folder'" in str(refusal(tmp_path / "folder" / "deep" / "x.csv"))


def test_pipes_and_devices_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert "a named pipe" in str(refusal(tmp_path / "pipe.csv"))
    assert "a device" in str(refusal(Path("/dev/zero")))
    os.symlink(tmp_path / "pipe.csv", tmp_path / "link.csv")
    assert refusal(tmp_path / "link.csv").code == "not-a-file"


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_impossible_paths(path: str) -> None:
    with pytest.raises(DataError) as caught:
        load(path)  # type: ignore[arg-type]
    assert caught.value.code == "bad-path"


def test_folders_without_rows(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "nothing in it" in str(refusal(tmp_path / "empty"))
    write(tmp_path / "pictures" / "cat" / "1.doc", b"\xd0\xcf\x11\xe0")
    assert "a folder with cat" in str(refusal(tmp_path / "pictures"))


def test_a_folder_with_parts_of_a_split_is_not_mixed(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        write(tmp_path / "data" / name, "text,label\na,b\n")
    error = refusal(tmp_path / "data")
    assert error.code == "several-files" and "test.csv, train.csv" in str(error)


def test_links_and_pipes_among_texts_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "secret", "root:x:0:0")
    write(tmp_path / "texts" / "pos" / "1.txt", "fine")
    (tmp_path / "texts" / "neg").mkdir()
    os.symlink(tmp_path / "secret", tmp_path / "texts" / "neg" / "2.txt")
    error = refusal(tmp_path / "texts")
    assert error.code == "not-a-file" and "texts/neg/2.txt" in str(error)
    (tmp_path / "texts" / "neg" / "2.txt").unlink()
    os.mkfifo(tmp_path / "texts" / "neg" / "3.txt")
    assert refusal(tmp_path / "texts").code == "not-a-file"


def test_files_with_other_columns(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.csv", "text,label\nx y,1\n"), write(tmp_path / "b.csv", "text,lable\nz w,2\n")
    error = refusal([one, two])
    assert error.code == "other-columns" and "without label; with lable besides" in str(error) and str(error).startswith("b.csv")
    three = write(tmp_path / "c.jsonl", '{"text": ["z"], "label": 1}')
    assert refusal([one, three]).code == "mixed-types"


def test_unknown_encodings_and_delimiters_are_settings(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,b\n")
    for options in ({"encoding": "klingon"}, {"encoding": "base64"}, {"delimiter": "::"}):
        with pytest.raises(SpecError):
            load(path, **options)


def test_the_remedies_work(tmp_path: Path) -> None:
    assert load(write(tmp_path / "a.csv", b"text,label\ncaf\xe9,b\n"), encoding="latin-1").column("text") == ["café"]
    assert load(write(tmp_path / "b.csv", "text,label\nx,y\n".encode("utf-16-le")), encoding="utf-16-le").column("text") == ["x"]
    assert load(write(tmp_path / "c.csv", "1,5;2,5\n3,5;4,5\n"), delimiter="semicolon").rows()[0] == {"column_1": "1,5", "column_2": "2,5"}


# -- archives ---------------------------------------------------------------------------------------------------------

ROWS = "text,label\na,b\n"
OUTSIDE = ["../evil.csv", "a/../../evil.csv", "../out-evil/x.csv", "/tmp/evil.csv", "C:/evil.csv", "..\\evil.csv", "a\\b.csv"]


@pytest.mark.parametrize("member", OUTSIDE)
def test_members_outside_the_folder_refuse_the_whole_archive(tmp_path: Path, member: str) -> None:
    before = tree(tmp_path)
    path = zipped(tmp_path / "a.zip", {"good.csv": ROWS, member: ROWS})
    assert refusal(path).code == "zip-slip"
    assert refusal(path / "good.csv").code == "zip-slip"
    assert tree(tmp_path) - before == {str(path)} and not Path("/tmp/evil.csv").exists()


def test_links_in_archives_refuse_the_whole(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"good.csv": ROWS, "link": str(tmp_path), "link/x.csv": ROWS}, link="link")
    assert refusal(path).code == "zip-link"
    assert tree(tmp_path) == {str(path)}


def test_bombs_are_refused_in_time(tmp_path: Path) -> None:
    bomb = zipped(tmp_path / "ratio.zip", {"rows.csv": bytes(50 << 20)})
    assert refusal(bomb).code == "zip-bomb"
    lying = lying_zip(tmp_path / "lying.zip", claimed=1000)
    assert refusal(lying).code in ("zip-bomb", "damaged-file")
    many = zipped(tmp_path / "overlap.zip", {f"{i}.csv": bytes(1 << 20) for i in range(40)})
    assert refusal(many).code == "zip-bomb"
    packed = write(tmp_path / "a.csv.gz", gzip.compress(bytes(50 << 20)))
    assert refusal(packed).code == "zip-bomb"
    assert not [name for name in tree(Path(os.environ["TUNESMITH_CACHE"])) if name.endswith("unpacked")]


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.data.archive.MAX_ENTRIES", 50)
    path = zipped(tmp_path / "a.zip", {f"{i}.csv": ROWS for i in range(51)})
    assert refusal(path).code == "zip-bomb"


def test_archives_within_archives_and_code_within_archives(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"a.csv": ROWS}).read_bytes()
    assert refusal(zipped(tmp_path / "a.zip", {"inner.zip": inner})).code == "nothing-to-read"
    assert refusal(zipped(tmp_path / "b.zip", {"a.csv": ROWS, "model.pkl": b"\x80\x04"})).code == "can-run-code"
    assert refusal(zipped(tmp_path / "c.zip", {"a.csv": inner})).code == "wrong-format"
    assert refusal(zipped(tmp_path / "d.zip", {})).code == "nothing-to-read"


# -- bounded time and memory ------------------------------------------------------------------------------------------

MEASURE = """
import resource, sys, time
from tunesmith.data.ledger import Ledger
from tunesmith.data.read import read
from tunesmith.errors import DataError
from tunesmith.spec import Data
import tunesmith.data.excel, pyarrow.compute
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
try:
    found = str(len(read(sys.argv[1], Data(), Ledger())))
except DataError as error:
    found = str(error)
spent = time.process_time() - start
print(spent, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, found, sep="\\t")
"""


def measured(path: Path) -> tuple[float, float, str]:
    """CPU seconds, growth of memory in MiB, and the outcome of reading a path in a process of its own."""
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True, timeout=120)
    seconds, megabytes, found = done.stdout.strip().split("\t", 2)
    return float(seconds), float(megabytes), found


LINE = f"{'some words of a text '*7},label\n"
LARGE = {
    "quote opens first": (['text,label\n"never closed,a\n', *[LINE * 10_000] * 65], "line 2: expected a closing quote"),
    "quote opens last": (["text,label\n", *[LINE * 10_000] * 65, '"never closed,a\n', LINE], "line 650002: expected a closing quote"),
    "one cell of 200 MB": (["text,label\n", *["x" * 1_000_000] * 200, ",a\n"], "line 2: expected cells and lines of at most 8 MiB"),
    "one quoted cell of 200 MB": (['text,label\n"', *["xxxxxxxx\n" * 100_000] * 200, '",a\n'], "line 2"),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_broken_files_are_refused_fast_and_small(tmp_path: Path, name: str) -> None:
    pieces, says = LARGE[name]
    with open(tmp_path / "a.csv", "w") as file:
        file.writelines(pieces)
    seconds, megabytes, found = measured(tmp_path / "a.csv")
    assert says in found and seconds < 2 and megabytes < 250, (seconds, megabytes, found)


@pytest.mark.slow
def test_a_million_rows_are_read_in_time_and_memory(tmp_path: Path) -> None:
    with open(tmp_path / "a.csv", "w") as file:
        file.write("id,text,label\n")
        file.writelines(f'{i},"words, and more {"of many " * 20}",{i % 5}\n' for i in range(1_000_000))
    seconds, megabytes, found = measured(tmp_path / "a.csv")
    assert found == "1000000" and seconds < 20 and megabytes < 600, (seconds, megabytes, found)


def test_naughty_strings_are_shown_escaped_in_errors(tmp_path: Path) -> None:
    for i, text in enumerate(NAUGHTY):
        path = write(tmp_path / f"{i}.jsonl", json.dumps({"a": 1}) + "\n" + json.dumps({"a": text}) + "\n")
        error = refusal(path)
        assert error.code == "mixed-types" and str(error).isprintable(), ascii(str(error))
