"""The shared semantic space of the perceptual latents: projectors, classification and contrast (MM-LDM, section 3.1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs.hierarchical.layers import ResidualBlock, SpatialAttention, group_norm
from sonovid.core.av import AV

# Initial temperature of both directions (a divisor), and the largest multiplier, as in CLIP.
INITIAL_TEMPERATURE, MAX_SCALE = 0.07, 100.0


@dataclass(frozen=True)
class SemanticOutput:
    """Output of the semantic space for a batch.

    Args:
        features: Semantic features s_v and s_a, each [b d h w].
        logits: Logits of the classes [b k], or None without classes.
        vectors: Contrastive vectors of unit length of both streams, each [b e].
        scales: Multipliers of their products, video to audio and audio to video.
    """

    features: AV
    logits: Float[Tensor, "b k"] | None
    vectors: AV
    scales: AV


class Projector(nn.Module):
    """Perceptual latents to semantic features: levels of residual blocks with attention, each half the size of the previous one.

    Args:
        channels: Channels of the latents.
        out_channels: Channels of the semantic features.
        width: Base width.
        mults: Multipliers of `width` for each level.
        blocks: Residual blocks per level.
        head_width: Channels of an attention head.
    """

    def __init__(self, channels: int, out_channels: int, width: int, mults: Sequence[int], blocks: int, head_width: int):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width * mults[0], 3, padding=1)]
        at = width * mults[0]
        for i, mult in enumerate(mults):
            if i:
                layers.append(nn.Conv2d(at, at, 3, stride=2, padding=1))
            for _ in range(blocks):
                layers.append(ResidualBlock(at, width * mult))
                at = width * mult
            layers.append(SpatialAttention(at, head_width))
        self.body = nn.Sequential(*layers)
        self.norm, self.out = group_norm(at), nn.Conv2d(at, out_channels, 3, padding=1)

    def forward(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        return self.out(F.silu(self.norm(self.body(z))))


class ClassHead(nn.Module):
    """A pair of semantic features to class logits (f_cl)."""

    def __init__(self, width: int, num_classes: int):
        super().__init__()

        def stream_layers() -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))

        self.streams = nn.ModuleDict({name: stream_layers() for name in AV._fields})
        self.mix, self.norm, self.out = nn.Linear(width, width), nn.LayerNorm(width), nn.Linear(width, num_classes)

    def forward(self, features: AV) -> Float[Tensor, "b k"]:
        rows = [rearrange(self.streams[name](s), "b d h w -> b (h w) d") for name, s in zip(AV._fields, features, strict=True)]
        return self.out(F.silu(self.norm(self.mix(torch.cat(rows, 1)))).mean(1)).float()


class ContrastiveHead(nn.Module):
    """Semantic features to one vector of unit length, with the same network for both streams (f_co, Eq. 1).

    Deviation: Eq. 1 has one multiplier tau. As in the release, each direction has its own.
    """

    def __init__(self, width: int, out_width: int):
        super().__init__()
        self.conv_in, self.norm = nn.Conv2d(width, width, 3, padding=1), group_norm(width)
        self.conv_out, self.out = nn.Conv2d(width, width, 3, padding=1), nn.Linear(width, out_width)
        self.log_scales = nn.Parameter(torch.full((2,), -math.log(INITIAL_TEMPERATURE)))

    def forward(self, feature: Float[Tensor, "b d h w"]) -> Float[Tensor, "b e"]:
        h = self.conv_out(F.silu(self.norm(self.conv_in(feature))))
        return F.normalize(self.out(h.mean((2, 3))).float(), dim=1)

    def scales(self) -> AV:
        """The learnt multipliers."""
        return AV(*self.log_scales.float().exp().clamp(max=MAX_SCALE))


class Semantics(nn.Module):
    """Projectors and heads of both streams.

    Args:
        latent_channels: Channels of z_v and z_a.
        width: Channels of the semantic features.
        base: Base width of the projectors.
        mults: Multipliers of `base` for each level of a projector, for each stream.
        blocks: Residual blocks per level of a projector, for each stream.
        num_classes: Number of classes. 0: no classification.
        contrast: Channels of the contrastive vectors.
        head_width: Channels of an attention head.
        detached: Whether latents are detached before the projectors, as in the release, so that the semantic losses never reach
            the encoders.

    Deviation: the release detaches the latents ("loss explodes otherwise"). The losses of the paper also train the encoders, as
    here.
    """

    def __init__(
        self,
        latent_channels: int,
        *,
        width: int,
        base: int,
        mults: AV,
        blocks: AV,
        num_classes: int,
        contrast: int,
        head_width: int = 64,
        detached: bool = False,
    ):
        super().__init__()
        self.detached = detached
        self.projectors = nn.ModuleDict(
            {
                name: Projector(latent_channels, width, base, stream_mults, count, head_width)
                for name, stream_mults, count in zip(AV._fields, mults, blocks, strict=True)
            }
        )
        self.class_head = ClassHead(width, num_classes) if num_classes else None
        self.contrastive_head = ContrastiveHead(width, contrast)

    def project(self, latents: AV) -> AV:
        """Semantic features of both streams, None for a stream without latents."""
        return AV(
            *(
                None if z is None else self.projectors[name](z.detach() if self.detached else z)
                for name, z in zip(AV._fields, latents, strict=True)
            )
        )

    def forward(self, latents: AV) -> SemanticOutput:
        """Everything that the losses need for a batch of pairs."""
        features = self.project(latents)
        logits = None if self.class_head is None else self.class_head(features)
        return SemanticOutput(features, logits, features.map(self.contrastive_head), self.contrastive_head.scales())
