"""No compression: pixels and samples themselves as the latents of a model, as in MM-Diffusion."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from sonovid.core.geometry import Geometry
from sonovid.core.model import Model, register_to_config


class PixelCodec(Model):
    """Frames in [-1, 1] as they are, [b 3 t h w]."""

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        # A model folder needs a file of weights, and a codec needs a dtype: this buffer provides both.
        self.register_buffer("level", torch.zeros(1))

    def latent_shape(self, geometry: Geometry) -> tuple[int, ...]:
        return (3, geometry.num_frames, geometry.height, geometry.width)

    def encode(self, frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 3 t h w"]:
        return frames

    def decode(self, latents: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 3 t h w"]:
        return latents

    def whiten(self, raw: Tensor) -> Tensor:
        return raw

    def unwhiten(self, final: Tensor) -> Tensor:
        return final


class WaveformCodec(Model):
    """A mono waveform in [-1, 1] as it is, [b 1 n 1], with zeros at its end up to a multiple of `multiple` samples.

    Args:
        sample_rate: Sample rate in Hz.
        multiple: The number of latents is a multiple of this number.
        scale: The waveform is multiplied by this factor. Quiet audio needs it, since noise has a standard deviation of 1.

    Deviation: MM-Diffusion's waveforms are not scaled.
    """

    @register_to_config
    def __init__(self, sample_rate: int = 16000, multiple: int = 1, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("level", torch.zeros(1))

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    def latent_shape(self, geometry: Geometry) -> tuple[int, ...]:
        return (1, self._padded(geometry.num_samples), 1)

    def _padded(self, num_samples: int) -> int:
        return -(-num_samples // self.config.multiple) * self.config.multiple

    def encode(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b 1 l 1"]:
        missing = self._padded(waveform.shape[1]) - waveform.shape[1]
        return rearrange(torch.nn.functional.pad(waveform, (0, missing)), "b l -> b 1 l 1")

    def decode(self, latents: Float[Tensor, "b 1 l 1"], num_samples: int) -> Float[Tensor, "b n"]:
        return latents[:, 0, :num_samples, 0]

    def whiten(self, raw: Tensor) -> Tensor:
        return raw * self.config.scale

    def unwhiten(self, final: Tensor) -> Tensor:
        return final / self.config.scale
