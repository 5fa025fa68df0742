"""The signal decoder: one diffusion U-Net that generates frames and audio images from perceptual latents (MM-LDM, figure 3b)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sonovid.codecs.hierarchical.layers import FrameIndexEmbedding, ResidualBlock, zero_init_mlp, zero_module
from sonovid.core.av import AV

# Timesteps of the U-Net's table: timestep n stands for t = (n + 1) / 1000.
NUM_STEPS = 1000

Content = Literal["pooled", "flattened"]


@dataclass(frozen=True)
class DecoderCondition:
    """Condition of the signal decoder for n images, constant over the sampling steps.

    Args:
        features: One feature map per input block of the U-Net, each [n c h w].
        content: Vector that is added to the timestep embedding, [n e].
        tokens: Tokens for cross-attention, [n k d].
        draft: Added to the output of the U-Net, see `DraftPredictor`.
    """

    features: tuple[Tensor, ...]
    content: Float[Tensor, "n e"]
    tokens: Float[Tensor, "n k d"]
    draft: Float[Tensor, "n c h w"] | None = None

    @staticmethod
    def concat(parts: "Sequence[Told]") -> "Told":
        """Concatenate conditions along the batch."""
        features = tuple(torch.cat(level) for level in zip(*(part.features for part in parts), strict=True))
        drafts = [p.draft for p in parts if p.draft is not None]
        return DecoderCondition(
            features,
            torch.cat([p.content for p in parts]),
            torch.cat([p.tokens for p in parts]),
            torch.cat(drafts) if drafts else None,
        )


def list_input_blocks(unet: Any) -> list[tuple[str, int]]:
    """Input blocks of a U-Net: the first convolution, each residual block with its attention, and each downsampling.

    Returns:
        For each block the name of the module that computes its output, and the channels of the output. Twelve in Stable
        Diffusion.
    """
    blocks, widths = [("conv_in", unet.config.block_out_channels[0])], unet.config.block_out_channels
    for i, block in enumerate(unet.down_blocks):
        kind = "attentions" if getattr(block, "has_cross_attention", False) else "resnets"
        blocks += [(f"down_blocks.{i}.{kind}.{j}", widths[i]) for j in range(len(block.resnets))]
        if block.downsamplers is not None:
            blocks.append((f"down_blocks.{i}.downsamplers.0", widths[i]))
    return blocks


class FeaturePyramid(nn.Module):
    """Latents to features for every input block of the U-Net: per block a residual block and a zero-initialised 1x1 convolution.

    Args:
        latent_channels: Channels of the latents.
        channels: Channels of the features of each block.
        index: Channels of the frame index embedding. 0: none (audio).
        modulated: See `ResidualBlock`.
    """

    def __init__(self, latent_channels: int, channels: Sequence[int], index: int, *, modulated: bool = False):
        super().__init__()
        self.blocks = nn.ModuleList(
            ResidualBlock(latent_channels, c, embedding=index, zero_init=False, modulated=modulated) for c in channels
        )
        self.ends = nn.ModuleList(zero_module(nn.Conv2d(c, c, 1)) for c in channels)

    def forward(
        self, z: Float[Tensor, "n c h w"], sizes: Sequence[tuple[int, int]], index: Float[Tensor, "n e"] | None = None
    ) -> tuple[Tensor, ...]:
        """Features of each block; `sizes` are their (rows, columns)."""
        return tuple(end(block(resize(z, size), index)) for block, end, size in zip(self.blocks, self.ends, sizes, strict=True))


class DraftPredictor(nn.Module):
    """Latents to a first estimate of each frame, by one convolution.

    Args:
        latent_channels: Channels of the perceptual latents.
        channels: Channels of the signal latents.
        num_frames: Frames of a window; 1 for an audio image.
        factor: How many times smaller than the signal latents the perceptual latents are.

    Deviation: in the paper the U-Net generates the whole image. On scenes, changes between frames are a tenth of the variance, in
    many directions of a few percent each, and a thousand steps through the U-Net alone left all of them out.
    """

    def __init__(self, latent_channels: int, channels: int, num_frames: int, factor: int):
        super().__init__()
        self.num_frames, self.factor = num_frames, factor
        self.conv = nn.Conv2d(latent_channels, channels * num_frames * factor**2, 3, padding=1)

    def forward(self, z: Float[Tensor, "b c h w"], frames: Int[Tensor, "b k"]) -> Float[Tensor, "n d h2 w2"]:
        """Estimates of the frames with indices `frames` [b k]: all of the first clip, then of the second, ..."""
        drafts = rearrange(F.pixel_shuffle(self.conv(z), self.factor), "b (c t) h w -> b t c h w", t=self.num_frames)
        return torch.cat([clip[index] for clip, index in zip(drafts, frames, strict=True)])


def resize(z: Float[Tensor, "n c h w"], size: tuple[int, int]) -> Float[Tensor, "n c h2 w2"]:
    """Enlarge by nearest-neighbour interpolation, or shrink by averaging."""
    if tuple(z.shape[2:]) == size:
        return z
    return F.interpolate(z, size, mode="nearest") if size[0] > z.shape[2] else F.adaptive_avg_pool2d(z, size)


class SignalDecoder(nn.Module):
    """One U-Net for both streams, conditioned on latents, frame index, modality, class and the other stream's semantic features.

    The modules of the U-Net stay unchanged: features and content enter through forward hooks.

    Args:
        unet: Settings of the U-Net, see `unet_config`.
        latent_channels: Channels of z_v and z_a.
        latent_sizes: (rows, columns) of z_v and z_a.
        semantic_width: Channels of the semantic features. 0: conditioned on neither semantic features nor class.
        num_classes: Number of classes.
        modality_tokens: Number of learnt tokens per stream.
        content: "pooled": the mean of the latents over positions is added to the timestep embedding. "flattened": all of the
            latents are, as in the release.
        index_scale: Scale of the frame index, see `FrameIndexEmbedding`.
        modulated: Whether the frame index modulates the features of the latents; otherwise it is added, as is usual.

    Deviation: the timestep embedding is trained too, also from released weights; the release freezes it.
    """

    def __init__(
        self,
        unet: dict[str, Any],
        latent_channels: int,
        latent_sizes: AV,
        *,
        semantic_width: int = 768,
        num_classes: int = 0,
        modality_tokens: int = 77,
        content: Content = "pooled",
        index_scale: float | int = 1000.0,
        modulated: bool = False,
    ):
        super().__init__()
        if content not in ("pooled", "flattened"):
            raise ValueError(f"SignalDecoder: content {content!r}; expected 'pooled' or 'flattened'")
        self.unet: Any = UNet2DConditionModel.from_config(unet)
        self.content_kind = content
        width, cross_attention_dim = 4 * self.unet.config.block_out_channels[0], self.unet.config.cross_attention_dim
        self.input_blocks = list_input_blocks(self.unet)
        channels = [c for _, c in self.input_blocks]
        self.index = FrameIndexEmbedding(self.unet.config.block_out_channels[0], width, index_scale)
        self.pyramids = nn.ModuleDict(
            {
                name: FeaturePyramid(latent_channels, channels, width if name == "video" else 0, modulated=modulated)
                for name in AV._fields
            }
        )
        self.content = nn.ModuleDict()
        for name, size in zip(AV._fields, latent_sizes, strict=True):
            in_width = latent_channels * (size[0] * size[1] if content == "flattened" else 1)
            self.content[name] = zero_init_mlp(in_width, width, width)
        self.modality = nn.ParameterDict(
            {name: nn.Parameter(0.02 * torch.randn(modality_tokens, cross_attention_dim)) for name in AV._fields}
        )
        self.classes = nn.Embedding(num_classes, cross_attention_dim) if num_classes and semantic_width else None
        if self.classes is not None:
            nn.init.normal_(self.classes.weight, std=0.02)
        self.meaning = zero_init_mlp(semantic_width, cross_attention_dim, cross_attention_dim) if semantic_width else None
        self._condition: DecoderCondition | None = None
        for i, (name, _) in enumerate(self.input_blocks):
            # Partials of a method instead of closures, so that a copied model calls its own hooks.
            self.unet.get_submodule(name).register_forward_hook(partial(self._add_feature, i))
        self.unet.time_embedding.register_forward_hook(self._add_content)

    def make_condition(
        self,
        stream: str,
        latents: Float[Tensor, "n c h w"],
        size: tuple[int, int],
        *,
        position: Float[Tensor, "n"] | None = None,
        semantic_features: Float[Tensor, "n d h2 w2"] | None = None,
        labels: Int[Tensor, "n"] | None = None,
        keep_condition: Bool[Tensor, "n"] | None = None,
    ) -> DecoderCondition:
        """Condition of the U-Net for images of one stream.

        Args:
            stream: "video" or "audio".
            latents: Perceptual latents of each image.
            size: (rows, columns) of the signal latents.
            position: Position of each frame in its window, i / frames. Video only.
            semantic_features: Semantic features of the other stream. None: none.
            labels: Classes, -1 for none.
            keep_condition: False where a sample gets the null condition: its tokens become zeros. Its latents should be the null
                latents.

        Raises:
            ValueError: Positions are missing for video or passed for audio.
        """
        if (position is None) != (stream == "audio"):
            raise ValueError(f"SignalDecoder: `position` is required for video and not accepted for audio; got stream {stream!r}")
        index = None if position is None else self.index(position)
        features = self.pyramids[stream](latents, self._sizes(size), index)
        flat = latents.mean((2, 3)) if self.content_kind == "pooled" else latents.flatten(1)
        parts = [self.modality[stream].expand(len(latents), -1, -1)]
        if self.classes is not None:
            if labels is None:
                parts.append(torch.zeros_like(parts[0][:, :1]))
            else:
                parts.append((self.classes(labels.clamp(min=0)) * (labels >= 0)[:, None])[:, None])
        if self.meaning is not None and semantic_features is not None:
            parts.append(self.meaning(rearrange(semantic_features, "n d h w -> n (h w) d")))
        tokens = torch.cat(parts, 1)
        if keep_condition is not None:
            tokens = tokens * keep_condition[:, None, None]
        return DecoderCondition(features, self.content[stream](flat), tokens)

    def forward(
        self, x: Float[Tensor, "n c h w"], t: Float[Tensor, "n"], condition: DecoderCondition
    ) -> Float[Tensor, "n c h w"]:
        """Prediction for noisy signal latents: their noise in the paper. `t` are timesteps in [0, 1]."""
        timesteps = (t.double() * NUM_STEPS - 1).round(decimals=2).clamp(min=0).float()
        with self._conditioned_on(condition):
            prediction = self.unet(x, timesteps, condition.tokens.to(x.dtype)).sample
        return prediction if condition.draft is None else prediction + condition.draft.to(prediction.dtype)

    def load_unet(self, source: Any, *, subfolder: str | None = None) -> None:
        """Load the weights of a released U-Net (Stable Diffusion's, section 3.1) by hub id or folder, safetensors only.

        Raises:
            ValueError: The U-Net has another shape.
        """
        released = UNet2DConditionModel.from_pretrained(source, subfolder=subfolder, use_safetensors=True)
        try:
            self.unet.load_state_dict(released.state_dict())
        except RuntimeError as error:
            fault = str(error).splitlines()[-1].strip()
            raise ValueError(f"signal decoder: the U-Net of {source} has another shape than this one: {fault}") from None

    def _sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """(rows, columns) of the output of each input block for signal latents of `size`."""
        sizes = []
        for name, _ in self.input_blocks:
            size = ((size[0] + 1) // 2, (size[1] + 1) // 2) if "downsamplers" in name else size
            sizes.append(size)
        return sizes

    @contextmanager
    def _conditioned_on(self, condition: DecoderCondition) -> Iterator[None]:
        """Make the hooks add this condition while the U-Net runs."""
        self._condition = condition
        try:
            yield
        finally:
            self._condition = None

    def _add_feature(self, index: int, module: nn.Module, inputs: Any, output: Any) -> Any:
        if self._condition is None:
            return None
        feature = self._condition.features[index]
        if isinstance(output, tuple):
            return (output[0] + feature.to(output[0].dtype), *output[1:])
        return output + feature.to(output.dtype)

    def _add_content(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
        return None if self._condition is None else output + self._condition.content.to(output.dtype)


def repeat_condition(condition: DecoderCondition, count: int) -> DecoderCondition:
    """Repeat each row of a condition `count` times."""

    def rows(x: Tensor) -> Tensor:
        return x.repeat_interleave(count, 0)

    draft = None if condition.draft is None else rows(condition.draft)
    return DecoderCondition(tuple(map(rows, condition.features)), rows(condition.content), rows(condition.tokens), draft)


def unet_config(
    widths: Sequence[int], *, channels: int, cross_attention_dim: int, layers: int = 2, heads: int = 8, groups: int = 32
) -> dict[str, Any]:
    """Settings of a U-Net like Stable Diffusion's, with cross-attention at all levels but the last.

    Args:
        widths: Channels of each level.
        channels: Channels of the signal latents.
        cross_attention_dim: Channels of the tokens for cross-attention.
        layers: Layers per block.
        heads: `attention_head_dim` of diffusers, the number of heads.
        groups: Groups of the norms.
    """
    num_cross = len(widths) - 1
    return {
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": list(widths),
        "layers_per_block": layers,
        "cross_attention_dim": cross_attention_dim,
        "attention_head_dim": heads,
        "norm_num_groups": groups,
        "down_block_types": ["CrossAttnDownBlock2D"] * num_cross + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * num_cross,
    }
