"""Large files: rows on disk, parsed once; full disks and damaged caches."""

from __future__ import annotations

import gzip
import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from tests.data.files import as_csv, load, write
from tunesmith.data.ledger import Ledger
from tunesmith.data.table import Table
from tunesmith.errors import ResourceError


def test_large_files_are_mapped_and_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("spool", "read", "delimited"):
        monkeypatch.setattr(f"tunesmith.data.{module}.LARGE", 20_000)
    monkeypatch.setattr("tunesmith.data.spool.SEGMENT", 10_000)
    monkeypatch.setattr("tunesmith.data.encoding.Text.blocks.__defaults__", (5_000,))
    rows = [{"id": i, "text": f"text, of row {i}", "x": i / 4} for i in range(3_000)]
    path = write(tmp_path / "a.csv", as_csv(rows) + "too,few\n")
    small, ledger, again = Table.of(rows), Ledger(), Ledger()
    table = load(path, ledger, bad_rows="skip")
    assert table.rows() == rows and table.row_ids.tolist() == small.row_ids.tolist() and table.digest() == small.digest()
    monkeypatch.setattr("tunesmith.data.read.READERS", {})
    kept = load(path, again, bad_rows="skip")
    assert kept.rows() == rows and kept.place(2_999) == "a.csv, row 3000"
    assert again.as_json() == ledger.as_json() and again.count("skipped") == 1
    with pytest.raises(KeyError):
        load(path, delimiter=",", bad_rows="skip")
    assert not [p for p in (Path(os.environ["TUNESMITH_CACHE"]) / "tables").iterdir() if p.suffix not in (".arrow", ".json")]


def test_a_full_disk_is_said_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("spool", "read"):
        monkeypatch.setattr(f"tunesmith.data.{module}.LARGE", 20_000)
    path = write(tmp_path / "a.csv", as_csv([{"text": f"text of row {i}", "label": f"l{i % 2}"} for i in range(5_000)]))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(ResourceError) as caught:
            load(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "TUNESMITH_CACHE" in str(caught.value) and caught.value.exit_code == 5
    assert not list((Path(os.environ["TUNESMITH_CACHE"]) / "tables").iterdir())
    assert len(load(path)) == 5_000


def test_a_cache_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(write(tmp_path / "file", "x")))
    with pytest.raises(ResourceError, match="TUNESMITH_CACHE"):
        load(write(tmp_path / "a.csv.gz", gzip.compress(b"text,label\na,b\n")))


def test_a_damaged_cache_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("spool", "read"):
        monkeypatch.setattr(f"tunesmith.data.{module}.LARGE", 20_000)
    rows = [{"text": f"text of row {i}", "label": f"l{i % 2}"} for i in range(5_000)]
    path = write(tmp_path / "a.csv", as_csv(rows))
    load(path)
    for kept in (Path(os.environ["TUNESMITH_CACHE"]) / "tables").iterdir():
        write(kept, kept.read_bytes()[:50])
        assert load(path).rows() == rows


def test_large_json_lines_change_columns_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.data.spool.LARGE", 20_000)
    monkeypatch.setattr("tunesmith.data.spool.SEGMENT", 10_000)
    monkeypatch.setattr("tunesmith.data.json_rows.BATCH", 100)
    rows: list[dict[str, Any]] = [{"a": i} if i < 1_500 else {"a": i + 0.5, "b": [f"t{i}"]} for i in range(3_000)]
    table = load(write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert table.column("a") == [row["a"] for row in rows] and table.column("b") == [row.get("b") for row in rows]
