"""Rows of tokens by a fixed width go to Parquet as numbers and come back the same."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data import arrays, caches


def _objects(values):
    found = np.empty(len(values), object)
    for at, value in enumerate(values):
        found[at] = value
    return found


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(1, 4), st.integers(0, 9))
def test_rows_of_unlike_length_and_like_width_are_numbers_in_parquet(sizes, width, seed):
    rng = np.random.default_rng(seed)
    kept = _objects([rng.normal(size=(size, width)).astype(np.float32) for size in sizes])
    column = arrays.to_arrow(kept, np.float32)
    assert not pa.types.is_string(column.type)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables([pa.table({"a": column})] * 2), sink)
    back = arrays.from_arrow(pq.read_table(pa.BufferReader(sink.getvalue()))["a"].slice(1), np.float32)
    for one, other in zip([*kept[1:], *kept], back, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other) and one.shape == other.shape


def test_rows_of_unlike_width_stay_json():
    kept = _objects([np.ones((1, 2), np.float32), np.ones((1, 3), np.float32)])
    assert pa.types.is_string(arrays.to_arrow(kept, np.float32).type)


# -- large arrays, piece by piece -------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """Arrays that are large from 256 bytes on."""
    monkeypatch.setattr(arrays, "LARGE_BYTES", 256)
    monkeypatch.setattr(caches, "LARGE_BYTES", 256)
    monkeypatch.setattr(arrays, "PIECE_BYTES", 128)


@pytest.mark.parametrize("kind", [np.float32, np.int64, object])
def test_rows_picked_from_a_file_are_those_picked_in_memory(small, kind):
    rng = np.random.default_rng(0)
    value = rng.normal(size=(90, 3)).astype(kind)
    index = rng.integers(0, 90, 200)
    parts = [(slice(60, 90), {"a": value[60:]}), (np.arange(60)[::-1], {"a": value[:60][::-1]})]
    held = arrays.filled(90, parts)["a"]
    assert (held.base is not None and hasattr(held, "_mmap")) == (kind is not object)
    assert held.dtype == value.dtype and np.array_equal(held, value)
    found = arrays.picked(held, index)
    assert found.dtype == value.dtype and np.array_equal(found, value[index])


def test_pieces_cover_the_rows(small):
    for rows in (0, 1, 15, 16, 17, 100):
        assert [row for at in arrays.pieces(rows, 8) for row in range(rows)[at]] == list(range(rows))
    assert list(arrays.pieces(0, 8)) == [slice(0, 0)], "scores of no rows are asked, too"


def test_sums_of_stretches_are_numpys_own_sum(monkeypatch):
    """To the last bit: scores of many rows must not hang on how many are counted together."""
    monkeypatch.setattr(arrays, "STRETCH_BYTES", 8 * 200)
    rng = np.random.default_rng(0)
    for rows in (0, 1, 128, 200, 201, 1000, 1607, 40_001):
        value = rng.normal(size=rows) * 10 ** rng.normal(size=rows)
        cuts = list(arrays.stretches(rows, 8))
        assert [row for at in cuts for row in range(rows)[at]] == list(range(rows)) and max(at.stop - at.start for at in cuts) <= 200
        assert arrays.total((value[at].sum() for at in cuts), rows, 8) == value.sum()


def test_positions_and_copies_in_a_file_are_those_in_memory(small):
    mask = np.random.default_rng(0).random(300) < 0.5
    found = arrays.positions(mask)
    assert hasattr(found, "_mmap") and np.array_equal(found, np.flatnonzero(mask))
    assert hasattr(arrays.laid(found), "_mmap") and np.array_equal(arrays.laid(found), found)


def test_a_full_disk_leaves_memory(small, monkeypatch):
    monkeypatch.setattr(caches.shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
    assert not hasattr(caches.scratch((90, 3), np.float32), "_mmap")


@pytest.mark.parametrize("large", [1, 1 << 25])
def test_arrays_that_grow_are_all_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    monkeypatch.setattr(arrays, "LARGE_BYTES", large)
    parts = [np.arange(12, dtype=np.float32).reshape(6, 2) + i for i in range(5)]
    growing = arrays.Growing()
    for part in parts:
        growing.add(part)
    found = growing.finish()
    assert np.array_equal(found, np.concatenate(parts)) and isinstance(found, np.memmap) == (large == 1)
    arrays.save(tmp_path / "a.npy", found)
    again = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert np.array_equal(again, found) and again.dtype == found.dtype


def test_arrays_of_several_kinds_grow_as_they_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    monkeypatch.setattr(arrays, "LARGE_BYTES", 1)
    whole, half = np.arange(3), np.arange(3) / 2
    for parts in ([whole, half, whole], [half, whole], [arrays.objects(["a", None]), arrays.objects([1])]):
        growing = arrays.Growing()
        for part in parts:
            growing.add(part)
        joined = np.concatenate(parts)
        assert growing.finish().tolist() == joined.tolist()


def test_a_full_disk_leaves_arrays_that_grow_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    monkeypatch.setattr(arrays, "LARGE_BYTES", 1)
    rooms = iter([None, OSError("no room"), OSError("no room"), OSError("no room")])

    def take_room(file: object, size: int) -> None:
        if error := next(rooms):
            raise error

    monkeypatch.setattr(arrays, "take_room", take_room)
    growing = arrays.Growing()
    for start in (0, 3, 6):
        growing.add(np.arange(start, start + 3))
    assert growing.finish().tolist() == list(range(9))
