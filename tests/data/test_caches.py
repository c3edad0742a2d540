"""What is kept between runs: counted as a whole, bounded, oldest first, nobody's half-written work touched."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tunesmith.cli.cache import bytes_of
from tunesmith.data import caches
from tunesmith.errors import SpecError


def keep(room: str, name: str, size: int, used: float) -> Path:
    """An entry: a folder of activations, or a table's two files."""
    folder = caches.root() / room
    paths = [folder / name / "values.npy"] if room == "activations" else [folder / f"{name}.arrow", folder / f"{name}.json"]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (size // len(paths)))
        os.utime(path, (used, used))
    os.utime(paths[0].parent if room == "activations" else paths[0], (used, used))
    return paths[0]


def test_rooms_are_listed_together_least_recently_used_first() -> None:
    keep("activations", "b", 100, 3e9)
    keep("tables", "a", 60, 1e9)
    keep("activations", "c", 10, 2e9)
    found = [(e.room, e.name, e.bytes) for e in caches.entries()]
    assert found == [("tables", "a", 60), ("activations", "c", 10), ("activations", "b", 100)]


@pytest.mark.parametrize(("most", "left", "freed"), [(200, "acb", 0), (115, "cb", 60), (100, "b", 70), (0, "", 170)])
def test_the_oldest_go_until_the_rest_fits(most: int, left: str, freed: int) -> None:
    keep("activations", "b", 100, 3e9)
    keep("tables", "a", 60, 1e9)
    keep("activations", "c", 10, 2e9)
    assert caches.prune(most) == freed
    assert "".join(e.name for e in caches.entries()) == left


def test_what_is_being_written_stays_and_what_a_kill_left_goes() -> None:
    now = time.time()
    young, old = keep("activations", "x.1.tmp", 50, now), keep("activations", "y.2.tmp", 50, now - 3 * 86400)
    caches.prune(0)
    assert young.exists() and not old.exists()


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    entry = keep("activations", "z", 10, 1e9).parent
    (entry / "link").symlink_to(precious)
    caches.prune(0)
    assert precious.read_text() == "mine" and not entry.exists()


@pytest.mark.parametrize(("text", "expected"), [("7", 7), ("5GB", 5 * 10**9), ("1.5 kb", 1500), ("2GiB", 2**31), ("3m", 3_000_000)])
def test_sizes(text: str, expected: int) -> None:
    assert bytes_of(text) == expected


@pytest.mark.parametrize("text", ["", "GB", "-1MB", "5 XB", "five"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(SpecError, match="500MB"):
        bytes_of(text)
