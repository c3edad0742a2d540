"""Checkpoints that are whole or not there.

A checkpoint is a folder. Its files are written into a folder beside it, synced to the disk, and listed with size and sha256 in
`manifest.json`, which is written last; then the folder is renamed to its final name and the parent is synced. A folder
without a manifest that matches every file is never loaded: reading falls back to the newest whole one and says so.

Tensors are safetensors, the rest is JSON: nothing that can run code.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..disk import cannot_write, measured, recover, swap, sync_folder, write_bytes, write_json, write_synced
from ..errors import ModelError
from ..models.tensors import pieces
from ..models.tensors import read as read_tensors

__all__ = ["is_whole", "newest_whole", "read", "read_values", "recover", "steps_saved", "write", "write_bytes", "write_json"]

MANIFEST = "manifest.json"
Tensors = Mapping[str, torch.Tensor]


def write(folder: Path, tensors: Mapping[str, Tensors], values: Mapping[str, Any]) -> Path:
    """Write a checkpoint: `tensors` by file stem, `values` as `state.json`. Raises ResourceError when the disk is full."""
    beside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        contents: dict[str, Iterable[bytes | memoryview]] = {f"{stem}.safetensors": pieces(part) for stem, part in tensors.items()}
        contents["state.json"] = [json.dumps(values, indent=1).encode()]
        entries = {name: write_synced(beside / name, content) for name, content in contents.items()}
        write_synced(beside / MANIFEST, [json.dumps(entries, indent=1).encode()])
        sync_folder(beside)
        swap(beside, folder)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise cannot_write(error, folder, _bytes(tensors)) from None
    return folder


def read(folder: Path) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
    """Read a whole checkpoint, every byte checked. Raises ModelError naming the file that is damaged."""
    names = _verify(folder)
    try:
        values = json.loads((folder / "state.json").read_bytes())
        tensors = {name.removesuffix(".safetensors"): read_tensors(folder / name) for name in names if name != "state.json"}
    except (ValueError, OSError, ModelError) as error:
        raise _damaged(folder, f"a file that cannot be read ({error})") from None
    return tensors, values


def read_values(folder: Path) -> dict[str, Any]:
    """The JSON part alone, unchecked but for being readable. Raises ModelError."""
    try:
        values: dict[str, Any] = json.loads((folder / "state.json").read_bytes())
    except (OSError, ValueError):
        raise _damaged(folder, "no readable state.json") from None
    return values


def is_whole(folder: Path) -> bool:
    """Whether every file is there, with the size and hash of the manifest."""
    try:
        _verify(folder)
    except ModelError:
        return False
    return True


def newest_whole(folders: list[Path]) -> tuple[Path | None, list[Path]]:
    """The last of `folders` (oldest first) that is whole, and the damaged ones passed over on the way."""
    passed: list[Path] = []
    for folder in reversed(folders):
        if is_whole(folder):
            return folder, passed
        passed.append(folder)
    return None, passed


def steps_saved(parent: Path, prefix: str) -> list[Path]:
    """Checkpoints `prefix-000123` of this folder, oldest first."""
    return sorted(p for p in parent.glob(f"{prefix}-*") if p.is_dir() and not p.is_symlink())


def _verify(folder: Path) -> list[str]:
    entries = _manifest(folder)
    for name, entry in entries.items():
        _check_file(folder, name, entry)
    return list(entries)


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        entries = json.loads((folder / MANIFEST).read_bytes())
        assert (
            isinstance(entries, dict)
            and "state.json" in entries
            and all({"bytes", "sha256"} <= set(e) for e in entries.values())
        )
    except (OSError, ValueError, AssertionError, TypeError):
        raise _damaged(folder, "no readable manifest.json") from None
    return entries


def _check_file(folder: Path, name: str, entry: Mapping[str, Any]) -> None:
    path = folder / name
    if "/" in name or path.is_symlink() or not path.is_file() or path.stat().st_size != entry["bytes"]:
        raise _damaged(folder, f"{name} missing or of another size")
    try:
        found = measured(path)
    except OSError as error:
        raise _damaged(folder, f"{name} that cannot be read ({error.strerror})") from None
    if found["sha256"] != entry["sha256"]:
        raise _damaged(folder, f"{name} with another sha256 than when it was saved")


def _damaged(folder: Path, got: str) -> ModelError:
    return ModelError(
        f"checkpoint {folder}",
        expected="every file as it was saved",
        got=got,
        code="damaged-checkpoint",
        fix="delete this folder; `tunesmith resume` goes on from the newest whole one",
    )


def _bytes(tensors: Mapping[str, Tensors]) -> int:
    return sum(t.numel() * t.element_size() for part in tensors.values() for t in part.values())
