"""MM-LDM's autoencoder: a sounding video to two small latents, each decoded by diffusion conditioned on both (section 3.1).

Docs: docs/systems/mmldm.md names the function for each equation and lists where this code deviates from the paper.
"""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs import composite
from sonovid.codecs.audio_image import AudioImage
from sonovid.codecs.hierarchical.network import HierarchicalNetwork
from sonovid.codecs.mel import LogMel
from sonovid.codecs.spectrogram import PARTS
from sonovid.codecs.vocoder import GriffinLim
from sonovid.codecs.whitening import unwhiten, whiten
from sonovid.core.av import AV
from sonovid.core.geometry import Geometry
from sonovid.diffusion.guidance import classifier_free_guidance
from sonovid.diffusion.noise import draw_noise, seeded_generators
from sonovid.diffusion.sampler import Denoiser, build_denoiser, sample, uniform_times
from sonovid.diffusion.schedule import Tabulated

FRAME_CODECS = {"FrameAutoencoder": "sonovid.codecs.video", "PretrainedVideo": "sonovid.codecs.pretrained"}
# Noise schedule of the signal decoder: that of Stable Diffusion.
SCHEDULE = Tabulated("scaled_linear", 0.00085, 0.012)
# All clips are decoded from the same noise, so that the result does not depend on the position in a batch.
NOISE_SEED = 0


@dataclass(frozen=True)
class Decoding:
    """Sampling settings of the signal decoder, which uses DDIM without added noise.

    The paper uses 50 steps and scales of 2.5; on AudioSet 3.0 for video and 1.5 for audio.

    Args:
        steps: Number of DDIM steps.
        video_scale: Guidance scale of the frames; 1 disables guidance.
        audio_scale: Guidance scale of the audio image; 1 disables guidance.
    """

    steps: int = 50
    video_scale: float | int = 2.5
    audio_scale: float | int = 2.5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"Decoding: steps={self.steps}; expected at least one")


@dataclass(frozen=True)
class Whitening:
    """Whitening of the latents of one stream. The default does nothing, as published.

    Args:
        mean: Mean, one value or one per channel.
        std: Standard deviation, one value or one per channel.
    """

    mean: tuple[float | int, ...] = (0.0,)
    std: tuple[float | int, ...] = (1.0,)


class HierarchicalAutoencoder(nn.Module):
    """A `PairCodec` that encodes one window of frames and audio to z_v [b c 1 h w] and z_a [b c l f], and decodes them.

    In evaluation, encoding is the mean of the posterior, and decoding starts from one fixed noise, so both are deterministic. The
    rows of z_a in the network are mel positions and its columns are steps, so that it is transposed to [b c l f].

    Args:
        network: The trained network.
        frame_codec: A frame autoencoder, `FrameAutoencoder` or `PretrainedVideo`, for frames and for the audio image; frozen.
        log_mel: Spectrogram of the audio image.
        picture: Conversion of the spectrogram to the audio image.
        geometry: Geometry of the window.
        vocoder: Log-mel frames to a waveform. None: `GriffinLim`.
        decoding: Sampling settings of the signal decoder.
        whitening: Whitening of the latents of each stream.

    Raises:
        ValueError: The latents that the frame codec gives of frames or of audio images do not fit the network.
    """

    config_name = composite.CONFIG

    def __init__(
        self,
        network: HierarchicalNetwork,
        frame_codec: Any,
        log_mel: LogMel,
        picture: AudioImage,
        geometry: Geometry,
        *,
        vocoder: Any = None,
        decoding: Decoding | None = None,
        whitening: AV | None = None,
    ):
        super().__init__()
        self.network, self.frame_codec = network, frame_codec
        self.vocoder = GriffinLim(log_mel) if vocoder is None else vocoder
        self.log_mel, self.picture, self.geometry = log_mel, picture, geometry
        self.decoding, self.whitening = decoding or Decoding(), whitening or AV(Whitening(), Whitening())
        self.frame_codec.requires_grad_(False)
        self.vocoder.requires_grad_(False)
        # The sample rate of the spectrogram may differ from that of the audio, see `released_mel`.
        self.mel_frames = replace(log_mel, sample_rate=geometry.sample_rate).num_frames(geometry)
        one_image = replace(geometry, num_frames=1, height=picture.height, width=picture.width)
        images = frame_codec.latent_shape(one_image)
        shapes = AV(tuple(frame_codec.latent_shape(geometry)), (images[0], *images[2:]))
        named = AV(
            f"{geometry.num_frames} frames of {geometry.height}x{geometry.width}",
            f"an audio image of {picture.height}x{picture.width}",
        )
        for inputs, shape, expected in zip(named, shapes, network.signal_shapes, strict=True):
            if shape != expected:
                raise ValueError(
                    f"HierarchicalAutoencoder: the frame codec gives latents {shape} of {inputs}, but the network was made for "
                    f"{expected}"
                )

    # --- properties ------------------------------------------------------------------------------------------------------

    @property
    def sample_rate(self) -> int:
        return self.geometry.sample_rate

    @property
    def dtype(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def latent_shapes(self, geometry: Geometry) -> AV:
        """Shapes (c, 1, h, w) and (c, l, f) of the latents of the window.

        Raises:
            ValueError: The clip has another geometry than the window.
        """
        if geometry != self.geometry:
            raise ValueError(f"clips of {geometry}: this autoencoder only takes windows of {self.geometry}")
        c = self.network.config.latent_channels
        video, (bins, steps) = self.network.latent_sizes
        return AV((c, 1, *video), (c, steps, bins))

    # --- level one: images and the frame codec ---------------------------------------------------------------------------

    def audio_image(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b 3 h w"]:
        """The audio of a window as an image in [-1, 1].

        Raises:
            ValueError: The audio has another length than the window.
        """
        if waveform.shape[1] != self.geometry.num_samples:
            raise ValueError(
                f"audio of {waveform.shape[1]} samples; a window of this autoencoder has {self.geometry.num_samples}: cut it"
            )
        return self.picture.encode(self.log_mel(waveform.float()))

    @torch.no_grad()
    def encode_signal(self, frames: Float[Tensor, "b 3 t h w"] | None, waveform: Float[Tensor, "b n"] | None) -> AV:
        """Whitened latents of the frame codec: video [b c t h w], audio image [b c h w]. Training may cache them.

        Raises:
            ValueError: The clip has another length or size than the window.
        """
        g = self.geometry
        if frames is not None and tuple(frames.shape[2:]) != (g.num_frames, g.height, g.width):
            raise ValueError(
                f"frames {tuple(frames.shape)}; a window of this autoencoder has {g.num_frames} of {g.height}x{g.width}"
            )
        video = None if frames is None else self._encode_frames(frames)
        audio = None if waveform is None else self._encode_frames(self.audio_image(waveform)[:, :, None])[:, :, 0]
        return AV(video, audio)

    def _encode_frames(self, frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c t h2 w2"]:
        return self.frame_codec.whiten(self.frame_codec.encode(frames.to(self.dtype)))

    def decode_signal(self, signal_latents: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 3 h2 w2"]:
        """Decode whitened latents of the frame codec to images. Gradients pass."""
        raw = self.frame_codec.unwhiten(signal_latents[:, :, None])
        return self.frame_codec.decode(raw)[:, :, 0]

    # --- level two: perceptual latents -----------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "b 3 t h w"] | None, waveform: Float[Tensor, "b n"] | None) -> AV:
        """Encode a window to raw latents: the mean of the posterior. A stream that is None stays None.

        Raises:
            ValueError: The clip has another length or size than the window.
        """
        posterior = self.network.posterior(self.encode_signal(frames, waveform))
        return AV(
            None if posterior.video is None else posterior.video[0][:, :, None],
            None if posterior.audio is None else rearrange(posterior.audio[0], "b c f l -> b c l f"),
        )

    @torch.no_grad()
    def decode(self, latents: AV, num_samples: int) -> AV:
        """Decode raw latents to frames [b 3 t h w] and a waveform [b num_samples], cut or padded with silence.

        A stream that is None stays None. The other one is then decoded without class and semantic features.

        Raises:
            ValueError: The latents have other sizes, or both are None.
        """
        self._check(latents)
        clips = len(next(z for z in latents if z is not None))
        # One clip at a time, so that nothing, not even rounding, depends on the rest of the batch.
        pairs = []
        for i in range(clips):
            decoded = self._decode_one(latents.map(lambda z, i=i: None if z is None else z[i : i + 1]))
            pairs.append(AV(decoded.video, None if decoded.audio is None else self.waveform(decoded.audio, num_samples)))
        return AV(*(None if latents[i] is None else torch.cat([pair[i] for pair in pairs]) for i in range(2)))

    def _decode_one(self, latents: AV) -> AV:
        """Decode the latents of one clip to frames [1 3 t h w] and its audio image [1 3 h w]."""
        network, t = self.network, self.geometry.num_frames
        z = AV(
            None if latents.video is None else latents.video[:, :, 0].to(self.dtype),
            None if latents.audio is None else rearrange(latents.audio, "b c l f -> b c f l").to(self.dtype),
        )
        semantics = network.encode_semantics(z) if all(x is not None for x in z) else None
        labels = None if semantics is None or semantics.logits is None else semantics.logits.argmax(1)
        frames = torch.arange(t, device=self.device)[None]
        features = None if semantics is None else semantics.features
        conditional = self._denoise(network.make_condition(z, frames, features=features, labels=labels))
        null_latents = network.null_latents()
        dropped = z.map(lambda x: None if x is None else torch.zeros(1, dtype=torch.bool, device=self.device))
        unconditional = self._denoise(
            network.make_condition(z, frames, features=features, labels=labels, keep_condition=dropped, null_latents=null_latents)
        )
        scale = AV(self.decoding.video_scale, self.decoding.audio_scale)
        counts = AV(0 if z.video is None else t, 0 if z.audio is None else 1)
        x = counts.map(lambda n, name: self._noise(name).expand(n, -1, -1, -1), AV(*AV._fields))
        times = uniform_times(self.decoding.steps)
        guided = classifier_free_guidance(conditional, unconditional, scale)
        signal_latents = sample(guided, x, AV(SCHEDULE, SCHEDULE), AV(times, times))
        images = signal_latents.map(lambda p: self.decode_signal(p.to(self.dtype)).float() if len(p) else None)
        video = None if images.video is None else rearrange(images.video, "t c h w -> 1 c t h w")
        return AV(video, images.audio)

    def _denoise(self, decoder_condition: AV) -> Denoiser:
        """The signal decoder under the conditions of both streams as a denoiser for the sampler."""

        def model(x: AV, t: AV, condition: Any, previous: AV | None) -> Any:
            return _NetworkOutput(self.network(x.map(lambda one: one.to(self.dtype)), t, decoder_condition))

        return build_denoiser(model, AV(SCHEDULE, SCHEDULE), self.network.config.predict)

    def _noise(self, name: str) -> Float[Tensor, "1 c h w"]:
        channels, shapes = self.network.config.channels, dict(zip(AV._fields, self.network.sizes, strict=True))
        return draw_noise(seeded_generators([NOISE_SEED], name), (channels, *shapes[name])).to(self.device)

    def waveform(self, images: Float[Tensor, "b 3 h w"], num_samples: int) -> Float[Tensor, "b n"]:
        """Convert audio images to waveforms."""
        mel = self.picture.decode(images.float(), self.log_mel.bins, self.mel_frames)
        wave = self.vocoder(mel).float()[:, :num_samples]
        return F.pad(wave, (0, num_samples - wave.shape[1]))

    def whiten(self, raw: AV) -> AV:
        return raw.map(lambda z, w: None if z is None else whiten(z, w.mean, w.std), self.whitening)

    def unwhiten(self, final: AV) -> AV:
        return final.map(lambda z, w: None if z is None else unwhiten(z, w.mean, w.std), self.whitening)

    def _check(self, latents: AV) -> None:
        for name, z, expected in zip(AV._fields, latents, self.latent_shapes(self.geometry), strict=True):
            if z is not None and tuple(z.shape[1:]) != expected:
                raise ValueError(f"{name} latents {tuple(z.shape[1:])}, expected {expected}: one window of this autoencoder")
        if all(z is None for z in latents):
            raise ValueError("decode: neither video nor audio latents; give at least one")

    # --- saving and loading ----------------------------------------------------------------------------------------------

    def save_pretrained(self, folder: "str | os.PathLike", **options: Any) -> None:
        """Save the settings, and each component in a subfolder, as safetensors only."""
        settings = {
            "frame_codec": type(self.frame_codec).__name__,
            "vocoder": type(self.vocoder).__name__,
            "log_mel": self.log_mel.to_config(),
            "picture": asdict(self.picture),
            "geometry": self.geometry.to_config(),
            "decoding": asdict(self.decoding),
            "whitening": {name: asdict(w) for name, w in zip(AV._fields, self.whitening, strict=True)},
        }
        composite.save(self, folder, settings, ("network", "frame_codec", "vocoder"), **options)

    @classmethod
    def from_pretrained(
        cls, folder: "str | os.PathLike", *, dtype: torch.dtype | None = None, **_: Any
    ) -> "HierarchicalAutoencoder":
        """Load what `save_pretrained` saved.

        Raises:
            ValueError: The folder has no config, or the config names a component that this package does not have.
        """
        config = composite.read_config(folder, "an autoencoder")
        model = cls(
            HierarchicalNetwork.from_pretrained(Path(folder) / "network", use_safetensors=True),
            composite.load_part(folder, config, "frame_codec", FRAME_CODECS),
            LogMel(**config["log_mel"]),
            AudioImage(**config["picture"]),
            Geometry.from_config(config["geometry"]),
            vocoder=composite.load_part(folder, config, "vocoder", PARTS),
            decoding=Decoding(**config["decoding"]),
            whitening=AV(*(Whitening(**{k: tuple(v) for k, v in config["whitening"][n].items()}) for n in AV._fields)),
        )
        return model.to(dtype or torch.float32).eval()

    def set_whitening(self, statistics: AV) -> None:
        """Set the whitening of each stream from mappings with `mean` and `std`, one value per channel."""
        self.whitening = statistics.map(lambda values: Whitening(tuple(values["mean"]), tuple(values["std"])))

    def set_decoding(self, **changes: Any) -> None:
        """Change sampling settings of the signal decoder, see `Decoding`."""
        self.decoding = replace(self.decoding, **changes)


@dataclass(frozen=True)
class _NetworkOutput:
    """Output of the network in the form that the sampler reads."""

    prediction: AV
