"""Decoders that came with the model: the same answers as transformers', new classes alone are new, losses that add up, plain folders."""

from __future__ import annotations

import json

import pytest
import torch
import transformers as hf
from torch.nn import functional

from tests.tiny_segmenters import NAMES, SIDE, make
from tunesmith import api, testing
from tunesmith.models.outline import outline
from tunesmith.models.save import load_model, save
from tunesmith.models.segmenters import Native, made_by
from tunesmith.models.source import SEGMENTERS, find, load, processor
from tunesmith.parts.regions import STRIDE
from tunesmith.registry import TASKS

OWN, GRID = list(NAMES.values()), (4, 4)
FAMILIES = list(SEGMENTERS)


def _native(folder, labels=OWN):
    return Native(load(find(str(folder), "image"), form="segments"), (SIDE, SIDE), GRID, 0.0, labels).eval()


def _pixels(rows=2):
    return torch.randn(rows, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    return make(tmp_path_factory.mktemp("segmenters") / request.param, request.param)


def test_answers_are_the_architecture_s_own(folder):
    source = find(str(folder), "image")
    plain = made_by(source.model_type).from_pretrained(folder).eval()
    model = _native(folder)
    assert source.segments and model.fresh == ()
    with torch.no_grad():
        found_BTC, wanted = model({"pixel_values": _pixels()}), plain(pixel_values=_pixels())
    if model.sets:
        small = processor(source).post_process_semantic_segmentation(wanted, target_sizes=[(SIDE, SIDE)] * 2)
        at_BHW = functional.interpolate(found_BTC.transpose(1, 2).unflatten(2, GRID), (SIDE, SIDE), mode="bilinear").argmax(1)
        assert (torch.stack(small) == at_BHW).float().mean() > 0.5
    else:
        wanted_BCGG = functional.adaptive_avg_pool2d(wanted.logits, GRID)
        torch.testing.assert_close(found_BTC, wanted_BCGG.flatten(2).transpose(1, 2))


def test_other_classes_make_only_their_layer_new(folder):
    plain, model = _native(folder), _native(folder, ["a", "b"])
    model.reset_head(0)
    old = plain.whole.state_dict()
    moved = {name for name, tensor in model.whole.state_dict().items() if tensor.shape != old[name].shape or not tensor.equal(old[name])}
    assert moved - {"criterion.empty_weight"} == set(model.fresh) and model.whole.config.id2label == {0: "a", 1: "b"}
    shape = outline(model)
    assert {name.removeprefix("backbone.") for name in shape.head} == set(model.fresh)
    assert model({"pixel_values": _pixels()}).shape == (2, 16, 2)


def test_a_saved_model_answers_alike_and_loads_plainly(folder, tmp_path):
    model = _native(folder, ["a", "b"])
    model.reset_head(3)
    save(model, processor(model.source), tmp_path / "saved")
    batch = {"pixel_values": _pixels()}
    plain = made_by(model.source.model_type).from_pretrained(tmp_path / "saved").eval()
    with torch.no_grad():
        assert torch.equal(model(batch), load_model(tmp_path / "saved")(batch))
        assert plain.config.id2label == {0: "a", 1: "b"} and plain(pixel_values=_pixels()) is not None
    if not model.sets:
        assert isinstance(hf.AutoModelForSemanticSegmentation.from_pretrained(tmp_path / "saved"), type(plain))


def test_an_auxiliary_head_learns_as_the_architecture_has_it(tmp_path):
    """With one cell a pixel and no Dice the loss is transformers' own, and its gradient reaches the head beside the decoder."""
    folder, task = make(tmp_path / "upernet", "upernet"), TASKS.load("image-segmentation")(dice_weight=0.0)
    task = task.settle(labels=tuple(OWN), sides=(SIDE * STRIDE, SIDE * STRIDE), native=True)
    model = Native(load(find(str(folder), "image"), form="segments"), (SIDE, SIDE), (SIDE, SIDE), 0.0, OWN)
    target = torch.randint(0, len(OWN), (2, SIDE, SIDE), generator=torch.Generator().manual_seed(1))
    ours = task.loss(model, {"pixel_values": _pixels(), "target": target})
    theirs = model.whole(pixel_values=_pixels(), labels=target).loss
    torch.testing.assert_close(ours / target.numel(), theirs)
    ours.backward()
    assert model.auxiliary == 0.4 and all(float(w.grad.abs().sum()) > 0 for w in model.whole.auxiliary_head.classifier.parameters())


def test_an_encoder_alone_has_no_decoder_to_keep(tmp_path):
    config = hf.SegformerConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2])
    hf.SegformerModel(config).save_pretrained(tmp_path / "encoder")
    (tmp_path / "encoder" / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "SegformerImageProcessor"}))
    assert not find(str(tmp_path / "encoder"), "image").segments


CHECKS = {
    "segformer": ["the saved model answers alike", "toy rows are learned"],
    "upernet": ["gradients are finite and only where told", "sums add up"],
    "mask2former": ["a stopped run resumes to the same bits", "sums add up"],
}


@pytest.mark.parametrize(("family", "check"), [(family, check) for family, checks in CHECKS.items() for check in checks])
def test_what_is_learned_meets_the_contract(family, check, tmp_path):
    testing.run(check, "image-segmentation", "lora" if check.startswith("the saved") else "full", make(tmp_path / family, family), tmp_path)


def test_a_run_keeps_the_decoder_and_says_so(tmp_path):
    path = testing.write_rows(TASKS.load("image-segmentation").sample(40, 0), tmp_path / "rows.csv")
    settings = {"train.epochs": 1.0, "train.threads": 1, "data.near_duplicates": 0.0, "evaluate.resamples": 100}
    model = make(tmp_path / "segformer", "segformer")
    result = api.fit(str(path), model=str(model), runs=str(tmp_path / "runs"), **settings)
    assert "decoder that the model was pretrained with is kept" in json.dumps(result.run.read("data.json")["ledger"])
    assert {rung["name"] for rung in result.report["ladder"]} == {"usual class of a place", "tuned"}
    saved = hf.SegformerForSemanticSegmentation.from_pretrained(result.path / "model")
    assert len(saved.config.id2label) == 2
