"""Tiny pipelines of diffusers, made from configs: pixels and latents, with classes and captions; a second to make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

SIDE = 8
"""Pixels a side of the pictures that pixel models make, and of latents."""
PLAIN: dict[str, Any] = {
    "sample_size": SIDE, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "attention_head_dim": 8,
}


def pixels(folder: Path, seed: int = 0, **settings: Any) -> Path:
    """A `DDPMPipeline` of 8 x 8 pixels."""
    import diffusers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = diffusers.UNet2DModel(**{**PLAIN, "in_channels": 3, "out_channels": 3, **settings})
    diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler()).save_pretrained(folder)
    return folder


def autoencoder(seed: int = 0) -> Any:
    """One that halves the sides."""
    import diffusers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return diffusers.AutoencoderKL(
            block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4, latent_channels=4,
        )


def latents(folder: Path, seed: int = 0) -> Path:
    """An `LDMPipeline` whose pictures have 16 x 16 pixels."""
    import diffusers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = diffusers.UNet2DModel(**{**PLAIN, "in_channels": 4, "out_channels": 4})
    diffusers.LDMPipeline(autoencoder(seed), unet, diffusers.DDIMScheduler()).save_pretrained(folder)
    return folder


def reader(folder: Path) -> Path:
    """A BERT that reads as many tokens as captions are padded to."""
    from transformers import BertConfig, BertModel

    from tests.tiny_models import bert

    bert(folder, layers=1)
    config = BertConfig.from_pretrained(folder)
    config.max_position_embeddings = 80
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


def drawing(folder: Path) -> Path:
    """A `StableDiffusionPipeline`: latents of 16 x 16 pixels, captions read by a CLIP of one layer."""
    import diffusers
    from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel

    words = AutoTokenizer.from_pretrained(reader(folder / "words"), model_max_length=77)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": len(words)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text = CLIPTextModel(CLIPTextConfig(**sizes, max_position_embeddings=77, projection_dim=8))
        unet = diffusers.UNet2DConditionModel(**{
            **PLAIN, "in_channels": 4, "out_channels": 4, "cross_attention_dim": 32, "attention_head_dim": 2,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        })
    pipe = diffusers.StableDiffusionPipeline(
        vae=autoencoder(), text_encoder=text, tokenizer=words, unet=unet,
        scheduler=diffusers.DDIMScheduler(clip_sample=False, steps_offset=1), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )
    pipe.save_pretrained(folder / "pipeline")
    return folder / "pipeline"
