"""Open-Sora 1.2's video autoencoder: single frames by a 2-D autoencoder, their latents by a causal 3-D one (UniForm's codec).

Facts are those of Open-Sora 1.2's report and of its released checkpoint (hpcai-tech/OpenSora-VAE-v1.2, Apache-2.0), whose tensors
keep their names here.
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
# What the 2-D latents are multiplied by before the 3-D network; the 2-D autoencoder's own config has another number.
FRAME_SCALE = 0.18215
# Frames that pass through the 2-D network at once, so that memory does not grow with the clip.
FRAMES_AT_ONCE = 4


class CausalConv3d(nn.Module):
    """A 3-D convolution that sees a frame and those before it; places outside are zeros. stride: in time."""

    def __init__(self, channels: int, out_channels: int, kernel: int, *, stride: int = 1, bias: bool = True):
        super().__init__()
        self.before = kernel - stride
        side = kernel // 2
        self.conv = nn.Conv3d(channels, out_channels, kernel, stride=(stride, 1, 1), padding=(0, side, side), bias=bias)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h w"]:
        return self.conv(F.pad(x, (0, 0, 0, 0, self.before, 0)))


class ResidualBlock3d(nn.Module):
    """Two normalised causal convolutions beside the identity, or beside a 1x1x1 convolution where the widths differ."""

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
    """So many residual blocks in a row, of which the first changes the width."""
    widths = [channels] + [out_channels] * number
    return nn.ModuleList(ResidualBlock3d(widths[i], widths[i + 1], norm_groups) for i in range(number))


def through(blocks: nn.ModuleList, x: Tensor) -> Tensor:
    """x through modules in a row."""
    for block in blocks:
        x = block(x)
    return x


class TemporalEncoder(nn.Module):
    """2-D latents of a chunk of frames to the moments of fewer ones: halved in time where `halve` says so."""

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
            h = through(blocks, h)  # type: ignore[arg-type]
            if level < len(self.conv_blocks):
                h = self.conv_blocks[level](h)
        return self.conv2(F.silu(self.norm1(through(self.res_blocks, h))))


class TemporalDecoder(nn.Module):
    """The encoder's mirror image: a doubling in time is a convolution to twice the channels, whose halves become frames."""

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
        h = through(self.res_blocks, self.conv1(z))
        for level in reversed(range(len(self.block_res_blocks))):
            h = through(self.block_res_blocks[level], h)  # type: ignore[arg-type]
            if level and self.halve[level - 1]:
                h = rearrange(self.conv_blocks[level - 1](h), "b (c two) t h w -> b c (t two) h w", two=2)
        return self.conv_out(F.silu(self.norm1(h)))


class TemporalAutoencoder(nn.Module):
    """The 3-D half on chunks of 2-D latents; zeros fill a chunk from the front to whole steps of `factor` frames."""

    def __init__(self, channels: int, widths: Sequence[int], blocks: int, halve: Sequence[bool], norm_groups: int):
        super().__init__()
        self.factor = 2 ** sum(halve)
        sizes: dict[str, Any] = {"widths": widths, "blocks": blocks, "halve": halve, "groups": norm_groups}
        self.encoder = TemporalEncoder(channels, 2 * channels, **sizes)
        self.decoder = TemporalDecoder(channels, channels, **sizes)
        self.quant_conv = CausalConv3d(2 * channels, 2 * channels, 1)
        self.post_quant_conv = CausalConv3d(channels, channels, 1)

    def encode(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t2 h w"]:
        """The posterior's mean."""
        x = F.pad(x, (0, 0, 0, 0, -x.shape[2] % self.factor, 0))
        return self.quant_conv(self.encoder(x)).chunk(2, 1)[0]

    def decode(self, z: Float[Tensor, "b c t2 h w"], num_frames: int) -> Float[Tensor, "b c t h w"]:
        """2-D latents of a chunk's last `num_frames` frames."""
        return self.decoder(self.post_quant_conv(z))[:, :, -num_frames:]


class OpenSoraVideo(ModelMixin, ConfigMixin):
    """Frames to 4 channels of latents, an eighth as high and wide; 17 frames become 5 latents.

    A clip is coded in chunks of `chunk` frames that know nothing of each other, the last of which may be shorter.

    Args:
        spatial: settings of the 2-D `AutoencoderKL`; None: those of the SDXL autoencoder, as in PixArt-Sigma.
        widths: channels of the 3-D network's levels. blocks: residual blocks in each.
        halve: after which levels, the last aside, the time is halved. norm_groups: of its norms.
        chunk: frames that are coded together.
        latents_mean, latents_std: whitening, one value per channel.

    Deviation: the release draws latents from both posteriors; here each is its mean, so that a clip has one code.
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
        settings = {key: value for key, value in (spatial or sdxl()).items() if not key.startswith("_")}
        self.spatial_vae = nn.ModuleDict({"module": AutoencoderKL.from_config(settings)})
        self.temporal_vae = TemporalAutoencoder(self.frame_codec.config.latent_channels, widths, blocks, halve, norm_groups)
        self.spatial = 2 ** (len(self.frame_codec.config.block_out_channels) - 1)

    @property
    def frame_codec(self) -> Any:
        """The 2-D half."""
        return self.spatial_vae["module"]

    @property
    def latent_channels(self) -> int:
        return self.frame_codec.config.latent_channels

    def latent_shape(self, geometry: Geometry) -> tuple[int, ...]:
        """(c, t, h, w) of one clip.

        Raises:
            ValueError: a size that the 2-D half cannot divide, or a length whose last chunk is no whole number of steps.
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
        """Latents of a whole chunk."""
        return -(-self.config.chunk // self.temporal_vae.factor)

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c t2 h2 w2"]:
        """Frames in [-1, 1] to raw latents."""
        flat = rearrange(frames.to(self.dtype), "b c t h w -> (b t) c h w")
        coded = [self.frame_codec.encode(part).latent_dist.mode() for part in flat.split(FRAMES_AT_ONCE)]
        latents = rearrange(torch.cat(coded), "(b t) c h w -> b c t h w", b=len(frames)) * FRAME_SCALE
        return torch.cat([self.temporal_vae.encode(part) for part in latents.split(self.config.chunk, 2)], 2)

    def decode(self, latents: Float[Tensor, "b c t2 h2 w2"]) -> Float[Tensor, "b 3 t h w"]:
        """Raw latents to frames, nominally in [-1, 1] (not clipped)."""
        parts = []
        for part in latents.to(self.dtype).split(self.chunk_steps, 2):
            frames = min(self.config.chunk, part.shape[2] * self.temporal_vae.factor)
            parts.append(self.temporal_vae.decode(part, frames))
        flat = rearrange(torch.cat(parts, 2), "b c t h w -> (b t) c h w") / FRAME_SCALE
        decoded = [self.frame_codec.decode(part).sample for part in flat.split(FRAMES_AT_ONCE)]
        return rearrange(torch.cat(decoded), "(b t) c h w -> b c t h w", b=len(latents))

    def whiten(self, raw: Tensor) -> Tensor:
        return whiten(raw, self.config.latents_mean, self.config.latents_std)

    def unwhiten(self, final: Tensor) -> Tensor:
        return unwhiten(final, self.config.latents_mean, self.config.latents_std)

    @classmethod
    def from_released(cls, folder: "str | os.PathLike") -> "OpenSoraVideo":
        """The released checkpoint from its folder: config.json and model.safetensors, of any width and depth.

        The released settings name no sizes; they are read from the tensors' shapes.

        Raises:
            ValueError: no such folder, or tensors that are missing, surplus or of another shape.
        """
        from safetensors.torch import load_file

        path = Path(folder)
        config = json.loads((path / "config.json").read_text())
        files = sorted(path.glob("*.safetensors"))
        if not is_released(config) or not files:
            what = f"no {RELEASED}" if files else "no safetensors"
            raise ValueError(f"{folder}: {what} there; expected Open-Sora 1.2's config.json and model.safetensors")
        state = {name: value for file in files for name, value in load_file(file).items()}
        whitening = {"latents_mean": channels_of(config, "shift", SHIFT), "latents_std": channels_of(config, "scale", SCALE)}
        try:
            model = cls(**sizes_of(state), **whitening, chunk=config.get("micro_frame_size") or 17)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{folder}: its tensors are not those of Open-Sora 1.2's autoencoder ({error})") from error
        # The buffers of the whitening, which the settings hold as well.
        state = {name: value for name, value in state.items() if name not in ("shift", "scale")}
        own = model.state_dict()
        for what, names in (("missing", set(own) - set(state)), ("surplus", set(state) - set(own))):
            if names:
                raise ValueError(f"{folder}: {len(names)} tensors are {what}, such as {min(names)}: fetch the folder again")
        for name, value in state.items():
            if value.shape != own[name].shape:
                raise ValueError(f"{folder}: {name} is {tuple(value.shape)}, expected {tuple(own[name].shape)}")
        model.load_state_dict({name: value.to(own[name].dtype) for name, value in state.items()})
        return model.eval()


def is_released(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of Open-Sora's released autoencoder."""
    return RELEASED in (config.get("architectures") or ()) or config.get("model_type") == RELEASED


def channels_of(config: Mapping[str, Any], name: str, default: Sequence[float]) -> list[float]:
    """A value per channel, or one, from the released settings."""
    value = config.get(name, default)
    return list(value) if isinstance(value, list | tuple) else [float(value)]


def sdxl() -> dict[str, Any]:
    """The settings of the SDXL autoencoder, which PixArt-Sigma's repository holds for Open-Sora."""
    return spatial_settings((128, 256, 512, 512), layers=2)


def spatial_settings(widths: Sequence[int], *, layers: int, channels: int = 4) -> dict[str, Any]:
    """The settings of an `AutoencoderKL` of frames."""
    return {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "block_out_channels": list(widths),
        "layers_per_block": layers,
        "latent_channels": channels,
    }


def sizes_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The sizes of both halves from the shapes of their tensors.

    Raises:
        KeyError: tensors of something else.
    """
    frames, chunks = "spatial_vae.module.encoder.", "temporal_vae.encoder."
    levels = counted(state, rf"{chunks}block_res_blocks\.(\d+)\.0\.conv1\.conv\.weight")
    spatial = counted(state, rf"{frames}down_blocks\.(\d+)\.resnets\.0\.conv1\.weight")
    layers = counted(state, rf"{frames}down_blocks\.0\.resnets\.(\d+)\.conv1\.weight")
    settings = spatial_settings(
        [state[f"{frames}down_blocks.{i}.resnets.0.conv1.weight"].shape[0] for i in spatial],
        layers=len(list(layers)),
        channels=state[f"{chunks}conv_in.conv.weight"].shape[1],
    )
    widths = [state[f"{chunks}block_res_blocks.{i}.0.conv1.conv.weight"].shape[0] for i in levels]
    return {
        "spatial": settings,
        "widths": widths,
        "blocks": len(list(counted(state, rf"{chunks}res_blocks\.(\d+)\.conv1\.conv\.weight"))),
        "halve": [f"{chunks}conv_blocks.{i}.conv.weight" in state for i in range(len(widths) - 1)],
    }


def counted(state: Mapping[str, Tensor], pattern: str) -> Iterator[int]:
    """The numbers in the names of tensors, in order.

    Raises:
        KeyError: there are none.
    """
    found = sorted(int(match[1]) for name in state if (match := re.fullmatch(pattern, name)))
    if not found:
        raise KeyError(f"no tensor {pattern}")
    return iter(found)
