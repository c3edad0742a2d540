"""Models that speak: which there are, what their folders say of them, how they want their texts.

`new-voice` is a small network of our own (`voice.py`) with weights drawn at random, made when it is asked for: it learns from the sounds
alone. SpeechT5 is loaded as transformers has it. Others speak too, but transformers has no loss to train them by; they are refused.

Axes: U characters.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..data import caches
from ..errors import ModelError, ResourceError, shorten
from ..parts import spectra
from . import facts, tensors
from .allow import check_folder, read_json

if TYPE_CHECKING:
    from torch import nn

    from .source import Backbone

NEW = "new-voice"
OURS = "tunesmith-voice"
SPEECHT5 = "speecht5"
UNTRAINED = {
    "vits": "transformers has no loss for it, and what training needs (posterior encoder, discriminator) is not in its folder",
    "fastspeech2_conformer": "it learns from durations and phonemes that an aligner has to give",
    "bark": "it has no published loss", "csm": "its loss is over codes of a codec", "seamless_m4t": "it learns from units of speech",
}  # fmt: skip
"""Families that speak but cannot be tuned here, and why."""
FAMILIES = {SPEECHT5, OURS, *UNTRAINED}
SETTINGS = {"num_mel_bins": 80, "sampling_rate": 16_000, "hop_length": 16, "win_length": 64, "fmin": 80, "fmax": 7600, "mel_floor": 1e-10}
"""How SpeechT5 has its spectra (`parts/spectra.py` makes these), and `new-voice`, too."""
WRITTEN_IN = ("preprocessor_config.json", "processor_config.json")
VOCODER = "vocoder"
"""Folder, within a saved voice's, of the vocoder that it speaks through."""
MOST_SECONDS = 60
"""Longest sound to learn from: the paths of `new-voice` are searched over characters times frames."""


def is_voice(config: Mapping[str, Any]) -> bool:
    """Whether a model speaks."""
    return config.get("model_type") in FAMILIES


def made() -> Path:
    """The folder of `new-voice`, whose weights are drawn at random, the same each time."""
    import torch

    from .voice import Voice, VoiceConfig

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        voice = Voice(VoiceConfig())
    shapes = {name: list(tensor.shape) for name, tensor in voice.state_dict().items()}
    key = hashlib.sha256(f"{json.dumps(shapes)} {torch.__version__}".encode()).hexdigest()[:16]
    place = caches.root() / "models" / f"{NEW}-{key}"
    if not caches.whole(place):
        caches.keep(place, lambda folder: voice.save_pretrained(folder, voice.state_dict()))
    return place


def describe(config: Mapping[str, Any], entries: Mapping[str, tensors.Entry], place: str) -> dict[str, Any]:
    """What `Source` wants to know of a voice. Raises ModelError for one that cannot be trained."""
    kind = str(config["model_type"])
    if kind in UNTRAINED:
        raise _unsuitable(f"{place}, key 'model_type'", f"{kind}: {UNTRAINED[kind]}")
    if kind == SPEECHT5 and not any("speech_decoder_postnet" in name for name in entries):
        raise _unsuitable(place, "a SpeechT5 that does not speak (recognition, or the bare model)")
    ours = kind == OURS
    positions = facts.first(config, "vocab_size") if ours else facts.first(config, "max_text_positions") or 450
    return {
        "modality": "voice", "parameters": sum(e.size for e in entries.values() if "F" in e.dtype),
        "layers": facts.first(config, "encoder_layers") + facts.first(config, "decoder_layers"),
        "hidden": facts.first(config, "width") if ours else facts.hidden(config), "max_length": positions, "positions": 0,
        "decoder": False, "pooling": "mean",
    }


def _unsuitable(place: str, got: str) -> ModelError:
    fix = f"leave --model out ({NEW} learns from your sounds alone), or name a SpeechT5 folder: --model microsoft/speecht5_tts"
    return ModelError(place, expected="a voice that can be trained", got=got, fix=fix, code="unsuitable-architecture")


# -- texts ------------------------------------------------------------------------------------------------------------


@final
@dataclass
class Mouth:
    """How a voice wants its texts, and how much it can say."""

    kind: str
    tokenizer: Any = None
    """Of SpeechT5; `new-voice` knows characters by the task's own list."""
    most_characters: int = 1000
    most_seconds: float = MOST_SECONDS
    speaker_dim: int = 160
    vocoder: str = ""
    """Folder of the vocoder that came with the model."""

    @property
    def pad_token_id(self) -> int:
        """What fills short rows."""
        return 0 if self.tokenizer is None else int(self.tokenizer.pad_token_id)

    def ids(self, text: str) -> np.ndarray:
        """(U,) tokens of SpeechT5, the end among them."""
        found = self.tokenizer(text, return_attention_mask=False)["input_ids"]
        return np.array(found, np.int64)

    def unknown(self, text: str) -> set[str]:
        """Characters that the tokenizer does not know."""
        unk = self.tokenizer.unk_token_id
        return {one for one in set(text) if not one.isspace() and unk in self.tokenizer(one, add_special_tokens=False)["input_ids"]}

    def to_dict(self) -> dict[str, Any]:
        """Settings, for keys of caches."""
        return {"kind": self.kind, **SETTINGS}

    def save_pretrained(self, folder: Path) -> None:
        """As transformers writes SpeechT5's processor; `new-voice` has none."""
        if self.tokenizer is None:
            return
        from transformers import SpeechT5FeatureExtractor, SpeechT5Processor

        SpeechT5Processor(SpeechT5FeatureExtractor(), self.tokenizer).save_pretrained(folder)


def load_processor(folder: Path) -> Mouth:
    """What the folder's voice wants. Raises ModelError."""
    check_folder(folder)
    config = read_json(tensors.within(folder / "config.json", folder))
    kind, beside = str(config["model_type"]), folder / VOCODER
    vocoder = str(beside) if (beside / "config.json").is_file() else ""
    if kind == OURS:
        return Mouth(kind, speaker_dim=facts.first(config, "speaker_dim"), vocoder=vocoder)
    _check_settings(folder)
    most = (facts.first(config, "max_speech_positions") or 4000) * (facts.first(config, "reduction_factor") or 2) * 256 / 16_000
    characters = facts.first(config, "max_text_positions") or 450
    return Mouth(
        kind, _tokenizer(folder), characters, min(most, MOST_SECONDS), facts.first(config, "speaker_embedding_dim") or 512, vocoder
    )


def _tokenizer(folder: Path) -> Any:
    from importlib.util import find_spec

    from .loading import load_tokenizer

    if find_spec("sentencepiece") is None and not (folder / "tokenizer.json").is_file():
        raise ResourceError(
            "SpeechT5's tokenizer", expected="sentencepiece, which it is made with", got="it is not installed",
            fix="pip install 'tunesmith[sound]'", code="missing-extra",
        )  # fmt: skip
    return load_tokenizer(folder)


def _check_settings(folder: Path) -> None:
    """Raises ModelError where the folder asks for other spectra than those that are made."""
    for name in WRITTEN_IN:
        path = folder / name
        values = read_json(tensors.within(path, folder)) if path.is_file() else {}
        values = values.get("feature_extractor", values)
        for key, value in SETTINGS.items() if isinstance(values, dict) else ():
            if key in values and values[key] != value:
                raise ModelError(
                    f"{path}, key {key!r}", expected=f"{value}, as SpeechT5 has it", got=shorten(repr(values[key])),
                    fix="use the folder of microsoft/speecht5_tts", code="bad-feature-extractor",
                )  # fmt: skip


# -- weights ----------------------------------------------------------------------------------------------------------


def load_module(folder: Path, own: bool) -> nn.Module:
    """The network of a folder, every tensor accounted for. Raises ModelError."""
    from transformers import SpeechT5ForTextToSpeech

    from . import loading

    check_folder(folder)
    values = read_json(tensors.within(folder / "config.json", folder))
    if values.get("model_type") == OURS:
        return _ours(folder, values)
    module, _ = loading.load_module(folder, own, made_by=SpeechT5ForTextToSpeech)
    whole: Any = module
    for part in (whole.speecht5.encoder.wrapped_encoder, whole.speecht5.decoder.wrapped_decoder):
        part.layerdrop = 0.0  # what is skipped would learn nothing
    return module


def _ours(folder: Path, values: Mapping[str, Any]) -> nn.Module:
    import torch

    from . import loading
    from .voice import Voice, VoiceConfig

    known = {field.name for field in dataclasses.fields(VoiceConfig)} - {"_name_or_path"}
    sizes = {name: value for name, value in values.items() if name in known - {"model_type"}}
    bad = next((name for name, value in sizes.items() if type(value) is not int or not 0 < value <= 1 << 16), None)
    if bad is not None:
        error = ValueError(f"{bad} {shorten(repr(sizes[bad]))}")
        raise loading.bad_config(folder / "config.json", OURS, error)
    state = loading.read_weights(folder)
    config = VoiceConfig(**sizes)
    loading.affordable(lambda: Voice(config), state, folder)
    with torch.random.fork_rng(devices=[]):
        voice = Voice(config)
    wanted = {name: tuple(tensor.shape) for name, tensor in voice.state_dict().items()}
    for name in sorted(wanted.keys() | state.keys()):
        shape = tuple(state[name].shape) if name in state else None
        if wanted.get(name) != shape:
            raise loading.unfit(folder, f"tensor {name!r} of shape {wanted.get(name)}", f"{shape}")
    voice.load_state_dict(state)
    return voice.float().eval()


def load_vocoder(folder: str | Path) -> nn.Module:
    """SpeechT5's HiFi-GAN, frozen. Raises ModelError where the folder holds none, or one for other spectra."""
    from transformers import SpeechT5HifiGan

    from . import loading

    folder = Path(folder).expanduser()
    path = folder / "config.json"
    if not path.is_file():
        raise _no_vocoder(str(folder), "no config.json")
    check_folder(folder)
    values = read_json(tensors.within(path, folder))
    rates = values.get("upsample_rates") or [4, 4, 4, 4]
    if values.get("model_type") not in ("hifigan", "speecht5_hifigan"):  # the Hub's own folder has the older name
        raise _no_vocoder(str(path), repr(values.get("model_type")))
    hop = int(np.prod(rates)) if all(type(one) is int and 0 < one < 1000 for one in rates) else 0
    if hop != 256 or values.get("model_in_dim", 80) != 80 or values.get("sampling_rate", 16_000) != 16_000:
        raise _no_vocoder(str(path), "one for other spectra (80 bands, 256 samples a frame, 16 kHz are made)")
    module = _hifigan(folder, values, loading.read_weights(folder), SpeechT5HifiGan)
    return module.float().eval().requires_grad_(False)


@lru_cache(maxsize=2)
def _kept_vocoder(folder: str) -> Any:
    return load_vocoder(folder)


def sounded(folder: str, spectrum_TM: np.ndarray) -> np.ndarray:
    """(S,) what the vocoder of a folder, or without one Griffin and Lim's method, makes of a spectrum. Raises ModelError."""
    import torch

    if not folder:
        return spectra.wave(spectrum_TM)
    with torch.inference_mode():
        found: np.ndarray = _kept_vocoder(folder)(torch.from_numpy(spectrum_TM)).numpy()
    return found


def _hifigan(folder: Path, values: dict[str, Any], state: Mapping[str, Any], made_by: Any) -> Any:
    from . import loading
    from .allow import filtered

    fields = {field.name for field in dataclasses.fields(made_by.config_class)}
    plain = filtered(values, fields, str(folder / "config.json"))
    try:
        with loading.quiet():
            config = made_by.config_class.from_dict({key: value for key, value in plain.items() if key != "model_type"})
            loading.affordable(lambda: made_by(config), state, folder)
            module = made_by(config)
            state, wanted = _plain_weights(state), module.state_dict()
    except ModelError:
        raise
    except Exception as error:  # the library checks in its own ways
        raise loading.bad_config(folder / "config.json", "speecht5_hifigan", error) from None
    for name in sorted(wanted.keys() | state.keys()):
        shapes = [tuple(one[name].shape) if name in one else None for one in (wanted, state)]
        if shapes[0] != shapes[1]:
            raise loading.unfit(folder, f"tensor {name!r} of shape {shapes[0]}", str(shapes[1]))
    module.load_state_dict(state)
    return module


def _plain_weights(state: Mapping[str, Any]) -> dict[str, Any]:
    """Weights that are kept as direction and length (weight norm) as one tensor: the published vocoder has them so."""
    import torch

    found = dict(state)
    for name in [one for one in state if one.endswith(".weight_g")]:
        stem = name.removesuffix("_g")
        found[stem] = torch._weight_norm(found.pop(f"{stem}_v"), found.pop(name), 0)
    return found


def _no_vocoder(place: str, got: str) -> ModelError:
    return ModelError(
        place, expected="a folder of SpeechT5HifiGan", got=got, code="no-vocoder",
        fix="name one (--set options.vocoder=FOLDER), or say griffin-lim, which needs none",
    )  # fmt: skip


def beside(backbone: Backbone) -> nn.Module | None:
    """The vocoder that was saved with a voice. Raises ModelError where it is damaged."""
    folder = backbone.source.folder / VOCODER
    return load_vocoder(folder) if (folder / "config.json").is_file() else None


def save_vocoder(model: Any, folder: Path) -> None:
    """The vocoder of a voice in a folder of its own within the voice's; what an earlier save left there is replaced."""
    import shutil

    from . import loading

    shutil.rmtree(folder / VOCODER, ignore_errors=True)
    vocoder = getattr(model, "vocoder", None)
    if vocoder is not None:
        vocoder.config._name_or_path = ""
        with loading.quiet():
            vocoder.save_pretrained(folder / VOCODER)
