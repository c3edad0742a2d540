"""Maps of every family on one grid; what is saved answers alike."""

from __future__ import annotations

import pytest
import torch

from tests.tiny_images import SIDE, make
from tunesmith.models.maps import saved_frame
from tunesmith.models.save import load_model, save
from tunesmith.models.segment import Segmenter
from tunesmith.models.source import find, load, processor


@pytest.mark.parametrize("family", ["vit", "dinov2", "dinov3", "convnext", "swin", "resnet", "efficientnet", "siglip-both"])
def test_places_of_every_family_are_where_they_are(tmp_path, family):
    source = find(str(make(tmp_path / "model", family)), "image")
    model = Segmenter(load(source), 3, (SIDE, SIDE), (4, 4), 0.0).eval()
    assert model.whole_only == (family in ("convnext", "swin", "resnet", "efficientnet"))
    generator = torch.Generator().manual_seed(0)
    plain = torch.randn(2, 3, SIDE, SIDE, generator=generator)
    other = plain.clone()
    other[:, :, :8, :8] = -other[:, :, :8, :8] + 2
    with torch.no_grad():
        one, two = (model.features({"pixel_values": each}) for each in (plain, other))
        assert one.shape == (2, 16, model.head.in_features) and model({"pixel_values": plain}).shape == (2, 16, 3)
    moved_T = (one - two).abs().mean((0, 2))
    assert moved_T.argmax() == 0 and torch.isfinite(one).all()


def test_a_saved_segmenter_answers_alike_and_a_strange_frame_is_refused(tmp_path, tiny_vit):
    source = find(str(tiny_vit), "image")
    model = Segmenter(load(source), 2, (SIDE, SIDE), (4, 4), 0.0).eval()
    torch.nn.init.normal_(model.decoder.last.weight)
    save(model, processor(source), tmp_path / "saved")
    batch = {"pixel_values": torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))}
    with torch.no_grad():
        assert torch.equal(model(batch), load_model(tmp_path / "saved")(batch))
    assert saved_frame([32, 32, 4, 4]) and not any(map(saved_frame, (None, [1, 2, 3], [32, 32, 4, 10**9], [32, 32, 4, True], [0, 1, 1, 1])))
