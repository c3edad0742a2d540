"""Questions to be answered from documents: the rows, and the documents that lie beside them."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from set_pairs import SHARED, Rows, _texts


def covid_qa() -> dict[str, Rows]:
    """1,380 questions, their answers with the offsets as they are (234 are wrong), and the paper that answers."""
    return {"train": [
        [asked["question"], asked["answers"][0]["text"], asked["answers"][0]["answer_start"], paper["document_id"]]
        for paper in _papers() for asked in paper["qas"]
    ]}  # fmt: skip


def covid_papers(folder: Path) -> dict[str, str]:
    """98 papers, a text file each."""
    root = folder / "papers"
    root.mkdir(exist_ok=True)
    for paper in _papers():
        (root / f"{paper['document_id']}.txt").write_text(paper["context"], "utf-8")
    return {"documents": str(root)}


def _papers() -> list[dict[str, Any]]:
    path = SHARED / "kb_qa" / "covid_qa_deepset" / "data" / "question-answering" / "200423_covidQA.json.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [paragraph for article in json.load(file)["data"] for paragraph in article["paragraphs"]]


def cranfield_questions() -> dict[str, Rows]:
    """Questions 1 to 150 with the numbers of all abstracts judged right, and 151 to 225 to test on. A judgement counts from 1 on."""
    root = SHARED / "kb_qa" / "cranfield"
    asked = dict(enumerate(_texts("title", (root / "cran.qry.xml").read_text("utf-8")), 1))  # by place: the numbers have gaps
    known, right = dict(_abstracts()), defaultdict(list)
    for line in (root / "cranqrel.trec.txt").read_text("utf-8").splitlines():
        question, _, text, grade = (int(cell) for cell in line.split()) if line.strip() else (0, 0, 0, 0)
        if grade > 0 and text in known:
            right[question].append(str(text))
    rows = lambda low, high: [[asked[q], json.dumps(right[q])] for q in range(low, high + 1) if right[q]]  # noqa: E731
    return {"train": rows(1, 150), "test": rows(151, 225)}


def cranfield_abstracts(folder: Path) -> dict[str, str]:
    """1,400 abstracts, a row each."""
    path = folder / "abstracts.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "text"), *_abstracts()])
    return {"documents": str(path)}


def _abstracts() -> list[tuple[int, str]]:
    articles = gzip.open(SHARED / "kb_qa" / "cranfield" / "cran.all.1400.xml.gz", "rt", encoding="utf-8").read()
    texts = [re.sub(r"\s+", " ", text).strip() for text in _texts("text", articles)]
    return [(int(number), text) for number, text in zip(_texts("docno", articles), texts, strict=True) if text]
