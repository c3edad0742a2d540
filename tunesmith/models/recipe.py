"""Recipes of new pixel models, whose names say how they are made: `new:32px:32-64-64`."""

from __future__ import annotations

import dataclasses
import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

from ..errors import ModelError, ResourceError

if TYPE_CHECKING:
    from torch import nn

NEW = "new:"
"""How the name of a model begins that is yet to be made."""
GROUPS = 8
"""Channels of a new model are multiples of this: its norms are taken over so many groups."""
WIDEST = 1024


@final
@dataclass(frozen=True)
class Recipe:
    """A new pixel model: a UNet (arXiv 1505.04597, 2006.11239) with as many levels as `widths`, attention at the coarsest."""

    side: int
    """Pixels a side."""
    widths: tuple[int, ...]
    """Channels of each level, finest first."""
    text: str = ""
    """Name of the encoder that reads captions; empty: none are read."""

    @property
    def name(self) -> str:
        """`new:32px:32-64-64`, and the text encoder's name behind a third colon."""
        return f"{NEW}{self.side}px:{'-'.join(map(str, self.widths))}" + (f":{self.text}" if self.text else "")

    @classmethod
    def of(cls, name: str) -> Self:
        """The recipe that a name says. Raises ModelError."""
        found = re.fullmatch(r"new:(\d{1,4})px:(\d{1,4}(?:-\d{1,4}){1,5})(?::(.+))?", name)
        made = cls(int(found[1]), tuple(map(int, found[2].split("-"))), found[3] or "") if found else None
        fits = made and all(GROUPS <= width <= WIDEST and width % GROUPS == 0 for width in made.widths)
        if made is None or not fits or made.side % 2 ** (len(made.widths) - 1) or not 8 <= made.side <= WIDEST:
            raise ModelError(
                f"model {name!r}", expected=f"new:SIDEpx:CHANNELS-CHANNELS-..., channels in multiples of {GROUPS}, a side that halves",
                got="another form or size", fix="for example --model new:32px:32-64-64, or leave it out", code="bad-recipe",
            )
        return made

    def unet(self, classes: int, text_width: int) -> nn.Module:
        """The untrained denoiser; `classes` (0: none) with one more for no class at all, `text_width` of a caption's vectors (0: none)."""
        made = diffusers()
        plain = len(self.widths) - 1
        common: dict[str, Any] = {
            "sample_size": self.side, "in_channels": 3, "block_out_channels": self.widths, "layers_per_block": 1, "norm_num_groups": GROUPS,
        }
        if text_width:
            # Six channels out, of which the last three are not read: the pixel pipeline with captions expects a variance there.
            return made.UNet2DConditionModel(
                **common, out_channels=6, down_block_types=("DownBlock2D",) * plain + ("CrossAttnDownBlock2D",),
                up_block_types=("CrossAttnUpBlock2D",) + ("UpBlock2D",) * plain, cross_attention_dim=text_width,
                attention_head_dim=max(1, self.widths[-1] // 32),
            )  # type: ignore[no-any-return]
        return made.UNet2DModel(
            **common, out_channels=3, down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain, num_class_embeds=classes + 1 if classes else None,
            attention_head_dim=_head(self.widths[-1]),
        )  # type: ignore[no-any-return]

    def schedule(self, velocity: bool) -> Any:
        """The noise schedule: cosine (arXiv 2102.09672), sampled from its very end (2305.08891), without random steps."""
        made = diffusers()
        common = {
            "beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing",
            "prediction_type": "v_prediction" if velocity else "epsilon",
        }
        if self.text:
            return made.DPMSolverMultistepScheduler(**common, thresholding=True, sample_max_value=1.0)
        return made.DDIMScheduler(**common)


def public(name: str) -> str:
    """The name of a new model, a recipe without this machine's folders."""
    if not name.startswith(NEW):  # a voice
        return name
    recipe = Recipe.of(name)
    return dataclasses.replace(recipe, text=Path(recipe.text).name).name if Path(recipe.text).is_dir() else name


def _head(width: int) -> int:
    return 32 if width % 32 == 0 else GROUPS


def diffusers() -> Any:
    """The library. Raises ResourceError that names the extra where it is missing."""
    try:
        return importlib.import_module("diffusers")
    except ImportError:
        raise ResourceError(
            "image-generation", expected="diffusers, which makes pictures", got="it is not installed",
            fix="pip install 'tunesmith[diffusion]'", code="no-diffusers",
        ) from None
