"""The seal counts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tunesmith.judging.looks import FILE, look, looks


def test_each_look_is_counted_with_its_reason(tmp_path):
    assert looks(tmp_path) == []
    assert look(tmp_path, "end of the run") == 1
    assert look(tmp_path, "again,\nwith a line break \u202e") == 2
    assert [entry["reason"] for entry in looks(tmp_path)] == ["end of the run", "again,\nwith a line break \u202e"]
    assert all(entry["time"].endswith("+00:00") for entry in looks(tmp_path))


def test_no_look_is_lost_when_many_look_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: look(tmp_path, f"look {i}"), range(40)))
    assert sorted(entry["reason"] for entry in looks(tmp_path)) == sorted(f"look {i}" for i in range(40))


def test_a_torn_line_was_a_look(tmp_path):
    look(tmp_path, "first")
    with (tmp_path / FILE).open("a") as file:
        file.write('{"time": "2026-')
    assert len(looks(tmp_path)) == 2
    assert looks(tmp_path)[1]["reason"] == "unreadable entry"
