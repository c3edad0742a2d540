"""Kept views of changed images are the views that the epochs would see, targets included; epochs go round them; nothing stale is met."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith import api, testing
from tunesmith.inference import collate
from tunesmith.registry import TASKS
from tunesmith.training.loop import train
from tunesmith.training.stages import Work, with_cache
from tunesmith.training.state import State

AUGMENT: dict[str, dict[str, Any]] = {
    "image-classification": {"augment": ["crop", "flip", "mixup"]}, "image-segmentation": {"augment": ["crop", "flip", "colour"]},
    "object-detection": {"augment": ["scale", "crop", "flip"]},
}


def _plan(task: str, model: Path, folder: Path, **more: Any) -> Any:
    path = testing.write_rows(TASKS.load(task).sample(40, 0), folder / "rows.csv")
    settings = {
        "strategy": "head-only", "strategy_options": {"solve": False}, "train.epochs": 3.0, "train.threads": 1,
        "train.dropout": 0.0, "train.cache": "on", "data.near_duplicates": 0.0,
        **{f"options.{name}": value for name, value in AUGMENT[task].items()},
    }
    return api.plan(api.make_spec(str(path), task=task, model=str(model), runs=str(folder), **settings | more))


def _cached(made: Any) -> tuple[State, Work, Work, str]:
    state = State.start(made)
    state.enter_stage()
    plain = Work.of(state)
    cached, notes = with_cache(state, plain, float(made.plan.spec.train.epochs))
    return state, plain, cached, notes[0].why


@pytest.mark.parametrize("strategy", ["head-only", "last-k"])
@pytest.mark.parametrize("task", AUGMENT)
def test_a_kept_view_is_the_view_that_its_epoch_would_see(task: str, strategy: str, tiny_vit: Path, tmp_path: Path) -> None:
    options = {"strategy": strategy, "strategy_options": {"k": 1} if strategy == "last-k" else {"solve": False}}
    state, plain, cached, why = _cached(_plan(task, tiny_vit, tmp_path, **options, **{"train.views": 2}))
    assert cached.cached and "2 views" in why and len(cached.train.encoded.views) == 2
    state.model.eval()
    for epoch in (0, 1):
        batches = [collate(state.ready.task, work.train.encoded.at(0, epoch), range(9), 0) for work in (plain, cached)]
        found = [state.model(batch).detach().numpy() for batch in batches]
        np.testing.assert_allclose(found[0], found[1], atol=1e-6)
        assert all(np.array_equal(batches[0][name], batches[1][name]) for name in batches[0].keys() - {"pixel_values"})
    again, other = cached.train.encoded.at(0, 2), cached.train.encoded.at(0, 1)
    assert again is cached.train.encoded.at(0, 0) and again is not other


@pytest.mark.parametrize("task", AUGMENT)
def test_no_more_epochs_than_views_learn_the_same(task: str, tiny_vit: Path, tmp_path: Path) -> None:
    losses = []
    for setting in ("on", "off"):
        made = _plan(task, tiny_vit, tmp_path, **{"train.views": 3, "train.cache": setting})
        losses.append([event.loss for event in train(State.start(made), tmp_path / f"{setting}") if event.kind == "step"])
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)


def test_the_number_of_views_is_chosen_and_said(tiny_vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _plan("image-classification", tiny_vit, tmp_path, **{"train.cache": "auto", "train.epochs": 10.0})
    assert made.plan.spec.train.views == 4 and "computed once" in made.plan.why["train.views"]
    assert "4 views" in _cached(made)[3] and "no more than 4 views" in _cached(testing._with(made, epochs=3.0))[3]
    monkeypatch.setenv("TUNESMITH_CACHE_BYTES", "200000")
    assert 1 <= _plan("image-classification", tiny_vit, tmp_path, **{"train.epochs": 10.0}).plan.spec.train.views < 4
    still = _plan("image-classification", tiny_vit, tmp_path, **{"options.augment": "none"})
    assert still.plan.spec.train.views == 1 and "no image changes" in still.plan.why["train.views"]


def test_other_labels_of_the_same_images_are_not_answered_with_old_ones(tiny_vit: Path, tmp_path: Path) -> None:
    found = []
    for flip in (False, True):
        made = _plan("image-classification", tiny_vit, tmp_path, **{"train.views": 1})
        if flip:
            table = made.data.train
            names = made.task.labels
            other = table.with_column("label", [names[(names.index(label) + 1) % len(names)] for label in table.column("label")])
            made = dataclasses.replace(made, data=dataclasses.replace(made.data, train=other))
        found.append(_cached(made)[2].train.encoded.views[0].arrays["target"])
    assert not (found[0] == found[1]).any()
