"""Hostile texts from file to training to answers to report: the same characters in the files, and only characters on the page."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cases.hostile import texts
from tests.data.files import as_csv, load
from tunesmith import api

LABELS = ("<img src=x onerror=alert(1)>", "=cmd|' /C calc'!A0")
TEXTS = texts()
ROWS = [{"text": text, "label": LABELS[i % 2]} for i, text in enumerate(TEXTS)]


def test_there_are_enough() -> None:
    assert len(TEXTS) >= 300


@pytest.mark.parametrize("mark", [",", "\t", ";", "|"])
def test_delimited_files_give_them_back(tmp_path: Path, mark: str) -> None:
    (tmp_path / "a.csv").write_bytes(as_csv(ROWS, mark).encode())
    assert load(tmp_path / "a.csv").column("text") == TEXTS


def test_json_lines_give_them_back(tmp_path: Path) -> None:
    for plain in (True, False):
        (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=plain) for row in ROWS), "utf-8")
        assert load(tmp_path / "a.jsonl").column("text") == TEXTS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A run that learned from them."""
    folder = tmp_path_factory.mktemp("naughty")
    (folder / "a.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    settings = {"strategy": "head-only", "epochs": 1, "threads": 1, "resamples": 100, "empty": "drop", "baselines": False}
    found = api.fit(str(folder / "a.jsonl"), label="label", model=str(tiny_bert), runs=str(folder / "runs"), **settings)
    return found.path


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_answers_carry_them_unchanged(tunesmith, run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_bytes(as_csv(ROWS).encode())
    out = tmp_path / name
    said = tunesmith("predict", run, "--file", tmp_path / "a.csv", "--out", out, "--quiet")
    assert said.code == 0 and said.out == "", said.err
    rows = read(out)
    assert [row["text"] for row in rows] == TEXTS
    if name == "out.csv":
        assert {row["predicted_label"] for row in rows} <= {LABELS[0], "'" + LABELS[1]}, "a spreadsheet must not run an answer"
    else:
        assert {row["predicted_label"] for row in rows} <= set(LABELS)


def read(path: Path) -> list[dict[str, str]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file)) if path.suffix == ".csv" else [json.loads(line) for line in file]


def test_a_terminal_gets_no_control_characters(tunesmith, run: Path) -> None:
    said = tunesmith("predict", run, *[text for text in TEXTS if not text.startswith("-")][:120])
    assert said.code == 0 and all(line.isprintable() for line in said.out.split("\n")), ascii(said.out[:500])


class Page(HTMLParser):
    """Tags and attributes that could do something."""

    def __init__(self) -> None:
        super().__init__()
        self.active: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.active += [name for name, _ in attrs if name.startswith("on") or name in ("srcdoc", "src", "action")]
        self.active += [tag] if tag in ("img", "iframe", "base", "object", "embed", "form") else []
        self.active += [value for name, value in attrs if name == "href" and value and value.lower().startswith("javascript")]


def test_the_report_shows_them_as_text(run: Path) -> None:
    page, reader = (run / "report.html").read_text("utf-8"), Page()
    reader.feed(page)
    assert not reader.active, reader.active
    assert "&lt;img src=x onerror=alert(1)&gt;" in page and "<img src=x" not in page
    assert not set("\x1b\x07\x08\x00\u202e") & set(page)
    json.loads((run / "report.json").read_text("utf-8"))
