"""Delimiters, headers and quotes: taken as the file's writer meant them, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.files import as_csv, load, notes, write
from tunesmith.errors import DataError


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


# -- comments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "above",
    ["# made by us\n# v1\n", "#made by us\n", "# made by us, in May\n", "# a, b, c, d\n\n", '# it is "open\n#\n', "#\r\n##! one, two\r\n"],
)
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_comments_above_the_header_are_passed_over_and_noted(tmp_path: Path, above: str, delimiter: str) -> None:
    rows = [{"text": f"#{i} is read" if i % 2 else "# so is this", "label": "ab"[i % 2]} for i in range(30)]
    path = write(tmp_path / "a.csv", above + as_csv(rows, delimiter))
    table = load(path)
    assert table.rows() == rows and table.place(0) == "a.csv, row 1"
    assert f"{above.count(chr(10) + '#') + 1} comment" in notes(path)
    ragged = write(tmp_path / "b.csv", above + as_csv(rows, delimiter) + f"x{delimiter}y{delimiter}z\n")
    with pytest.raises(DataError, match=f"line {above.count(chr(10)) + 32} "):
        load(ragged)
    assert load(ragged, bad_rows="skip").rows() == rows


@pytest.mark.parametrize(
    ("content", "first"),
    [
        ("#text,label\nx y,a\nz w,b\nv,a\n", ("#text", "label")),
        ("# made by us\n#text,label\nx y,a\nz w,b\nv,a\n", ("#text", "label")),
        ("#lovely film,pos\n#dull one,neg\na fine one,pos\n", "#lovely film"),
        ("#tag one\nsecond text\nthird text\n", "#tag one"),
    ],
)
def test_rows_and_headers_that_begin_with_a_hash_are_kept(tmp_path: Path, content: str, first: object) -> None:
    table = load(write(tmp_path / "a.csv", content))
    assert table.names == first if isinstance(first, tuple) else table.column(table.names[0])[0] == first
    assert "comment" not in notes(tmp_path / "a.csv") or content.startswith("# made")


def test_a_row_that_begins_with_a_hashtag_and_has_a_cell_too_many_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cells, got"):
        load(write(tmp_path / "a.csv", "#lovely, really,pos\na dull one,neg\na fine one,pos\n"), header=False)


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
