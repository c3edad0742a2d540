"""A denoiser that learns, and paints (arXiv 2006.11239, 2010.02502): noise or velocity predicted, with classes or captions, guided.

Axes: B rows of a batch, K noise levels of each, C channels, H height, W width, L tokens of a caption, D numbers of each.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from ..errors import ModelError, SpecError
from . import pipelines
from .canvas import vectors
from .heads import bare, evaluating
from .recipe import Recipe
from .source import Backbone

Batch = Mapping[str, torch.Tensor]
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
"""Maps inside attention."""
START = 0.02
"""Standard deviation of new vectors of classes."""


@final
class Diffuser(nn.Module):
    """`model(batch)` -> (B, K) squared errors of what is predicted, and (B, K) those of the noise, in units of its variance.

    A batch has `painted` (B, C, H, W), `noise` (B, K, C, H, W), `level` (B, K), and `label` (B,) or `caption` (B, L, D).
    """

    keeps_head = True
    """All of it came with the model, or is new: it is saved as one pipeline."""
    per_token = False
    pooling = pipelines.POOLING
    cuttable = False
    """What noise leaves of a picture is another thing each time: there is nothing to keep."""

    def __init__(self, backbone: Backbone, classes: int = 0, captions: bool | None = None, velocity: bool | None = None) -> None:
        """`classes` (0: none) and `captions` say what rows bring (None: what the model takes); `velocity`: what a new model predicts.

        Raises ModelError where the model takes neither.
        """
        super().__init__()
        self.source, self.spare, self.cut = backbone.source, backbone.spare, None
        self.dropout = nn.Dropout(0.0)
        # In a tuple, not a module of this one: they never learn, and no strategy is to see them.
        self._around = (pipelines.parts(backbone.source),)
        self.fresh: tuple[str, ...] = ()
        new = backbone.source.kind == "new"
        self.backbone: Any = Recipe.of(backbone.source.name).unet(classes, self.around.text_width) if new else backbone.module
        self.scheduler = pipelines.schedule(backbone.source, velocity)
        if captions is not None:
            self._meet(classes, captions)
        if velocity is not None and velocity != self.velocity:
            raise SpecError(
                "option predicts", expected=f"{'velocity' if self.velocity else 'noise'}, as the model was trained", got="the other",
                fix="leave it out", code="bad-value",
            )
        self.register_buffer("signal_T", self.scheduler.alphas_cumprod.float(), persistent=False)

    @property
    def around(self) -> pipelines.Parts:
        """The frozen parts."""
        return self._around[0]

    @property
    def unet(self) -> Any:
        """The denoiser itself, without adapters' wrapper."""
        return bare(self.backbone)

    @property
    def velocity(self) -> bool:
        """Whether velocity is predicted (arXiv 2202.00512), not noise."""
        return bool(self.scheduler.config.prediction_type == "v_prediction")

    @property
    def classes(self) -> int:
        """Classes it paints; one more stands for none. 0: it knows no classes."""
        return max(0, int(getattr(self.unet.config, "num_class_embeds", None) or 0) - 1)

    @cached_property
    def nothing_1LD(self) -> torch.Tensor:
        """The empty caption, (1, L, D)."""
        return vectors(self.around, "")[None]

    def _meet(self, classes: int, captions: bool) -> None:
        """Give the denoiser classes where rows have them and it has none. Raises ModelError where it takes something else."""
        if captions != (self.around.reader is not None):
            got = "a model that takes none" if captions else "a model that takes captions, and none in the rows"
            fix = "leave --model out for a new one, or the caption" if captions else "name their column: --option caption=COLUMN"
            raise ModelError(f"model {self.source.name!r}", expected="captions in rows and model alike", got=got, fix=fix, code="captions")
        if classes and not self.classes and not captions:
            self._add_classes(classes)
        if classes != self.classes:
            raise ModelError(
                f"model {self.source.name!r}", expected=f"a model of {classes} labels, or of none", got=f"one of {self.classes}",
                fix="pass another model, or leave --model out for a new one", code="classes",
            )

    def _add_classes(self, classes: int) -> None:
        width = self.unet.time_embedding.linear_2.out_features
        self.unet.class_embedding = nn.Embedding(classes + 1, width)
        nn.init.normal_(self.unet.class_embedding.weight, 0.0, START)
        self.unet.register_to_config(num_class_embeds=classes + 1)
        self.fresh = ("class_embedding.weight",)

    # -- learning -----------------------------------------------------------------------------------------------------

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared errors (B, K), means over all numbers painted: of the prediction, and of the noise that follows from it."""
        levels = batch["level"].shape[1]
        clean, noise, level = batch["painted"].repeat_interleave(levels, 0), batch["noise"].flatten(0, 1), batch["level"].flatten()
        signal = self.signal_T[level].view(-1, 1, 1, 1)
        seen = signal.sqrt() * clean + (1 - signal).sqrt() * noise
        wanted = signal.sqrt() * noise - (1 - signal).sqrt() * clean if self.velocity else noise
        known = {name: value.repeat_interleave(levels, 0) for name, value in self._known(batch).items()}
        error = (self._said(seen, level, known).float() - wanted).square().mean((1, 2, 3))
        of_noise = error * signal.flatten() if self.velocity else error
        return error.view(-1, levels), of_noise.view(-1, levels)

    def balance(self, level_BK: torch.Tensor, most: float) -> torch.Tensor:
        """Weights of noise levels: the signal-to-noise ratio, at most `most`, so that no level rules the others (arXiv 2303.09556)."""
        signal = self.signal_T[level_BK]
        ratio = signal / (1 - signal).clamp(min=1e-8)
        return ratio.clamp(max=most) / (ratio + 1) if self.velocity else (most / ratio.clamp(min=1e-8)).clamp(max=1.0)

    def _known(self, batch: Batch) -> dict[str, torch.Tensor]:
        found = {"class_labels": batch["label"]} if "label" in batch else {}
        return found | ({"encoder_hidden_states": batch["caption"]} if "caption" in batch else {})

    def _said(self, seen: torch.Tensor, level: torch.Tensor, known: Mapping[str, torch.Tensor]) -> torch.Tensor:
        # The denoiser itself, not peft's wrapper, which would read the arguments as those of a text model: updates are inside it.
        found: torch.Tensor = self.unet(seen, level, **known, return_dict=False)[0]
        return found[:, : seen.shape[1]]

    # -- painting -----------------------------------------------------------------------------------------------------

    def paint(self, batch: Batch, steps: int, guidance: float) -> torch.Tensor:
        """Pictures (B, 3, H, W) from 0 to 1, from the noise in `start` (B, C, H, W): no other chance. `guidance` above 1 pulls away from
        what would be painted without label or caption (arXiv 2207.12598)."""
        with evaluating(self), torch.inference_mode():
            scheduler, known = copy.deepcopy(self.scheduler), self._known(batch)
            with warnings.catch_warnings():
                # diffusers 0.42 turns a tensor into an array in a way that NumPy 2 warns of.
                warnings.filterwarnings("ignore", message="__array__ implementation doesn't accept a copy keyword")
                scheduler.set_timesteps(steps, device=batch["start"].device)
            pulled = guidance > 1 and bool(known)
            known = self._beside_nothing(known) if pulled else known
            here = batch["start"] * scheduler.init_noise_sigma
            for level in scheduler.timesteps:
                seen = scheduler.scale_model_input(torch.cat([here] * 2) if pulled else here, level)
                said = self._said(seen, level, known).float()
                if pulled:
                    plain, told = said.chunk(2)
                    said = plain + guidance * (told - plain)
                here = scheduler.step(said, level, here, return_dict=False)[0]
            return (self._shown(here) / 2 + 0.5).clamp(0, 1)

    def _beside_nothing(self, known: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Each condition with none of it in front."""
        found = {}
        for name, value in known.items():
            none = torch.full_like(value, self.classes) if name == "class_labels" else self.nothing_1LD.to(value).expand_as(value)
            found[name] = torch.cat([none, value])
        return found

    def _shown(self, painted: torch.Tensor) -> torch.Tensor:
        vae = self.around.vae
        if vae is None:
            return painted
        vae.to(painted.device)
        found: torch.Tensor = vae.decode(painted / self.around.scale).sample
        return found

    # -- what strategies and saving ask -----------------------------------------------------------------------------------

    def depths(self) -> tuple[int, dict[str, int]]:
        """L, and the depth of each weight: down, across, up; what reads time and labels stands below, the way out above."""
        down, up = len(self.unet.down_blocks), len(self.unet.up_blocks)
        layers, found = down + 1 + up, {}
        for name, _ in self.unet.named_parameters():
            room, _, rest = name.partition(".")
            at = int(rest.split(".", 1)[0]) if room in ("down_blocks", "up_blocks") else 0
            depth = {"down_blocks": 1 + at, "mid_block": down + 1, "up_blocks": down + 2 + at}.get(room, 0)
            out = room in ("conv_norm_out", "conv_out")
            found[name] = layers + 2 if name in self.fresh else layers + 1 if out else depth
        return layers, found

    def targets(self, only: Sequence[str]) -> str:
        """A regular expression of the maps inside attention, as peft reads it; `only`: the last parts of their names."""
        return rf".*attentions\..*\.({'|'.join(map(re.escape, only or ATTENTION))})"

    def reset_head(self, seed: int) -> None:
        """Nothing: there is no head of its own."""

    def save(self, folder: Path) -> None:
        """Write the pipeline; low-rank updates are added to the weights, so that whoever loads it gets what was judged."""
        wrapped = hasattr(self.backbone, "merge_and_unload")
        unet = copy.deepcopy(self.backbone).merge_and_unload() if wrapped else self.backbone
        pipelines.write(unet, self.around, self.scheduler, folder)
