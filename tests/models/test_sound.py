"""Encoders of sounds: loaded by the safe path, a sound alone as in a batch, saved and loaded to the same answers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tests import tiny_sounds
from tunesmith.errors import ModelError
from tunesmith.models import sound
from tunesmith.models.heads import Pooled, set_dropout
from tunesmith.models.outline import outline
from tunesmith.models.save import load_model, load_processor, save
from tunesmith.models.source import find, load, processor
from tunesmith.parts import batch as batches

SECONDS = 2


@pytest.fixture(scope="module", params=tiny_sounds.FAMILIES)
def family(request, tmp_path_factory):
    return tiny_sounds.make(tmp_path_factory.mktemp("models") / request.param, request.param)


def collated(ears, sounds):
    pads = {} if ears.frames.fixed else {ears.input_name: 0}
    return batches.collate([ears.encode(one.astype(np.float32), SECONDS) for one in sounds], pads)


def test_a_sound_alone_is_as_in_a_batch(family):
    source = find(str(family), "audio")
    model, ears = Pooled(load(source), 3, 0.0).eval(), processor(source)
    sounds = [tiny_sounds.tone(s, 300 + 100 * i, seed=i) for i, s in enumerate((0.3, 0.71, 0.05, 0.005))]
    with torch.no_grad():
        together = model(collated(ears, sounds))
        alone = torch.cat([model(collated(ears, [one])) for one in sounds])
    assert together.isfinite().all() and float((together - alone).abs().max()) < 1e-5
    assert float((together[0] - together[1]).abs().max()) > 1e-5, "sounds are told apart"


def test_frames_are_as_many_as_were_said(family):
    source = find(str(family), "audio")
    model, ears = load(source).module, processor(source)
    for seconds in (0.005, 0.1, 0.333, 0.9):
        batch = collated(ears, [tiny_sounds.tone(seconds)])
        with torch.no_grad():
            found = sound.hear(model, batch).last_hidden_state.shape[1]
        samples = int(seconds * 16_000)
        assert found == ears.frames.cost(samples, SECONDS) and 1 <= int(batch["frames"]) == ears.frames.count(samples, SECONDS) <= found


def test_saved_and_loaded_it_answers_the_same(family, tmp_path):
    import transformers

    source = find(str(family), "audio")
    model, ears = Pooled(load(source), 3, 0.0).eval(), processor(source)
    batch = collated(ears, [tiny_sounds.tone(0.4)])
    save(model, ears, tmp_path / "model")
    again, ears_again = load_model(tmp_path / "model"), load_processor(tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(model(batch), again(collated(ears_again, [tiny_sounds.tone(0.4)])))
    if source.model_type != "whisper":
        plain = transformers.AutoModel.from_pretrained(tmp_path / "model")
        assert {n for n, _ in plain.named_parameters()} == {n for n, _ in load(source).module.named_parameters()}
    assert transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "model").sampling_rate == 16_000


def test_layers_are_found_and_nothing_is_left_to_chance(family):
    source = find(str(family), "audio")
    model = Pooled(load(source), 3, 0.3)
    shape = outline(model)
    assert shape.layers == source.layers == 2 and set(shape.depths.values()) >= {0, 1, 2, 4}
    set_dropout(model, 0.0)
    model.train()
    batch = collated(processor(source), [tiny_sounds.tone(0.4)])
    with torch.no_grad():
        assert torch.equal(model(batch), model(batch)), "no dropout, layer drop or random mask is left"


@pytest.mark.parametrize("masks", [0.05, 0.0])
@pytest.mark.parametrize("name", ["wav2vec2", "hubert", "wavlm"])
def test_masked_frames_change_what_is_heard(name, masks, tmp_path, monkeypatch):
    monkeypatch.setitem(tiny_sounds.FAMILIES[name][2], "mask_time_prob", masks)
    source = find(str(tiny_sounds.make(tmp_path / "m", name)), "audio")
    model, ears = Pooled(load(source), 3, 0.0).eval(), processor(source)
    batch = collated(ears, [tiny_sounds.tone(0.4)])
    hidden = batch | {"masked": torch.ones(1, int(batch["frames"]), dtype=torch.long)}
    names = [name for name, _ in model.named_parameters()]
    with torch.no_grad():
        assert not torch.equal(model(batch), model(hidden))
    assert [name for name, _ in model.named_parameters()] == names


def test_a_whisper_with_a_shorter_window_reads_it_and_loads_plainly(tmp_path):
    import transformers

    source = find(str(tiny_sounds.make(tmp_path / "m", "whisper")), "audio")
    backbone, ears = load(source), processor(source)
    sound.shorten_window(backbone.module, 1)
    model = Pooled(backbone, 2, 0.0).eval()
    example = ears.encode(tiny_sounds.tone(0.4).astype(np.float32), 1)
    assert example["input_features"].shape == (80, 100) and example["frames"] == 20
    save(model, ears, tmp_path / "s")
    again, shorter = load_model(tmp_path / "s"), load_processor(tmp_path / "s")
    assert shorter.frames.most_seconds == 1
    batch = batches.collate([example], {})
    with torch.no_grad():
        assert torch.equal(model(batch), again(batch))
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "s")
    plain = transformers.WhisperForAudioClassification.from_pretrained(tmp_path / "s")
    assert plain(extractor(tiny_sounds.tone(0.4), sampling_rate=16_000, return_tensors="pt")["input_features"]).logits.shape == (1, 2)


BROKEN = {
    "no extractor": (lambda folder: (folder / "preprocessor_config.json").unlink(), "bad-feature-extractor"),
    "another rate": (lambda folder: change(folder, "preprocessor_config.json", sampling_rate=2**31), "bad-feature-extractor"),
    "an unknown extractor": (
        lambda folder: change(folder, "preprocessor_config.json", feature_extractor_type="Pipeline"), "bad-feature-extractor",
    ),
    "an adapter": (lambda folder: change(folder, "config.json", add_adapter=True), "unsuitable-architecture"),
    "kernels of no size": (lambda folder: change(folder, "config.json", conv_kernel=[10, -3, 3]), "bad-feature-extractor"),
    "code": (lambda folder: change(folder, "preprocessor_config.json", auto_map={"AutoFeatureExtractor": "x.Y"}), "config-names-code"),
}


def change(folder, name, **values):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("case", BROKEN)
def test_broken_folders_are_refused(case, tmp_path):
    folder = tiny_sounds.make(tmp_path / "m", "wav2vec2")
    BROKEN[case][0](folder)
    with pytest.raises(ModelError) as caught:
        processor(find(str(folder), "audio"))
    assert caught.value.code == BROKEN[case][1]


def test_a_model_of_another_kind_is_refused(tiny_bert, tmp_path):
    with pytest.raises(ModelError, match="reads sounds, got a bert, which reads texts"):
        find(str(tiny_bert), "audio")
    with pytest.raises(ModelError, match="reads texts, got a wavlm, which reads sounds"):
        find(str(tiny_sounds.make(tmp_path / "m")))
