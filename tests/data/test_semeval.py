"""Files of numbered sentences with marked spans: read by what they hold, refused by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.data.ledger import Ledger
from tunesmith.data.read import read
from tunesmith.errors import DataError
from tunesmith.spec import Data

ONE = '1\t"The <e1>cat</e1> made the <e2>mess</e2>."\nCause-Effect(e1,e2)\nComment: the cat did.\n\n'
TWO = '2\t"A <e1>cup</e1> and a "fine" <e2>plate</e2>"\nOther\nComment:\n\n'


def _read(folder: Path, text: str, **options: str) -> list[dict[str, object]]:
    path = folder / "TRAIN_FILE.TXT"
    path.write_text(text, "utf-8", newline="")
    return read(str(path), Data(**options), Ledger()).rows()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_sentences_become_rows(tmp_path: Path, end: str) -> None:
    assert _read(tmp_path, (ONE + TWO).replace("\n", end)) == [
        {"id": "1", "text": "The <e1>cat</e1> made the <e2>mess</e2>.", "relation": "Cause-Effect(e1,e2)"},
        {"id": "2", "text": 'A <e1>cup</e1> and a "fine" <e2>plate</e2>', "relation": "Other"},
    ]


def test_a_file_to_be_answered_has_no_relations(tmp_path: Path) -> None:
    bare = "".join(text.split("\n")[0] + "\n" for text in (ONE, TWO))
    assert [set(row) for row in _read(tmp_path, bare)] == [{"id", "text"}] * 2


def test_a_sentence_without_its_relation_is_refused_by_line_or_skipped(tmp_path: Path) -> None:
    broken = ONE + TWO.split("\n")[0] + "\n\n" + ONE.replace("1\t", "3\t")
    with pytest.raises(DataError, match="TRAIN_FILE.TXT, line 6: expected one line with the relation under each sentence, got none"):
        _read(tmp_path, broken)
    assert [row["id"] for row in _read(tmp_path, broken, bad_rows="skip")] == ["1", "3"]


def test_the_official_files_are_read_whole(shared: Path) -> None:
    root = shared / "relation_extraction" / "semeval2010_task8" / "corpus"
    table = read(str(root / "SemEval2010_task8_testing_keys" / "TEST_FILE_FULL.TXT"), Data(), Ledger())
    assert len(table) == 2717 and table.names == ("id", "text", "relation")
    assert table.place(3) == "TEST_FILE_FULL.TXT, row 4 (line 13)" and None not in table.column("relation")
