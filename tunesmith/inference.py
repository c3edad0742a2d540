"""From rows to outputs: the only path, for validation, test, prediction and serving alike.

Axes: N rows, B rows of a batch, T tokens.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np

from .data.arrays import Growing, filled
from .data.mapped import rest
from .memory import let_go, trim
from .task import PART, Batch, Draw, Example, Outputs, Task

if TYPE_CHECKING:
    from torch import nn

    from .data.table import Table

CHUNK = 1024
"""Rows encoded at a time: enough for the tokeniser's threads, little enough to hold."""
MICRO_TOKENS = 4096
"""Tokens, padding included, of one forward pass where nobody decided otherwise."""
READ_TOKENS = 512
"""Tokens of texts that one thread of a CPU reads in a pass without a way back: their activations stay in its cache, and rows that
stand together are more alike."""
READ_ALONE = 768
"""The same where nothing but prediction goes on: a thirtieth faster, but beside training it raised the peak of memory by a fifth."""
WRITTEN_ROWS = 8
"""Rows that are answered together where answers are written: each token that is written reads all weights, for however many rows."""
TRIMMED_EVERY = 8
"""Passes after which free memory is given back: under a hundredth of their time (`docs/performance.md`)."""


@final
@dataclass(frozen=True)
class Ragged:
    """Rows of unlike length, end to end: row i is `values[starts[i]:starts[i + 1]]`."""

    values: np.ndarray
    starts: np.ndarray

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.starts[row] : self.starts[row + 1]]

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> Ragged:
        """These rows end to end."""
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return cls(np.concatenate(rows) if len(rows) else np.zeros(0, np.int32), starts)

    def take(self, positions: np.ndarray) -> Ragged:
        """The rows at these positions, in that order."""
        chosen = [self[int(position)] for position in positions]
        return Ragged.of(chosen) if chosen else Ragged(self.values[:0], np.zeros(1, np.int64))


@final
@dataclass(frozen=True)
class Later:
    """Rows that are encoded when a batch needs them: memory holds a batch, whatever the table's size."""

    task: Task
    processor: Any
    rows: Table
    drawn: tuple[int, int] | None = None
    """(seed, epoch) of the random numbers that augment; None: rows as they are."""
    row_N: np.ndarray | None = None
    """The row of each example, where rows give several (tiles, windows)."""

    def examples(self, positions: Sequence[int]) -> list[Example]:
        """The examples at these positions, in order; on as many threads as the model computes with."""
        draws = None if self.drawn is None else [self._draw(position) for position in positions]
        found = self._encoded(positions, draws)
        if draws is None or not self.task.mixes:
            return found
        partners = [int(draw.integers(self._count)) for draw in draws]
        others = self._encoded(partners, draws)
        return [self.task.mix(one, other, draw) for one, other, draw in zip(found, others, draws, strict=True)]

    def key(self) -> bytes:
        """What the examples follow from: the rows' content, the task and the processor."""
        asked = self.task.inputs if self.drawn is None else (*self.task.inputs, *self.task.targets)  # targets change with their images
        columns = [name for name in self.task.columns(asked) if name in self.rows.names]
        processor = getattr(self.processor, "to_dict", dict)()
        said = json.dumps([self.task.as_json(), processor, self.drawn], sort_keys=True, default=str)
        return f"{self.rows.digest(columns)}|{said}".encode()

    def _draw(self, position: int) -> Draw:
        """Random numbers that depend on seed, epoch and the row's content alone."""
        assert self.drawn is not None
        row, part = self._place(position)
        return np.random.default_rng(np.random.SeedSequence([*self.drawn, int(self.rows.row_ids[row]), *([part] if part else [])]))

    @property
    def _count(self) -> int:
        return len(self.rows) if self.row_N is None else len(self.row_N)

    def _place(self, position: int) -> tuple[int, int]:
        """The row of an example, and its number within the row."""
        if self.row_N is None:
            return position, 0
        row = int(self.row_N[position])
        return row, position - int(np.searchsorted(self.row_N, row))

    def _rows(self, positions: Sequence[int]) -> list[Any]:
        places = [self._place(position) for position in positions]
        rows = self.rows.rows([row for row, _ in places])
        return rows if self.row_N is None else [row | {PART: part} for row, (_, part) in zip(rows, places)]

    def _encoded(self, positions: Sequence[int], draws: Sequence[Draw] | None) -> list[Example]:
        import torch

        rows = self._rows(positions)
        workers = min(torch.get_num_threads(), len(rows))
        if workers < 2 or (self.task.modality == "text" and not self.task.sees):  # tokenisers have threads of their own
            return self.task.encode(rows, self.processor, draws=draws)
        one = lambda i: self.task.encode([rows[i]], self.processor, draws=draws and [draws[i]])[0]  # noqa: E731
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(one, range(len(rows))))


@final
@dataclass(frozen=True)
class Encoded:
    """Encoded rows, packed: N rows cost a few arrays, not N dictionaries."""

    arrays: Mapping[str, Ragged | np.ndarray]
    lengths_N: np.ndarray
    """Tokens of each example (1 where it has no tokens): what batches are bucketed by."""
    row_N: np.ndarray
    """The row that each example is of: 0, 1, 2... unless long rows were cut into windows."""
    later: Later | None = None
    """Where the inputs come from, where they are too large to be held."""
    views: tuple[Encoded, ...] = ()
    """The rows as one epoch after the other sees them, again from the first after the last: activations that were kept."""

    def __len__(self) -> int:
        return len(self.lengths_N)

    def examples(self, positions: Iterable[int]) -> list[Example]:
        """These rows, as `Task.collate` takes them."""
        chosen = [int(position) for position in positions]
        held = [{name: array[row] for name, array in self.arrays.items()} for row in chosen]
        if self.later is None or self._held_suffices:
            return held
        return [a | b for a, b in zip(held, self.later.examples(chosen), strict=True)]

    def at(self, seed: int, epoch: int) -> Encoded:
        """The rows as this epoch sees them: the same, unless they are encoded late by a task that augments. `epoch`: in the stage, and
        1000 for each stage before it."""
        if self.views:
            return self.views[epoch % 1000 % len(self.views)]
        if self.later is None or not self.later.task.augments:
            return self
        return replace(self, later=replace(self.later, drawn=(seed, epoch)))

    @property
    def augmented(self) -> bool:
        """Whether rows look otherwise in each epoch."""
        return self.later is not None and self.later.task.augments

    @property
    def _held_suffices(self) -> bool:
        """Whether the rows are held as they are asked for: texts, while none is changed."""
        return self.later is not None and self.later.drawn is None and "input_ids" in self.arrays

    def changing(self, task: Task, processor: Any, rows: Table) -> Encoded:
        """The same training rows; where the task changes texts in each epoch, with the rows to encode them anew from."""
        if self.later is not None or not task.augments:
            return self
        several = len(self) > len(rows)
        return replace(self, later=Later(task, processor, rows, row_N=self.row_N if several else None))

    def cached(self, **arrays: Ragged | np.ndarray) -> Encoded:
        """The same rows with activations that stand for their inputs."""
        return replace(self.with_arrays(**arrays), later=None)

    def take(self, positions: np.ndarray) -> Encoded:
        """The examples at these positions, in that order."""
        assert self.later is None, "rows that are encoded late are taken from their table"
        arrays = {name: array.take(positions) if isinstance(array, Ragged) else array[positions] for name, array in self.arrays.items()}
        return Encoded(arrays, self.lengths_N[positions], self.row_N[positions])

    def with_arrays(self, **arrays: Ragged | np.ndarray) -> Encoded:
        """The same rows with more (or replaced) arrays."""
        return replace(self, arrays={**self.arrays, **arrays})

    def with_rows(self, **rows: Sequence[np.ndarray]) -> Encoded:
        """The same rows with more (or replaced) arrays of unlike length; their tokens say how long they are."""
        made = {name: Ragged.of(values) for name, values in rows.items()}
        return replace(self.with_arrays(**made), lengths_N=_lengths({**self.arrays, **made}, len(self)))

    def without(self, *names: str) -> Encoded:
        """The same rows without these arrays."""
        return replace(self, arrays={k: v for k, v in self.arrays.items() if k not in names})


def encode(task: Task, processor: Any, rows: Table, draws: Sequence[Draw] | None = None) -> Encoded:
    """All rows, encoded in chunks and packed; where the task says what is `light` of them, the rest is left for later."""
    light = task.light(rows)
    if light is not None:
        row_N = np.arange(len(rows)) if light.row_N is None else light.row_N
        return Encoded(light.arrays, light.lengths_N, row_N, Later(task, processor, rows, row_N=light.row_N))
    pieces, sizes, row_N = defaultdict[str, Growing](Growing), defaultdict[str, Growing](Growing), Growing()
    for start in range(0, len(rows), CHUNK):
        stop = min(start + CHUNK, len(rows))
        chunk = rows.rows(range(start, stop))
        examples = task.encode(chunk, processor, draws=draws and draws[start:stop])
        row_N.add(np.array([start + example.pop("row", at) for at, example in enumerate(examples)], np.int64))
        _pack(examples, pieces, sizes)
        rest()
    if not len(rows):
        return Encoded({}, np.zeros(0, np.int64), np.zeros(0, np.int64))
    arrays = {name: _join(pieces[name].finish(), sizes[name].finish()) for name in pieces}
    row = row_N.finish()
    return Encoded(arrays, _lengths(arrays, len(row)), row)


def order_by_length(lengths_N: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
    """Positions, longest first (so that memory runs out at once or never), ties in the given order."""
    chosen = np.arange(len(lengths_N)) if positions is None else positions
    return chosen[np.argsort(-lengths_N[chosen], kind="stable")]


def cut_by_tokens(positions: np.ndarray, lengths_N: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Parts of at most `budget` tokens, padding to the part's longest included; a longer row stands alone."""
    start, longest = 0, 0
    for stop, position in enumerate(positions):
        wider = max(longest, int(lengths_N[position]))
        if stop > start and wider * (stop + 1 - start) > budget:
            yield positions[start:stop]
            start, wider = stop, int(lengths_N[position])
        longest = wider
    if start < len(positions):
        yield positions[start:]


def passes(encoded: Encoded, budget: int, trimmed_every: int = TRIMMED_EVERY) -> Iterator[np.ndarray]:
    """The rows in passes of at most `budget` tokens, each read once. Every so many of them, and after many, memory that lies free is given
    back."""
    number = 0
    for number, positions in enumerate(cut_by_tokens(order_by_length(encoded.lengths_N), encoded.lengths_N, budget), 1):
        yield positions
        if number % trimmed_every == 0:
            trim()
    if number > trimmed_every:
        trim()


def reading(autocast: Any = None) -> Callable[[], AbstractContextManager[Any]]:
    """Makes the context of a pass that only reads; with `autocast`, weights are cast once for all passes: none may change meanwhile."""
    import torch

    if autocast is None or isinstance(autocast, nullcontext):
        return torch.inference_mode
    from .models.quick import Casts, Quick

    casts = Casts(reading=True)

    @contextmanager
    def within() -> Iterator[None]:
        with torch.inference_mode(), autocast, Quick(casts, learning=False):
            yield

    return within


def read_tokens(encoded: Encoded, most: int, device: Any, usual: int | None = None) -> int:
    """Tokens of one pass of these rows where nothing has to be kept for a way back: at most `most`, and `usual` of texts a thread."""
    import torch

    if device.type != "cpu" or "input_ids" not in encoded.arrays:
        return most
    return min(most, (usual or READ_TOKENS) * torch.get_num_threads())


def written_tokens(task: Task, encoded: Encoded) -> int:
    """Tokens of one pass of these rows where answers to them are written, within those of a large pass; 0 where none is."""
    if getattr(task, "purpose", "training") == "training" or not task.writes or not len(encoded):
        return 0
    return min(MICRO_TOKENS, WRITTEN_ROWS * int(encoded.lengths_N.max()))


def collate(task: Task, encoded: Encoded, positions: Iterable[int], pad: int, device: Any = None) -> Batch:
    """One batch of these rows, on the device."""
    batch = on_device(task.collate(encoded.examples(positions), pad), device)
    for array in encoded.arrays.values():
        let_go(array.values if isinstance(array, Ragged) else array)
    return batch


def on_device(batch: Batch, device: Any = None) -> Batch:
    """The batch where the model is."""
    if getattr(device, "type", "cpu") == "cuda":  # copies go on beside the GPU's work from pinned memory only
        return {k: v.pin_memory().to(device, non_blocking=True) for k, v in batch.items()}
    return batch if device is None else {k: v.to(device) for k, v in batch.items()}


def infer(
    task: Task, model: nn.Module, encoded: Encoded, *, pad: int, micro_tokens: int = MICRO_TOKENS, autocast: Any = None, alone: bool = False
) -> Outputs:
    """Raw outputs of all rows, in the rows' order, whatever order they were computed in."""
    found = filled(len(encoded), infer_parts(task, model, encoded, pad=pad, micro_tokens=micro_tokens, autocast=autocast, alone=alone))
    return task.gather(found, encoded) if len(encoded) else found


def infer_parts(
    task: Task, model: nn.Module, encoded: Encoded, *, pad: int, micro_tokens: int = MICRO_TOKENS, autocast: Any = None, alone: bool = False
) -> Iterator[tuple[np.ndarray, Outputs]]:
    """The same in parts, as they are computed, example by example: (positions, outputs of those). `alone`: nothing was trained before."""
    encoded = task.before(encoded)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        budget = max(read_tokens(encoded, micro_tokens, device, READ_ALONE if alone else READ_TOKENS), written_tokens(task, encoded))
        within = reading(autocast)
        for positions in passes(encoded, budget, TRIMMED_EVERY * (1 + alone)):
            with within():
                batch = collate(task, encoded, positions, pad, device)
                outputs = task.outputs(model, batch)
            yield positions, {name: _to_numpy(value) for name, value in outputs.items()}
    finally:
        model.train(was_training)


def pad_id(processor: Any) -> int:
    """The id that fills short rows: the processor's own, else 0 (the attention mask hides it)."""
    found = getattr(processor, "pad_token_id", None)
    return 0 if found is None else int(found)


def objects(values: Sequence[Any]) -> np.ndarray:
    """(N,) array of dtype object that holds these values as they are."""
    found = np.empty(len(values), object)
    for at, value in enumerate(values):
        found[at] = value
    return found


def _to_numpy(value: Any) -> np.ndarray:
    if isinstance(value, list):
        return objects([one if isinstance(one, str) else _to_numpy(one) for one in value])
    array: np.ndarray = (value.float() if value.is_floating_point() else value).cpu().numpy()
    return array


def _pack(examples: Sequence[Example], pieces: dict[str, Growing], sizes: dict[str, Growing]) -> None:
    if not examples:
        return
    for name, first in examples[0].items():
        values = [example[name] for example in examples]
        ragged = np.ndim(first) > 0 and not name.startswith("target")
        pieces[name].add(np.concatenate(_compact(values)) if ragged else np.asarray(values))
        sizes[name].add(np.array([len(v) for v in values]) if ragged else np.zeros(0, np.int64))


def _compact(values: Sequence[Any]) -> list[np.ndarray]:
    arrays = [np.asarray(v) for v in values]
    return [a.astype(np.int32) if a.dtype == np.int64 else a for a in arrays]


def _join(values: np.ndarray, lengths: np.ndarray) -> Ragged | np.ndarray:
    if not len(lengths):
        return values
    return Ragged(values, np.concatenate([[0], np.cumsum(lengths)]))


def _lengths(arrays: Mapping[str, Ragged | np.ndarray], rows: int) -> np.ndarray:
    tokens = arrays.get("input_ids") or next((a for a in arrays.values() if isinstance(a, Ragged)), None)
    return np.diff(tokens.starts) if isinstance(tokens, Ragged) else np.ones(rows, np.int64)
