"""Open-Sora 1.2's video autoencoder: a 2-D autoencoder per frame, then a causal 3-D one of its latents (UniForm's codec).

Facts come from the report of Open-Sora 1.2 and from its released checkpoint (hpcai-tech/OpenSora-VAE-v1.2, Apache-2.0). Weights
keep their released names.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sonovid.codecs.whitening import unwhiten, whiten
from sonovid.core.geometry import Geometry

RELEASED = "VideoAutoencoderPipeline"
SHIFT, SCALE = (-0.10, 0.34, 0.27, 0.98), (3.85, 2.32, 2.33, 3.06)
# Scale of the 2-D latents before the 3-D network. The config of the 2-D autoencoder has a different value.
FRAME_SCALE = 0.18215
# Frames per pass through the 2-D network, so that memory does not grow with the clip.
FRAME_BATCH_SIZE = 4


class CausalConv3d(nn.Module):
    """3-D convolution that sees a frame and earlier frames, with zero padding. `stride` applies to time."""

    def __init__(self, channels: int, out_channels: int, kernel: int, *, stride: int = 1, bias: bool = True):
        super().__init__()
        self.before = kernel - stride
        side = kernel // 2
        self.conv = nn.Conv3d(channels, out_channels, kernel, stride=(stride, 1, 1), padding=(0, side, side), bias=bias)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h w"]:
        return self.conv(F.pad(x, (0, 0, 0, 0, self.before, 0)))


class ResidualBlock3d(nn.Module):
    """Residual block of two normalised causal convolutions, with a 1x1x1 convolution as the skip where the widths differ."""

    def __init__(self, channels: int, out_channels: int, norm_groups: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(norm_groups, channels)
        self.conv1 = CausalConv3d(channels, out_channels, 3, bias=False)
        self.norm2 = nn.GroupNorm(norm_groups, out_channels)
        self.conv2 = CausalConv3d(out_channels, out_channels, 3, bias=False)
        if channels != out_channels:
            self.conv3 = CausalConv3d(channels, out_channels, 1, bias=False)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t h w"]:
        h = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return h + (self.conv3(x) if hasattr(self, "conv3") else x)


def residual_blocks(channels: int, out_channels: int, number: int, norm_groups: int) -> nn.ModuleList:
    """A list of `number` residual blocks, the first of which changes the width."""
    widths = [channels] + [out_channels] * number
    return nn.ModuleList(ResidualBlock3d(widths[i], widths[i + 1], norm_groups) for i in range(number))


def run_blocks(blocks: nn.ModuleList, x: Tensor) -> Tensor:
    """Apply modules one after another."""
    for block in blocks:
        x = block(x)
    return x


class TemporalEncoder(nn.Module):
    """2-D latents of a chunk of frames to the moments of latents with fewer frames.

    Args:
        channels: Channels of the 2-D latents.
        out_channels: Channels of the moments.
        widths: Channels of each level.
        blocks: Residual blocks per level.
        halve: Whether the frame rate is halved after each level but the last.
        groups: Groups of the norms.
    """

    def __init__(self, channels: int, out_channels: int, widths: Sequence[int], blocks: int, halve: Sequence[bool], groups: int):
        super().__init__()
        self.conv_in = CausalConv3d(channels, widths[0], 3, bias=False)
        before = [widths[0], *widths[:-1]]
        self.block_res_blocks = nn.ModuleList(residual_blocks(*pair, blocks, groups) for pair in zip(before, widths, strict=True))
        self.conv_blocks = nn.ModuleList(
            CausalConv3d(width, width, 3, stride=2) if half else nn.Identity()
            for width, half in zip(widths[:-1], halve, strict=True)
        )
        self.res_blocks = residual_blocks(widths[-1], widths[-1], blocks, groups)
        self.norm1 = nn.GroupNorm(groups, widths[-1])
        self.conv2 = CausalConv3d(widths[-1], out_channels, 1)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h w"]:
        h = self.conv_in(x)
        for level, blocks in enumerate(self.block_res_blocks):
            h = run_blocks(blocks, h)  # type: ignore[arg-type]
            if level < len(self.conv_blocks):
                h = self.conv_blocks[level](h)
        return self.conv2(F.silu(self.norm1(run_blocks(self.res_blocks, h))))


class TemporalDecoder(nn.Module):
    """Mirror of the encoder. The frame rate is doubled by a convolution to twice the channels, which become two frames."""

    def __init__(self, channels: int, out_channels: int, widths: Sequence[int], blocks: int, halve: Sequence[bool], groups: int):
        super().__init__()
        self.conv1 = CausalConv3d(channels, widths[-1], 3)
        self.res_blocks = residual_blocks(widths[-1], widths[-1], blocks, groups)
        after = [*widths[1:], widths[-1]]
        self.block_res_blocks = nn.ModuleList(residual_blocks(*pair, blocks, groups) for pair in zip(after, widths, strict=True))
        self.conv_blocks = nn.ModuleList(
            CausalConv3d(width, 2 * width, 3) if half else nn.Identity() for width, half in zip(widths[1:], halve, strict=True)
        )
        self.halve = tuple(halve)
        self.norm1 = nn.GroupNorm(groups, widths[0])
        self.conv_out = CausalConv3d(widths[0], out_channels, 3)

    def forward(self, z: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h w"]:
        h = run_blocks(self.res_blocks, self.conv1(z))
        for level in reversed(range(len(self.block_res_blocks))):
            h = run_blocks(self.block_res_blocks[level], h)  # type: ignore[arg-type]
            if level and self.halve[level - 1]:
                h = rearrange(self.conv_blocks[level - 1](h), "b (c two) t h w -> b c (t two) h w", two=2)
        return self.conv_out(F.silu(self.norm1(h)))


class TemporalAutoencoder(nn.Module):
    """The 3-D autoencoder, on chunks of 2-D latents. Zeros at the front pad a chunk to a multiple of `factor` frames."""

    def __init__(self, channels: int, widths: Sequence[int], blocks: int, halve: Sequence[bool], norm_groups: int):
        super().__init__()
        self.factor = 2 ** sum(halve)
        sizes: dict[str, Any] = {"widths": widths, "blocks": blocks, "halve": halve, "groups": norm_groups}
        self.encoder = TemporalEncoder(channels, 2 * channels, **sizes)
        self.decoder = TemporalDecoder(channels, channels, **sizes)
        self.quant_conv = CausalConv3d(2 * channels, 2 * channels, 1)
        self.post_quant_conv = CausalConv3d(channels, channels, 1)

    def encode(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t2 h w"]:
        """Encode to the mean of the posterior."""
        x = F.pad(x, (0, 0, 0, 0, -x.shape[2] % self.factor, 0))
        return self.quant_conv(self.encoder(x)).chunk(2, 1)[0]

    def decode(self, z: Float[Tensor, "b c t2 h w"], num_frames: int) -> Float[Tensor, "b c t h w"]:
        """Decode to the 2-D latents of the last `num_frames` frames of a chunk."""
        return self.decoder(self.post_quant_conv(z))[:, :, -num_frames:]


class OpenSoraVideo(ModelMixin, ConfigMixin):
    """Frames to latents with 4 channels and an eighth of the height and width. 17 frames become 5 latent frames.

    A clip is encoded in independent chunks of `chunk` frames; the last one may be shorter.

    Args:
        spatial: Settings of the 2-D `AutoencoderKL`. None: those of the SDXL autoencoder, as in PixArt-Sigma.
        widths: Channels of each level of the 3-D network.
        blocks: Residual blocks per level.
        halve: Whether the frame rate is halved after each level but the last.
        norm_groups: Groups of the norms.
        chunk: Frames per chunk.
        latents_mean: Whitening: mean per channel.
        latents_std: Whitening: standard deviation per channel.

    Deviation: the release samples latents from both posteriors. Here both are the posterior mean, so that encoding is
    deterministic.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        spatial: dict[str, Any] | None = None,
        widths: Sequence[int] = (128, 256, 256, 512),
        blocks: int = 4,
        halve: Sequence[bool] = (False, True, True),
        norm_groups: int = 32,
        chunk: int = 17,
        latents_mean: Sequence = SHIFT,
        latents_std: Sequence = SCALE,
    ):
        super().__init__()
        settings = {key: value for key, value in (spatial or sdxl_vae_config()).items() if not key.startswith("_")}
        self.spatial_vae = nn.ModuleDict({"module": AutoencoderKL.from_config(settings)})
        self.temporal_vae = TemporalAutoencoder(self.frame_codec.config.latent_channels, widths, blocks, halve, norm_groups)
        self.spatial = 2 ** (len(self.frame_codec.config.block_out_channels) - 1)

    @property
    def frame_codec(self) -> Any:
        """The 2-D autoencoder."""
        return self.spatial_vae["module"]

    @property
    def latent_channels(self) -> int:
        return self.frame_codec.config.latent_channels

    def latent_shape(self, geometry: Geometry) -> tuple[int, ...]:
        """Shape (c, t, h, w) of the latents of one clip.

        Raises:
            ValueError: The 2-D autoencoder cannot divide the frame size, or the last chunk is not a multiple of the temporal
                factor.
        """
        if geometry.height % self.spatial or geometry.width % self.spatial:
            raise ValueError(f"frames of {geometry.width}x{geometry.height}: this codec needs multiples of {self.spatial}")
        whole, rest = divmod(geometry.num_frames, self.config.chunk)
        if rest % self.temporal_vae.factor:
            raise ValueError(
                f"{geometry.num_frames} frames: this codec takes {self.config.chunk} at a time, and at the end a multiple of "
                f"{self.temporal_vae.factor}: such as {geometry.num_frames - rest % self.temporal_vae.factor}"
            )
        steps = whole * self.chunk_steps + rest // self.temporal_vae.factor
        return (self.latent_channels, steps, geometry.height // self.spatial, geometry.width // self.spatial)

    @property
    def chunk_steps(self) -> int:
        """Latent frames of a full chunk."""
        return -(-self.config.chunk // self.temporal_vae.factor)

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c t2 h2 w2"]:
        """Encode frames in [-1, 1] to raw latents."""
        flat = rearrange(frames.to(self.dtype), "b c t h w -> (b t) c h w")
        coded = [self.frame_codec.encode(part).latent_dist.mode() for part in flat.split(FRAME_BATCH_SIZE)]
        latents = rearrange(torch.cat(coded), "(b t) c h w -> b c t h w", b=len(frames)) * FRAME_SCALE
        return torch.cat([self.temporal_vae.encode(part) for part in latents.split(self.config.chunk, 2)], 2)

    def decode(self, latents: Float[Tensor, "b c t2 h2 w2"]) -> Float[Tensor, "b 3 t h w"]:
        """Decode raw latents to frames, nominally in [-1, 1] (not clipped)."""
        parts = []
        for part in latents.to(self.dtype).split(self.chunk_steps, 2):
            frames = min(self.config.chunk, part.shape[2] * self.temporal_vae.factor)
            parts.append(self.temporal_vae.decode(part, frames))
        flat = rearrange(torch.cat(parts, 2), "b c t h w -> (b t) c h w") / FRAME_SCALE
        decoded = [self.frame_codec.decode(part).sample for part in flat.split(FRAME_BATCH_SIZE)]
        return rearrange(torch.cat(decoded), "(b t) c h w -> b c t h w", b=len(latents))

    def whiten(self, raw: Tensor) -> Tensor:
        return whiten(raw, self.config.latents_mean, self.config.latents_std)

    def unwhiten(self, final: Tensor) -> Tensor:
        return unwhiten(final, self.config.latents_mean, self.config.latents_std)

    @classmethod
    def from_released(cls, folder: "str | os.PathLike") -> "OpenSoraVideo":
        """Load the released checkpoint from a folder with config.json and model.safetensors, of any width and depth.

        The released config has no sizes; they are inferred from the shapes of the tensors.

        Raises:
            ValueError: The folder does not hold this checkpoint, or tensors are missing, unexpected or of another shape.
        """
        from safetensors.torch import load_file

        path = Path(folder)
        config = json.loads((path / "config.json").read_text())
        files = sorted(path.glob("*.safetensors"))
        if not is_released_config(config) or not files:
            what = f"no {RELEASED}" if files else "no safetensors"
            raise ValueError(f"{folder}: {what} there; expected Open-Sora 1.2's config.json and model.safetensors")
        state = {name: value for file in files for name, value in load_file(file).items()}
        whitening = {
            "latents_mean": per_channel_values(config, "shift", SHIFT),
            "latents_std": per_channel_values(config, "scale", SCALE),
        }
        try:
            model = cls(**infer_config(state), **whitening, chunk=config.get("micro_frame_size") or 17)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{folder}: its tensors are not those of Open-Sora 1.2's autoencoder ({error})") from error
        # Buffers of the whitening, which the config holds as well.
        state = {name: value for name, value in state.items() if name not in ("shift", "scale")}
        expected = model.state_dict()
        for what, names in (("missing", set(expected) - set(state)), ("unexpected", set(state) - set(expected))):
            if names:
                raise ValueError(f"{folder}: {len(names)} tensors are {what}, such as {min(names)}: fetch the folder again")
        for name, value in state.items():
            if value.shape != expected[name].shape:
                raise ValueError(f"{folder}: {name} is {tuple(value.shape)}, expected {tuple(expected[name].shape)}")
        model.load_state_dict({name: value.to(expected[name].dtype) for name, value in state.items()})
        return model.eval()


def is_released_config(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of the released Open-Sora autoencoder."""
    return RELEASED in (config.get("architectures") or ()) or config.get("model_type") == RELEASED


def per_channel_values(config: Mapping[str, Any], name: str, default: Sequence[float]) -> list[float]:
    """One value per channel, or a single value, from the released config."""
    value = config.get(name, default)
    return list(value) if isinstance(value, list | tuple) else [float(value)]


def sdxl_vae_config() -> dict[str, Any]:
    """Settings of the SDXL autoencoder, which the PixArt-Sigma repository holds for Open-Sora."""
    return spatial_vae_config((128, 256, 512, 512), layers=2)


def spatial_vae_config(widths: Sequence[int], *, layers: int, channels: int = 4) -> dict[str, Any]:
    """Settings of an `AutoencoderKL` of frames."""
    return {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "block_out_channels": list(widths),
        "layers_per_block": layers,
        "latent_channels": channels,
    }


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of `OpenSoraVideo` inferred from the shapes of its tensors.

    Raises:
        KeyError: The tensors are not those of this autoencoder.
    """
    frames, chunks = "spatial_vae.module.encoder.", "temporal_vae.encoder."
    levels = list_indices(state, rf"{chunks}block_res_blocks\.(\d+)\.0\.conv1\.conv\.weight")
    spatial = list_indices(state, rf"{frames}down_blocks\.(\d+)\.resnets\.0\.conv1\.weight")
    layers = list_indices(state, rf"{frames}down_blocks\.0\.resnets\.(\d+)\.conv1\.weight")
    settings = spatial_vae_config(
        [state[f"{frames}down_blocks.{i}.resnets.0.conv1.weight"].shape[0] for i in spatial],
        layers=len(list(layers)),
        channels=state[f"{chunks}conv_in.conv.weight"].shape[1],
    )
    widths = [state[f"{chunks}block_res_blocks.{i}.0.conv1.conv.weight"].shape[0] for i in levels]
    return {
        "spatial": settings,
        "widths": widths,
        "blocks": len(list(list_indices(state, rf"{chunks}res_blocks\.(\d+)\.conv1\.conv\.weight"))),
        "halve": [f"{chunks}conv_blocks.{i}.conv.weight" in state for i in range(len(widths) - 1)],
    }


def list_indices(state: Mapping[str, Tensor], pattern: str) -> Iterator[int]:
    """Sorted indices that appear in the names of tensors.

    Args:
        state: State dict.
        pattern: Regular expression of the full name; its first group is the index.

    Raises:
        KeyError: No name matches.
    """
    indices = sorted(int(match[1]) for name in state if (match := re.fullmatch(pattern, name)))
    if not indices:
        raise KeyError(f"no tensor {pattern}")
    return iter(indices)
