"""How to add a codec: frames to latents and back, by a block cosine transform.

A codec of one stream has five methods: `latent_shape`, `encode`, `decode`, `whiten` and `unwhiten` (codecs/base.py). As a
`Model` it also has a config and a folder: `save_pretrained` and `from_pretrained`. A joint codec has the same methods for the
pair (`PairCodec`).

To make it part of the package, put it into src/sonovid/codecs/, since model folders may name only classes that are defined
there. Add the class to those of load_video_codec in recipes/components.py. Then a recipe takes it from its folder:
`codecs.video=FOLDER`.
"""

import math
import tempfile
from collections.abc import Sequence
from fractions import Fraction

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from sonovid import Geometry
from sonovid.codecs.whitening import unwhiten, whiten
from sonovid.core.model import Model, register_to_config
from sonovid.data.scenes import render


class BlockTransform(Model):
    """A `VideoCodec` without training: the lowest frequencies of a cosine transform of blocks of pixels.

    Args:
        block: pixels on a side of a block.
        kept: frequencies on a side that are kept; the latents have 3 * kept ** 2 channels.
        latents_mean: whitening, one value or one per channel.
        latents_std: whitening, one value or one per channel.
    """

    @register_to_config
    def __init__(self, block: int = 8, kept: int = 3, latents_mean: Sequence = (0.0,), latents_std: Sequence = (1.0,)):
        super().__init__()
        position, frequency = torch.arange(block) + 0.5, torch.arange(kept)[:, None]
        basis = torch.cos(math.pi / block * frequency * position) * math.sqrt(2 / block)
        basis[0] /= math.sqrt(2)
        # A model folder needs a tensor, and a codec a dtype: a buffer that is saved.
        self.register_buffer("basis", basis)

    def latent_shape(self, geometry: Geometry) -> tuple[int, ...]:
        """(c, t, h, w) of one clip.

        Raises:
            ValueError: the size is not a multiple of the block.
        """
        block, kept = self.config.block, self.config.kept
        if geometry.height % block or geometry.width % block:
            raise ValueError(f"frames of {geometry.width}x{geometry.height}: this codec needs multiples of {block}")
        return (3 * kept**2, geometry.num_frames, geometry.height // block, geometry.width // block)

    def encode(self, frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c t h2 w2"]:
        """Frames in [-1, 1] to raw latents."""
        blocks = rearrange(frames, "b c t (h p) (w q) -> b c t h w p q", p=self.config.block, q=self.config.block)
        latents = torch.einsum("ip,bcthwpq,jq->bcijthw", self.basis, blocks, self.basis)
        return rearrange(latents, "b c i j t h w -> b (c i j) t h w")

    def decode(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b 3 t h2 w2"]:
        """Raw latents to frames, nominally in [-1, 1] (not clipped)."""
        latents = rearrange(latents, "b (c i j) t h w -> b c i j t h w", c=3, i=self.config.kept)
        blocks = torch.einsum("ip,bcijthw,jq->bcthwpq", self.basis, latents, self.basis)
        return rearrange(blocks, "b c t h w p q -> b c t (h p) (w q)")

    def whiten(self, raw: Tensor) -> Tensor:
        return whiten(raw, self.config.latents_mean, self.config.latents_std)

    def unwhiten(self, final: Tensor) -> Tensor:
        return unwhiten(final, self.config.latents_mean, self.config.latents_std)


def main() -> None:
    geometry = Geometry(num_frames=16, fps=Fraction(8), height=64, width=64, sample_rate=16000)
    frames = torch.from_numpy(render("hits", 0, geometry).frames)
    video = rearrange(frames, "t h w c -> 1 c t h w").float() / 127.5 - 1

    codec = BlockTransform()
    latents = codec.encode(video)
    # Whitening is measured on latents of the training set and becomes part of the config.
    mean, std = (value.tolist() for value in (latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4))))
    codec.register_to_config(latents_mean=mean, latents_std=std)
    with tempfile.TemporaryDirectory() as folder:
        codec.save_pretrained(folder)
        codec = BlockTransform.from_pretrained(folder)

    error = (codec.decode(codec.unwhiten(codec.whiten(latents))) - video).square().mean()
    print(f"latents {codec.latent_shape(geometry)}, PSNR {10 * math.log10(4 / error):.1f} dB")


if __name__ == "__main__":
    main()
