"""Voices: paths through sounds, losses as the library counts them, padding that changes nothing, folders that load plainly."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

from tests import tiny_voices
from tunesmith.errors import ModelError
from tunesmith.models import voices
from tunesmith.models.source import find, load, processor
from tunesmith.models.speaker import Speaker
from tunesmith.models.voice import laid, paths


@pytest.fixture(scope="module")
def speecht5(tmp_path_factory):
    return tiny_voices.speecht5(tmp_path_factory.mktemp("voices") / "speecht5")


@pytest.mark.parametrize(("characters", "frames"), [(1, 1), (1, 4), (3, 3), (3, 6), (4, 7)])
def test_paths_are_the_best_of_all(characters, frames):
    likely_BUT = np.random.default_rng(characters + frames).normal(size=(2, 5, 9)).astype(np.float32)
    found_BU = paths(likely_BUT, [characters, 5], [frames, 9])
    ways = [way for way in itertools.product(range(1, frames + 1), repeat=characters) if sum(way) == frames]
    worth = {way: sum(likely_BUT[0, u, t] for t, u in enumerate(np.repeat(range(characters), way))) for way in ways}
    assert tuple(found_BU[0, :characters]) == max(worth, key=lambda way: worth[way])
    assert found_BU[1].sum() == 9 and (found_BU[1] >= 1).all() and not found_BU[0, characters:].any()


def test_frames_know_their_character():
    at_BT, there_BT1 = laid(torch.tensor([[2, 1, 3], [1, 1, 0]]))
    assert at_BT[0].tolist() == [0, 0, 1, 2, 2, 2] and at_BT[1, :2].tolist() == [0, 1]
    assert there_BT1[1, :, 0].tolist() == [1, 1, 0, 0, 0, 0]


def batch_of(ids: list[list[int]], frames: list[int], speakers: int, pad: int) -> dict[str, torch.Tensor]:
    """Random spectra, padded."""
    rng, most = torch.Generator().manual_seed(0), max(frames)
    length_B, frames_B = torch.tensor([len(one) for one in ids]), torch.tensor(frames)
    there_BT1 = (torch.arange(most) < frames_B[:, None])[..., None]
    return {
        "input_ids": torch.tensor([[*one, *[pad] * (int(length_B.max()) - len(one))] for one in ids]), "characters": length_B,
        "attention_mask": (torch.arange(int(length_B.max())) < length_B[:, None]).long(), "frames": frames_B,
        "speaker": torch.randn(len(ids), speakers, generator=rng), "speak": torch.ones(len(ids), dtype=torch.long),
        "spectrum": torch.randn(len(ids), most, 80, generator=rng) * there_BT1,
        "pitch": torch.rand(len(ids), most, 2, generator=rng).round() * there_BT1,
    }  # fmt: skip


def second(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The second row by itself, without padding."""
    ends = {"input_ids": batch["characters"][1], "attention_mask": batch["characters"][1], "spectrum": batch["frames"][1]}
    return {k: v[1:2, : int(ends.get(k, batch["frames"][1]))] if v.dim() > 1 and k != "speaker" else v[1:2] for k, v in batch.items()}


@pytest.mark.parametrize("kind", ["ours", "speecht5"])
def test_rows_lose_what_they_lose_alone(kind, speecht5, tmp_path):
    source = find(str(speecht5 if kind == "speecht5" else tiny_voices.voice(tmp_path / "v")), "voice")
    model = Speaker(load(source, form="voice")).eval()
    batch = batch_of([[1, 4, 5, 6, 7, 2], [1, 8, 2]], [20, 8], 24 if kind == "speecht5" else 160, 1 if kind == "speecht5" else 0)
    together, alone = model(batch), model(second(batch))
    assert together.keys() == alone.keys() and len(alone) >= 3
    for name in alone:
        torch.testing.assert_close(together[name][1:], alone[name], atol=1e-3, rtol=1e-4)


def test_speecht5_loses_what_the_library_says(speecht5):
    model = Speaker(load(find(str(speecht5), "voice"), form="voice")).eval()
    one = second(batch_of([[4, 5, 6, 2], [7, 8, 9, 2]], [11, 8], 24, 1))
    asked = {"input_ids": one["input_ids"], "attention_mask": one["attention_mask"], "labels": one["spectrum"]}
    prenet = model.whole.speecht5.decoder.prenet
    prenet._consistent_dropout = lambda hidden, rate: hidden  # else it drops at random, though nothing learns
    wanted = model.whole(**asked, speaker_embeddings=one["speaker"]).loss
    del prenet._consistent_dropout
    torch.testing.assert_close(sum(model(one).values()) / 8, wanted[None])


def test_speecht5_speaks_the_same_each_time_and_leaves_the_random_state_alone(speecht5):
    model = Speaker(load(find(str(speecht5), "voice"), form="voice"))
    batch, state = batch_of([[4, 5, 6, 2], [7, 2]], [4, 4], 24, 1), torch.get_rng_state()
    first, again = model.speak(batch, 3.0), model.speak(second(batch), 3.0)
    torch.testing.assert_close(first[1], again[0])
    assert torch.equal(torch.get_rng_state(), state) and model.training


def test_a_new_voice_is_the_same_each_time():
    place = voices.made()
    before = (place / "model.safetensors").read_bytes()
    (place / "model.safetensors").unlink()
    assert voices.made() == place and (place / "model.safetensors").read_bytes() == before
    source = find("auto", "voice")
    assert source.name == "new-voice" and source.kind == "new" and source.parameters < 3_000_000


@pytest.mark.parametrize("kind", ["vits", "fastspeech2_conformer"])
def test_voices_without_a_loss_are_refused_with_the_reason(kind, tmp_path):
    folder = tiny_voices.voice(tmp_path / "v")
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "hidden_size": 8}))
    with pytest.raises(ModelError, match=voices.UNTRAINED[kind][:20]) as found:
        find(str(folder), "voice")
    assert found.value.code == "unsuitable-architecture"


def test_texts_and_recognisers_are_told_from_voices(speecht5, tiny_bert):
    for folder, reads in ((tiny_bert, "voice"), (speecht5, "text"), (speecht5, "audio")):
        with pytest.raises(ModelError) as found:
            find(str(folder), reads)
        assert found.value.code == "other-modality"


def test_weights_that_are_not_those_of_the_config_are_refused(tmp_path):
    folder = tiny_voices.voice(tmp_path / "v")
    values = json.loads((folder / "config.json").read_text())
    unfit = "weights-do-not-fit"
    for change, code in (({"decoder_layers": 2}, unfit), ({"width": -1}, "bad-config"), ({"num_mel_bins": 40}, unfit)):
        (folder / "config.json").write_text(json.dumps(values | change))
        with pytest.raises(ModelError) as found:
            load(find(str(folder), "voice"), form="voice")
        assert found.value.code == code


def test_a_vocoder_is_checked_and_older_weights_of_it_are_read(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tiny_voices.hifigan(tmp_path / "h")
    spectrum_TM = np.random.default_rng(0).normal(-2, 1, (7, 80)).astype(np.float32)
    sound_S = voices.sounded(str(folder), spectrum_TM)
    assert len(sound_S) == 7 * 256
    state = load_file(folder / "model.safetensors")
    norm = state["conv_pre.weight"].flatten(1).norm(dim=1)[:, None, None]
    state |= {"conv_pre.weight_g": norm, "conv_pre.weight_v": 3 * state.pop("conv_pre.weight")}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    found_S = voices.load_vocoder(folder)(torch.from_numpy(spectrum_TM)).detach().numpy()
    np.testing.assert_allclose(found_S, sound_S, atol=1e-6)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"upsample_rates": [8, 8]}))
    for place in (folder, tmp_path):
        with pytest.raises(ModelError) as error:
            voices.load_vocoder(place)
        assert error.value.code == "no-vocoder"


def test_the_tokenizer_says_what_it_does_not_know(speecht5):
    mouth = processor(find(str(speecht5), "voice"))
    assert mouth.unknown("hello 7 ß") == {"7", "ß"} and mouth.ids("ab")[-1] == 2
    path = speecht5 / "processor_config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"feature_extractor": values["feature_extractor"] | {"hop_length": 10}}))
    try:
        with pytest.raises(ModelError) as error:
            processor(find(str(speecht5), "voice"))
        assert error.value.code == "bad-feature-extractor"
    finally:
        path.write_text(json.dumps(values))
