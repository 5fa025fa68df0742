"""The one signature of all codecs: data to raw latents and back, and raw latents to the final ones that networks see.

Raw latents are what encoders give and caches hold; final latents are whitened at load, so that a change of whitening encodes
nothing anew.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from sonovid.core.av import AV
from sonovid.core.geometry import Geometry


class Codec(Protocol):
    """What both streams' codecs share."""

    def latent_shape(self, geometry: Geometry) -> tuple[int, ...]:
        """The shape of one clip's latents, without the batch axis: video (c, t, h, w), audio (c, l, f)."""
        ...

    def whiten(self, raw: Tensor) -> Tensor:
        """Raw latents to final ones."""
        ...

    def unwhiten(self, final: Tensor) -> Tensor:
        """Final latents to raw ones, the inverse of `whiten`."""
        ...


@runtime_checkable
class VideoCodec(Codec, Protocol):
    """Frames in [-1, 1] and their latents."""

    def encode(self, frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c t2 h2 w2"]: ...

    def decode(self, latents: Float[Tensor, "b c t2 h2 w2"]) -> Float[Tensor, "b 3 t h w"]: ...


@runtime_checkable
class AudioCodec(Codec, Protocol):
    """A mono waveform in [-1, 1] and its latents; `sample_rate` is the one it was made for."""

    sample_rate: int

    def encode(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b c l f"]: ...

    def decode(self, latents: Float[Tensor, "b c l f"], num_samples: int) -> Float[Tensor, "b n"]: ...


@runtime_checkable
class PairCodec(Protocol):
    """Both streams of a clip and their latents together, whether or not one stream's codec knows of the other.

    Pairs may lack a stream, which is None then, in and out. `sample_rate` is that of the sound. Decoding is deterministic, and a
    clip's result does not depend on what else is in the batch.
    """

    @property
    def sample_rate(self) -> int: ...

    def latent_shapes(self, geometry: Geometry) -> AV:
        """The shapes of one clip's latents, without the batch axis: video (c, t, h, w), audio (c, l, f)."""
        ...

    def encode(self, frames: Float[Tensor, "b 3 t h w"] | None, waveform: Float[Tensor, "b n"] | None) -> AV:
        """Frames and a mono waveform, both in [-1, 1], to raw latents."""
        ...

    def decode(self, latents: AV, num_samples: int) -> AV:
        """Raw latents to frames [b 3 t h w], which may leave [-1, 1] a little, and a waveform [b num_samples]."""
        ...

    def whiten(self, raw: AV) -> AV:
        """Raw latents to final ones."""
        ...

    def unwhiten(self, final: AV) -> AV:
        """Final latents to raw ones, the inverse of `whiten`."""
        ...
