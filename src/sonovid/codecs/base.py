"""Codec protocols: frames and waveforms to raw latents and back, and raw latents to whitened ones.

Encoders return raw latents, and caches store them. Networks see whitened ("final") latents. Whitening happens at load time, so
new whitening statistics do not require encoding again.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from sonovid.core.av import AV
from sonovid.core.geometry import Geometry


class Codec(Protocol):
    """Methods that the codecs of both streams share."""

    def latent_shape(self, geometry: Geometry) -> tuple[int, ...]:
        """Shape of the latents of one clip, without the batch axis: video (c, t, h, w), audio (c, l, f)."""
        ...

    def whiten(self, raw: Tensor) -> Tensor:
        """Raw latents to whitened latents."""
        ...

    def unwhiten(self, final: Tensor) -> Tensor:
        """Whitened latents to raw latents, the inverse of `whiten`."""
        ...


@runtime_checkable
class VideoCodec(Codec, Protocol):
    """Encodes frames in [-1, 1] to latents and decodes them."""

    def encode(self, frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c t2 h2 w2"]: ...

    def decode(self, latents: Float[Tensor, "b c t2 h2 w2"]) -> Float[Tensor, "b 3 t h w"]: ...


@runtime_checkable
class AudioCodec(Codec, Protocol):
    """Encodes a mono waveform in [-1, 1] to latents and decodes them. `sample_rate` is the rate that it expects, in Hz."""

    sample_rate: int

    def encode(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b c l f"]: ...

    def decode(self, latents: Float[Tensor, "b c l f"], num_samples: int) -> Float[Tensor, "b n"]: ...


@runtime_checkable
class PairCodec(Protocol):
    """Encodes both streams of a clip together, whether or not the streams share a codec.

    A stream of the pair may be None, in inputs and outputs. `sample_rate` is that of the audio, in Hz. Decoding is deterministic,
    and the result of a clip does not depend on the rest of the batch.
    """

    @property
    def sample_rate(self) -> int: ...

    def latent_shapes(self, geometry: Geometry) -> AV:
        """Shapes of the latents of one clip, without the batch axis: video (c, t, h, w), audio (c, l, f)."""
        ...

    def encode(self, frames: Float[Tensor, "b 3 t h w"] | None, waveform: Float[Tensor, "b n"] | None) -> AV:
        """Encode frames and a mono waveform, both in [-1, 1], to raw latents."""
        ...

    def decode(self, latents: AV, num_samples: int) -> AV:
        """Decode raw latents to frames [b 3 t h w], which may slightly exceed [-1, 1], and a waveform [b num_samples]."""
        ...

    def whiten(self, raw: AV) -> AV:
        """Raw latents to whitened latents."""
        ...

    def unwhiten(self, final: AV) -> AV:
        """Whitened latents to raw latents, the inverse of `whiten`."""
        ...
