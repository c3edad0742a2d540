"""The dense head: what it aims at, decoded, is the truth; one batch is learned by heart (the guard against a mAP of 0)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tiny_images import SIDE, make
from tunesmith.models import detect
from tunesmith.models.detect import Detector
from tunesmith.models.save import load_model, save
from tunesmith.models.source import find, load, processor
from tunesmith.parts import detections, scenes

FRAME = [64, 96, 8, 12]
TARGET = torch.tensor([[[0, 5, 5, 40, 30], [1, 50, 10, 90, 60], [1, 2, 40, 9, 50.0]], [[-1, 0, 0, 0, 0]] * 3])


def perfect(target_BM5: torch.Tensor, frame: list[int], classes: int) -> torch.Tensor:
    """What a head would say that has learned all of these boxes."""
    heat_BCT, weight_BMT, _ = detect.aims(target_BM5, classes, frame)
    place_T2, unit = detect.middles(frame, target_BM5), max(frame[:2]) / 4
    raw = torch.full((len(target_BM5), heat_BCT.shape[2], classes + 4), -8.0)
    raw[..., :-4] = torch.logit(heat_BCT.clamp(1e-4, 0.99)).transpose(1, 2)
    owner = weight_BMT.max(1)
    for b, t in zip(*torch.nonzero(owner.values > 0, as_tuple=True)):
        corners = target_BM5[b, owner.indices[b, t], 1:]
        away = torch.cat([place_T2[t] - corners[:2], corners[2:] - place_T2[t]]) / unit
        raw[b, t, -4:] = away.clamp(min=1e-3).log()
    return raw


def test_what_is_aimed_at_is_what_is_found():
    found_BK6 = detect.found(perfect(TARGET, FRAME, 2), FRAME)
    truth = [{"boxes": t[t[:, 0] >= 0, 1:].tolist(), "classes": t[t[:, 0] >= 0, 0].int().tolist(), "crowds": [False] * 3} for t in TARGET]
    told = np.stack([scenes.told(f.numpy(), scenes.Frame(64, 96, True), (64, 96), dense=True) for f in found_BK6])
    told[..., 1] *= told[..., 1] > 0.5
    assert detections.score(detections.condense({"detections": told}, truth, 2))["map"] > 0.99
    assert detect.loss(perfect(TARGET, FRAME, 2), TARGET, FRAME) < 0.2


def test_weights_of_a_box_add_up_and_a_place_is_one_boxs():
    heat, weight, there = detect.aims(TARGET, 2, FRAME)
    assert there.tolist() == [[True] * 3, [False] * 3]
    assert torch.allclose(weight.sum(-1), there.float()) and ((weight > 0).sum(1) <= 1).all()
    assert (heat == 1).sum() == 3 and not heat[1].any()


def test_generalised_overlap_by_hand():
    one = torch.tensor([0.0, 0, 2, 2])
    others = torch.tensor([[0.0, 0, 2, 2], [1, 0, 3, 2], [4, 0, 6, 2]])
    assert detect.generalised(one, others).tolist() == pytest.approx([1.0, 1 / 3, -1 / 3])


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_one_batch_is_learned_by_heart(tmp_path, family):
    """The classic fault is a mAP of 0 that no loss tells of: boxes in another form, classes off by one, answers in another frame."""
    source = find(str(make(tmp_path / "m", family)), "image")
    model = Detector(load(source), 2, (SIDE, SIDE), (4, 4), 0.0)
    generator = torch.Generator().manual_seed(0)
    batch = {"pixel_values": torch.randn(3, 3, SIDE, SIDE, generator=generator)}
    target = torch.tensor([[[0, 2, 2, 15, 20], [1, 17, 10, 31, 31]], [[1, 4, 4, 28, 28], [-1] * 5], [[-1] * 5, [-1] * 5]]).float()
    with torch.no_grad():
        maps = {"features_BTD": model.features(batch)}
    optimizer = torch.optim.Adam([*model.tower.parameters(), *model.head.parameters()], 3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        loss = detect.loss(model(maps), target, model.frame)
        loss.backward()
        optimizer.step()
    found = detect.found(model.eval()(batch), model.frame).detach().numpy()
    told = np.stack([scenes.told(one, scenes.Frame(SIDE, SIDE), (SIDE, SIDE), dense=True) for one in found])
    truth = [{"boxes": t[t[:, 0] >= 0, 1:].tolist(), "classes": t[t[:, 0] >= 0, 0].int().tolist(), "crowds": [False] * 2} for t in target]
    assert detections.score(detections.condense({"detections": told}, truth, 2))["map"] > 0.8


def test_a_saved_detector_answers_alike_with_and_without_its_task(tmp_path):
    source = find(str(make(tmp_path / "m", "resnet")), "image")
    model = Detector(load(source), 3, (64, 96), (8, 12), 0.0).eval()
    save(model, processor(source), tmp_path / "saved")
    batch = {"pixel_values": torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))}
    with torch.no_grad():
        assert torch.equal(model(batch), load_model(tmp_path / "saved")(batch)) and model(batch).shape == (1, 96, 7)
