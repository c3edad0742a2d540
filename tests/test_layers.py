"""Imports point down only. The floors are read from the table in docs/design.md, so that the page cannot be wrong."""

from __future__ import annotations

import re
from functools import cache

from tests.source import ROOT, imports, modules, room

TOP = {"__init__", "__main__"}
"""Files above all floors: the public names and the `python -m` door."""


@cache
def floors() -> dict[str, int]:
    """Room -> floor, from the page."""
    lines = (ROOT / "docs" / "design.md").read_text("utf-8").splitlines()
    rows = [re.fullmatch(r"\| (\d+) \| (.*) \|", line) for line in lines]
    return {name: int(row[1]) for row in rows if row for name in re.findall(r"`([^`]+)`", row[2])}


@cache
def edges() -> list[tuple[str, str, str]]:
    """(where, room, imported room) of all imports between rooms."""
    found = []
    for module in modules():
        for node, name in imports(module):
            if name.startswith("tunesmith.") and room(name) != module.room and module.room not in TOP:
                found.append((module.where(node), module.room, room(name)))
    return found


def test_every_room_stands_on_a_floor_of_the_design() -> None:
    known = floors()
    assert len(known) > 10
    assert {m.room for m in modules()} - TOP - set(known) == set()


def test_imports_point_down() -> None:
    known = floors()
    upward = [
        f"{where}: {a} (floor {known[a]}) imports {b} (floor {known[b]})"
        for where, a, b in edges()
        if known[b] > known[a]
    ]
    assert upward == []


def test_rooms_of_one_floor_do_not_import_each_other_in_circles() -> None:
    known = floors()
    flat = {(a, b) for _, a, b in edges() if known[a] == known[b]}
    assert [(a, b) for a, b in flat if (b, a) in flat] == []


def test_tasks_and_strategies_do_not_know_each_other() -> None:
    pairs = {(a, b) for _, a, b in edges()}
    assert pairs & {("tasks/", "strategies/"), ("strategies/", "tasks/")} == set()


def test_the_lowest_floors_name_no_torch() -> None:
    low = {name for name, floor in floors().items() if floor <= 1}
    named = [
        module.where(node)
        for module in modules()
        if module.room in low
        for node, name in imports(module)
        if name.split(".")[0] in ("torch", "transformers", "peft", "accelerate")
    ]
    assert named == []
