"""Whatever goes wrong: one sentence, the right exit code, no traceback."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from tunesmith import api, errors
from tunesmith.cli import COMMANDS, ORDER, main, overview


def raising(error: BaseException):
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.SpecError, 2),
        (errors.RunError, 2),
        (errors.DataError, 3),
        (errors.ModelError, 4),
        (errors.ResourceError, 5),
        (errors.DivergedError, 6),
    ],
)
def test_errors_of_users_end_in_one_line_and_their_code(tunesmith, monkeypatch, kind, code) -> None:
    error = kind("a.csv, row 7", expected="a label", got="'\x1b[31mx'", fix="fill it", code="empty-label")
    monkeypatch.setattr(api, "runs", raising(error))
    said = tunesmith("runs")
    assert said.code == code
    assert said.err == "error: a.csv, row 7: expected a label, got '\\x1b[31mx'; fill it\n"
    assert said.out == ""


def test_errors_as_json(tunesmith, monkeypatch) -> None:
    error = errors.DataError("a.csv", expected="x", got="y", fix="z", code="bad")
    monkeypatch.setattr(api, "runs", raising(error))
    said = tunesmith("runs", "--json")
    assert said.json == [error.as_dict()] and said.json[0]["exit"] == said.code == 3


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("x\ny"), 1),
        (MemoryError(), 5),
        (OSError(errno.ENOSPC, "no space", "runs/x"), 5),
        (KeyboardInterrupt(), 130),
    ],
)
def test_other_ends(tunesmith, monkeypatch, error, code) -> None:
    monkeypatch.setattr(api, "runs", raising(error))
    said = tunesmith("runs")
    assert said.code == code
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and "Traceback" not in said.err


def test_debug_shows_the_traceback_and_keeps_the_code(tunesmith, monkeypatch) -> None:
    monkeypatch.setattr(api, "runs", raising(errors.DataError("a", expected="b", got="c", fix="d", code="e")))
    said = tunesmith("runs", "--debug")
    assert said.code == 3 and "Traceback" in said.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["fitt"], "did you mean 'fit'?"),
        (["fit", "--lable", "x"], "--label"),
        (["fit", "--lr"], "--lr"),
        (["predict"], "RUN"),
        (["predict", "runs/x"], "either TEXT, --row or --file"),
        (["predict", "runs/x", "text", "--file", "f.csv"], "TEXT and --file"),
        (["fit"], "a data file or a spec"),
        (["tasks", "text-clasification"], "text-classification"),
        (["strategies", "loar"], "lora"),
        (["cache", "cleer"], "clear"),
        (["resume", "nothing-here"], "a run folder"),
        (["fit", "--spec", "nothing-here.yaml"], "no such file"),
    ],
)
def test_usage_errors_exit_2_with_a_hint(tunesmith, tmp_path: Path, monkeypatch, words, hint) -> None:
    monkeypatch.chdir(tmp_path)
    said = tunesmith(*words)
    assert said.code == 2
    assert hint in said.err and "Traceback" not in said.err and len(said.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_a_data_error(tunesmith, tmp_path: Path) -> None:
    said = tunesmith("check", tmp_path / "no.csv", "--json")
    assert said.code == 3 and said.json[0]["error"] == "DataError"


def test_the_overview_names_every_command_once() -> None:
    text = overview()
    names = COMMANDS.names()
    assert set(ORDER) <= set(names)
    assert [
        line.split()[0] for line in text.splitlines() if line.startswith("  ") and not line.startswith("  tunesmith")
    ] == list(dict.fromkeys([*ORDER, *names]))
    assert all(COMMANDS.help(name) for name in names)


@pytest.mark.parametrize("name", COMMANDS.names())
def test_every_command_explains_itself_with_an_example(tunesmith, name: str) -> None:
    said = tunesmith(name, "--help")
    assert said.code == 0 and f"tunesmith {name}" in said.out and "Example:" in said.out and "--debug" in said.out


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_in_all_ways(capsys, words) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("Tunesmith: ")


def test_version(tunesmith) -> None:
    assert tunesmith("--version").out.startswith("tunesmith ")
    assert json.loads(tunesmith("version", "--json").out)["torch"]
