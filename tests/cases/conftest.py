"""Bad input through the real command line: what must be said, and that nothing is left behind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.cli.conftest import Said, tunesmith

__all__ = ["Said", "tunesmith"]

WORDS = "apple river stone cloud tiger piano lemon rocket window garden silver monday copper violin desert harbor".split()
Rows = list[tuple[str, ...]]


def rows(n: int = 120, labels: Iterable[str] = ("yes", "no"), start: int = 0) -> Rows:
    """Texts that differ from each other, with labels in turn."""
    names = list(labels)
    picks = [[WORDS[(i * 7 + j * (3 + i % 5) + i // 16) % 16] for j in range(8)] for i in range(start, start + n)]
    return [(" ".join(words) + f" number {start + i}", names[i % len(names)]) for i, words in enumerate(picks)]


def as_csv(cells: Rows, head: str = "text,label") -> str:
    """Rows of cells, each in quotes."""
    lines = (",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells)
    return "\n".join([head, *lines, ""])


def as_jsonl(cells: Rows) -> str:
    """One object a line."""
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in cells)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(tunesmith: Callable[..., Said], here: Path) -> Callable[..., str]:
    """`refused("fit", "a.csv", exit=3, code="no-rows")` runs the command and gives the one sentence that it ended with.

    Any code does where none is named.
    """

    def run(*words: str | Path, exit: int, code: str = "", seconds: float = 20.0) -> str:
        before, start = set(here.rglob("*")), time.process_time()
        said = tunesmith(*words, "--json")
        spent = time.process_time() - start
        assert said.code == exit, said.err + said.out
        error = said.json[-1]
        assert error["exit"] == exit and error["code"] and code in ("", error["code"]), error
        assert said.err == f"error: {shown(error['message'])}\n", "one line, and the same sentence as in JSON"
        assert "Traceback" not in said.err and spent < seconds, spent
        assert set(here.rglob("*")) == before, "nothing is left behind"
        return str(error["message"])

    return run


def shown(message: str) -> str:
    """The sentence as a terminal gets it."""
    from tunesmith.cli._show import safe

    return safe(message)


def write(name: str, content: str | bytes) -> str:
    """A file in the current folder; its name."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return name
