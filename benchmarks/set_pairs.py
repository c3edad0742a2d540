"""Rows of the sets whose texts stand in pairs: marked spans with a relation, questions with the texts that answer them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
Rows = list[Sequence[Any]]
TAG = r"<{0}>(.*?)</{0}>"


def semeval2010_task8() -> dict[str, Rows]:
    """The official files, read by the project's own reader."""
    from tunesmith.data.ledger import Ledger
    from tunesmith.data.read import read
    from tunesmith.spec import Data

    root = SHARED / "relation_extraction" / "semeval2010_task8" / "corpus"
    files = {"train": "SemEval2010_task8_training/TRAIN_FILE.TXT.gz", "test": "SemEval2010_task8_testing_keys/TEST_FILE_FULL.TXT"}
    tables = {part: read(str(root / name), Data(), Ledger()) for part, name in files.items()}
    return {part: list(zip(table.column("text"), table.column("relation"))) for part, table in tables.items()}


def cranfield() -> dict[str, Rows]:
    """Questions 1 to 150 with their texts to learn from, 151 to 225 to test on; of all 1,400 abstracts those that no test question names
    stand there without a question, so that all are searched. A judgement counts from 1 on."""
    root = SHARED / "kb_qa" / "cranfield"
    articles = gzip.open(root / "cran.all.1400.xml.gz", "rt", encoding="utf-8").read()
    numbers = [int(number) for number in _texts("docno", articles)]
    texts = dict(zip(numbers, _texts("text", articles), strict=True))
    asked = dict(enumerate(_texts("title", (root / "cran.qry.xml").read_text("utf-8")), 1))  # by place: the numbers have gaps
    judged = [[int(cell) for cell in line.split()] for line in (root / "cranqrel.trec.txt").read_text("utf-8").splitlines() if line.strip()]
    right = [(question, text) for question, _, text, grade in judged if grade > 0 and texts.get(text)]
    rows = lambda low, high: [[asked[q], texts[t]] for q, t in right if low <= q <= high]  # noqa: E731
    named = {text for question, text in right if question > 150}
    return {"train": rows(1, 150), "test": rows(151, 225) + [["", text] for number, text in texts.items() if number not in named and text]}


def _texts(tag: str, source: str) -> list[str]:
    return [" ".join(text.split()) for text in re.findall(TAG.format(tag), source, re.DOTALL)]
