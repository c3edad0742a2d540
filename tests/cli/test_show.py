"""What reaches a terminal: no control characters, no markup, numbers that a person reads."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.cli import _show
from tunesmith.cli._findings import said, said_briefly, show_data
from tunesmith.data.finding import Finding
from tunesmith.data.ledger import Ledger
from tunesmith.scores import Score


@given(st.text())
def test_safe_text_is_printable_and_on_one_line(text: str) -> None:
    shown = _show.safe(text)
    assert shown.isprintable() and "\n" not in shown
    assert shown.encode("utf-8") or not text


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"])))
def test_harmless_text_is_left_alone(text: str) -> None:
    assert _show.safe(text) == text


def test_large_scores_have_four_digits_and_answers_all_of_theirs() -> None:
    assert _show.score({"value": 12345678901.234, "low": 9876543210.9, "high": 2e10}) == "12.35 billion (9.877 billion to 20 billion)"
    assert [_show.figure(v) for v in (0.5, -43210.9, math.inf, 43210)] == ["0.500", "-43,210", "inf", "43210"]
    assert _show.number(12345678.25) == "12345678.250"


@pytest.mark.parametrize("text", ["\x1b]8;;http://x\x07", "a\u202eb", "\ud800", "x\r\ny", "\x9b31m"])
def test_what_terminals_obey_is_written_out(text: str) -> None:
    assert "\\" in _show.safe(text)


@given(st.text(), st.integers(1, 30))
def test_cut_to_the_limit(text: str, limit: int) -> None:
    assert len(_show.safe(text, limit)) <= limit


def test_markup_in_a_cell_stays_text(capsys) -> None:
    _show.console().print(_show.rows_into(_show.table("a"), [["[bold red]x[/] :smile: \x1b[1m"]]))
    assert "[bold red]x[/] :smile: \\x1b[1m" in capsys.readouterr().out


def test_json_is_strict(capsys) -> None:
    _show.print_json(
        {"a": math.nan, "b": np.float32(0.5), "c": np.arange(2), "d": {"e": math.inf}, "f": (1, "\u2028\x1b")}
    )
    line = capsys.readouterr().out
    assert line.isascii()
    assert json.loads(line) == {"a": None, "b": 0.5, "c": [0, 1], "d": {"e": None}, "f": [1, "\u2028\x1b"]}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"value": 0.87123, "low": 0.8, "high": 0.9}, "0.871 (0.800 to 0.900)"),
        ({"value": 0.5, "low": 0.5, "high": 0.5, "method": "fixed"}, "0.500 (no interval)"),
        (Score.of({"value": 0.5, "low": 0.25, "high": 0.75}), "0.500 (0.250 to 0.750)"),
        ({"value": None, "low": None, "high": None}, "unknown"),
        (0.5, "0.500"),
        ({"value": 0.5, "low": None, "high": None}, "0.500"),
    ],
)
def test_scores_come_with_their_interval(value, shown) -> None:
    assert _show.score(value) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0.25, "0.2 s"), (59, "59 s"), (61, "1 min 1 s"), (3_900, "1 h 5 min")])
def test_durations(seconds, shown) -> None:
    assert _show.duration(seconds) == shown


@pytest.mark.parametrize(("count", "shown"), [(0, "0 B"), (1_536, "1.5 KiB"), (5 * 2**30, "5.0 GiB")])
def test_sizes(count, shown) -> None:
    assert _show.size(count) == shown


def test_places_name_the_file_once() -> None:
    assert _show.numbers(["a.csv, row 3", "a.csv, row 9", "b, c.csv, row 1"]) == "a.csv, rows 3, 9; b, c.csv, row 1"
    assert _show.numbers([f"a.csv, row {i}" for i in range(20)], 2) == "a.csv, rows 0, 1 and 18 more"


def test_findings_worst_first_with_rows_and_what_to_do(capsys) -> None:
    found = [
        Finding("note", "n", "a note"),
        Finding("error", "e", "expected a label, got \x1b[2J", ("a.csv, row 3",), "fill it"),
        Finding("warning", "w", "[red]careful"),
    ]
    show_data(found, Ledger())
    assert capsys.readouterr().out.splitlines() == [
        "1 error", "  x expected a label, got \\x1b[2J (a.csv, row 3)", "    do: fill it",
        "1 warning", "  ! [red]careful", "1 note", "  - a note",
    ]  # fmt: skip


def test_before_a_training_warnings_have_a_line_each_and_notes_are_counted() -> None:
    found = [
        Finding("note", "n", "a note"), Finding("note", "m", "another"),
        Finding("warning", "leak", "9 test rows are known", tuple(f"t.csv, row {i}" for i in range(9)), "take them\x1b out"),
    ]  # fmt: skip
    ledger = Ledger()
    ledger.note("a.csv: cells are separated by ';'")
    ledger.add("dropped", "empty label", [f"a.csv, row {i}" for i in range(12_000)])
    lines = said_briefly(found, ledger.entries)
    assert lines[0] == "! 9 test rows are known (t.csv, rows 0, 1, 2 and 6 more); do: take them\\x1b out"
    assert lines[1] == "- 2 notes: `tunesmith check` and the report show them"
    assert "separated by ';'" in lines[2] and len(lines) == 4
    assert lines[3].endswith("(a.csv, rows 0, 1, 2 and 11,997 more)"), "the ledger lists fewer rows than it counts"
    assert said_briefly([], ()) == []
    assert {line for line in said(found, ledger.entries) if "ledger" in line} > {lines[2]}, "the ledger is the same everywhere"
