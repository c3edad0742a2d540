"""A small voice that learns from some minutes of speech: characters in, a spectrum out, all frames at once. No checkpoint is needed.

Characters are encoded by gated convolutions; each is given a mean spectrum, and those are laid along the sound by the likeliest path that
goes through all of them in order (monotonic alignment search: Glow-TTS, arXiv 2005.11129; on spectra, as in Grad-TTS, 2105.06337). The
path says how long each character sounds, which a small network learns to foretell; pitch is foretold frame by frame; a second stack of
convolutions makes the spectrum of all this (as in FastSpeech 2, 2006.04558).

Axes: B rows, U characters, T frames, D features, M mel bands, E numbers of a speaker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from . import tensors

Batch = Mapping[str, torch.Tensor]
MODEL_TYPE = "tunesmith-voice"
CHARACTERS, FRAMES = 5, 3
"""Width of convolutions over characters, and over frames, where each reaches further than the one below."""
LONGEST = 60.0
"""Most frames of one character."""
SHARES = {"duration": 1.0, "pitch": 0.3, "voiced": 0.3}
"""Weights of the losses beside those of the spectra, which weigh 1."""
FAR = -1e9


@final
@dataclass
class VoiceConfig:
    """Sizes of a voice, as `config.json` has them."""

    width: int = 128
    """D."""
    encoder_layers: int = 4
    foretelling_layers: int = 3
    """Of the stacks that foretell durations and pitch."""
    decoder_layers: int = 6
    vocab_size: int = 1024
    """Most characters; 0 fills short rows."""
    num_mel_bins: int = 80
    """M."""
    speaker_dim: int = 160
    """E."""
    model_type: str = MODEL_TYPE
    _name_or_path: str = ""


@final
class Block(nn.Module):
    """A gated convolution beside its input; what is padding stays out of it."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.around = nn.Conv1d(width, 2 * width, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        self.dropout = nn.Dropout(0.1)

    def forward(self, hidden_BTD: torch.Tensor, there_BT1: torch.Tensor) -> torch.Tensor:
        """(B, T, D)."""
        found = self.around((self.norm(hidden_BTD) * there_BT1).transpose(1, 2))
        return hidden_BTD + self.dropout(functional.glu(found, 1)).transpose(1, 2)


@final
class Stack(nn.Module):
    """Blocks one after another, and a norm."""

    def __init__(self, width: int, layers: int, kernel: int) -> None:
        super().__init__()
        steps = [2 ** (at % 3) if kernel == FRAMES else 1 for at in range(layers)]
        self.layers = nn.ModuleList([Block(width, kernel, step) for step in steps])
        self.norm = nn.LayerNorm(width)

    def forward(self, hidden_BTD: torch.Tensor, there_BT1: torch.Tensor) -> torch.Tensor:
        """(B, T, D), 0 where there is padding."""
        for layer in self.layers:
            hidden_BTD = layer(hidden_BTD, there_BT1)
        found: torch.Tensor = self.norm(hidden_BTD) * there_BT1
        return found


@final
class Voice(nn.Module):
    """The network. Spectra are normalised: mean 0, deviation 1 in each band."""

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__()
        width, self.config = config.width, config
        self.characters = nn.Embedding(config.vocab_size, width)
        self.speaker = nn.Linear(config.speaker_dim, width)
        self.encoder = Stack(width, config.encoder_layers, CHARACTERS)
        self.mean = nn.Linear(width, config.num_mel_bins)
        self.lasting = Stack(width, config.foretelling_layers, CHARACTERS)
        self.duration = nn.Linear(width, 1)
        self.place = nn.Linear(3, width)
        self.melody = Stack(width, config.foretelling_layers, FRAMES)
        self.pitch = nn.Linear(width, 2)
        self.pitched = nn.Linear(2, width)
        self.decoder = Stack(width, config.decoder_layers, FRAMES)
        self.spectrum = nn.Linear(width, config.num_mel_bins)

    def encode(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Characters (B, U, D), and where they are (B, U, 1)."""
        ids_BU = batch["input_ids"]
        there_BU1 = (torch.arange(ids_BU.shape[1], device=ids_BU.device) < batch["characters"][:, None])[..., None].float()
        hidden_BUD = self.characters(ids_BU) + self.speaker(batch["speaker"])[:, None]
        return self.encoder(hidden_BUD * there_BU1, there_BU1), there_BU1

    def foretold(self, hidden_BUD: torch.Tensor, there_BU1: torch.Tensor) -> torch.Tensor:
        """(B, U) natural logarithms of how many frames each character lasts. The encoder is not moved by it."""
        found: torch.Tensor = self.duration(self.lasting(hidden_BUD.detach(), there_BU1)).squeeze(-1)
        return found

    def decode(
        self, hidden_BUD: torch.Tensor, lasting_BU: torch.Tensor, pitch_BT2: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The spectrum (B, T, M) of characters that last so many frames each, and the pitch (B, T, 2) as foretold: how high, in deviations
        from the mean of logarithms, and the logit of being voiced. `pitch_BT2`: the true one, 0 where unvoiced, to learn with."""
        at_BT, there_BT1 = laid(lasting_BU)
        hidden_BTD = hidden_BUD.gather(1, at_BT[..., None].expand(-1, -1, hidden_BUD.shape[2])) + self.place(_within(lasting_BU, at_BT))
        told_BT2 = self.pitch(self.melody(hidden_BTD * there_BT1, there_BT1))
        if pitch_BT2 is None:
            voiced_BT = (told_BT2[..., 1] > 0).to(told_BT2.dtype)
            pitch_BT2 = torch.stack([told_BT2[..., 0] * voiced_BT, voiced_BT], -1)
        sounding_BTD = (hidden_BTD + self.pitched(pitch_BT2)) * there_BT1
        return self.spectrum(self.decoder(sounding_BTD, there_BT1)), told_BT2

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Losses of each row (B,): sums over its frames of what is lost of the spectrum (mean error), of the characters' mean spectra, of
        durations and of pitch, these times `SHARES`. `spectrum` (B, T, M), `frames` (B,), `pitch` (B, T, 2)."""
        hidden_BUD, there_BU1 = self.encode(batch)
        mean_BUM, true_BTM, frames_B = self.mean(hidden_BUD), batch["spectrum"], batch["frames"]
        lasting_BU = aligned(mean_BUM.detach(), true_BTM, batch["characters"], frames_B)
        at_BT, there_BT1 = laid(lasting_BU)
        said_BTM, told_BT2 = self.decode(hidden_BUD, lasting_BU, batch["pitch"])
        laid_BTM = mean_BUM.gather(1, at_BT[..., None].expand_as(true_BTM))
        wrong_BU = (self.foretold(hidden_BUD, there_BU1) - lasting_BU.clamp(min=1).log()).square() * there_BU1.squeeze(-1)
        there_BT, true_BT2 = there_BT1.squeeze(-1), batch["pitch"]
        height_BT = (told_BT2[..., 0] - true_BT2[..., 0]).square() * true_BT2[..., 1]
        voiced_BT = functional.binary_cross_entropy_with_logits(told_BT2[..., 1], true_BT2[..., 1], reduction="none")
        return {
            "spectrum": ((said_BTM - true_BTM).abs().mean(-1) * there_BT).sum(1),
            "means": (0.5 * (laid_BTM - true_BTM).square().mean(-1) * there_BT).sum(1),
            "duration": SHARES["duration"] * wrong_BU.sum(1) * frames_B / batch["characters"],
            "pitch": SHARES["pitch"] * (height_BT * there_BT).sum(1),
            "voiced": SHARES["voiced"] * (voiced_BT * there_BT).sum(1),
        }

    def speak(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Spectra (B, T, M), and how many frames of each there are (B,)."""
        hidden_BUD, there_BU1 = self.encode(batch)
        lasting_BU = self.foretold(hidden_BUD, there_BU1).exp().round().clamp(1.0, LONGEST) * there_BU1.squeeze(-1)
        lasting_BU = lasting_BU.long()
        return self.decode(hidden_BUD, lasting_BU)[0], lasting_BU.sum(1)

    def save_pretrained(self, folder: Path, state_dict: Mapping[str, torch.Tensor]) -> None:
        """config.json and model.safetensors."""
        values = {name: value for name, value in asdict(self.config).items() if name != "_name_or_path"}
        (folder / "config.json").write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", "utf-8")
        tensors.write(folder / "model.safetensors", state_dict)


def laid(lasting_BU: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The character of each frame (B, T), and whether there is one (B, T, 1), where each lasts so many frames."""
    ends_BU = lasting_BU.cumsum(1)
    time_BT = torch.arange(int(ends_BU[:, -1].max()), device=ends_BU.device).expand(len(ends_BU), -1).contiguous()
    at_BT = torch.searchsorted(ends_BU, time_BT, right=True).clamp(max=ends_BU.shape[1] - 1)
    return at_BT, (time_BT < ends_BU[:, -1:])[..., None].float()


def _within(lasting_BU: torch.Tensor, at_BT: torch.Tensor) -> torch.Tensor:
    """(B, T, 3): how far each frame is within its character, how far from its end, and how long that lasts."""
    begins_BT = (lasting_BU.cumsum(1) - lasting_BU).gather(1, at_BT)
    lasting_BT = lasting_BU.gather(1, at_BT).clamp(min=1).float()
    far_BT = (torch.arange(at_BT.shape[1], device=at_BT.device) - begins_BT + 0.5).float() / lasting_BT
    far_BT = far_BT.clamp(max=1.0)  # behind the end there is padding
    return torch.stack([far_BT, 1 - far_BT, lasting_BT.log()], -1)


def aligned(mean_BUM: torch.Tensor, true_BTM: torch.Tensor, characters_B: torch.Tensor, frames_B: torch.Tensor) -> torch.Tensor:
    """(B, U) whole frames of each character on the likeliest path, each at least one; normal densities around the means, deviation 1."""
    likely_BUT = torch.einsum("bum,btm->but", mean_BUM, true_BTM) - 0.5 * mean_BUM.square().sum(-1, keepdim=True)
    found_BU = paths(likely_BUT.float().cpu().numpy(), characters_B.tolist(), frames_B.tolist())
    return torch.from_numpy(found_BU).to(mean_BUM.device)


def paths(likely_BUT: np.ndarray, characters_B: list[int], frames_B: list[int]) -> np.ndarray:
    """(B, U) frames of each character, on the path of the highest sum that begins with the first, ends with the last and leaves none out.

    A row needs as many frames as characters.
    """
    rows, characters, frames = likely_BUT.shape
    best_BU, came_TBU = np.full((rows, characters), FAR, np.float32), np.zeros((frames, rows, characters), bool)
    best_BU[:, 0] = likely_BUT[:, 0, 0]
    before_BU = np.full((rows, characters), FAR, np.float32)
    for frame in range(1, frames):
        before_BU[:, 1:] = best_BU[:, :-1]
        came_TBU[frame] = before_BU > best_BU
        best_BU = np.maximum(before_BU, best_BU) + likely_BUT[:, :, frame]
    found_BU, row_B = np.zeros((rows, characters), np.int64), np.arange(rows)
    here_B, last_B = np.array(characters_B) - 1, np.array(frames_B) - 1
    for frame in range(frames - 1, -1, -1):
        on_B = frame <= last_B
        found_BU[row_B, here_B] += on_B
        here_B = here_B - (on_B & (here_B > 0) & (came_TBU[frame, row_B, here_B] | (here_B == frame)))
    return found_BU
