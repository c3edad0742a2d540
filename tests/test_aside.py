"""Processes of our own see what this one sees, and nothing of the folder in which they are started."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tunesmith import aside

ASKED = json.dumps({"texts": ["one two", "three four"] * 30, "class_N": [0, 1] * 30, "key_N": [i << 58 for i in range(60)], "classes": 2})


def test_a_file_beside_the_data_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People work in the folder where other people's files lie."""
    for name in ("numpy", "random", "json", "tunesmith"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w').close(); raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    done = aside.run("tunesmith.data.noise", given=ASKED)
    assert done.returncode == 0 and len(json.loads(done.stdout)) == 60
    assert not (tmp_path / "imported").exists()


def test_imports_come_from_where_they_come_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("print('found')")
    monkeypatch.syspath_prepend(tmp_path)
    assert aside.run("only_here").stdout == "found\n"
