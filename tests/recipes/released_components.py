"""Folders in the layout of released components, tiny and random: an image pipeline, a motion adapter, AudioLDM, CLIP, CLAP."""

import sys
from pathlib import Path

import diffusers
import torch
import transformers

from sonovid.models.svg.model import audioldm_config

sys.path.append(str(Path(__file__).parents[1] / "codecs"))
from test_text import tiny


def write(root: Path) -> Path:
    """Write all of them below `root`."""
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        sizes = {"block_out_channels": (64, 32), "layers_per_block": 1, "norm_num_groups": 8, "attention_head_dim": 8}
        picture = diffusers.UNet2DConditionModel(
            in_channels=4,
            out_channels=4,
            cross_attention_dim=16,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            **sizes,
        )
        picture.save_pretrained(root / "sd" / "unet")
        for name, widths in (("adapter", (64, 32)), ("other_adapter", (64, 32, 32))):
            diffusers.MotionAdapter(
                block_out_channels=widths, motion_layers_per_block=1, motion_norm_num_groups=8, motion_num_attention_heads=4
            ).save_pretrained(root / name)
        sound = audioldm_config((64, 32), text_width=8, in_channels=8, norm_groups=8, layers=1)
        diffusers.UNet2DConditionModel.from_config(sound).save_pretrained(root / "audioldm" / "unet")
        for place, channels, latents, levels in (("sd", 3, 4, 2), ("audioldm", 1, 8, 3)):
            diffusers.AutoencoderKL(
                in_channels=channels,
                out_channels=channels,
                down_block_types=("DownEncoderBlock2D",) * levels,
                up_block_types=("UpDecoderBlock2D",) * levels,
                block_out_channels=(8,) * levels,
                latent_channels=latents,
                norm_num_groups=4,
            ).save_pretrained(root / place / "vae")
        transformers.SpeechT5HifiGan(
            transformers.SpeechT5HifiGanConfig(
                model_in_dim=64,
                upsample_initial_channel=16,
                upsample_rates=[10, 16],
                upsample_kernel_sizes=[20, 32],
                resblock_kernel_sizes=[3],
                resblock_dilation_sizes=[[1]],
                sampling_rate=16000,
            )
        ).save_pretrained(root / "audioldm" / "vocoder")
        for kind in ("clip", "clap", "t5"):
            tiny(kind, root / kind)
    return root
