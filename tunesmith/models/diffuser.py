"""A denoiser that learns, and paints (arXiv 2006.11239, 2010.02502): noise or velocity predicted, with classes or captions, guided; or
one that matches a flow (2210.02747, 2403.03206).

A level's noisy picture is `keep * picture + blur * noise`; what is predicted of it is noise; velocity, `keep * noise - blur * picture`
(2202.00512); or flow, `noise - picture`.

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
from ..parts.making import CONDITIONS
from . import around, pipelines
from .heads import bare, evaluating
from .recipe import Recipe
from .source import Backbone

Batch = Mapping[str, torch.Tensor]
WAYS_OUT = ("conv_norm_out", "conv_out", "norm_out", "proj_out")
START = 0.02
"""Standard deviation of new vectors of classes."""


@final
class Diffuser(nn.Module):
    """`model(batch)` -> (B, K) squared errors of what is predicted, and (B, K) those of the noise, in units of its variance.

    A batch has `painted` (B, C, H, W), `noise` (B, K, C, H, W), `level` (B, K), and `label` (B,) or `caption` (B, L, D), to which `pooled`
    (B, P) and `sizes` (B, 6) belong where the model's family is told them.
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
        self._around = (around.parts(backbone.source),)
        self.fresh: tuple[str, ...] = ()
        new = backbone.source.kind == "new"
        self.backbone: Any = Recipe.of(backbone.source.name).unet(classes, self.around.text_width) if new else backbone.module
        self.scheduler = around.schedule(backbone.source, velocity)
        if captions is not None:
            self._meet(classes, captions)
        if velocity is not None and (self.flow or velocity != self.velocity):
            raise SpecError(
                "option predicts", expected=f"{self.predicts}, as the model was trained", got="the other",
                fix="leave it out", code="bad-value",
            )
        for name, values_T in self._levels().items():
            self.register_buffer(name, values_T.float(), persistent=False)

    def _levels(self) -> dict[str, torch.Tensor]:
        """Of each level, the last one nothing but noise: what is kept of a picture, how much noise is laid on it, and its name."""
        if self.flow:
            sigma_T, time_T = self.scheduler.sigmas.flip(0), self.scheduler.timesteps.flip(0)
            return {"keep_T": 1 - sigma_T, "blur_T": sigma_T, "time_T": time_T}
        signal_T = self.scheduler.alphas_cumprod.float()
        return {"keep_T": signal_T.sqrt(), "blur_T": (1 - signal_T).sqrt(), "signal_T": signal_T}

    @property
    def around(self) -> around.Parts:
        """The frozen parts."""
        return self._around[0]

    @property
    def unet(self) -> Any:
        """The denoiser itself, without adapters' wrapper."""
        return bare(self.backbone)

    @property
    def flow(self) -> bool:
        """Whether flow is predicted."""
        return self.around.family.flow

    @property
    def velocity(self) -> bool:
        """Whether velocity is predicted (arXiv 2202.00512), not noise."""
        return not self.flow and bool(self.scheduler.config.prediction_type == "v_prediction")

    @property
    def predicts(self) -> str:
        """`noise`, `velocity` or `flow`."""
        return "flow" if self.flow else "velocity" if self.velocity else "noise"

    @property
    def classes(self) -> int:
        """Classes it paints; one more stands for none. 0: it knows no classes."""
        return max(0, int(getattr(self.unet.config, "num_class_embeds", None) or 0) - 1)

    @cached_property
    def nothing(self) -> dict[str, torch.Tensor]:
        """No caption, as the denoiser is told it."""
        return self.around.nothing()

    @cached_property
    def whole(self) -> torch.Tensor:
        """(6,) sizes of an image that nothing was cut off, as large as the pictures that are made."""
        side = pipelines.side(self.source)
        return torch.tensor([side, side, 0, 0, side, side], dtype=torch.float32)

    def _meet(self, classes: int, captions: bool) -> None:
        """Give the denoiser classes where rows have them and it has none. Raises ModelError where it takes something else."""
        if captions != bool(self.around.readers):
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
        keep, blur = (shares_T[level].view(-1, 1, 1, 1) for shares_T in (self.keep_T, self.blur_T))
        wanted = noise - clean if self.flow else keep * noise - blur * clean if self.velocity else noise
        known = {name: value.repeat_interleave(levels, 0) for name, value in self._known(batch).items()}
        named = self.time_T[level] if self.flow else level
        error = (self._said(keep * clean + blur * noise, named, known).float() - wanted).square().mean((1, 2, 3))
        of_noise = error if self.predicts == "noise" else error * keep.flatten().square()
        return error.view(-1, levels), of_noise.view(-1, levels)

    def balance(self, level_BK: torch.Tensor, most: float) -> torch.Tensor:
        """Weights of noise levels: the signal-to-noise ratio, at most `most`, so that no level rules the others (arXiv 2303.09556).

        Those of a flow are drawn as often as they count.
        """
        if self.flow:
            return torch.ones_like(level_BK, dtype=torch.float32)
        signal = self.signal_T[level_BK]
        ratio = signal / (1 - signal).clamp(min=1e-8)
        return ratio.clamp(max=most) / (ratio + 1) if self.velocity else (most / ratio.clamp(min=1e-8)).clamp(max=1.0)

    def _known(self, batch: Batch) -> dict[str, torch.Tensor]:
        return {name: batch[name] for name in (*CONDITIONS, "sizes") if name in batch}

    def _said(self, seen: torch.Tensor, level: torch.Tensor, known: Mapping[str, torch.Tensor]) -> torch.Tensor:
        # The denoiser itself, not peft's wrapper, which would read the arguments as those of a text model: updates are inside it.
        asked = self.around.family.asked(known)
        found: torch.Tensor = self.unet(seen, timestep=level.expand(len(seen)), **asked, return_dict=False)[0]
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
            if self.around.family.sized:
                known["sizes"] = self.whole.to(batch["start"]).expand(len(batch["start"]), -1)
            known = self._beside_nothing(known) if pulled else known
            here = batch["start"] if self.flow else batch["start"] * scheduler.init_noise_sigma
            for level in scheduler.timesteps:
                seen = torch.cat([here] * 2) if pulled else here
                seen = seen if self.flow else scheduler.scale_model_input(seen, level)
                said = self._said(seen, level, known).float()
                if pulled:
                    plain, told = said.chunk(2)
                    said = plain + guidance * (told - plain)
                here = scheduler.step(said, level, here, return_dict=False)[0]
            return (self._shown(here) / 2 + 0.5).clamp(0, 1)

    def _beside_nothing(self, known: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Each condition with none of it in front; sizes are told either way."""
        none = dict(known)
        for name, value in known.items():
            if name == "label":
                none[name] = torch.full_like(value, self.classes)
            elif name != "sizes":
                none[name] = self.nothing[name].to(value).expand_as(value)
        return {name: torch.cat([none[name], value]) for name, value in known.items()}

    def _shown(self, painted: torch.Tensor) -> torch.Tensor:
        vae = self.around.vae
        if vae is None:
            return painted
        vae.to(painted.device)
        with around.exactly(vae):
            found: torch.Tensor = vae.decode(painted.float() / self.around.scale + self.around.shift).sample
        return found

    # -- what strategies and saving ask -----------------------------------------------------------------------------------

    def depths(self) -> tuple[int, dict[str, int]]:
        """L, and the depth of each weight: down, across, up, or block upon block; what reads time and conditions stands below, the way out
        above."""
        flat, down, up = (len(getattr(self.unet, room, ())) for room in ("transformer_blocks", "down_blocks", "up_blocks"))
        first = {"transformer_blocks": 1, "down_blocks": 1, "mid_block": down + 1, "up_blocks": down + 2}
        layers, found = flat or down + 1 + up, {}
        for name, _ in self.unet.named_parameters():
            room, _, rest = name.partition(".")
            at = int(rest.split(".", 1)[0]) if room.endswith("_blocks") else 0
            depth = first[room] + at if room in first else 0
            found[name] = layers + 2 if name in self.fresh else layers + 1 if room in WAYS_OUT else depth
        return layers, found

    def targets(self, only: Sequence[str]) -> str:
        """A regular expression of the maps inside attention, as peft reads it; `only`: the last parts of their names."""
        family = self.around.family
        return rf"{family.inside}\.({'|'.join(map(re.escape, only or family.maps))})"

    def reset_head(self, seed: int) -> None:
        """Nothing: there is no head of its own."""

    def save(self, folder: Path) -> None:
        """Write the pipeline; low-rank updates are added to the weights, so that whoever loads it gets what was judged."""
        wrapped = hasattr(self.backbone, "merge_and_unload")
        denoiser = copy.deepcopy(self.backbone).merge_and_unload() if wrapped else self.backbone
        around.write(denoiser, self.around, self.scheduler, folder)
