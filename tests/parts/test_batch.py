"""Collating pads on the right, and nothing else."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.parts import batch


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6), pad=st.integers(0, 5))
def test_rows_come_back(sizes: list[int], pad: int) -> None:
    examples = [{"input_ids": np.arange(10, 10 + n, dtype=np.int32), "target": n, "row_weight": 0.5} for n in sizes]
    found = batch.collate(examples, batch.text_pads(pad))
    assert found["input_ids"].shape == (len(sizes), max(sizes)) and found["input_ids"].dtype == torch.int64
    for ids_T, mask_T, n in zip(found["input_ids"], found["attention_mask"], sizes):
        assert ids_T[:n].tolist() == list(range(10, 10 + n)) and (ids_T[n:] == pad).all()
        assert mask_T.tolist() == [1] * n + [0] * (max(sizes) - n)
    assert found["target"].tolist() == sizes and found["target"].dtype == torch.int64
    assert found["row_weight"].dtype == torch.float32


def test_cached_activations_keep_their_type() -> None:
    examples = [{"hidden_TD": np.full((n, 4), n, np.float16), "pooled_D": np.arange(4, dtype=np.float32)} for n in (2, 3)]
    found = batch.collate(examples, batch.text_pads(0))
    assert set(found) == {"hidden_BTD", "pooled_BD", "attention_mask"}
    assert found["hidden_BTD"].shape == (2, 3, 4) and found["hidden_BTD"].dtype == torch.float16
    assert found["hidden_BTD"][0, 2].abs().sum() == 0 and found["pooled_BD"].shape == (2, 4)


def test_vectors_and_flags_are_stacked() -> None:
    examples = [{"input_ids": np.array([1]), "target": np.array([0.5, np.nan])} for _ in range(3)]
    found = batch.collate(examples, batch.text_pads(0))
    assert found["target"].shape == (3, 2) and found["target"].isnan()[:, 1].all()


def test_given_masks_and_segments_are_padded() -> None:
    examples = [
        {"input_ids": np.array([5, 6]), "attention_mask": np.array([0, 1]), "token_type_ids": np.array([0, 1], np.uint8)},
        {"input_ids": np.array([5, 6, 7]), "attention_mask": np.array([1, 1, 1]), "token_type_ids": np.array([0, 1, 1], np.uint8)},
    ]
    found = batch.collate(examples, batch.text_pads(9))
    assert found["attention_mask"].tolist() == [[0, 1, 0], [1, 1, 1]]
    assert found["token_type_ids"].tolist() == [[0, 1, 0], [0, 1, 1]] and found["token_type_ids"].dtype == torch.int64
