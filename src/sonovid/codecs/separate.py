"""A pair codec made of separate video and audio codecs."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from sonovid.core import renamed
from sonovid.core.av import AV
from sonovid.core.geometry import Geometry


@dataclass(frozen=True)
class SeparateCodecs:
    """A `PairCodec` of a `VideoCodec` and an `AudioCodec` that do not depend on each other. It has no weights of its own.

    Args:
        video_codec: Codec of the frames, or None if only audio is used.
        audio_codec: Codec of the audio, or None if only video is used.

    Raises:
        AttributeError: A stream without a codec is requested.
    """

    video_codec: Any
    audio_codec: Any

    @property
    def codecs(self) -> AV:
        """Both codecs as a pair."""
        return AV(self.video_codec, self.audio_codec)

    @property
    def sample_rate(self) -> int:
        return self.audio_codec.sample_rate

    def latent_shapes(self, geometry: Geometry) -> AV:
        return self.codecs.map(lambda codec: tuple(codec.latent_shape(geometry)))

    def encode(self, frames: Float[Tensor, "b 3 t h w"] | None, waveform: Float[Tensor, "b n"] | None) -> AV:
        return self.codecs.map(lambda codec, x: None if x is None else codec.encode(x), AV(frames, waveform))

    def decode(self, latents: AV, num_samples: int) -> AV:
        video, audio = latents
        return AV(
            None if video is None else self.video_codec.decode(video),
            None if audio is None else self.audio_codec.decode(audio, num_samples),
        )

    def whiten(self, raw: AV) -> AV:
        return self.codecs.map(lambda codec, x: None if x is None else codec.whiten(x), raw)

    def unwhiten(self, final: AV) -> AV:
        return self.codecs.map(lambda codec, x: None if x is None else codec.unwhiten(x), final)


__getattr__ = renamed.attributes(__name__, {"Apart": "SeparateCodecs"})
