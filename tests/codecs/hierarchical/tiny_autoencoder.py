"""A tiny autoencoder with random weights, and its inputs."""

from fractions import Fraction
from typing import Any

import torch

from sonovid.codecs.audio_image import AudioImage
from sonovid.codecs.hierarchical import Decoding, HierarchicalAutoencoder, HierarchicalNetwork
from sonovid.codecs.hierarchical.network import tiny
from sonovid.codecs.mel import LogMel
from sonovid.codecs.video import FrameAutoencoder
from sonovid.codecs.vocoder import SpectralVocoder
from sonovid.core.av import AV
from sonovid.core.geometry import Geometry

GEOMETRY = Geometry(4, Fraction(8), 16, 16, 4000)
MEL = LogMel(sample_rate=4000, bins=16, n_fft=128, window=128, hop=125, high=2000.0)


def autoencoder(
    *, fresh: bool = False, decoding: Decoding | None = None, picture: AudioImage | None = None, **changes: Any
) -> HierarchicalAutoencoder:
    """fresh: with initial weights. Otherwise zero-initialised weights are random too."""
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        frames = FrameAutoencoder(latent_channels=4, patch=2, widths=(8, 8), blocks=1, latents_mean=(0.1,), latents_std=(0.5,))
        vocoder = SpectralVocoder(bins=16, n_fft=128, hop=125, width=8, depth=1)
        network = HierarchicalNetwork(**{**tiny(), **changes})
        for parameter in () if fresh else network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
    decoding = decoding or Decoding(steps=2)
    picture = picture or AudioImage(16, 16)
    return HierarchicalAutoencoder(network, frames, MEL, picture, GEOMETRY, vocoder=vocoder, decoding=decoding).eval()


def window(b: int = 2, seed: int = 0) -> AV:
    """Frames and a waveform."""
    g = torch.Generator().manual_seed(seed)
    return AV(torch.rand(b, 3, 4, 16, 16, generator=g) * 2 - 1, torch.rand(b, 2000, generator=g) - 0.5)
