"""A command line in this process, and runs that answer without a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tunesmith.cli import main
from tunesmith.data.table import Table


@dataclass(frozen=True)
class Said:
    """What a command left: its exit code and its two streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[Any]:
        """The lines of stdout, each as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def tunesmith(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`tunesmith("plan", "a.csv")` runs that command."""

    def run(*words: str) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    return run


class Run:
    """A finished run whose answer is the text's length."""

    def __init__(self, path: str, **how: str) -> None:
        self.path, self.report_path = Path(path), Path(path) / "report.html"

    def predict(self, rows: Any) -> list[dict[str, Any]]:
        texts = (
            rows.column("text")
            if isinstance(rows, Table)
            else [row if isinstance(row, str) else row["text"] for row in rows]
        )
        return [{"label": f"={len(text or '')}", "confidence": 0.5, "scores": {"a": 0.5}} for text in texts]

    def read(self, file: str, *_: Any, **__: Any) -> Table:
        return Table.of(
            [{"id": "007", "text": "x" * (i % 7), "amount": "=1+1"} for i in range(int(Path(file).read_text()))]
        )


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The path of a run."""
    from tunesmith import api

    monkeypatch.setattr(api, "load", Run)
    return str(tmp_path / "runs" / "one")
