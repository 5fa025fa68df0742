"""The signal decoder: one diffusion U-Net that draws frames and audio images from perceptual latents (MM-LDM, figure 3b)."""

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

from sonovid.codecs.hierarchical.layers import FrameIndex, ResidualBlock, perceptron, zeroed
from sonovid.core.av import AV

# What a time in [0, 1] is multiplied by to be an entry of the U-Net's table; entry n stands for t = (n + 1) / 1000.
NUM_STEPS = 1000

Content = Literal["pooled", "flattened"]


@dataclass(frozen=True)
class Told:
    """What the signal decoder is told of n pictures; the same at every step of a sampling.

    features: one for each input block of the U-Net, [n c h w]. content: added to the time's embedding, [n e]. words: for
    cross-attention, [n k d]. draft: added to what the U-Net says, see `Draft`.
    """

    features: tuple[Tensor, ...]
    content: Float[Tensor, "n e"]
    words: Float[Tensor, "n k d"]
    draft: Float[Tensor, "n c h w"] | None = None

    @staticmethod
    def joined(parts: "Sequence[Told]") -> "Told":
        """Several, one after the other."""
        features = tuple(torch.cat(level) for level in zip(*(part.features for part in parts), strict=True))
        drafts = [p.draft for p in parts if p.draft is not None]
        return Told(
            features,
            torch.cat([p.content for p in parts]),
            torch.cat([p.words for p in parts]),
            torch.cat(drafts) if drafts else None,
        )


def sites(unet: Any) -> list[tuple[str, int]]:
    """The U-Net's input blocks, as the module whose output is theirs and the channels of that: the first convolution, each
    residual block with its attention, each halving. Twelve in Stable Diffusion."""
    found, widths = [("conv_in", unet.config.block_out_channels[0])], unet.config.block_out_channels
    for i, block in enumerate(unet.down_blocks):
        kind = "attentions" if getattr(block, "has_cross_attention", False) else "resnets"
        found += [(f"down_blocks.{i}.{kind}.{j}", widths[i]) for j in range(len(block.resnets))]
        if block.downsamplers is not None:
            found.append((f"down_blocks.{i}.downsamplers.0", widths[i]))
    return found


class Pyramid(nn.Module):
    """Latents as features for every input block of the U-Net: a residual block each, and a 1x1 convolution that begins at zero.

    channels: of the features. index: the width of the frame index's embedding; 0: there is none (sound). modulated: see
    `ResidualBlock`.
    """

    def __init__(self, latent_channels: int, channels: Sequence[int], index: int, *, modulated: bool = False):
        super().__init__()
        self.blocks = nn.ModuleList(
            ResidualBlock(latent_channels, c, embedding=index, silent=False, modulated=modulated) for c in channels
        )
        self.ends = nn.ModuleList(zeroed(nn.Conv2d(c, c, 1)) for c in channels)

    def forward(
        self, z: Float[Tensor, "n c h w"], sizes: Sequence[tuple[int, int]], index: Float[Tensor, "n e"] | None = None
    ) -> tuple[Tensor, ...]:
        """sizes: (rows, columns) of each block's features."""
        return tuple(end(block(resized(z, size), index)) for block, end, size in zip(self.blocks, self.ends, sizes, strict=True))


class Draft(nn.Module):
    """Latents to a first picture of each of their frames, by one convolution.

    num_frames: of a window; 1 for an audio image. factor: how many times smaller than the pictures the latents are.

    Deviation: the paper's U-Net makes all of the picture. What changes from frame to frame is a tenth of the variance of scenes,
    in many directions of few percent each; a thousand steps through the U-Net alone left all of it out.
    """

    def __init__(self, latent_channels: int, channels: int, num_frames: int, factor: int):
        super().__init__()
        self.num_frames, self.factor = num_frames, factor
        self.conv = nn.Conv2d(latent_channels, channels * num_frames * factor**2, 3, padding=1)

    def forward(self, z: Float[Tensor, "b c h w"], frames: Int[Tensor, "b k"]) -> Float[Tensor, "n d h2 w2"]:
        """frames: the numbers of those to draw; all of the first clip, of the second ..."""
        drawn = rearrange(F.pixel_shuffle(self.conv(z), self.factor), "b (c t) h w -> b t c h w", t=self.num_frames)
        return torch.cat([clip[own] for clip, own in zip(drawn, frames, strict=True)])


def resized(z: Float[Tensor, "n c h w"], size: tuple[int, int]) -> Float[Tensor, "n c h2 w2"]:
    """Larger by repeating, smaller by means."""
    if tuple(z.shape[2:]) == size:
        return z
    return F.interpolate(z, size, mode="nearest") if size[0] > z.shape[2] else F.adaptive_avg_pool2d(z, size)


class SignalDecoder(nn.Module):
    """One U-Net for both streams, told by latents, frame index, modality, class and the other stream's meaning.

    unet: its settings, see `unet_config`. latent_channels, latent_sizes: of z_v and z_a. semantic_width: channels of a semantic
    feature; 0: it is told none, and no class. content: "pooled", the mean over the latents' places, is added to the time; the
    release takes them "flattened". modality_tokens: learnt for each stream. modulated: whether the frame index multiplies what is
    made of the latents; otherwise it is added, as is usual.

    Modules of the U-Net stay as they are: features and content come in by hooks.

    Deviation: the time's own layers are trained with the rest, also from released weights, where the release freezes them.
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
        width, words = 4 * self.unet.config.block_out_channels[0], self.unet.config.cross_attention_dim
        self.sites = sites(self.unet)
        channels = [c for _, c in self.sites]
        self.index = FrameIndex(self.unet.config.block_out_channels[0], width, index_scale)
        self.pyramids = nn.ModuleDict(
            {
                name: Pyramid(latent_channels, channels, width if name == "video" else 0, modulated=modulated)
                for name in AV._fields
            }
        )
        self.content = nn.ModuleDict()
        for name, size in zip(AV._fields, latent_sizes, strict=True):
            inward = latent_channels * (size[0] * size[1] if content == "flattened" else 1)
            self.content[name] = perceptron(inward, width, width)
        self.modality = nn.ParameterDict({name: nn.Parameter(0.02 * torch.randn(modality_tokens, words)) for name in AV._fields})
        self.classes = nn.Embedding(num_classes, words) if num_classes and semantic_width else None
        if self.classes is not None:
            nn.init.normal_(self.classes.weight, std=0.02)
        self.meaning = perceptron(semantic_width, words, words) if semantic_width else None
        self._told: Told | None = None
        for i, (name, _) in enumerate(self.sites):
            # Partials of a method, not closures: a copied model then calls its own.
            self.unet.get_submodule(name).register_forward_hook(partial(self._add_feature, i))
        self.unet.time_embedding.register_forward_hook(self._add_content)

    def told(
        self,
        stream: str,
        latents: Float[Tensor, "n c h w"],
        size: tuple[int, int],
        *,
        place: Float[Tensor, "n"] | None = None,
        meaning: Float[Tensor, "n d h2 w2"] | None = None,
        labels: Int[Tensor, "n"] | None = None,
        present: Bool[Tensor, "n"] | None = None,
    ) -> Told:
        """What the U-Net is told of pictures of `size` (rows, columns).

        place: where a frame stands in its window, i / frames; for pictures of a video alone. meaning: the other stream's semantic
        feature; None: zeros. labels: classes, -1 where there is none. present: False where a sample is told nothing: its words
        become zeros, and its latents are to be those of nothing.
        """
        if (place is None) != (stream == "audio"):
            raise ValueError(f"SignalDecoder: place goes with frames and with them alone; got stream {stream!r}")
        index = None if place is None else self.index(place)
        features = self.pyramids[stream](latents, self._sizes(size), index)
        flat = latents.mean((2, 3)) if self.content_kind == "pooled" else latents.flatten(1)
        words = [self.modality[stream].expand(len(latents), -1, -1)]
        if self.classes is not None:
            if labels is None:
                words.append(torch.zeros_like(words[0][:, :1]))
            else:
                words.append((self.classes(labels.clamp(min=0)) * (labels >= 0)[:, None])[:, None])
        if self.meaning is not None and meaning is not None:
            words.append(self.meaning(rearrange(meaning, "n d h w -> n (h w) d")))
        told = torch.cat(words, 1)
        if present is not None:
            told = told * present[:, None, None]
        return Told(features, self.content[stream](flat), told)

    def forward(self, x: Float[Tensor, "n c h w"], t: Float[Tensor, "n"], told: Told) -> Float[Tensor, "n c h w"]:
        """What is predicted of noisy pictures' latents, their noise in the paper; t: times in [0, 1]."""
        entries = (t.double() * NUM_STEPS - 1).round(decimals=2).clamp(min=0).float()
        with self._telling(told):
            found = self.unet(x, entries, told.words.to(x.dtype)).sample
        return found if told.draft is None else found + told.draft.to(found.dtype)

    def load_unet(self, source: Any, *, subfolder: str | None = None) -> None:
        """Take over a released U-Net's weights, by hub id or folder, safetensors only (Stable Diffusion's, section 3.1).

        Raises:
            ValueError: a U-Net of another shape.
        """
        released = UNet2DConditionModel.from_pretrained(source, subfolder=subfolder, use_safetensors=True)
        try:
            self.unet.load_state_dict(released.state_dict())
        except RuntimeError as error:
            fault = str(error).splitlines()[-1].strip()
            raise ValueError(f"signal decoder: the U-Net of {source} has another shape than this one: {fault}") from None

    def _sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """(rows, columns) of what each site gives for pictures of `size`."""
        found = []
        for name, _ in self.sites:
            size = ((size[0] + 1) // 2, (size[1] + 1) // 2) if "downsamplers" in name else size
            found.append(size)
        return found

    @contextmanager
    def _telling(self, told: Told) -> Iterator[None]:
        self._told = told
        try:
            yield
        finally:
            self._told = None

    def _add_feature(self, site: int, module: nn.Module, inputs: Any, output: Any) -> Any:
        if self._told is None:
            return None
        feature = self._told.features[site]
        if isinstance(output, tuple):
            return (output[0] + feature.to(output[0].dtype), *output[1:])
        return output + feature.to(output.dtype)

    def _add_content(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
        return None if self._told is None else output + self._told.content.to(output.dtype)


def repeated(told: Told, count: int) -> Told:
    """Each picture's part so many times in a row."""

    def rows(x: Tensor) -> Tensor:
        return x.repeat_interleave(count, 0)

    draft = None if told.draft is None else rows(told.draft)
    return Told(tuple(map(rows, told.features)), rows(told.content), rows(told.words), draft)


def unet_config(
    widths: Sequence[int], *, channels: int, words: int, layers: int = 2, heads: int = 8, groups: int = 32
) -> dict[str, Any]:
    """The settings of a U-Net of Stable Diffusion's kind: cross-attention at all levels but the last.

    channels: of the pictures' latents. words: channels of what cross-attention sees.
    """
    crossing = len(widths) - 1
    return {
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": list(widths),
        "layers_per_block": layers,
        "cross_attention_dim": words,
        "attention_head_dim": heads,
        "norm_num_groups": groups,
        "down_block_types": ["CrossAttnDownBlock2D"] * crossing + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * crossing,
    }
