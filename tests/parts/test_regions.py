"""The frame loses no image, counts are scikit-learn's, the loss is a sum that ignores what is not labelled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from tunesmith.parts import framed, masks, regions

FRAME = regions.Frame(64, 64)


@pytest.mark.parametrize("size", [(64, 64), (32, 128), (200, 100), (1, 7), (37, 1000)])
def test_any_size_goes_into_the_frame_and_back(size):
    inside = FRAME.fitted(size)
    assert max(inside) == 64 and min(inside) >= 1
    halves_HW = np.zeros(size, np.uint8)
    halves_HW[:, size[1] // 2 :] = 1
    sampled = FRAME.sampled(halves_HW, 1)
    assert (sampled == masks.VOID).sum() >= sampled.size - -(-inside[0] // 8) * -(-inside[1] // 8)
    logits_CGG = np.stack([sampled == 0, sampled == 1]).astype(np.float32)
    if min(inside) < 8:
        return
    found_HW = FRAME.classes(logits_CGG, size)
    assert found_HW.shape == size and (found_HW == halves_HW).mean() > 0.93


def test_bands_change_nothing(monkeypatch):
    logits_CGG = np.random.default_rng(0).normal(size=(3, 8, 8))
    whole = FRAME.classes(logits_CGG, (50, 61))
    monkeypatch.setattr(regions, "BAND", 200)
    assert np.array_equal(whole, FRAME.classes(logits_CGG, (50, 61)))


def test_scores_are_scikit_learns():
    rng = np.random.default_rng(1)
    truth, answer = rng.integers(0, 4, (2, 3, 20, 20)).astype(np.uint8)
    truth[0, :5] = masks.VOID
    counts = np.stack([regions.count(a, t, 4) for a, t in zip(answer, truth)])
    kept = truth != masks.VOID
    found = regions.score(counts)
    assert found["miou"] == pytest.approx(jaccard_score(truth[kept], answer[kept], average="macro"))
    assert found["dice"] == pytest.approx(f1_score(truth[kept], answer[kept], average="macro"))
    assert found["pixel_accuracy"] == pytest.approx(accuracy_score(truth[kept], answer[kept]))
    assert list(found) == list(regions.DIRECTIONS)


def test_pixels_of_an_unknown_class_count_as_wrong():
    truth = np.array([[0, masks.UNKNOWN]], np.uint8)
    assert regions.score(regions.count(np.zeros((1, 2), np.uint8), truth, 2)[None])["pixel_accuracy"] == 0.5


@pytest.mark.parametrize("weights", [(), (1.0, 2.0, 0.5)])
def test_the_loss_is_a_sum_over_rows_and_ignores_what_is_not_labelled(weights):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 8, 8, generator=generator)
    target = torch.randint(0, 3, (4, 16, 16), generator=generator)
    target[:, 8:] = masks.VOID
    whole = regions.loss(logits, target, weights, 0.5)
    parts = regions.loss(logits[:1], target[:1], weights, 0.5) + regions.loss(logits[1:], target[1:], weights, 0.5)
    assert torch.allclose(whole, parts, rtol=1e-5)
    below = logits.clone()
    below[:, :, 6:] += 5 * torch.randn(4, 3, 2, 8, generator=generator)  # far from every labelled target
    assert torch.allclose(whole, regions.loss(below, target, weights, 0.5), rtol=1e-6)
    nothing = regions.loss(logits, torch.full_like(target, masks.VOID), weights, 0.5)
    assert float(nothing) == 0 and float(regions.target_weights(torch.full_like(target, masks.VOID), weights, 3).sum()) == 0


def test_the_prior_says_what_stands_where_most_often():
    target = np.zeros((5, 16, 16), np.uint8)
    target[:3, 8:] = 1
    chosen = regions.prior(target, 2).argmax(0)
    assert (chosen[:4] == 0).all() and (chosen[4:] == 1).all()


def test_image_and_mask_are_changed_alike():
    from PIL import Image

    rng = np.random.default_rng(3)
    class_HW = rng.integers(0, 3, (24, 40)).astype(np.uint8)
    image = Image.fromarray(np.repeat(class_HW[..., None] * 50, 3, 2))
    for seed in range(6):
        picture, mask_HW = framed.changed(image, class_HW, ("crop", "flip"), np.random.default_rng(seed))
        assert np.array_equal(np.asarray(picture)[..., 0] // 50, mask_HW)


def test_tags_are_an_even_part_of_the_cells():
    target = np.zeros((10, 32, 32), np.uint8)
    target[5:] = masks.VOID
    taken = framed.tags(target, 2, 256) >= 0
    assert not taken[5:].any() and 30 < taken[:5].sum() < 250
    assert (framed.tags(target, 2, 10**6)[:5] == 0).all()
