"""Who reads passages: a finished extractive-qa run, or a language model; and what a reader of one's own learns from.

Axes: N rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..data.table import Table
from ..errors import ModelError, SpecError
from . import asking

POINTS = "extractive-qa"


def run_of(reader: str) -> Path | None:
    """The folder, where the reader is a run."""
    folder = Path(reader).expanduser()
    return folder if (folder / "task.json").is_file() else None


def refuse(reader: str, find: Callable[[str], Any]) -> None:
    """Raises SpecError for a run of another task or one that has not ended, ModelError for a model that is not there or does not write."""
    folder = run_of(reader)
    if folder is not None:
        name = json.loads((folder / "task.json").read_text("utf-8")).get("name")
        if name == POINTS and (folder / "model" / "head.json").is_file():
            return
        got = f"a run of {name}" if name != POINTS else "a run that has not ended"
        fix = f"give a finished run of {POINTS}, or a language model"
        raise SpecError(f"option 'reader': {reader}", expected=f"a finished run of {POINTS}", got=got, fix=fix, code="unsuitable-reader")
    source = find(reader)
    if not source.decoder:
        raise ModelError(
            f"option 'reader': {reader}", expected="a language model that writes", got=f"{source.model_type}, which only reads",
            fix="leave it out (a reader is tuned then), or name a language model", code="unsuitable-reader",
        )  # fmt: skip


def rows(table: Table, question: str) -> Iterator[dict[str, Any]]:
    """Rows of extractive-qa: each question with the passage that answers, and with the one that seems to and does not."""
    cells = zip(*(table.column(name) for name in (question, asking.PASSAGE, asking.DISTRACTOR, asking.TRUTH)))
    for asked, passage, distractor, cell in cells:
        truth = json.loads(cell)
        spans = _inside(truth)
        if spans:
            answers = [{"text": passage[start:end], "answer_start": start} for start, end in spans]
            yield {"question": asked, "context": passage, "answers": answers}
        if distractor and (spans or not truth["answers"]):
            yield {"question": asked, "context": distractor, "answers": []}


def _inside(truth: dict[str, Any]) -> list[tuple[int, int]]:
    """The answer's stretches in its passage, counted from that one's start; of a longer answer the part that stands there."""
    if not truth["answers"] or "at" not in truth:
        return []
    name, first, behind = truth["at"]
    found = set[tuple[int, int]]()
    for unit in truth["units"]:
        for document, start, end in unit:
            part = max(start, first), min(end, behind)
            if document == name and 2 * (part[1] - part[0]) >= end - start and truth["how"] != "lost":
                found.add((part[0] - first, part[1] - first))
    return sorted(found)
