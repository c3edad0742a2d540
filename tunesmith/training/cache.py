"""Activations below the lowest learning weight, computed once and kept.

Keyed by content: the frozen weights' bytes, the encoded rows' bytes, the cut, the library versions. A changed weight, row, label
order or setting gives another key, so a stale entry cannot be met. Entries are checked (size and crc32), bounded in total size
(least recently used go first), and shared between runs, trials and epochs.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import nn

from ..data import caches
from ..disk import cannot_write, take_room
from ..inference import Encoded, Ragged, on_device, passes, read_tokens, reading
from ..memory import let_go
from ..task import Example, Task

VALUES = "values.npy"
INPUTS = frozenset(("pixel_values", "input_ids", "attention_mask", "token_type_ids", "input_values", "input_features", "seen"))
"""What activations stand for; all else of changed rows (targets that changed with them) is kept beside these."""


@final
@dataclass(frozen=True)
class Cut:
    """Where the frozen part ends: `layer` None means below the head (only the head learns)."""

    layer: int | None
    below: Callable[[dict[str, torch.Tensor]], torch.Tensor]
    frozen: tuple[str, ...]
    """Names of the parameters below the cut."""
    per_token: bool = True
    """Whether what is kept has a vector for each token, or one for each row."""

    @property
    def array(self) -> str:
        """Name of the cached array in an example."""
        return "hidden_TD" if self.layer is not None else "features_TD" if self.per_token else "pooled_D"

    @property
    def where(self) -> str:
        """In words."""
        return f"below layer {self.layer + 1}" if self.layer is not None else "below the head"


def folder() -> Path:
    """Where activations are kept."""
    return caches.root() / "activations"


def bytes_needed(encoded: Encoded, cut: Cut, width: int) -> int:
    """Size of the file for these rows: float32."""
    rows = int(encoded.lengths_N.sum()) if cut.per_token else len(encoded)
    return rows * width * 4


def fits(need: int) -> bool:
    """Whether a file of this size may be written: within the limit and half of the free disk."""
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    return need <= min(caches.limit(), shutil.disk_usage(place).free // 2)


@final
@dataclass(frozen=True)
class How:
    """How passes are made."""

    pad: int
    micro_tokens: int
    autocast: Any = None
    """The context in which layers compute, None: in float32; the file is float32 in any case."""


def attach(task: Task, model: nn.Module, encoded: Encoded, cut: Cut, how: How) -> Encoded:
    """The rows with their activations at the cut, from the cache or computed now. Raises ResourceError when the disk is full."""
    place = folder() / _key(model, encoded, cut, how)
    try:
        if not caches.whole(place):
            _compute(task, model, encoded, cut, place, how)
        values = np.load(place / VALUES, mmap_mode="r", allow_pickle=False)
        beside = {path.stem: np.load(path, allow_pickle=False) for path in sorted(place.glob("*.npy")) if path.name != VALUES}
    except OSError as error:
        raise cannot_write(error, place, bytes_needed(encoded, cut, model.source.hidden)) from None  # type: ignore[union-attr,arg-type]
    return _with(encoded, cut, values).with_arrays(**beside)


def _with(encoded: Encoded, cut: Cut, values: np.ndarray) -> Encoded:
    starts = _starts(encoded, len(values))
    return encoded.cached(**{cut.array: Ragged(values, starts) if cut.per_token else values})


def _starts(encoded: Encoded, tokens: int) -> np.ndarray:
    """Where each row begins among so many tokens: rows as long as they were said to be, or all alike."""
    said = np.concatenate([[0], np.cumsum(encoded.lengths_N)])
    return said if said[-1] == tokens else np.arange(len(encoded) + 1) * (tokens // max(1, len(encoded)))


def compute(task: Task, model: nn.Module, encoded: Encoded, cut: Cut, how: How) -> Encoded:
    """The rows with their activations at the cut, in memory, kept nowhere."""
    was_training = model.training
    model.eval()
    try:
        beside: dict[str, np.ndarray] = {}
        return _with(encoded, cut, _fill(task, model, encoded, cut, how, None, beside)).with_arrays(**beside)
    finally:
        model.train(was_training)


def _compute(task: Task, model: nn.Module, encoded: Encoded, cut: Cut, place: Path, how: How) -> None:
    was_training = model.training
    model.eval()
    try:
        caches.keep(place, lambda folder: _written(task, model, encoded, cut, how, folder))
    finally:
        model.train(was_training)


def _written(task: Task, model: nn.Module, encoded: Encoded, cut: Cut, how: How, folder: Path) -> None:
    beside: dict[str, np.ndarray] = {}
    _fill(task, model, encoded, cut, how, folder / VALUES, beside).flush()
    for name, array in beside.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def _fill(
    task: Task, model: nn.Module, encoded: Encoded, cut: Cut, how: How, path: Path | None, beside: dict[str, np.ndarray]
) -> Any:
    """Activations of all rows; `beside` gets what else changed with changed rows."""
    values: Any = None
    starts = np.concatenate([[0], np.cumsum(encoded.lengths_N)])
    device = next(model.parameters()).device
    within = reading(how.autocast)
    for positions in passes(encoded, read_tokens(encoded, how.micro_tokens, device)):
        examples = encoded.examples(positions)
        with within():
            found = cut.below(on_device(task.collate(examples, how.pad), device)).float().cpu().numpy()
        if encoded.later is not None and encoded.later.drawn is not None:
            _keep(examples, positions, len(encoded), beside)
        if values is None and encoded.later is not None and cut.layer is not None:
            starts = _starts(encoded, len(encoded) * found.shape[1])  # an image's tokens are not its places
        assert not cut.per_token or found.shape[1] == np.diff(starts)[positions].max(), "rows as long as they were said to be"
        if values is None:
            shape = (int(starts[-1]) if cut.per_token else len(encoded), found.shape[-1])
            values = _on_disk(path, shape) if path else np.empty(shape, np.float32)
        for row, position in enumerate(positions):
            if cut.per_token:
                values[starts[position] : starts[position + 1]] = found[row, : starts[position + 1] - starts[position]]
            else:
                values[position] = found[row]
        let_go(values)
    return values


def _keep(examples: Sequence[Example], positions: np.ndarray, rows: int, beside: dict[str, np.ndarray]) -> None:
    """Targets of unlike length (boxes) are padded with -1, as tasks pad them."""
    for name in examples[0].keys() - INPUTS:
        values = [np.asarray(example[name]) for example in examples]
        if name not in beside:
            beside[name] = np.zeros((rows, *values[0].shape), values[0].dtype)
        if values[0].ndim:
            longest = max(beside[name].shape[1], *map(len, values))
            beside[name] = _padded(beside[name], 1, longest)
            values = [_padded(value, 0, longest) for value in values]
        beside[name][positions] = values


def _padded(array: np.ndarray, axis: int, longest: int) -> np.ndarray:
    missing = longest - array.shape[axis]
    return np.pad(array, [(0, missing if i == axis else 0) for i in range(array.ndim)], constant_values=-1) if missing else array


def _on_disk(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A new array in a file, all of its room taken."""
    values: np.ndarray = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    with open(path, "rb+") as file:
        take_room(file, path.stat().st_size)
    return values


def _key(model: nn.Module, encoded: Encoded, cut: Cut, how: How) -> str:
    digest = hashlib.blake2b(digest_size=20)
    # Versions: what another one computed may differ in its last bits, and a run's with it.
    narrow = getattr(how.autocast, "fast_dtype", None)
    about = [3, version("tunesmith"), torch.__version__, torch.get_num_threads(), cut.layer, cut.array, narrow]
    digest.update("|".join(map(str, about)).encode())
    named = dict(model.named_parameters())
    for name in sorted(cut.frozen):
        digest.update(name.encode())
        digest.update(as_bytes(named[name].detach().cpu().contiguous().numpy()))
    for name, array in sorted(encoded.arrays.items()):
        if not name.startswith(("target", "tags", "row_weight", "hidden", "features", "pooled")):
            digest.update(name.encode())
            for part in (array.values, array.starts) if isinstance(array, Ragged) else (array,):
                digest.update(as_bytes(part))
    digest.update(encoded.later.key() if encoded.later else b"")
    return digest.hexdigest()


def as_bytes(array: np.ndarray) -> Any:
    """The array's bytes, to be hashed."""
    return memoryview(np.ascontiguousarray(array)).cast("B") if array.size else b""
