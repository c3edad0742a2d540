"""Detectors of every family: other classes without losing what is known, the library's loss, which adds up, folders that load plainly."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

from tests.tiny_detectors import FAMILIES, LABELS, SIDE, make
from tunesmith.models.outline import outline
from tunesmith.models.save import load_model, save
from tunesmith.models.setwise import SetDetector, kind_of
from tunesmith.models.source import find, load, processor
from tunesmith.registry import STRATEGIES

BATCH = {
    "pixel_values": torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)),
    "pixel_mask": torch.ones(2, SIDE, SIDE, dtype=torch.int64),
    "target": torch.tensor([[[0, 5, 5, 30, 40.0], [1, 20, 20, 60, 60]], [[1, 3, 3, 50, 50], [-1, 0, 0, 0, 0]]]),
}


@pytest.fixture(scope="module", params=list(FAMILIES))
def folder(request, tmp_path_factory):
    return make(tmp_path_factory.mktemp("detector") / "m", request.param)


@pytest.fixture(scope="module", params=["detr", "rt_detr", "yolos"])
def one_of_three(request, tmp_path_factory):
    """One family of each kind of loss."""
    return make(tmp_path_factory.mktemp("detector") / "m", request.param)


def detector(folder, labels=("red", "blue")) -> SetDetector:
    source = find(str(folder), "image")
    assert kind_of(source) == source.model_type
    return SetDetector(load(source, form="detector"), labels).eval()


def test_other_classes_keep_what_is_known_and_load_plainly(folder, tmp_path):
    before, model = detector(folder, LABELS), detector(folder)
    assert before.fresh == () and model.fresh and model.whole.config.id2label == {0: "red", 1: "blue"}
    old, new = (dict(m.whole.named_parameters()) for m in (before, model))
    assert set(model.fresh) >= {name for name in old if old[name].shape != new[name].shape}
    for name in model.fresh:
        if name in new and new[name].dim() == 2:
            assert torch.equal(new[name][0], old[name][1]), "the class that it knows by name"
            assert torch.equal(new[name][2:], old[name][3:]), "what stands behind the classes"
    rest = outline(model)
    assert {n.removeprefix("backbone.") for n in rest.head} == {name for name in model.fresh if name in new}
    save(model, processor(model.source), tmp_path / "saved")
    with torch.no_grad():
        wanted = model(BATCH)
        again = load_model(tmp_path / "saved")(BATCH)
        plain = hf.AutoModelForObjectDetection.from_pretrained(tmp_path / "saved").eval()
        asked = {name: BATCH[name] for name in ("pixel_values", "pixel_mask")[: 1 if "Yolos" in type(plain).__name__ else 2]}
        for other in (again, plain(**asked)):
            assert torch.equal(wanted.logits, other.logits) and torch.equal(wanted.pred_boxes, other.pred_boxes)
    assert plain.config.id2label == {0: "red", 1: "blue"}


def test_the_loss_adds_up_and_learns_one_batch(one_of_three):
    model = detector(one_of_three)
    rows = [{name: value[row : row + 1] for name, value in BATCH.items()} for row in range(2)]
    with torch.no_grad():
        assert float(model.loss(BATCH)) == pytest.approx(sum(float(model.loss(row)) for row in rows), rel=1e-5)
    optimizer, first = torch.optim.Adam(model.parameters(), 1e-3), float(model.loss(BATCH).detach())
    for _ in range(6):
        optimizer.zero_grad()
        loss = model.loss(BATCH)
        loss.backward()
        optimizer.step()
    assert float(model.loss(BATCH).detach()) < first


def test_boxes_that_are_no_numbers_are_a_loss_that_is_none(one_of_three):
    """The loop tells of training that diverged; the library's own error would be taken for a fault of Tunesmith."""
    model = detector(one_of_three)
    with torch.no_grad():
        next(weight for name, weight in model.named_parameters() if "bbox" in name and weight.dim() == 1).fill_(torch.nan)
    loss = model.loss(BATCH)
    loss.backward()
    assert loss.isnan()


def test_the_loss_of_one_image_is_the_librarys(one_of_three):
    model = detector(one_of_three)
    row = {name: value[:1] for name, value in BATCH.items()}
    label = {"class_labels": torch.tensor([0, 1]), "boxes": torch.tensor([[17.5, 22.5, 25, 35], [40, 40, 40, 40]]) / SIDE}
    asked = {name: row[name] for name in ("pixel_values", "pixel_mask")[: 1 if model.source.model_type == "yolos" else 2]}
    with torch.no_grad():
        assert float(model.loss(row)) == pytest.approx(2 * float(model.whole(**asked, labels=[label]).loss), rel=1e-6)


def test_answers_are_corners_in_the_frame(one_of_three):
    model = detector(one_of_three)
    with torch.no_grad():
        found_BK6, answer = model.found(BATCH), model(BATCH)
    best = answer.logits.softmax(-1)[..., :-1] if answer.logits.shape[-1] == 3 else answer.logits.sigmoid()
    query, kind = divmod(int(best[1].flatten().argmax()), 2)
    middle = answer.pred_boxes[1, query] * SIDE
    wanted = [kind, float(best[1].max()), *(middle[:2] - middle[2:] / 2), *(middle[:2] + middle[2:] / 2)]
    assert found_BK6[1, 0].tolist() == pytest.approx([float(value) for value in wanted], rel=1e-4)


def test_adapters_stand_within_a_detector(one_of_three):
    model = detector(one_of_three)
    with torch.no_grad():
        before = model(BATCH).logits
    STRATEGIES.load("lora")().shape(model, 0)
    with torch.no_grad():
        assert torch.allclose(model.eval()(BATCH).logits, before, atol=1e-5)
    model.loss(BATCH).backward()
    assert any("lora_B" in name and weight.grad is not None and weight.grad.any() for name, weight in model.named_parameters())
