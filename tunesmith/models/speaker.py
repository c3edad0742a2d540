"""A voice as it is trained and asked: `new-voice`, or SpeechT5 with its losses, and the vocoder that they speak through.

SpeechT5 (arXiv 2110.07205) writes its spectrum frame by frame; its losses are those of the library, row by row, so that a row's loss does
not depend on the rows beside it: the error before and after the postnet, the stop mark, and attention that should run ahead (1710.08969).

Axes: B rows, U characters, T frames, R frames of a step, M mel bands, L layers times heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, final

import torch
from torch import nn
from torch.nn import functional

from .heads import bare, evaluating
from .source import Backbone
from .voices import OURS, beside

Batch = Mapping[str, torch.Tensor]
POOLING = "voice"
"""What stands for the kind of pooling in `head.json`: there is none."""
STOPS = 5.0
"""Weight of the frame at which to stop, beside those at which not to (the library's)."""


@final
class Speaker(nn.Module):
    """`model(batch)` -> losses of each row by name (B,), each a sum over its frames. `speak`: spectra."""

    keeps_head = True
    """There is none: all is saved with the network."""
    per_token = False
    cuttable = False
    pooling = POOLING

    def __init__(self, backbone: Backbone, dropout: float = 0.0, vocoder: nn.Module | None = None) -> None:
        """`vocoder`: what makes sounds of spectra; never trained. It is saved beside a voice, and of a saved one that one is taken."""
        super().__init__()
        self.backbone: Any = backbone.module
        self.dropout = nn.Dropout(dropout)
        self.source, self.spare = backbone.source, backbone.spare
        self.cut = None
        self._beside = (beside(backbone) if backbone.own else vocoder,)  # in a tuple: no part of what is trained, counted and saved here

    @property
    def whole(self) -> Any:
        """The network without adapters."""
        return bare(self.backbone)

    @property
    def vocoder(self) -> nn.Module | None:
        """What makes sounds of spectra, where that is a network."""
        return self._beside[0]

    @property
    def ours(self) -> bool:
        """Whether it is `new-voice`."""
        return bool(self.whole.config.model_type == OURS)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Losses of each row (B,), sums over frames. The batch has `spectrum` (B, T, M) and `frames` (B,)."""
        if self.ours:
            found: dict[str, torch.Tensor] = self.backbone(batch)
            return found
        return _losses(self.whole, batch)

    def train(self, mode: bool = True) -> Self:
        """As of any module, but batch norm keeps the statistics of pretraining: rows must not depend on each other."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm1d):
                part.eval()
        return self

    def error(self, batch: Batch) -> torch.Tensor:
        """(B,) mean error of each row's spectrum when all frames before are true."""
        with evaluating(self), torch.inference_mode():
            after = _taught(self.whole, batch)[1]
            return torch.stack([(one - true[: len(one)]).abs().mean() for one, true in zip(after, _rows(batch), strict=True)])

    def speak(self, batch: Batch, most: float) -> list[torch.Tensor]:
        """Spectra (T, M). `most`: frames for each character at which SpeechT5 is stopped, if it does not stop by itself."""
        with evaluating(self), torch.inference_mode():
            if self.ours:
                spectrum_BTM, frames_B = self.whole.speak(batch)
                return [one_TM[:frames] for one_TM, frames in zip(spectrum_BTM, frames_B.tolist(), strict=True)]
            lengths = batch["attention_mask"].sum(1).tolist()
            return [self._written(batch, row, length, most) for row, length in enumerate(lengths)]

    def _written(self, batch: Batch, row: int, length: int, most: float) -> torch.Tensor:
        """One row by itself. SpeechT5 drops units at random when it speaks, too: the same ones each time."""
        ids_1U = batch["input_ids"][row : row + 1, :length]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            found: torch.Tensor = self.whole.generate_speech(ids_1U, batch["speaker"][row : row + 1], maxlenratio=max(1.0, most))
        return found

    def sound(self, spectrum_TM: torch.Tensor) -> torch.Tensor:
        """(S,) what the vocoder makes of a spectrum."""
        assert self.vocoder is not None
        with torch.inference_mode():
            found: torch.Tensor = self.vocoder(spectrum_TM)
        return found

    def reset_head(self, seed: int) -> None:
        """Nothing: there is no head."""


def _rows(batch: Batch) -> list[torch.Tensor]:
    return [one_TM[:frames] for one_TM, frames in zip(batch["spectrum"], batch["frames"].tolist(), strict=True)]


@contextmanager
def _undropped(prenet: Any) -> Iterator[None]:
    """Without the units that the decoder's prenet drops whether or not it learns."""
    prenet._consistent_dropout = lambda hidden, rate: hidden
    try:
        yield
    finally:
        del prenet._consistent_dropout


def _taught(model: Any, batch: Batch) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor, torch.Tensor, list[int]]:
    """With the true frames before each: spectra (T, M) before and after the postnet, logits of stopping (B, T), attentions
    (B, L, T / R, U), and how many frames of each row count: a whole number of steps."""
    step, true_BTM = model.config.reduction_factor, batch["spectrum"]
    frames = [count - count % step for count in batch["frames"].tolist()]
    most = max(frames)
    before_BTM = true_BTM[:, step - 1 : most : step]
    before_BTM = torch.cat([torch.zeros_like(before_BTM[:, :1]), before_BTM[:, :-1]], 1)
    asked = {"input_values": batch["input_ids"], "attention_mask": batch["attention_mask"], "decoder_input_values": before_BTM}
    prenet = model.speecht5.decoder.prenet
    if model.training:
        found = model.speecht5(**asked, speaker_embeddings=batch["speaker"], output_attentions=True, use_cache=False)
    else:
        with _undropped(prenet):
            found = model.speecht5(**asked, speaker_embeddings=batch["speaker"], output_attentions=True, use_cache=False)
    post = model.speech_decoder_postnet
    said_BTM = post.feat_out(found.last_hidden_state).reshape(len(true_BTM), -1, model.config.num_mel_bins)
    logits_BT = post.prob_out(found.last_hidden_state).reshape(len(true_BTM), -1)
    first = [one_TM[:count] for one_TM, count in zip(said_BTM, frames, strict=True)]
    # Row by row: the postnet's convolutions would see what follows the shorter ones.
    after = [post.postnet(one_TM[None])[0] for one_TM in first]
    heads = model.config.guided_attention_loss_num_heads
    attention_BLTU = torch.cat([layer[:, : heads if heads > 0 else None] for layer in found.cross_attentions], 1)
    return first, after, logits_BT, attention_BLTU, frames


def _losses(model: Any, batch: Batch) -> dict[str, torch.Tensor]:
    first, after, logits_BT, attention_BLTU, frames = _taught(model, batch)
    true = [one_TM[:count] for one_TM, count in zip(batch["spectrum"], frames, strict=True)]
    each = list(zip(first, after, true, frames, strict=True))
    spectrum_B = torch.stack([((a - t).abs() + (b - t).abs()).mean(-1).sum() for a, b, t, _ in each])
    stop_B = torch.stack([_stopping(logits_T[:count]) for logits_T, count in zip(logits_BT, frames, strict=True)])
    found = {"spectrum": spectrum_B, "stop": stop_B}
    if model.config.use_guided_attention_loss:
        lengths = batch["attention_mask"].sum(1).tolist()
        rows = zip(attention_BLTU, lengths, frames, strict=True)
        found["attention"] = torch.stack([_astray(one, length, count, model.config) for one, length, count in rows])
    return found


def _stopping(logits_T: torch.Tensor) -> torch.Tensor:
    """Nats of stopping at the last frame, and not before."""
    stop_T = torch.zeros_like(logits_T)
    stop_T[-1] = 1.0
    weight = torch.tensor(STOPS, device=logits_T.device)
    return functional.binary_cross_entropy_with_logits(logits_T, stop_T, pos_weight=weight, reduction="sum")


def _astray(attention_LTU: torch.Tensor, length: int, frames: int, config: Any) -> torch.Tensor:
    """How far attention is off the straight line through text and sound: a mean over its cells, times the frames."""
    steps = frames // config.reduction_factor
    ahead_T1 = (torch.arange(steps, device=attention_LTU.device) / steps)[:, None]
    ahead_U = torch.arange(length, device=attention_LTU.device) / length
    off_TU = 1 - torch.exp(-((ahead_U - ahead_T1) ** 2) / (2 * config.guided_attention_loss_sigma**2))
    found: torch.Tensor = config.guided_attention_loss_scale * (attention_LTU[:, :steps, :length] * off_TU).mean() * frames
    return found
