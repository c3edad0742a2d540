"""What frozen layers give is computed in passes that a processor's cache holds, whatever the passes of training hold, and is the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.runs import make_ready
from tunesmith import inference
from tunesmith.training import cache
from tunesmith.training.stages import Work, frozen_cut
from tunesmith.training.state import State


def test_features_are_read_in_small_passes_and_do_not_depend_on_them(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State.start(make_ready(tmp_path, tiny_bert, strategy="head-only"))
    state.enter_stage()
    work, cut = Work.of(state), frozen_cut(state, state.current)
    assert cut is not None
    sizes = list[int]()

    def below(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        sizes.append(batch["input_ids"].numel())
        return cut.below(batch)

    counting, found = dataclasses.replace(cut, below=below), list[Any]()
    for tokens in (10**6, 64):
        monkeypatch.setattr(inference, "READ_TOKENS", tokens)
        sizes.clear()
        rows = cache.compute(state.ready.task, state.model, work.train.encoded, counting, cache.How(work.pad, 4096))
        found.append(rows.arrays["pooled_D"])
        read = int(work.train.encoded.lengths_N.sum())
        assert sum(sizes) >= read and (max(sizes) <= 64 if tokens == 64 else max(sizes) > 64)
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
