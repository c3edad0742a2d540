"""Rows encoded once and kept: what a second run, or the probe beside this one, need not turn into tokens again.

Keyed by content: the rows' cells, the fitted task, the processor, the library versions. Texts in large numbers only: images are
encoded late, and few texts cost less than a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import caches
from ..data.arrays import save
from ..inference import Encoded, Ragged, encode
from ..task import Outputs, Task

if TYPE_CHECKING:
    from ..data.table import Table

FEW = 20_000
"""Rows below which nothing is kept: they are encoded within seconds."""


def encoded(task: Task, processor: Any, rows: Table) -> Encoded:
    """As `encode`: from the cache, or computed now and kept where the disk has room."""
    if len(rows) < FEW or task.modality != "text":
        return encode(task, processor, rows)
    place = caches.root() / "tokens" / _key(task, processor, rows)
    if caches.whole(place):
        return _read(place)
    made = encode(task, processor, rows)
    if made.later is not None or any(_dtype(array).hasobject for array in made.arrays.values()):
        return made
    try:
        caches.keep(place, lambda beside: _write(made, beside))
        return _read(place)  # from the file: memory holds the pages in use
    except OSError:
        return made  # a full disk costs the next run a minute, this one nothing


def outputs(task: Task, processor: Any, rows: Table, model: str, make: Callable[[], Outputs]) -> Outputs:
    """What an untouched model says of training rows: from the cache, or made now and kept. `model`: what tells it from others."""
    name = hashlib.blake2b(f"{_key(task, processor, rows)} {model}".encode(), digest_size=20).hexdigest()
    place = caches.root() / "outputs" / name
    if caches.whole(place):
        return {path.stem: np.load(path, allow_pickle=False) for path in sorted(place.glob("*.npy"))}
    made = make()
    if not any(value.dtype.hasobject for value in made.values()):
        with contextlib.suppress(OSError):  # a full disk costs the next run a pass, this one nothing
            caches.keep(place, lambda beside: [np.save(beside / f"{n}.npy", v, allow_pickle=False) for n, v in made.items()] and None)
    return made


def _dtype(array: Ragged | np.ndarray) -> np.dtype[Any]:
    return array.values.dtype if isinstance(array, Ragged) else array.dtype


def _write(made: Encoded, folder: Path) -> None:
    held: dict[str, np.ndarray] = {"lengths": made.lengths_N, "row": made.row_N}
    for name, array in made.arrays.items():
        parts: Mapping[str, np.ndarray] = (
            {"values": array.values, "starts": array.starts} if isinstance(array, Ragged) else {"plain": array}
        )
        held |= {f"{name}.{part}": values for part, values in parts.items()}
    for name, values in held.items():
        save(folder / f"{name}.npy", values)


def _read(folder: Path) -> Encoded:
    found = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(folder.glob("*.npy"))}
    lengths_N, row_N = found.pop("lengths"), found.pop("row")
    arrays: dict[str, Ragged | np.ndarray] = {}
    for key in found:
        name, part = key.rsplit(".", 1)
        if part == "values":
            arrays[name] = Ragged(found[key], found[f"{name}.starts"])
        elif part == "plain":
            arrays[name] = found[key]
    return Encoded(arrays, lengths_N, row_N)


def _key(task: Task, processor: Any, rows: Table) -> str:
    versions = [importlib.metadata.version(name) for name in ("tunesmith", "transformers", "tokenizers")]
    columns = [name for name in task.columns([*task.inputs, *task.targets]) if name in rows.names]
    words = [repr(processor), getattr(processor, "chat_template", None)]
    said = json.dumps([type(task).__name__, task.as_json(), versions, words], sort_keys=True, default=str)
    found = hashlib.blake2b(said.encode(), digest_size=20)
    backend = getattr(processor, "backend_tokenizer", None)
    found.update(b"" if backend is None else backend.to_str().encode())
    found.update(rows.digest(columns).encode())
    return found.hexdigest()
