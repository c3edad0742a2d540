"""Encoders of sounds: told apart by their config, loaded by the same safe path, a sound alone the same as in a batch.

Three kinds: those that read samples through convolutions (wav2vec 2.0, HuBERT, WavLM), those that read mel frames of any number
(w2v-BERT), and those that read a window of fixed length, filled up with silence (Whisper, AST).

Axes: B rows of a batch, S samples, T frames, D features, M mel bands.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..errors import ModelError, shorten
from ..parts.frames import HOP, Frames
from . import facts, tensors
from .allow import check_folder, read_json

if TYPE_CHECKING:
    import torch
    from torch import nn

    Batch = Mapping[str, torch.Tensor]

SAMPLES = frozenset({"wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat"})
"""Families that read samples. The library's wav2vec2-conformer is none: padding reaches the frames beside it."""
FRAMES = frozenset({"wav2vec2-bert"})
"""Families that read mel frames."""
AST = "audio-spectrogram-transformer"
WHISPER = "whisper"
FAMILIES = SAMPLES | FRAMES | {WHISPER, AST}
EXTRACTORS = ("Wav2Vec2FeatureExtractor", "SeamlessM4TFeatureExtractor", "WhisperFeatureExtractor", "ASTFeatureExtractor")
WRITTEN_IN = ("preprocessor_config.json", "processor_config.json")
LONGEST = 30
"""Seconds of one pass through a model: the window of Whisper; attention over more grows with its square."""
MULTILINGUAL = 51_865
"""Entries of Whisper's vocabulary from which it has those of languages."""
ABOVE = ("quantizer.", "project_q.", "project_hid.", "lm_head.", "classifier.", "projector.", "proj_out.", "dropout_features.", "ctc_proj.")
"""Names of what pretraining, or an earlier task, put on top."""
RENAMED = {"conv.weight_g": "conv.parametrizations.weight.original0", "conv.weight_v": "conv.parametrizations.weight.original1"}
"""Older names of a normalised weight."""


def is_sound(config: Mapping[str, Any]) -> bool:
    """Whether a model reads sounds."""
    return config.get("model_type") in FAMILIES


def describe(config: Mapping[str, Any], entries: Mapping[str, tensors.Entry], place: str) -> dict[str, Any]:
    """What `Source` wants to know of a model of sounds. Raises ModelError for one with an adapter of pretraining on top."""
    if config.get("add_adapter"):
        raise ModelError(
            f"{place}, key 'add_adapter'", expected="an encoder that answers each frame", got="one that skips frames behind its layers",
            fix="use a model such as WavLM, HuBERT, wav2vec 2.0, w2v-BERT 2.0 or Whisper", code="unsuitable-architecture",
        )
    kind = str(config["model_type"])
    return {
        "modality": "audio", "parameters": sum(e.size for e in entries.values() if "F" in e.dtype),
        "layers": facts.first(config, "encoder_layers", "num_hidden_layers"), "hidden": facts.hidden(config),
        "max_length": most_frames(config), "positions": 0, "decoder": False, "pooling": "pooler" if kind == AST else "mean",
    }


def most_frames(config: Mapping[str, Any]) -> int:
    """Most frames of one pass."""
    kind = str(config["model_type"])
    if kind == WHISPER:
        return facts.first(config, "max_source_positions") or 1500
    if kind == AST:
        return _patches(config)
    return 50 * LONGEST


def _patches(config: Mapping[str, Any]) -> int:
    patch, ahead, across = (int(config.get(name, 10)) for name in ("patch_size", "time_stride", "frequency_stride"))
    mel, most = int(config.get("num_mel_bins", 128)), int(config.get("max_length", 1024))
    return ((most - patch) // max(ahead, 1) + 1) * ((mel - patch) // max(across, 1) + 1) + 2


# -- what is heard ----------------------------------------------------------------------------------------------------


@final
@dataclass
class Ears:
    """How a model wants its sounds: the library's feature extractor, and what is known of the frames that come of it."""

    extractor: Any
    frames: Frames
    tokenizer: Any = None
    """Of a model that writes."""
    multilingual: bool = False
    """Whether it wants to be told the language."""

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self.frames.rate

    @property
    def pad_token_id(self) -> int | None:
        """The tokenizer's, where there is one."""
        return getattr(self.tokenizer, "pad_token_id", None)

    @property
    def input_name(self) -> str:
        """Under which name the model takes its sounds."""
        return "input_features" if self.frames.kind in ("whisper", "mel") else "input_values"

    def encode(self, sound_S: np.ndarray, seconds: int) -> dict[str, Any]:
        """`input_values` (S,) or (T, M), or `input_features` (T, M), of Whisper (M, T); and `frames`. Each sound by itself.

        `seconds`: at most so much is read; the length of a window.
        """
        sound_S = sound_S[: seconds * self.rate]
        sound_S = np.pad(sound_S, (0, max(0, self.frames.least - len(sound_S))))
        settings = {"max_length": seconds * self.rate} if self.frames.kind == "whisper" else {}
        found = self.extractor(sound_S, sampling_rate=self.rate, return_tensors="np", **settings)
        frames = self.frames.count(len(sound_S), seconds)
        inputs = np.asarray(found[self.input_name][0], np.float32)
        return {self.input_name: inputs[:frames] if self.frames.kind == "mel" else inputs, "frames": frames}

    def to_dict(self) -> dict[str, Any]:
        """Settings, for keys of caches."""
        found: dict[str, Any] = self.extractor.to_dict()
        return {name: value for name, value in found.items() if name not in ("mel_filters", "window")}

    def save_pretrained(self, folder: Path) -> None:
        """As transformers writes its parts; `save_window` then says how long the windows are."""
        self.extractor.save_pretrained(folder)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)


def load_processor(folder: Path) -> Ears:
    """The folder's feature extractor, with its tokenizer where it is of a model that writes. Raises ModelError."""
    check_folder(folder)
    config = read_json(tensors.within(folder / "config.json", folder))
    path, values = _settings(folder)
    name, kind = str(values.get("feature_extractor_type")), str(config.get("model_type"))
    if name not in EXTRACTORS:
        raise _bad(path, f"one of {', '.join(EXTRACTORS)}", shorten(repr(name)))
    rate = values.get("sampling_rate", 16_000)
    if rate != 16_000:
        raise _bad(path, "sampling_rate 16000, as models of speech have it", shorten(repr(rate)))
    extractor = _made(path, name, values)
    if kind in SAMPLES:
        kernels, strides = (_numbers(config, path, key) for key in ("conv_kernel", "conv_stride"))
        return Ears(extractor, Frames("samples", rate, most_seconds=LONGEST, kernels=kernels, strides=strides))
    if kind in FRAMES:
        return Ears(extractor, Frames("mel", rate, most_seconds=LONGEST))
    most = most_frames(config)
    if kind == AST:
        return Ears(extractor, Frames("ast", rate, most, max(1, int(extractor.max_length) * HOP // rate)))
    said = folder / "generation_config.json"
    several = read_json(tensors.within(said, folder)).get("is_multilingual") if said.is_file() else None
    several = facts.first(config, "vocab_size") >= MULTILINGUAL if several is None else bool(several)
    return Ears(extractor, Frames("whisper", rate, most, most * 2 * HOP // rate), _tokenizer(folder), several)


def _settings(folder: Path) -> tuple[Path, dict[str, Any]]:
    for name in WRITTEN_IN:
        path = folder / name
        values = read_json(tensors.within(path, folder)) if path.is_file() else {}
        values = values.get("feature_extractor", values)
        if isinstance(values, dict) and "feature_extractor_type" in values:
            return path, values
    raise _bad(folder / WRITTEN_IN[0], "a feature extractor of sounds", "none: how the model was given its sounds is not known")


def _made(path: Path, name: str, values: Mapping[str, Any]) -> Any:
    import inspect

    import transformers

    from .loading import quiet

    made_by: Any = getattr(transformers, name)
    known = inspect.signature(made_by.__init__).parameters.keys() - {"self", "kwargs"}
    plain = {k: v for k, v in values.items() if k in known and isinstance(v, bool | int | float | str)}
    most = max((v for v in plain.values() if isinstance(v, int | float)), default=0)
    if most > 100_000:
        raise _bad(path, "settings of a model of speech", f"a number of {most:,}")
    try:
        with quiet():
            return made_by(**plain)
    except Exception as error:  # the library checks in its own ways; all of them mean the file is wrong
        raise _bad(path, "usable settings", shorten(" ".join(str(error).split()), 160)) from None


def _numbers(config: Mapping[str, Any], path: Path, key: str) -> tuple[int, ...]:
    defaults = {"conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}
    found = config.get(key, defaults[key])
    if not isinstance(found, list | tuple) or not all(type(n) is int and 0 < n <= 1000 for n in found) or len(found) > 20:
        raise _bad(path.with_name("config.json"), f"whole numbers under {key!r}", shorten(repr(found)))
    return tuple(found)


def _tokenizer(folder: Path) -> Any:
    from .loading import VOCABULARIES, load_tokenizer

    return load_tokenizer(folder) if any((folder / name).is_file() for name in VOCABULARIES) else None


def save_window(module: nn.Module, folder: Path) -> None:
    """Let the saved extractor fill up to the window of the saved model, which may be shorter than that of the one it was made from."""
    config: Any = module.config
    path = folder / WRITTEN_IN[0]
    if config.model_type != WHISPER or not path.is_file():
        return
    values = json.loads(path.read_text("utf-8"))
    seconds = config.max_source_positions * 2 * HOP // values["sampling_rate"]
    values |= {"chunk_length": seconds, "n_samples": seconds * values["sampling_rate"], "nb_max_frames": 2 * config.max_source_positions}
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", "utf-8")


# -- the model --------------------------------------------------------------------------------------------------------


def model_class(config: Any) -> Any:
    """The class of a family's encoder where it is not the family's plain model; None elsewhere."""
    if config.model_type != WHISPER:
        return None
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return WhisperEncoder


def recogniser_class() -> Any:
    """Whisper with its decoder and head."""
    from transformers.models.whisper.modeling_whisper import WhisperForConditionalGeneration

    return WhisperForConditionalGeneration


def only(config: Any, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The encoder's tensors, under its own names: without heads, of Whisper without the decoder. Other models' as they are."""
    if config.model_type not in FAMILIES:
        return dict(state)
    found = {}
    for name, tensor in state.items():
        if config.model_type == WHISPER:
            name = name.removeprefix("model.")
            if not name.startswith("encoder."):
                continue
            name = name.removeprefix("encoder.")
        if not name.startswith(ABOVE):
            found[_renamed(name)] = tensor
    return found


def outer(module: nn.Module, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The opposite, for a saved folder: Whisper's encoder under the names that `WhisperForAudioClassification` gives it."""
    alone = module.config.model_type == WHISPER and type(module).__name__ == "WhisperEncoder"
    return {f"encoder.{name}": tensor for name, tensor in state.items()} if alone else dict(state)


def _renamed(name: str) -> str:
    return next((name.removesuffix(old) + new for old, new in RENAMED.items() if name.endswith(old)), name)


def settle(module: nn.Module) -> None:
    """No layers left out at random: what is skipped would learn nothing, and batches cut otherwise would give another gradient."""
    config: Any = module.config
    if config.model_type in FAMILIES:
        for name in ("layerdrop", "encoder_layerdrop", "decoder_layerdrop"):
            if hasattr(config, name):
                setattr(config, name, 0.0)
        if config.model_type == WHISPER:
            config.apply_spec_augment = False
        for part in module.modules():
            if isinstance(getattr(part, "layerdrop", None), float):
                part.layerdrop = 0.0


def shorten_window(module: Any, seconds: int) -> None:
    """Let a Whisper encoder read windows of so many seconds instead of 30: the first positions of its table. Others stay as they are."""
    from torch import nn

    encoder = getattr(module, "encoder", module)
    if encoder.config.model_type != WHISPER or encoder.embed_positions.num_embeddings <= 50 * seconds:
        return
    kept = encoder.embed_positions.weight[: 50 * seconds].detach().clone()
    encoder.embed_positions = nn.Embedding.from_pretrained(kept, freeze=True)
    encoder.max_source_positions = len(kept)
    for part in {id(part.config): part for part in module.modules() if hasattr(part, "config")}.values():
        part.config.max_source_positions = len(kept)


def hear(module: Any, batch: Batch) -> Any:
    """What a bare encoder answers to a batch: its own output object. Frames of padding are hidden from the others.

    The library's own random masks stay off: `masked` (B, T) of the batch says which frames are hidden (SpecAugment, arXiv 1904.08779).
    """
    kind = module.config.model_type
    if kind in (WHISPER, AST):
        return module(batch["input_features" if kind == WHISPER else "input_values"])
    twin = copy.copy(module)
    twin.config = copy.copy(module.config)
    twin.config.mask_time_prob = twin.config.mask_feature_prob = 0.0
    twin.config.apply_spec_augment = True
    named: dict[str, Any] = {"attention_mask": batch["attention_mask"]}
    if "masked" in batch:
        named["mask_time_indices"] = batch["masked"].bool()
        if not hasattr(module, "masked_spec_embed"):  # a config without masks makes no vector for what is hidden
            twin.masked_spec_embed = batch["input_values"].new_zeros(module.config.hidden_size)
    if kind in FRAMES:
        return twin(batch["input_features"], **named)
    if getattr(module.config, "feat_extract_norm", "") == "group":
        twin._modules = {**module._modules, "feature_extractor": _given(_one_by_one(module, batch))}
    with warnings.catch_warnings():
        # WavLM of transformers 5.23 hands PyTorch two masks of unlike type, which has the right outcome.
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask and attn_mask is deprecated")
        return twin(batch["input_values"], **named)


def _one_by_one(module: Any, batch: Batch) -> torch.Tensor:
    """(B, D, T) of the convolutions, each row by itself: their norm is over the whole row, and would see the padding."""
    from torch.nn.utils.rnn import pad_sequence

    lengths = batch["attention_mask"].sum(1).tolist()
    rows = [module.feature_extractor(row_S[None, :length])[0].T for row_S, length in zip(batch["input_values"], lengths, strict=True)]
    found_BTD: torch.Tensor = pad_sequence(rows, batch_first=True)
    return found_BTD.transpose(1, 2)


def _given(found_BDT: torch.Tensor) -> Any:
    """Stands for convolutions that have already run."""
    from torch import nn

    given = nn.Identity()
    given.forward = lambda _: found_BDT  # type: ignore[method-assign]
    return given


def joined(hidden_WTD: torch.Tensor, frames_W: torch.Tensor, windows_B: torch.Tensor, length_B: torch.Tensor) -> torch.Tensor:
    """(B, T, D) frames of whole sounds from those of their windows, one after another; each row brought to its `length`."""
    import torch

    rows, at = list[torch.Tensor](), 0
    for windows, length in zip(windows_B.tolist(), length_B.tolist(), strict=True):
        parts = [hidden_WTD[i, : int(frames_W[i])] for i in range(at, at + windows)]
        row_TD = torch.cat(parts)[:length]
        rows.append(torch.cat([row_TD, row_TD[-1:].expand(length - len(row_TD), -1)]))
        at += windows
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def frame_mask(hidden_BTD: torch.Tensor, frames_B: torch.Tensor) -> torch.Tensor:
    """(B, T) 1 where a frame is of the sound, and not of padding or silence behind it."""
    import torch

    return (torch.arange(hidden_BTD.shape[1], device=hidden_BTD.device) < frames_B[:, None]).long()


def _bad(path: Path, expected: str, got: str) -> ModelError:
    return ModelError(str(path), expected=expected, got=got, fix="download the model again", code="bad-feature-extractor")
