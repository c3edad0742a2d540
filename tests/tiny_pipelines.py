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


def words(folder: Path) -> Any:
    """A tokenizer whose texts have at most 77 tokens."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(reader(folder / "words"), model_max_length=77)


def clip(tokenizer: Any, projected: bool, seed: int = 0, layers: int = 1) -> Any:
    """A CLIP that reads captions, with the vector of the whole text or without."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "vocab_size": len(tokenizer)}
    marks = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id} if projected else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return (CLIPTextModelWithProjection if projected else CLIPTextModel)(
            CLIPTextConfig(**sizes, **marks, num_hidden_layers=layers, max_position_embeddings=77, projection_dim=8)
        )


def conditional(**settings: Any) -> Any:
    """A UNet of latents that looks at captions."""
    import diffusers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return diffusers.UNet2DConditionModel(**{
            **PLAIN, "in_channels": 4, "out_channels": 4, "cross_attention_dim": 32, "attention_head_dim": 2,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), **settings,
        })


def drawing(folder: Path) -> Path:
    """A `StableDiffusionPipeline`: latents of 16 x 16 pixels, captions read by a CLIP of one layer."""
    import diffusers

    pipe = diffusers.StableDiffusionPipeline(
        vae=autoencoder(), text_encoder=clip(words(folder), False), tokenizer=words(folder), unet=conditional(),
        scheduler=diffusers.DDIMScheduler(clip_sample=False, steps_offset=1), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )
    pipe.save_pretrained(folder / "pipeline")
    return folder / "pipeline"


def large(folder: Path, zeros: bool = True) -> Path:
    """A `StableDiffusionXLPipeline`: two CLIPs, sizes of images, and the scheduler that it comes with."""
    import diffusers

    unet = conditional(cross_attention_dim=64, addition_embed_type="text_time", addition_time_embed_dim=4,
                       projection_class_embeddings_input_dim=6 * 4 + 8)
    pipe = diffusers.StableDiffusionXLPipeline(
        vae=autoencoder(), text_encoder=clip(words(folder), False, 1, 2), tokenizer=words(folder),
        text_encoder_2=clip(words(folder), True, 2, 3), tokenizer_2=words(folder), unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", timestep_spacing="leading", steps_offset=1),
        force_zeros_for_empty_prompt=zeros, add_watermarker=False,
    )
    pipe.save_pretrained(folder / "pipeline")
    return folder / "pipeline"


def t5(tokenizer: Any) -> Any:
    """An encoder of 80 numbers a token."""
    from transformers import T5Config, T5EncoderModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        sizes = {"d_model": 80, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": len(tokenizer)}
        return T5EncoderModel(T5Config(**sizes, pad_token_id=tokenizer.pad_token_id))


def flow(folder: Path, third: bool = True) -> Path:
    """A `StableDiffusion3Pipeline`: a transformer that matches a flow, two CLIPs, and a T5 or none."""
    import diffusers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformer = diffusers.SD3Transformer2DModel(
            sample_size=SIDE, patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
            joint_attention_dim=80, caption_projection_dim=16, pooled_projection_dim=16, pos_embed_max_size=8,
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4, latent_channels=4, scaling_factor=1.5, shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False,
        )
        torch.nn.init.normal_(transformer.proj_out.weight, 0, 0.1)
    pipe = diffusers.StableDiffusion3Pipeline(
        transformer=transformer, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae,
        text_encoder=clip(words(folder), True, 1, 2), tokenizer=words(folder), text_encoder_2=clip(words(folder), True, 2, 3),
        tokenizer_2=words(folder), text_encoder_3=t5(words(folder)) if third else None, tokenizer_3=words(folder) if third else None,
    )
    pipe.save_pretrained(folder / "pipeline")
    return folder / "pipeline"


def flux(folder: Path) -> Path:
    """A `FluxPipeline`, which is not tuned here."""
    import diffusers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformer = diffusers.FluxTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=80, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8),
        )
    pipe = diffusers.FluxPipeline(
        transformer=transformer, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), vae=autoencoder(),
        text_encoder=clip(words(folder), False), tokenizer=words(folder), text_encoder_2=t5(words(folder)), tokenizer_2=words(folder),
    )
    pipe.save_pretrained(folder / "pipeline")
    return folder / "pipeline"
