"""Families of pipelines of diffusers: all in which one differs from another, so that one more is an entry here.

What a family says: of which classes its parts may be, how its encoders read a caption, how its denoiser is asked, by which scheduler
it paints, and which numbers of its configs must agree. A caption is read as the pipeline itself reads it (`encode_prompt`).

Axes: L tokens of a caption, D numbers of each, P numbers of a whole caption.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    import torch

    from .around import Parts, Reader

Conditions = Mapping[str, "torch.Tensor"]
"""What a denoiser is told beside noise and level: `label`, `caption` (L, D), `pooled` (P,), `sizes` (6,)."""
Config = Mapping[str, Any]
Check = tuple[str, str, object, object]
"""A part, a key of its config, what is expected there and what stands there."""
CONVOLVED = ("AutoencoderKL", "VQModel")
CLIP, PROJECTED = ("CLIPTextModel",), ("CLIPTextModelWithProjection",)
READERS = (*CLIP, "BertModel", "T5EncoderModel", "XLMRobertaModel", "RobertaModel", "MPNetModel", "DistilBertModel")
"""Classes of text encoders."""
TOKENS = 77
"""Tokens of a caption, padding included, as the pipelines of diffusers read it."""
LONG = 256
"""Tokens that the T5 of Stable Diffusion 3 reads."""
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
"""Maps inside attention."""


@final
@dataclass(frozen=True, kw_only=True)
class Family:
    """Pipelines that are put together and asked in one way."""

    pipeline: str
    """Class as which it is saved."""
    names: tuple[str, ...] = ()
    """Other classes that are read."""
    denoiser: str = "unet"
    """The part that learns."""
    parts: Mapping[str, tuple[str, ...]]
    """Part -> classes that it may be of. Each `text_encoder` has a `tokenizer` beside it."""
    optional: tuple[str, ...] = ()
    """Parts that may be missing."""
    extras: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What else the class is made with."""
    scheduler: str = "DDIMScheduler"
    """The scheduler that paints: one that takes no random steps."""
    schedule: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of the scheduler that hold whatever the file says."""
    flow: bool = False
    """Whether the way from noise to picture is a straight line (arXiv 2210.02747), not a diffusion's."""
    sized: bool = False
    """Whether the denoiser is told the images' sizes."""
    guidance: float = 7.5
    """As its pipeline guides where nothing is said."""
    said: Callable[[Parts, str], dict[str, torch.Tensor]] | None = None
    """A caption as the denoiser is told it."""
    asked: Callable[[Conditions], dict[str, Any]]
    """Conditions under the denoiser's own names."""
    checks: Callable[[Callable[[str], Config]], Iterator[Check]] = lambda told: iter(())
    inside: str = r".*attentions\..*"
    """Where the denoiser's attention stands, as a regular expression."""
    maps: tuple[str, ...] = ATTENTION
    """Maps inside it that adapters join."""

    @property
    def vae(self) -> str:
        """The part that turns pictures into latents; empty: there is none."""
        return next((part for part in ("vae", "vqvae") if part in self.parts), "")

    @property
    def readers(self) -> tuple[str, ...]:
        """The parts that read captions."""
        return tuple(part for part in self.parts if part.startswith("text_encoder"))

    @property
    def folders(self) -> tuple[str, ...]:
        """Every part, in whatever order."""
        return (*self.parts, "scheduler", *map(words, self.readers))


def words(reader: str) -> str:
    """The tokenizer's part beside an encoder's."""
    return reader.replace("text_encoder", "tokenizer")


# -- captions ---------------------------------------------------------------------------------------------------------


def _ids(reader: Reader, text: str, length: int) -> Any:
    return reader.tokenizer(
        [text], padding="max_length", max_length=length, truncation=True, add_special_tokens=True, return_tensors="pt"
    )


def _plain(around: Parts, text: str) -> dict[str, torch.Tensor]:
    """Each token's vector, none masked: so Stable Diffusion learned it."""
    (reader,) = around.readers
    return {"caption": reader(_ids(reader, text, TOKENS)["input_ids"])[0][0]}


def _masked(around: Parts, text: str) -> dict[str, torch.Tensor]:
    """Small letters, padding masked."""
    (reader,) = around.readers
    read = _ids(reader, text.lower().strip(), TOKENS)
    return {"caption": reader(read["input_ids"], attention_mask=read["attention_mask"])[0][0]}


def _clips(readers: tuple[Reader, ...], text: str) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """(L, D) of the last layers but one, side by side, and what each encoder says first: a vector of all of it, where it has one."""
    import torch

    found = [reader(_ids(reader, text, TOKENS)["input_ids"], output_hidden_states=True) for reader in readers]
    return torch.cat([one.hidden_states[-2][0] for one in found], -1), [one[0][0] for one in found]


def _two(around: Parts, text: str) -> dict[str, torch.Tensor]:
    """Two CLIPs; of the second also the whole caption's vector."""
    caption_LD, whole = _clips(around.readers, text)
    return {"caption": caption_LD, "pooled": whole[1]}


def _three(around: Parts, text: str) -> dict[str, torch.Tensor]:
    """Two CLIPs side by side, widened with zeros, and the tokens of a T5 behind theirs: zeros where there is none."""
    import torch

    clips_LD, whole = _clips(around.readers[:2], text)
    long_LD = clips_LD.new_zeros(LONG, around.text_width)
    for reader in around.readers[2:]:
        long_LD = reader(_ids(reader, text, LONG)["input_ids"])[0][0]
    wide_LD = torch.nn.functional.pad(clips_LD, (0, long_LD.shape[1] - clips_LD.shape[1]))
    return {"caption": torch.cat([wide_LD, long_LD]), "pooled": torch.cat(whole)}


# -- what the denoiser is asked ---------------------------------------------------------------------------------------


def _to_unet(known: Conditions) -> dict[str, Any]:
    names = {"label": "class_labels", "caption": "encoder_hidden_states"}
    return {names[name]: value for name, value in known.items()}


def _to_sized(known: Conditions) -> dict[str, Any]:
    added = {"text_embeds": known["pooled"], "time_ids": known["sizes"]}
    return {"encoder_hidden_states": known["caption"], "added_cond_kwargs": added}


def _to_joint(known: Conditions) -> dict[str, Any]:
    return {"encoder_hidden_states": known["caption"], "pooled_projections": known["pooled"]}


# -- what must agree --------------------------------------------------------------------------------------------------


def _sum(*values: object) -> int | None:
    whole = [value for value in values if type(value) is int]
    return sum(whole) if len(whole) == len(values) else None


def _channels(told: Callable[[str], Config], denoiser: str) -> Check:
    return denoiser, "in_channels", told("vae").get("latent_channels", 4), told(denoiser).get("in_channels")


def _drawn(told: Callable[[str], Config]) -> Iterator[Check]:
    yield _channels(told, "unet")


def _large(told: Callable[[str], Config]) -> Iterator[Check]:
    """Three sizes of two numbers each are told, after the second encoder's vector of the caption."""
    unet, first, second = told("unet"), told("text_encoder"), told("text_encoder_2")
    told_of_sizes = unet.get("addition_time_embed_dim")
    yield _channels(told, "unet")
    yield "unet", "addition_embed_type", "text_time", unet.get("addition_embed_type")
    yield "unet", "cross_attention_dim", _sum(first.get("hidden_size"), second.get("hidden_size")), unet.get("cross_attention_dim")
    pooled = _sum(*[told_of_sizes] * 6, second.get("projection_dim"))
    yield "unet", "projection_class_embeddings_input_dim", pooled, unet.get("projection_class_embeddings_input_dim")
    yield "unet", "time_cond_proj_dim", "none", unet.get("time_cond_proj_dim") or "none"
    yield "vae", "latents_mean", "none", told("vae").get("latents_mean") or "none"


def _joint(told: Callable[[str], Config]) -> Iterator[Check]:
    transformer, first, second = told("transformer"), told("text_encoder"), told("text_encoder_2")
    yield _channels(told, "transformer")
    pooled = _sum(first.get("projection_dim"), second.get("projection_dim"))
    yield "transformer", "pooled_projection_dim", pooled, transformer.get("pooled_projection_dim")
    third = told("text_encoder_3").get("d_model")
    yield "transformer", "joint_attention_dim", third, transformer.get("joint_attention_dim")


# -- the families -----------------------------------------------------------------------------------------------------

UNET, ASKED = ("UNet2DModel",), ("UNet2DConditionModel",)
UNCHECKED: Mapping[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
PIXELS = Family(pipeline="DDIMPipeline", names=("DDPMPipeline",), parts={"unet": UNET}, asked=_to_unet)
"""Pixels, of a label or of any kind."""
TOLD = Family(
    pipeline="IFPipeline", parts={"unet": ASKED, "text_encoder": READERS}, extras={**UNCHECKED, "watermarker": None},
    scheduler="DPMSolverMultistepScheduler",  # the pipeline asks its scheduler for a kind of variance, which DDIM has not
    said=_masked, asked=_to_unet,
)
"""Pixels of a caption."""
LATENTS = Family(pipeline="LDMPipeline", parts={"unet": UNET, "vqvae": CONVOLVED}, asked=_to_unet)
"""Latents, of a label or of any kind."""
DRAWN = Family(
    pipeline="StableDiffusionPipeline", parts={"unet": ASKED, "vae": CONVOLVED, "text_encoder": READERS}, extras=UNCHECKED,
    schedule={"steps_offset": 1, "clip_sample": False},  # as the pipeline would set them itself
    said=_plain, asked=_to_unet, checks=_drawn,
)
"""Stable Diffusion 1 and 2: latents of a caption."""
LARGE = Family(
    pipeline="StableDiffusionXLPipeline", parts={"unet": ASKED, "vae": CONVOLVED[:1], "text_encoder": CLIP, "text_encoder_2": PROJECTED},
    extras={"add_watermarker": False},
    schedule={"clip_sample": False},  # files of its usual scheduler, which never clips, do not say so, and DDIM clips where nothing is said
    sized=True, guidance=5.0, said=_two, asked=_to_sized, checks=_large,
)
"""Stable Diffusion XL (arXiv 2307.01952): two encoders, and the sizes of image, cut and picture."""
FLOW = Family(
    pipeline="StableDiffusion3Pipeline", denoiser="transformer", optional=("text_encoder_3", "tokenizer_3"),
    parts={
        "transformer": ("SD3Transformer2DModel",), "vae": CONVOLVED[:1], "text_encoder": PROJECTED, "text_encoder_2": PROJECTED,
        "text_encoder_3": ("T5EncoderModel",),
    },
    scheduler="FlowMatchEulerDiscreteScheduler", flow=True, guidance=7.0, said=_three, asked=_to_joint, checks=_joint,
    inside=r".*transformer_blocks\.\d+\.attn2?", maps=(*ATTENTION, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"),
)
"""Stable Diffusion 3 (arXiv 2403.03206): a transformer that matches a flow, of captions that two or three encoders read."""
FAMILIES: Mapping[str, Family] = {
    name: family for family in (PIXELS, TOLD, LATENTS, DRAWN, LARGE, FLOW) for name in (*family.names, family.pipeline)
}
"""Class of a pipeline -> its family."""
