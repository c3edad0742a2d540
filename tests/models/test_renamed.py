"""Detectors with a ResNet of timm: the same maps and detections, a saved folder of transformers alone, refusals in words."""

from __future__ import annotations

import json

import pytest
import torch
import transformers as hf

from tests import tiny_detectors, tiny_timm
from tests.models.test_setwise import BATCH
from tests.tasks.test_object_detection import SETTINGS, lines
from tests.tiny_timm import PREFIX, SIZES
from tunesmith import api
from tunesmith.errors import ModelError
from tunesmith.models import renamed, tensors
from tunesmith.models.save import load_model, save
from tunesmith.models.setwise import SetDetector, kind_of
from tunesmith.models.source import find, load, processor, untrained

FAMILIES = ("detr", "conditional_detr", "deformable_detr")
OLD = {"use_timm_backbone": True, "backbone": "resnet50", "backbone_config": None}
KEPT = OLD | {"backbone_kwargs": {"in_chans": 3, "out_indices": [2, 3, 4]}, "use_pretrained_backbone": True, "num_channels": 3}
INNER = {"model_type": "timm_backbone", "backbone": "resnet50", "out_indices": [2, 3, -1], "num_channels": 3, "output_stride": None}
FORMS = {"silent": {}, "old": OLD, "kept": KEPT, "inner": {"backbone_config": INNER}}
"""How configs name a ResNet-50 of timm: not at all, or as transformers wrote it in the course of time."""


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    for name, sizes in SIZES.items():
        monkeypatch.setitem(renamed.RESNETS, name, sizes)


class Wrapped(torch.nn.Module):
    """The reference in the place of a detector's backbone."""

    def __init__(self, net, stages) -> None:
        super().__init__()
        self.net, self.stages = net, stages

    def forward(self, pixels):
        maps = self.net(pixels)
        return hf.modeling_outputs.BackboneOutput(feature_maps=tuple(maps[stage - 1] for stage in self.stages))


def both(folder, name="resnet50"):
    """A loaded detector's maps and answer, and those with the reference as its backbone; in float64, where rounding is small."""
    source = find(str(folder), "image")
    assert kind_of(source) == source.model_type
    module = load(source, form="detector").module.double()
    asked = {"pixel_values": BATCH["pixel_values"].double(), "pixel_mask": BATCH["pixel_mask"]}
    stages = [int(stage[-1]) for stage in module.config.backbone_config.out_features]
    net = Wrapped(tiny_timm.reference(name).double(), stages)
    with torch.no_grad():
        maps, answer = module.model.backbone.model(asked["pixel_values"]).feature_maps, module(**asked)
        module.model.backbone.model = net
        wanted_maps, wanted = net(asked["pixel_values"]), module(**asked)
    return (maps, answer), (wanted_maps.feature_maps, wanted)


def same(found, wanted):
    (maps, answer), (wanted_maps, wanted) = found, wanted
    assert len(maps) == len(wanted_maps) and all(float(one.abs().max()) > 0.1 for one in wanted_maps)
    pairs = [*zip(maps, wanted_maps), (answer.logits, wanted.logits), (answer.pred_boxes, wanted.pred_boxes)]
    return all(torch.allclose(one, other, atol=1e-6, rtol=1e-6) for one, other in pairs)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_maps_and_detections_are_those_of_the_reference(tmp_path, family, form):
    assert same(*both(tiny_timm.make(tmp_path / "m", family, FORMS[form])))


@pytest.mark.parametrize("prefix", [PREFIX, f"{PREFIX}_backbone.", "model.backbone.model."])
def test_basic_layers_tags_and_wherever_the_backbone_stands(tmp_path, prefix):
    said = OLD | {"backbone": "resnet18.a1_in1k"}
    assert same(*both(tiny_timm.make(tmp_path / "m", "detr", said, "resnet18", prefix), "resnet18"))


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_every_tensor_of_the_real_sizes_has_a_place_of_its_shape(name, monkeypatch):
    monkeypatch.undo()
    sizes = renamed.RESNETS[name]
    with torch.device("meta"):
        made = tiny_timm.ResNet(**sizes), hf.ResNetBackbone(hf.ResNetConfig(**sizes))
    old, new = ({key: value.shape for key, value in one.state_dict().items() if "num_batches" not in key} for one in made)
    pairs = dict(renamed._names(sizes))
    assert pairs.keys() == old.keys() and {pairs[key]: shape for key, shape in old.items()} == new


def test_a_saved_folder_is_of_transformers_alone(tmp_path):
    source = find(str(tiny_timm.make(tmp_path / "m", "deformable_detr", OLD)), "image")
    model = SetDetector(load(source, form="detector"), ("red", "blue")).eval()
    save(model, processor(source), tmp_path / "saved")
    values = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert values["backbone_config"]["model_type"] == "resnet" and not values.get("use_timm_backbone") and not values.get("backbone")
    with torch.no_grad():
        wanted, again = model(BATCH), load_model(tmp_path / "saved")(BATCH)
        plain, said = hf.AutoModelForObjectDetection.from_pretrained(tmp_path / "saved", output_loading_info=True)
        other = plain.eval()(**{name: BATCH[name] for name in ("pixel_values", "pixel_mask")})
    assert not said["missing_keys"] and not said["unexpected_keys"]
    for one in (again, other):
        assert torch.equal(wanted.logits, one.logits) and torch.equal(wanted.pred_boxes, one.pred_boxes)
    assert "timm" not in find(str(tmp_path / "saved"), "image").note


def test_a_whole_run_says_that_names_were_rewritten(tmp_path):
    folder = tiny_timm.make(tmp_path / "m", "detr", {})
    run = api.fit(str(lines(tmp_path / "a")), model=str(folder), runs=str(tmp_path / "runs"), **{**SETTINGS, "train.epochs": 1})
    said = "its backbone, resnet50 of timm, is read as the ResNet of transformers: the same weights, whose names were rewritten"
    for name in ("plan.yaml", "README.md"):
        assert said in " ".join((run.path / name).read_text().split())
    hf.AutoModelForObjectDetection.from_pretrained(run.path / "model")
    assert "boxes" in run.predict([str(next((tmp_path / "a" / "shots").iterdir()))])[0]


def test_a_trial_is_made_without_timm(tmp_path):
    source = find(str(tiny_timm.make(tmp_path / "m", "detr", {})), "image")
    assert type(untrained(source, "detector").module.model.backbone.model).__name__ == "ResNetBackbone"


def spoiled(tmp_path, change) -> ModelError:
    folder = tiny_timm.make(tmp_path / "m", "detr", {})
    state = tensors.read(folder / "model.safetensors")
    change(state)
    tensors.write(folder / "model.safetensors", state)
    with pytest.raises(ModelError) as caught:
        load(find(str(folder), "image"), form="detector")
    assert caught.value.code == "weights-do-not-fit" and str(folder) in caught.value.place and "download or save" in caught.value.fix
    return caught.value


@pytest.mark.parametrize("name", ["layer1.1.conv2.weight", "layer4.0.downsample.1.running_var", "bn1.bias"])
def test_a_missing_tensor_of_the_backbone_is_refused_by_its_name(tmp_path, name):
    error = spoiled(tmp_path, lambda state: state.pop(PREFIX + name))
    assert name in error.place and "resnet50 of timm" in error.expected and name in error.got


@pytest.mark.parametrize("name", ["layer3.1.conv1.weight", "layer1.0.conv1.bias", "fc.weight", "encoder.stages.0.layers.0.layer.0.weight"])
def test_a_tensor_that_the_backbone_does_not_have_is_refused_by_its_name(tmp_path, name):
    error = spoiled(tmp_path, lambda state: state.update({PREFIX + name: torch.zeros(1)}))
    assert name in error.place and "resnet50 of timm" in error.expected and "does not have" in error.got


def test_a_tensor_of_another_shape_is_refused(tmp_path):
    assert "embedder" in spoiled(tmp_path, lambda state: state.update({f"{PREFIX}conv1.weight": torch.zeros(8, 3, 5, 5)})).expected


REFUSED = {
    "dilated": ({"dilation": True}, "DC5"),
    "dilated by its kwargs": (OLD | {"backbone_kwargs": {"output_stride": 16}}, "DC5"),
    "dilated within": ({"backbone_config": INNER | {"output_stride": 16}}, "DC5"),
    "another": (OLD | {"backbone": "efficientnet_b0"}, "efficientnet_b0"),
    "another stem": ({"backbone_config": INNER | {"backbone": "resnet50d"}}, "resnet50d"),
    "grey": (OLD | {"backbone_kwargs": {"in_chans": 1}}, "1 channels"),
    "its stem": (OLD | {"backbone_kwargs": {"out_indices": [0, 4]}}, "stages"),
    "no stage": ({"backbone_config": INNER | {"out_indices": "4"}}, "stages"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_backbones_of_timm_are_refused_with_what_is_accepted(tmp_path, case):
    said, word = REFUSED[case]
    source = find(str(tiny_timm.make(tmp_path / "m", "detr", said)), "image")
    for asked in (lambda: kind_of(source), lambda: load(source, form="detector")):
        with pytest.raises(ModelError) as caught:
            asked()
        assert word in caught.value.got and "config.json" in caught.value.place
        assert all(name in caught.value.expected for name in ("resnet18", "resnet34", "resnet50", "resnet101"))


def test_other_families_with_a_backbone_of_timm_are_refused(tmp_path):
    folder = tiny_detectors.make(tmp_path / "m", "rt_detr")
    values = json.loads((folder / "config.json").read_text())
    tiny_timm.write_config(folder, values | OLD)
    with pytest.raises(ModelError, match="timm"):
        kind_of(find(str(folder), "image"))
