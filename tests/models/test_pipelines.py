"""Pipelines of diffusers: read safely, saved so that the library reads them, painting what it paints."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny_pipelines as tiny
from tunesmith.errors import ModelError, ResourceError
from tunesmith.models import pipelines
from tunesmith.models.canvas import canvas
from tunesmith.models.diffuser import Diffuser
from tunesmith.models.recipe import Recipe
from tunesmith.models.save import load_model, save
from tunesmith.models.source import find, load, processor


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pixels(tmp_path_factory.mktemp("models") / "pixels")


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.latents(tmp_path_factory.mktemp("models") / "latents")


def diffuser(name: str | Path, **settings: object) -> Diffuser:
    torch.manual_seed(0)
    return Diffuser(load(find(str(name), "diffusion")), **settings).eval()  # type: ignore[arg-type]


def opened(folder: Path, **missing: None) -> object:
    """As any user of the library would."""
    from diffusers import DiffusionPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own, of processors without torchvision and of classes that it has put aside
        pipe = DiffusionPipeline.from_pretrained(folder, local_files_only=True, **missing)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def noise(model: Diffuser, rows: int) -> torch.Tensor:
    return torch.randn((rows, *canvas(model.source).grid), generator=torch.Generator().manual_seed(5))


def asked_by(model: Diffuser, text: str) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value)[None] for name, value in canvas(model.source).caption(text).items()}


@pytest.mark.parametrize("kind", ["pixels", "latents"])
def test_a_saved_pipeline_loads_plainly_and_paints_the_same(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    model = diffuser(request.getfixturevalue(kind), classes=0, captions=False)
    save(model, processor(model.source), tmp_path / "saved")
    asked = {"batch_size": 2, "num_inference_steps": 4, "output_type": "np"}
    made = opened(tmp_path / "saved")(generator=torch.Generator().manual_seed(5), **asked).images
    ours = model.paint({"start": noise(model, 2)}, 4, 1.0).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(made, ours, atol=1e-5)
    again = load_model(tmp_path / "saved").paint({"start": noise(model, 2)}, 4, 1.0).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(again, ours)


def test_a_new_model_that_reads_captions_is_a_pipeline_that_reads_them(tmp_path: Path) -> None:
    model = diffuser(f"new:8px:8-16:{tiny.reader(tmp_path / 'reader')}", captions=True)
    save(model, processor(model.source), tmp_path / "saved")
    pipe = opened(tmp_path / "saved")
    asked = {"num_inference_steps": 4, "guidance_scale": 3.0, "output_type": "np", "clean_caption": False}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="__array__ implementation")  # diffusers 0.42 with NumPy 2, whoever samples
        made = pipe("the good film", generator=torch.Generator().manual_seed(5), **asked)
    caption = asked_by(model, "the good film")
    ours = model.paint({"start": noise(model, 1), **caption}, 4, 3.0).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(np.asarray(made.images), ours, atol=1e-4)
    other = asked_by(model, "the bad book")
    assert not torch.equal(model.paint({"start": noise(model, 1), **other}, 4, 3.0).permute(0, 2, 3, 1), torch.from_numpy(ours))


def test_a_latent_model_with_captions_is_tuned_by_low_rank_updates_and_saved_whole(tmp_path: Path) -> None:
    """What is loaded plainly paints what was judged: the updates are in the weights."""
    from tunesmith.strategies.lora import Lora

    model = diffuser(tiny.drawing(tmp_path / "drawing"), classes=0, captions=True)
    Lora(rank=2).shape(model, 0)
    updates = [p for n, p in model.named_parameters() if "lora_B" in n]
    assert updates and all("attn" in n for n, _ in model.named_parameters() if "lora_" in n)
    with torch.no_grad():
        for update in updates:
            update.normal_(0, 0.5)
    save(model, processor(model.source), tmp_path / "saved")
    caption = asked_by(model, "the good film")
    asked = {"num_inference_steps": 3, "guidance_scale": 2.0, "output_type": "np", "height": 16, "width": 16}
    made = opened(tmp_path / "saved")("the good film", generator=torch.Generator().manual_seed(5), **asked).images
    ours = model.paint({"start": noise(model, 1), **caption}, 3, 2.0).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(made, ours, atol=1e-4)
    plain = diffuser(tmp_path / "drawing" / "pipeline")
    assert np.abs(plain.paint({"start": noise(model, 1), **caption}, 3, 2.0).permute(0, 2, 3, 1).numpy() - ours).max() > 1e-3


def test_labels_are_given_to_a_model_that_has_none_and_kept(pixels: Path, tmp_path: Path) -> None:
    model = diffuser(pixels, classes=2, captions=False)
    assert model.classes == 2 and model.fresh == ("class_embedding.weight",)
    save(model, processor(model.source), tmp_path / "saved")
    pipe, labels = opened(tmp_path / "saved"), torch.tensor([0, 1])
    here, level = noise(model, 2), torch.tensor(500)
    with torch.no_grad():
        theirs = pipe.unet(here, level, class_labels=labels).sample
        ours = model.unet(here, level, class_labels=labels).sample
    assert torch.equal(theirs, ours) and not torch.equal(ours[0], ours[1])
    with pytest.raises(ModelError, match="a model of 3 labels"):
        Diffuser(load(find(str(tmp_path / "saved"), "diffusion")), 3, False)


def test_latents_are_computed_once(latents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    easel, picture = processor(find(str(latents), "diffusion")), np.full((16, 16, 3), 90, np.uint8)
    first = easel.painted(picture, "a")
    monkeypatch.setattr(type(easel.around.vae), "encode", lambda *_: pytest.fail("computed again"))
    assert np.array_equal(easel.painted(picture, "a"), first) and first.shape == (4, 8, 8)
    drawn = easel.painted(picture, "a", np.random.default_rng(0))
    assert not np.array_equal(drawn, first)  # training sees draws from the latent's own spread


def test_velocity_and_noise_are_the_same_knowledge() -> None:
    """The error of the noise that follows from a velocity is the velocity's error times the signal's share."""
    model = diffuser("new:8px:8-16", captions=False)
    assert model.velocity
    batch = {"painted": torch.rand(2, 3, 8, 8), "noise": torch.randn(2, 1, 3, 8, 8), "level": torch.tensor([[10], [900]])}
    with torch.no_grad():
        error, of_noise = model(batch)
    signal = model.signal_T[batch["level"]]
    torch.testing.assert_close(of_noise, error * signal)
    x, e = batch["painted"], batch["noise"][:, 0]
    root, rest = signal.view(-1, 1, 1, 1).sqrt(), (1 - signal).view(-1, 1, 1, 1).sqrt()
    with torch.no_grad():
        said = model.unet(root * x + rest * e, batch["level"].flatten()).sample
    noise_said = root * said + rest * (root * x + rest * e)
    torch.testing.assert_close((noise_said - e).square().mean((1, 2, 3)), of_noise.flatten(), atol=1e-5, rtol=1e-4)


def test_the_weights_of_levels_are_those_of_min_snr() -> None:
    model = diffuser("new:8px:8-16", captions=False, velocity=False)
    level = torch.arange(0, 1000, 111)[None]
    ratio = model.signal_T[level] / (1 - model.signal_T[level])
    torch.testing.assert_close(model.balance(level, 5.0), torch.minimum(ratio, torch.tensor(5.0)) / ratio)


def change(folder: Path, file: str, **values: object) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


CASES = {
    "pickle": (lambda f: (f / "unet" / "diffusion_pytorch_model.safetensors").rename(f / "unet" / "diffusion_pytorch_model.bin"), "pickle"),
    "class": (lambda f: change(f, "model_index.json", unet=["diffusers", "Evil"]), "Evil"),
    "pipeline": (lambda f: change(f, "model_index.json", _class_name="MyPipeline"), "MyPipeline"),
    "code": (lambda f: change(f, "unet/config.json", auto_map={"a": "b.py"}), "auto_map"),
    "large": (lambda f: change(f, "unet/config.json", block_out_channels=[8, 8192]), "settings that make"),
    "shape": (lambda f: change(f, "unet/config.json", in_channels=4), "conv_in.weight"),
    "side": (lambda f: change(f, "unet/config.json", sample_size=10**9), "sample_size"),
    "index": (lambda f: (f / "model_index.json").unlink(), "model_index.json"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_a_folder_that_is_no_honest_pipeline_is_refused(case: str, pixels: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "bad"
    shutil.copytree(pixels, folder)
    spoil, said = CASES[case]
    spoil(folder)
    with pytest.raises(ModelError, match=said):
        load(find(str(folder), "diffusion"))


@pytest.mark.parametrize("name", ["new:32", "new:32px:9-16", "new:33px:8-16", "new:32px:8", "new:4px:8-16", "new:32px:8-4096"])
def test_a_recipe_that_makes_no_model_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="new:SIDEpx"):
        Recipe.of(name)
    assert Recipe.of("new:32px:32-64-64").name == "new:32px:32-64-64"


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ResourceError, match=r"tunesmith\[diffusion\]"):
        find("new:8px:8-16", "diffusion")


def test_no_torchvision_is_needed(pixels: Path) -> None:
    diffuser(pixels)
    assert "torchvision" not in sys.modules
    assert pipelines.digest(find(str(pixels), "diffusion")) == find(str(pixels), "diffusion").digest
