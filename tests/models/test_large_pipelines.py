"""Stable Diffusion XL and 3: learned by the recipes that diffusers documents, saved so that it paints what was judged, cached, resumed."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tunesmith
from tests import tiny_pipelines as tiny
from tests.models.test_pipelines import asked_by, change, diffuser, noise
from tests.models.test_pipelines import opened as opened_plainly
from tests.runs import assert_ends_alike
from tunesmith import api
from tunesmith.data import caches
from tunesmith.errors import ModelError, SpecError
from tunesmith.models import tensors
from tunesmith.models.around import Parts, exactly
from tunesmith.models.canvas import ROOM, canvas
from tunesmith.models.save import load_model, save
from tunesmith.models.source import find, load, processor
from tunesmith.parts import pictures
from tunesmith.registry import TASKS

MAKERS: dict[str, Callable[[Path], Path]] = {
    "large": tiny.large, "large, the empty caption": lambda folder: tiny.large(folder, zeros=False),
    "flow": tiny.flow, "flow, two encoders": lambda folder: tiny.flow(folder, third=False),
}
CAPTION = "the good film"
TASK = TASKS.load("image-generation")(caption="caption", snr_most=0.0)


@pytest.fixture(scope="module")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of a tiny pipeline, made once."""
    root, known = tmp_path_factory.mktemp("models"), dict[str, Path]()

    def make(kind: str) -> Path:
        if kind not in known:
            known[kind] = MAKERS[kind](root / kind)
        return known[kind]

    return make


def opened(folder: Path) -> Any:
    """As any user would: diffusers wants to be told of a third encoder that is not there."""
    third = (folder / "text_encoder_3").is_dir() or not (folder / "transformer").is_dir()
    return opened_plainly(folder, **({} if third else {"text_encoder_3": None, "tokenizer_3": None}))


def photo(width: int, height: int, turned: int = 1) -> bytes:
    """A PNG of colours drawn at random; `turned`: as EXIF says it."""
    from PIL import Image

    image = Image.fromarray(np.random.default_rng(width).integers(0, 255, (height, width, 3), np.uint8))
    exif, packed = image.getexif(), io.BytesIO()
    exif[0x0112] = turned
    image.save(packed, "PNG", exif=exif)
    return packed.getvalue()


def encoded(folder: Path, image: bytes) -> tuple[Any, dict[str, torch.Tensor]]:
    """The model, and a batch of one row at four levels of noise that are the same each time."""
    model = diffuser(folder, classes=0, captions=True)
    example = TASK.settle(frame=16).encode([{"image": image, "caption": CAPTION}], canvas(model.source))
    return model, {name: torch.as_tensor(value) for name, value in TASK.collate(example, 0).items()}


# -- learned as documented --------------------------------------------------------------------------------------------


def latent(pipe: Any, image: bytes) -> torch.Tensor:
    """The likeliest latent of the middle square, as the recipes scale it."""
    pixels = torch.from_numpy(pictures.square(image, 16).astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    config = pipe.vae.config
    return (pipe.vae.encode(pixels).latent_dist.mode() - (config.shift_factor or 0)) * config.scaling_factor


@pytest.mark.parametrize("kind", ["large", "large, the empty caption"])
def test_the_loss_is_that_of_the_documented_recipe(kind: str, model_of: Callable[[str], Path]) -> None:
    """train_text_to_image_sdxl.py of diffusers, without its weights of levels."""
    from diffusers import DDPMScheduler

    image = photo(40, 24)
    model, batch = encoded(model_of(kind), image)
    pipe = opened(model_of(kind))
    with torch.no_grad():
        ours = TASK.loss(model, batch)
        prompt, _, pooled, _ = pipe.encode_prompt(CAPTION, do_classifier_free_guidance=False)
        added = {"text_embeds": pooled.repeat(4, 1), "time_ids": torch.tensor([[24, 40, 0, 5, 16, 16]]).repeat(4, 1)}
        level, drawn = batch["level"][0], batch["noise"][0]
        noisy = DDPMScheduler.from_config(pipe.scheduler.config).add_noise(latent(pipe, image).repeat(4, 1, 1, 1), drawn, level)
        said = pipe.unet(noisy, level, prompt.repeat(4, 1, 1), added_cond_kwargs=added).sample
    torch.testing.assert_close(ours, torch.nn.functional.mse_loss(said, drawn), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["flow", "flow, two encoders"])
def test_the_loss_of_a_flow_is_that_of_the_documented_recipe(kind: str, model_of: Callable[[str], Path]) -> None:
    """train_dreambooth_sd3.py of diffusers: noise less picture, levels in the scheduler's own order."""
    image = photo(20, 20)
    model, batch = encoded(model_of(kind), image)
    pipe = opened(model_of(kind))
    with torch.no_grad():
        ours = TASK.loss(model, batch)
        prompt, _, pooled, _ = pipe.encode_prompt(CAPTION, CAPTION, CAPTION, do_classifier_free_guidance=False)
        drawn, clean, at = batch["noise"][0], latent(pipe, image), 999 - batch["level"][0]
        sigma = pipe.scheduler.sigmas[at].view(-1, 1, 1, 1)
        told = {"encoder_hidden_states": prompt.repeat(4, 1, 1), "pooled_projections": pooled.repeat(4, 1)}
        said = pipe.transformer((1 - sigma) * clean + sigma * drawn, timestep=pipe.scheduler.timesteps[at], **told).sample
    torch.testing.assert_close(ours, torch.nn.functional.mse_loss(said, drawn - clean), atol=1e-6, rtol=1e-5)


def test_flow_and_noise_are_the_same_knowledge(model_of: Callable[[str], Path]) -> None:
    """The noise that follows from a flow errs by the flow's error times what is left of the picture."""
    model, batch = encoded(model_of("flow"), photo(20, 20))
    clean, drawn = batch["painted"], batch["noise"][0]
    sigma = model.scheduler.sigmas[999 - batch["level"][0]].view(-1, 1, 1, 1)
    seen, known = (1 - sigma) * clean + sigma * drawn, {name: batch[name].repeat_interleave(4, 0) for name in ("caption", "pooled")}
    with torch.no_grad():
        _, of_noise = model(batch)
        said = model._said(seen, model.scheduler.timesteps[999 - batch["level"][0]], known)
    torch.testing.assert_close(of_noise[0], (seen + (1 - sigma) * said - drawn).square().mean((1, 2, 3)), atol=1e-5, rtol=1e-4)


def test_levels_of_a_flow_are_drawn_around_the_middle_and_those_of_a_diffusion_alike(model_of: Callable[[str], Path]) -> None:
    shares = (np.arange(2000) + 0.5) / 2000
    flow, diffusion = (canvas(find(str(model_of(kind)), "diffusion")).levels(shares) for kind in ("flow", "large"))
    logit = np.log((flow + 0.5) / (999.5 - flow))
    assert abs(logit.mean()) < 0.01 and abs(logit.std() - 1) < 0.02  # arXiv 2403.03206: the logit is normal
    assert np.array_equal(diffusion, np.arange(2000) // 2)


# -- sizes and captions -----------------------------------------------------------------------------------------------


def test_sizes_are_those_of_the_image_as_it_is_seen_and_of_the_square_that_is_cut_from_it() -> None:
    """Original height and width, top and left of the square once the short side fits, height and width of the picture."""
    assert pictures.framing(photo(40, 24), 16).tolist() == [24, 40, 0, 5, 16, 16]
    assert pictures.framing(photo(24, 40, turned=6), 16).tolist() == [24, 40, 0, 5, 16, 16]  # lies on its side
    assert pictures.framing(photo(10, 30), 16).tolist() == [30, 10, 16, 0, 16, 16]  # enlarged: it was smaller
    middle = pictures.square(photo(40, 24), 24)
    assert np.array_equal(middle, pictures.square(photo(40, 24), 24)) and pictures.framing(photo(40, 24), 24)[3] == 8


@pytest.mark.parametrize("kind", list(MAKERS))
def test_captions_are_read_as_the_pipeline_reads_them_and_none_is_what_it_takes_for_none(
    kind: str, model_of: Callable[[str], Path]
) -> None:
    easel, pipe = processor(find(str(model_of(kind)), "diffusion")), opened(model_of(kind))
    texts = [CAPTION] * (3 if "flow" in kind else 1)
    with torch.no_grad():
        caption, nothing, pooled, pooled_nothing = pipe.encode_prompt(*texts)
    for ours, theirs in ((easel.caption(CAPTION), (caption, pooled)), (easel.nothing(), (nothing, pooled_nothing))):
        for name, value in zip(("caption", "pooled"), theirs):
            np.testing.assert_allclose(ours[name], value[0].numpy(), atol=1e-6)
    assert (easel.nothing()["caption"] == 0).all() == (kind == "large")


def test_a_forgotten_caption_is_the_one_that_pictures_are_pulled_away_from(model_of: Callable[[str], Path]) -> None:
    from tunesmith.data.table import Table
    from tunesmith.inference import Later

    easel = processor(find(str(model_of("large")), "diffusion"))
    table = Table.of([{"image": photo(20, 20 + at), "caption": CAPTION} for at in range(40)])
    found = Later(TASK.settle(frame=16), easel, table, (0, 0)).examples(range(40))
    forgotten = [not one["pooled"].any() for one in found]
    assert 0 < sum(forgotten) < 20 and forgotten == [not one["caption"].any() for one in found]
    assert [one["sizes"][0] for one in found] == [20 + at for at in range(40)]


@pytest.mark.parametrize("kind", ["large", "flow"])
def test_what_frozen_parts_say_is_computed_once_and_is_what_they_would_say_again(
    kind: str, model_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, picture = find(str(model_of(kind)), "diffusion"), np.full((16, 16, 3), 90, np.uint8)
    say = lambda: {**processor(source).caption("a dog"), "latent": processor(source).painted(picture, "grey")}  # noqa: E731
    first = say()
    with monkeypatch.context() as patched:
        patched.setattr(Parts, "said", lambda *_: pytest.fail("computed again"))
        patched.setattr(type(processor(source).around.vae), "encode", lambda *_: pytest.fail("computed again"))
        kept = say()
    shutil.rmtree(caches.root() / ROOM)
    for found in (kept, say()):
        assert found.keys() == first.keys() and all(np.array_equal(found[name], first[name]) for name in first)


def test_frozen_parts_compute_in_whole_numbers_of_bits_whatever_the_run_does(model_of: Callable[[str], Path]) -> None:
    """An autoencoder that overflows in half of them does so in no run, and what is kept serves runs of any precision."""
    model = diffuser(model_of("large"), classes=0, captions=True)
    assert model.around.vae.config.force_upcast
    plain, picture = model.around.said(CAPTION), model._shown(noise(model, 1))
    with torch.autocast("cpu", torch.bfloat16):
        within, shown = model.around.said(CAPTION), model._shown(noise(model, 1))
        with exactly(model.around.vae):
            assert model.around.vae.encode(torch.zeros(1, 3, 16, 16)).latent_dist.mean.dtype == torch.float32
    assert all(torch.equal(plain[name], within[name]) for name in plain) and torch.equal(picture, shown)


# -- saved and tuned --------------------------------------------------------------------------------------------------


def painted_plainly(folder: Path, guidance: float) -> np.ndarray:
    pipe = opened(folder)
    asked = {"num_inference_steps": 3, "guidance_scale": guidance, "output_type": "np", "height": 16, "width": 16}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="__array__ implementation")  # diffusers 0.42 with NumPy 2, whoever samples
        return np.asarray(pipe(CAPTION, generator=torch.Generator().manual_seed(5), **asked).images)


@pytest.mark.parametrize("strategy", ["full", "lora"])
@pytest.mark.parametrize("kind", list(MAKERS))
def test_a_saved_folder_paints_the_same_by_plain_diffusers(
    kind: str, strategy: str, model_of: Callable[[str], Path], tmp_path: Path
) -> None:
    from tunesmith.strategies.lora import Lora

    model = diffuser(model_of(kind), classes=0, captions=True)
    before = model.paint({"start": noise(model, 1), **asked_by(model, CAPTION)}, 3, 4.0)
    if strategy == "lora":
        Lora(rank=2).shape(model, 0)
    changed = [p for n, p in model.named_parameters() if ("lora_B" in n if strategy == "lora" else "attn" in n)]
    assert changed
    with torch.no_grad():
        for weight in changed:
            weight.add_(torch.randn_like(weight), alpha=0.3)
    save(model, processor(model.source), tmp_path / "saved")
    for guidance in (1.0, 4.0):
        ours = model.paint({"start": noise(model, 1), **asked_by(model, CAPTION)}, 3, guidance)
        np.testing.assert_allclose(painted_plainly(tmp_path / "saved", guidance), ours.permute(0, 2, 3, 1).numpy(), atol=1e-4)
    assert (ours - before).abs().max() > 1e-3
    again = load_model(tmp_path / "saved").paint({"start": noise(model, 1), **asked_by(model, CAPTION)}, 3, 4.0)
    torch.testing.assert_close(again, ours, atol=1e-4, rtol=0)


def rows(folder: Path, count: int) -> Path:
    """Captioned pictures of unlike size."""
    folder.mkdir()
    for at in range(count):
        (folder / f"{at}.png").write_bytes(photo(20 + at, 24))
    lines = [{"image": f"{at}.png", "caption": f"the {('good', 'bad')[at % 2]} film {at}"} for at in range(count)]
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder / "rows.jsonl"


SMALL: dict[str, Any] = {
    "task": "image-generation", "train.threads": 1, "train.batch": 8, "evaluate.resamples": 100, "data.near_duplicates": 0.0, "steps": 2,
    "watched_pictures": 2, "judged_pictures": 3,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "strategy"), [("large", "full"), ("large", "lora"), ("flow", "lora")])
def test_stopped_anywhere_it_ends_in_the_same_bits(kind: str, strategy: str, model_of: Callable[[str], Path], tmp_path: Path) -> None:
    settings = {**SMALL, "model": str(model_of(kind)), "strategy": strategy, "train.ema": 0.9, "train.epochs": 2, "train.save_every": 2}
    ready = api.plan(api.make_spec(str(rows(tmp_path / "rows", 32)), runs=str(tmp_path / "runs"), **settings))
    assert_ends_alike(ready, tmp_path, 3)


@pytest.mark.parametrize(("kind", "strategy"), [("large", "lora"), ("flow", "full")])
def test_a_run_ends_in_a_pipeline_that_loads_plainly(kind: str, strategy: str, model_of: Callable[[str], Path], tmp_path: Path) -> None:
    import diffusers

    settings = {**SMALL, "model": str(model_of(kind)), "strategy": strategy, "train.ema": 0.9, "train.epochs": 1}
    run = tunesmith.fit(str(rows(tmp_path / "rows", 40)), runs=str(tmp_path / "runs"), **settings)
    scores = run.report["parts"]["test"]["scores"]
    assert all(scores[name]["value"] is not None for name in ("kid", "fid", "denoising_loss", "agreement"))
    assert list((run.path / "samples").glob("*.png"))
    usual = {"large": 5.0, "flow": 7.0}[kind]
    assert f"guidance {usual:g}" in run.report["how_scored"]["kid"]
    pipe = {"large": diffusers.StableDiffusionXLPipeline, "flow": diffusers.StableDiffusion3Pipeline}[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe.from_pretrained(run.path / "model", local_files_only=True)
    assert run.predict("the good film") == api.load(run.path).predict("the good film")


def test_blocks_stand_one_above_the_other_and_adapters_join_all_attention(model_of: Callable[[str], Path]) -> None:
    import re

    for kind, blocks in (("large", 5), ("flow", 2)):
        model = diffuser(model_of(kind), classes=0, captions=True)
        layers, depths = model.depths()
        assert layers == blocks and depths.keys() == dict(model.unet.named_parameters()).keys()
        assert set(depths.values()) == set(range(layers + 2))
        joined = {name for name, module in model.unet.named_modules() if re.fullmatch(model.targets(()), name)}
        attention = {name for name, module in model.unet.named_modules() if isinstance(module, torch.nn.Linear) and ".attn" in name}
        assert joined == attention
    assert depths["transformer_blocks.1.attn.to_q.weight"] == 2 and depths["proj_out.weight"] == 3


# -- what is refused, and what is read --------------------------------------------------------------------------------


CASES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "an encoder missing": ("large", lambda f: change(f, "model_index.json", text_encoder_2=[None, None]), "with text_encoder_2"),
    "encoders of another model": ("large", lambda f: change(f, "unet/config.json", cross_attention_dim=96), "cross_attention_dim 64"),
    "no sizes": ("large", lambda f: change(f, "unet/config.json", addition_embed_type=None), "addition_embed_type"),
    "a mask beside latents": ("large", lambda f: change(f, "unet/config.json", in_channels=9), "in_channels 4"),
    "guidance as a condition": ("large", lambda f: change(f, "unet/config.json", time_cond_proj_dim=8), "time_cond_proj_dim"),
    "latents of another scale": ("large", lambda f: change(f, "vae/config.json", latents_mean=[1, 1, 1, 1]), "latents_mean"),
    "a scheduler of its own": ("large", lambda f: change(f, "model_index.json", scheduler=["diffusers", "EDMEulerScheduler"]), "EDMEuler"),
    "pictures predicted": ("large", lambda f: change(f, "scheduler/scheduler_config.json", prediction_type="sample"), "sample"),
    "a flow without its scheduler": ("flow", lambda f: change(f, "model_index.json", scheduler=["d", "DDIMScheduler"]), "FlowMatchEuler"),
    "levels by size": ("flow", lambda f: change(f, "scheduler/scheduler_config.json", use_dynamic_shifting=True), "use_dynamic"),
    "a third tokenizer missing": ("flow", lambda f: change(f, "model_index.json", tokenizer_3=[None, None]), "with tokenizer_3"),
    "code": ("large", lambda f: change(f, "text_encoder_2/config.json", auto_map={"a": "b.py"}), "auto_map"),
    "no layers": ("flow", lambda f: change(f, "transformer/config.json", num_layers="2"), "layers and heads"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_what_would_be_learned_wrongly_is_refused_when_it_is_found(case: str, model_of: Callable[[str], Path], tmp_path: Path) -> None:
    kind, spoil, said = CASES[case]
    folder = tmp_path / "bad"
    shutil.copytree(model_of(kind), folder)
    spoil(folder)
    with pytest.raises(ModelError, match=said) as caught:
        find(str(folder), "diffusion")
    assert str(folder) in caught.value.place and caught.value.fix


def test_flux_is_refused_before_the_first_step_with_what_is_tuned_instead(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="StableDiffusionXLPipeline, StableDiffusion3Pipeline.*got FluxPipeline") as caught:
        settings = {**SMALL, "model": str(tiny.flux(tmp_path / "flux"))}
        tunesmith.fit(str(rows(tmp_path / "rows", 12)), runs=str(tmp_path / "runs"), **settings)
    assert caught.value.place.endswith("model_index.json") and "another model" in caught.value.fix


def test_what_a_flow_predicts_is_not_asked_for(model_of: Callable[[str], Path]) -> None:
    with pytest.raises(SpecError, match="expected flow, as the model was trained"):
        diffuser(model_of("flow"), velocity=True)


def test_weights_in_several_files_are_read_as_in_one(model_of: Callable[[str], Path], tmp_path: Path) -> None:
    """Denoisers of ten gigabytes are saved so."""
    whole, folder = diffuser(model_of("large")), tmp_path / "parted"
    shutil.copytree(model_of("large"), folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    whole.unet.save_pretrained(folder / "unet", max_shard_size="20KB")
    assert len(list((folder / "unet").glob("*.safetensors"))) > 1
    found = load(find(str(folder), "diffusion")).module.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in whole.unet.state_dict().items())
    source = find(str(folder), "diffusion")
    assert source.parameters == whole.source.parameters and source.digest != whole.source.digest


def test_attention_under_its_names_of_before_2023_is_read(model_of: Callable[[str], Path], tmp_path: Path) -> None:
    """The autoencoder of Stable Diffusion 1 lies in such a file."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model_of("large"), tmp_path / "old")
    file = tmp_path / "old" / "vae" / "diffusion_pytorch_model.safetensors"
    now = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state, renamed = load_file(file), {}
    for name, tensor in state.items():
        old = next((name.replace(f".{new}.", f".{before}.") for new, before in now.items() if f".{new}." in name), name)
        renamed[old] = tensor
    assert renamed.keys() != state.keys()
    save_file(renamed, file)
    found = diffuser(tmp_path / "old").around.vae.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_parts_in_the_hubs_cache_are_links_to_its_blobs(model_of: Callable[[str], Path], tmp_path: Path) -> None:
    root = tmp_path / "models--a--b"
    shutil.copytree(model_of("large"), root / "blobs")
    for file in [path for path in (root / "blobs").rglob("*") if path.is_file()]:
        link = root / "snapshots" / "1" / file.relative_to(root / "blobs")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    assert diffuser(root / "snapshots" / "1").around.readers
    (tmp_path / "outside").write_bytes(b"x")
    out = root / "snapshots" / "1" / "unet" / "x.safetensors"
    out.symlink_to(tmp_path / "outside")
    with pytest.raises(ModelError, match="a link to"):
        tensors.within(out, out.parent)
