"""Tagged tokens: told by their tags, read whole, refused by line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data import tagged
from tunesmith.data.ledger import Ledger
from tunesmith.data.read import read
from tunesmith.data.table import Table
from tunesmith.errors import DataError
from tunesmith.spec import Data

REAL = Path(__file__).parents[3] / "shared" / "data" / "ner"
SOUND = "Ada\tB-PER\nLovelace\tI-PER\nwrote\tO\n\nin\tO\nLondon\tB-LOC\n\n#tag\tO\n!\tO\n\n"


def _read(folder: Path, text: str, name: str = "train.conll", **options: object) -> tuple[Table, Ledger]:
    ledger = Ledger()
    path = folder / name
    path.write_text(text, "utf-8")
    return read(path, Data(**options), ledger), ledger


@pytest.mark.parametrize("name", ["a.conll", "a.bio", "data.train", "weibo_conll.dev", "a.txt", "plain", "a.tsv"])
def test_told_by_its_tags_or_name(tmp_path: Path, name: str) -> None:
    table, ledger = _read(tmp_path, SOUND * 3, name)
    assert len(table) == 9 and table.names == ("tokens", "tags")
    assert table.rows([1]) == [{"tokens": ["in", "London"], "tags": ["O", "B-LOC"]}]
    assert table.place(1) == f"{name}, row 2 (line 5)"
    assert any("tagged tokens" in entry.why for entry in ledger.entries)


@pytest.mark.parametrize("text", ["text\tlabel\nfine\tpos\n\nbad\tneg\n", "B-A\tO\n", "a,b\n1,2\n\n3,4\n5,6\n7,8\n", "a day\n\nto b\n"])
def test_tables_are_not_taken_for_it(tmp_path: Path, text: str) -> None:
    assert not tagged.looks(text)


@pytest.mark.parametrize("separator", [" ", "\t", "   "])
def test_four_columns_documents_and_windows_line_ends(tmp_path: Path, separator: str) -> None:
    first = ["-DOCSTART- -X- O O", "", "EU NNP I-NP I-ORG", "rejects VBZ I-VP O", ""]
    rows = [*first, "-DOCSTART- -X- O O", "", "German JJ I-NP I-MISC", ". . O O"]
    table, _ = _read(tmp_path, "\r\n".join(row.replace(" ", separator) for row in rows))
    assert table.names == ("tokens", "tags", "column_2", "column_3") and len(table) == 2
    assert table.rows([0])[0] == {
        "tokens": ["EU", "rejects"], "tags": ["I-ORG", "O"], "column_2": ["NNP", "VBZ"], "column_3": ["I-NP", "I-VP"],
    }


def test_tag_may_come_first(tmp_path: Path) -> None:
    table, _ = _read(tmp_path, "B-X\tone\nO\ttwo\n\nO\tthree\nS-Y\tfour\n")
    assert table.column("tokens") == [["one", "two"], ["three", "four"]]


def test_comments_are_no_tokens_but_hashes_are(tmp_path: Path) -> None:
    table, _ = _read(tmp_path, "# sentence 1 of 2\n#one\tO\ntwo\tB-X\n\n# a b c\n#\tO\n")
    assert table.column("tokens") == [["#one", "two"], ["#"]]


@pytest.mark.parametrize("bad, line, code", [("Rome\n", 4, "ragged-row"), ("a\tb\tO\n", 4, "ragged-row"), ("\tO\n", 4, "empty-token")])
def test_broken_lines_are_named_or_skipped(tmp_path: Path, bad: str, line: int, code: str) -> None:
    text = f"Ada\tB-PER\n\nin\tO\n{bad}\nLondon\tB-LOC\n" + SOUND
    with pytest.raises(DataError) as caught:
        _read(tmp_path, text)
    assert caught.value.code == code and f"line {line}:" in str(caught.value)
    table, ledger = _read(tmp_path, text, bad_rows="skip")
    assert len(table) == 4 and ledger.count("skipped") == 1
    assert table.place(1) == "train.conll, row 3 (line 6)", "rows keep their numbers"


def test_places_behind_characters_come_off(tmp_path: Path) -> None:
    words = ["口0 腔1 溃2 疡3 加0 上1 20 01 e12 照0", *["加0 上1 这0 玩1"] * 20, "照0 越2"]
    text = "\n\n".join("\n".join(f"{cell}\tO" for cell in word.split()) for word in words)
    table, ledger = _read(tmp_path, text)
    assert table.column("tokens")[0] == ["口", "腔", "溃", "疡", "加", "上", "2", "0", "e1", "照"]
    assert table.column("tokens")[-1] == ["照", "越"], "a place that is wrong comes off too"
    assert any("taken off" in entry.why for entry in ledger.entries)


def test_numbers_in_ordinary_tokens_stay(tmp_path: Path) -> None:
    table, _ = _read(tmp_path, "B2\tO\na0\tB-X\n\nc7\tO\nd\tO\n" * 5)
    assert table.column("tokens")[0] == ["B2", "a0"]


def test_one_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="token and a tag in each line"):
        _read(tmp_path, "Ada\nLovelace\n")


TOKEN = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=6).filter(lambda t: t == t.strip())


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.lists(st.tuples(TOKEN, st.sampled_from(["O", "B-X", "I-X"])), min_size=1, max_size=5), min_size=1, max_size=5))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[list[tuple[str, str]]]) -> None:
    rows = [[("a", "O"), *row] for row in rows]
    text = "\n\n".join("\n".join(f"{token}\t{tag}" for token, tag in row) for row in rows)
    table, _ = _read(tmp_path_factory.mktemp("conll"), text + "\n")
    assert table.column("tokens") == [[token for token, _ in row] for row in rows]
    assert table.column("tags") == [[tag for _, tag in row] for row in rows]


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real data are not beside the project")
@pytest.mark.parametrize("name, rows", [
    ("wnut17/wnut17train.conll", 3394), ("wnut17/emerging.dev.conll", 1009), ("wnut17/emerging.test.annotated", 1287),
    ("weibo_ner_zh/data/weiboNER_2nd_conll.train", 1350), ("weibo_ner_zh/data/weiboNER_2nd_conll.test", 270),
])
def test_real_files(name: str, rows: int) -> None:
    table = read(REAL / name, Data(), Ledger())
    assert len(table) == rows and table.names == ("tokens", "tags")
    if "weibo" in name:
        assert max(len(token) for row in table.column("tokens") for token in row) <= 2
