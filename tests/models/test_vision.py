"""Every family of image encoders: found, loaded strictly, pooled, outlined, cut, saved and loaded again to the same bits."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from tests.tiny_images import FAMILIES, SIDE, make
from tunesmith.errors import ModelError
from tunesmith.models import vision
from tunesmith.models.heads import DEPTHS, Pooled, set_dropout
from tunesmith.models.loading import quiet
from tunesmith.models.outline import outline
from tunesmith.models.prefix import cut
from tunesmith.models.save import load_model, load_processor, save
from tunesmith.models.source import find, load, processor

LAYERED = {"vit": 3, "dinov2": 3, "dinov3": 3, "clip": 3, "siglip": 3, "clip-both": 3, "siglip-both": 3}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("vision")
    with quiet():
        return {family: make(root / family, family) for family in FAMILIES}


def batch(rows: int = 3) -> dict[str, torch.Tensor]:
    return {"pixel_values": torch.randn(rows, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))}


def pooled(folder, family) -> Pooled:
    return Pooled(load(find(str(folder), "image")), 4, dropout=0.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_loaded_pooled_and_saved(folders, family, tmp_path):
    source = find(str(folders[family]), "image")
    model = pooled(folders[family], family).eval()
    features_BD = model.features(batch())
    assert features_BD.shape == (3, source.hidden) and features_BD.std(0).max() > 1e-4 and source.modality == "image"
    alone_BD = torch.cat([model.features({"pixel_values": row[None]}) for row in batch()["pixel_values"]])
    torch.testing.assert_close(features_BD, alone_BD, atol=1e-5, rtol=1e-4)
    save(model, processor(source), tmp_path)
    again = load_model(tmp_path)
    assert torch.equal(again(batch()), model(batch()))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    one, other = (made.preprocess([picture])["pixel_values"][0] for made in (processor(source), load_processor(tmp_path)))
    assert np.array_equal(one, other) and one.shape == (3, SIDE, SIDE)


@pytest.mark.parametrize("family", FAMILIES)
def test_several_depths_stand_before_the_images_own_vector(folders, family, tmp_path):
    source = find(str(folders[family]), "image")
    model = Pooled(load(source), 2, dropout=0.0, pooling=DEPTHS).eval()
    features_BD, own_BD = model.features(batch()), pooled(folders[family], family).eval().features(batch())
    torch.testing.assert_close(features_BD[:, -own_BD.shape[1] :], own_BD)
    assert own_BD.shape[1] < features_BD.shape[1] == model.head.in_features <= vision.WIDEST
    save(model, processor(source), tmp_path)
    assert torch.equal(load_model(tmp_path)(batch()), model(batch()))


def test_wide_models_are_read_at_fewer_depths(monkeypatch):
    states = tuple(torch.full((1, 2, 100), float(depth)) for depth in range(13))
    output = type("Output", (), {"hidden_states": states, "last_hidden_state": states[-1], "pooler_output": None})
    monkeypatch.setattr(vision, "WIDEST", 499)
    assert vision.at_depths(output, "mean")[0, ::100].tolist() == [0, 6, 12, 12]  # evenly from the first to the last, then its own
    monkeypatch.setattr(vision, "WIDEST", 150)
    assert vision.at_depths(output, "mean")[0, ::100].tolist() == [12]


@pytest.mark.parametrize(("family", "name"), [("vit", "ViTModel"), ("resnet", "ResNetModel"), ("clip-both", "CLIPModel")])
def test_vectors_are_those_of_the_library(folders, family, name):
    with quiet(), torch.no_grad():
        theirs = getattr(hf, name).from_pretrained(folders[family]).eval()
        if family == "clip-both":
            want_BD = theirs.vision_model(**batch()).pooler_output
        else:
            answer = theirs(**batch())
            want_BD = answer.last_hidden_state[:, 0] if family == "vit" else answer.pooler_output.flatten(1)
    torch.testing.assert_close(pooled(folders[family], family).eval().features(batch()), want_BD)


@pytest.mark.parametrize("family", ["vit", "convnext", "resnet", "swin", "efficientnet", "dinov2"])
def test_the_head_of_an_earlier_task_is_left_aside(family, tmp_path):
    with quiet():
        make(tmp_path, family, headed=True)
    assert pooled(tmp_path, family).features(batch()).isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_depths_rise_with_the_layers(folders, family):
    shape = outline(pooled(folders[family], family))
    assert shape.layers == {**LAYERED, "swin": 2, "convnext": 4, "resnet": 4}.get(family, shape.layers) and shape.layers > 1
    assert set(range(1, shape.layers + 1)) <= set(shape.depths.values()) and len(shape.head) == 2


@pytest.mark.parametrize("family", LAYERED)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_cut_is_exact_where_layers_are_alike(folders, family, layer):
    model = pooled(folders[family], family).eval()
    model.cut = cut(model, layer)
    assert model.cut is not None
    hidden_BTD = model.cut.below(batch())
    assert hidden_BTD.shape[1] == model.source.max_length
    torch.testing.assert_close(model({"hidden_BTD": hidden_BTD}), model(batch()), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["swin", "convnext", "resnet", "efficientnet"])
def test_stages_of_unlike_size_are_cut_exactly_or_not_at_all(folders, family):
    model = pooled(folders[family], family).eval()
    model.cut = cut(model, 1)
    if model.cut is not None:
        torch.testing.assert_close(model({"hidden_BTD": model.cut.below(batch())}), model(batch()), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["resnet", "efficientnet"])
def test_training_neither_uses_nor_moves_the_batchs_statistics(folders, family):
    model = pooled(folders[family], family)
    set_dropout(model, 0.0)
    before = {name: tensor.clone() for name, tensor in model.named_buffers()}
    model.train()
    trained = model(batch())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_buffers())
    torch.testing.assert_close(trained, model.eval()(batch()))


def test_dropped_paths_obey_the_rate(folders, tmp_path):
    config_class, _, settings, *_ = FAMILIES["swin"]
    with quiet():
        hf.SwinModel(getattr(hf, config_class)(**settings, drop_path_rate=0.5)).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_bytes((folders["swin"] / "preprocessor_config.json").read_bytes())
    model = pooled(tmp_path, "swin").train()
    set_dropout(model, 0.0)
    torch.testing.assert_close(model(batch()), model(batch()))


def test_a_model_for_texts_is_refused_for_images_and_the_other_way(folders, tiny_bert):
    with pytest.raises(ModelError, match="reads texts"):
        find(str(tiny_bert), "image")
    with pytest.raises(ModelError, match="reads images"):
        find(str(folders["vit"]))


@pytest.mark.parametrize(
    "values",
    [
        {"image_processor_type": "EvilProcessor"}, {"auto_map": {"AutoImageProcessor": "evil--module.Class"}},
        {"size": {"height": 10**6, "width": 10**6}}, {"size": "large"}, {"image_processor_type": "os.system"},
    ],
)
def test_a_processor_file_makes_no_code_run_and_takes_no_memory(folders, tmp_path, values):
    for path in folders["vit"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    said = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**said, **values}))
    with pytest.raises(ModelError):
        processor(find(str(tmp_path), "image"))


def test_a_model_without_its_processor_is_refused(folders, tmp_path):
    for path in folders["vit"].iterdir():
        if path.name != "preprocessor_config.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match="what the model was shown is not known"):
        vision.load_processor(tmp_path)


def test_an_image_that_only_the_short_side_is_told_of_is_cut_square(folders, tmp_path):
    for path in folders["vit"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    said = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**said, "size": {"shortest_edge": SIDE}}))
    made = processor(find(str(tmp_path), "image"))
    assert made.preprocess([Image.new("RGB", (90, 50))])["pixel_values"][0].shape == (3, SIDE, SIDE)
