"""Rows to outputs: windows come back together, rows of unlike shape stay as they are, order does not matter."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tunesmith import inference
from tunesmith.data import arrays
from tunesmith.data.table import Table
from tunesmith.inference import (
    CHUNK,
    MICRO_TOKENS,
    Encoded,
    Ragged,
    encode,
    infer,
    infer_parts,
    objects,
    read_tokens,
    written_tokens,
)
from tunesmith.registry import TASKS

WINDOW = 4


class Windowed:
    """Numbers in a row, read four at a time; the answer of a row is each number plus one, and how many there are as a word."""

    def encode(self, rows: Any, processor: Any, *, draws: Any = None) -> list[dict[str, Any]]:
        parts = []
        for at, row in enumerate(rows):
            numbers = json.loads(row["numbers"])
            for start in range(0, max(len(numbers), 1), WINDOW):
                parts.append({"row": at, "input_ids": np.array(numbers[start : start + WINDOW], np.int64)})
        return parts

    def collate(self, examples: Any, pad: int) -> dict[str, torch.Tensor]:
        sizes = [len(e["input_ids"]) for e in examples]
        padded = np.full((len(sizes), max(sizes)), pad)
        for at, example in enumerate(examples):
            padded[at, : sizes[at]] = example["input_ids"]
        return {"input_ids": torch.from_numpy(padded), "sizes": torch.tensor(sizes)}

    def outputs(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, Any]:
        rows = [ids[:size] + 1 for ids, size in zip(batch["input_ids"], batch["sizes"].tolist(), strict=True)]
        return {"numbers": rows, "words": [str(len(row)) for row in rows]}

    def light(self, rows: Any) -> None:
        return None

    def before(self, encoded: Encoded) -> Encoded:
        return encoded

    def gather(self, outputs: dict[str, np.ndarray], encoded: Encoded) -> dict[str, np.ndarray]:
        of = [np.flatnonzero(encoded.row_N == row) for row in range(encoded.row_N.max() + 1)]
        return {
            "numbers": objects([np.concatenate(outputs["numbers"][at].tolist()) for at in of]),
            "words": objects(["+".join(outputs["words"][at]) for at in of]),
        }


def answered(rows: list[list[int]], micro_tokens: int) -> dict[str, np.ndarray]:
    table = Table.of([{"numbers": json.dumps(row)} for row in rows])
    encoded = encode(Windowed(), None, table)  # type: ignore[arg-type]
    return infer(Windowed(), nn.Linear(1, 1), encoded, pad=-1, micro_tokens=micro_tokens)  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 99), max_size=11), min_size=1, max_size=9), st.integers(1, 40))
def test_windows_of_a_row_come_back_together_in_order(rows: list[list[int]], micro_tokens: int) -> None:
    found = answered(rows, micro_tokens)
    assert [value.tolist() for value in found["numbers"]] == [[n + 1 for n in row] for row in rows]
    assert [sum(map(int, word.split("+"))) for word in found["words"]] == [len(row) for row in rows]


def test_rows_are_counted_on_from_chunk_to_chunk() -> None:
    rows = [[n % 7] * (n % 9) for n in range(CHUNK + 3)]
    assert [len(value) for value in answered(rows, 512)["numbers"]] == [len(row) for row in rows]


def test_a_processor_reads_texts_in_passes_that_its_cache_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "READ_TOKENS", 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    lengths_N = np.array([3, 4, 2, 9, 30, 1] * 7)
    rows = Encoded({"input_ids": Ragged.of([np.zeros(n, np.int32) for n in lengths_N])}, lengths_N, np.arange(42))
    asked = {most: [len(at) * rows.lengths_N[at].max() for at, _ in _parts(rows, most)] for most in (10, 4096)}
    assert all(tokens <= 24 or tokens == 30 for tokens in asked[4096]), "24 tokens; a longer row stands alone"
    assert max(asked[10]) == 30 and sum(tokens > 10 for tokens in asked[10]) == 7, "what was asked is never exceeded"
    monkeypatch.setattr(inference, "READ_ALONE", 12)
    alone = infer_parts(Windowed(), nn.Linear(1, 1), rows, pad=-1, alone=True)  # type: ignore[arg-type]
    assert max(len(at) * rows.lengths_N[at].max() for at, _ in alone) == 36, "more where nothing was trained before"
    others = Encoded({"pixel_values": np.zeros((2, 1))}, np.array([9, 9]), np.arange(2))
    assert read_tokens(others, 4096, torch.device("cpu")) == 4096 == read_tokens(rows, 4096, torch.device("cuda"))


def test_answers_to_some_rows_are_written_together() -> None:
    """Each token that is written reads all weights: long questions are not answered one by one, short ones not fewer at a time."""
    lengths_N = np.array([300] * 20)
    rows = Encoded({"input_ids": Ragged.of([np.zeros(n, np.int32) for n in lengths_N])}, lengths_N, np.arange(20))
    task = TASKS.load("text-generation")()
    assert [written_tokens(task.set_for(purpose), rows) for purpose in ("training", "judging", "answering")] == [0, 2400, 2400]
    assert written_tokens(TASKS.load("text-classification")(), rows) == 0
    long = Encoded(rows.arrays, lengths_N * 10, np.arange(20))
    assert written_tokens(task.set_for("answering"), long) == MICRO_TOKENS


def _parts(rows: Encoded, most: int) -> list[Any]:
    return list(infer_parts(Windowed(), nn.Linear(1, 1), rows, pad=-1, micro_tokens=most))  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(), st.lists(st.floats(-9, 9, width=32), max_size=4), st.lists(st.text(), max_size=3)), min_size=1))
def test_rows_of_unlike_shape_survive_arrow_and_json(values: list[Any]) -> None:
    kept = objects([np.array(v, np.float32) if isinstance(v, list) and all(isinstance(x, float) for x in v) else v for v in values])
    column = arrays.to_arrow(kept, np.float32)
    for back in (arrays.from_arrow(column, np.float32), [arrays.parsed(v) for v in json.loads(json.dumps(arrays.as_json(kept)))]):
        assert len(back) == len(kept)
        for a, b in zip(kept, back, strict=True):
            assert np.array_equal(a, b) and type(a) is type(b)


def test_rows_of_like_shape_are_lists_of_numbers() -> None:
    values = np.arange(6, dtype=np.float64).reshape(3, 2)
    column = arrays.to_arrow(values, np.float32)
    assert column.type == pa.list_(pa.float32())
    assert np.array_equal(arrays.from_arrow(column, np.float32), values)


@pytest.mark.parametrize("there", ["other", [1.0, 2.5], [1.0], [[1.0, 2.0]]])
def test_the_gate_sees_a_difference_in_rows_of_any_shape(there: Any) -> None:
    from tunesmith.finish import TOLERANCE
    from tunesmith.fresh import difference

    task: Any = SimpleNamespace(aligned=lambda name, here, there: there)
    assert difference(task, {"tags": np.array([[1.0, 2.0]])}, {"tags": [[1.0, 2.0]]}, 1)[0] == 0
    assert difference(task, {"text": np.array(["a"], object)}, {"text": ["a"]}, 1)[0] == 0
    share, where = difference(task, {"tags": np.array([[1.0, 2.0]])}, {"tags": [there]}, 1)
    assert share > TOLERANCE and "tags" in where
