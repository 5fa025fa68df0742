"""MM-LDM's autoencoder: a sounding clip to two small latents, and back by diffusion with each told of the other (section 3.1).

Docs: docs/systems/mmldm.md names the function for each equation and lists where we part from the paper.
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
# The signal decoder's schedule, that of Stable Diffusion.
SCHEDULE = Tabulated("scaled_linear", 0.00085, 0.012)
# Pictures of all clips are drawn from one noise, so that a clip decodes alike wherever it stands.
NOISE_SEED = 0


@dataclass(frozen=True)
class Decoding:
    """How pictures are drawn: steps of DDIM, without added noise, and a scale of guidance for each stream; 1 guides none.

    Published: 50 steps, 2.5 and 2.5, on AudioSet 3.0 for frames and 1.5 for sound.
    """

    steps: int = 50
    video_scale: float | int = 2.5
    audio_scale: float | int = 2.5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"Decoding: steps={self.steps}; expected at least one")


@dataclass(frozen=True)
class Whitening:
    """One mean and one standard deviation per channel, or for all; nothing is done as it stands, as published."""

    mean: tuple[float | int, ...] = (0.0,)
    std: tuple[float | int, ...] = (1.0,)


class HierarchicalAutoencoder(nn.Module):
    """A `PairCodec`: one window of frames and sound to z_v [b c 1 h w] and z_a [b c l f], and back.

    Args:
        network: what is learnt.
        frame_codec: a frame autoencoder, `FrameAutoencoder` or `PretrainedVideo`, for frames and for the audio image; frozen.
        log_mel, picture: the audio image. vocoder: log-mel frames to a waveform; None: phases by iteration.
        geometry: of the window.
        decoding: how pictures are drawn. whitening: of the final latents, for each stream; settable.

    In evaluation each clip has one code, the posterior's mean, and decodes from one noise that never changes. Rows of z_a are
    mel places, columns steps, so that as [b c l f] it is transposed.
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
        if (picture.height, picture.width) != (geometry.height, geometry.width):
            raise ValueError(
                f"HierarchicalAutoencoder: an audio image of {picture.height}x{picture.width} beside frames of "
                f"{geometry.height}x{geometry.width}; both go through one frame codec and must be of one size"
            )
        # Spectrograms are laid out for other rates than the sound's too, see `released_mel`.
        self.mel_frames = replace(log_mel, sample_rate=geometry.sample_rate).num_frames(geometry)
        own, wanted = tuple(frame_codec.latent_shape(geometry)), network.signal_shapes.video
        if own != wanted:
            raise ValueError(
                f"HierarchicalAutoencoder: the frame codec gives latents {own} of {geometry}, the network was made for {wanted}"
            )

    # --- where it is -----------------------------------------------------------------------------------------------------

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
        """(c, 1, h, w) and (c, l, f) of the window.

        Raises:
            ValueError: the clip is of another geometry than the window's.
        """
        if geometry != self.geometry:
            raise ValueError(f"clips of {geometry}: this autoencoder knows windows of {self.geometry} alone")
        c = self.network.config.latent_channels
        video, (bins, steps) = self.network.latent_sizes
        return AV((c, 1, *video), (c, steps, bins))

    # --- level one: pictures and the frame codec -------------------------------------------------------------------------

    def audio_image(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b 3 h w"]:
        """The sound of a window as a picture in [-1, 1].

        Raises:
            ValueError: sound of another length.
        """
        if waveform.shape[1] != self.geometry.num_samples:
            raise ValueError(
                f"sound of {waveform.shape[1]} samples; a window of this autoencoder has {self.geometry.num_samples}: cut it"
            )
        return self.picture.encode(self.log_mel(waveform.float()))

    @torch.no_grad()
    def encode_signal(self, frames: Float[Tensor, "b 3 t h w"] | None, waveform: Float[Tensor, "b n"] | None) -> AV:
        """The frame codec's latents, final ones: video [b c t h w], audio [b c h w]. What training may cache.

        Raises:
            ValueError: a window of another length or size.
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
        """Pictures of the frame codec's final latents; gradients pass."""
        raw = self.frame_codec.unwhiten(signal_latents[:, :, None])
        return self.frame_codec.decode(raw)[:, :, 0]

    # --- level two: perceptual latents -----------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "b 3 t h w"] | None, waveform: Float[Tensor, "b n"] | None) -> AV:
        """A window to raw latents, the posterior's mean; None for what was not given.

        Raises:
            ValueError: a window of another length or size.
        """
        found = self.network.posterior(self.encode_signal(frames, waveform))
        return AV(
            None if found.video is None else found.video[0][:, :, None],
            None if found.audio is None else rearrange(found.audio[0], "b c f l -> b c l f"),
        )

    @torch.no_grad()
    def decode(self, latents: AV, num_samples: int) -> AV:
        """Raw latents to frames [b 3 t h w] and a waveform [b num_samples], cut or filled with silence; None stays None.

        A stream that is decoded without the other is told neither a class nor what the other means.

        Raises:
            ValueError: latents of other sizes.
        """
        self._check(latents)
        clips = len(next(z for z in latents if z is not None))
        # Clip by clip: then nothing, not even rounding, depends on what else is in the batch.
        pairs = []
        for i in range(clips):
            made = self._decode_one(latents.map(lambda z, i=i: None if z is None else z[i : i + 1]))
            pairs.append(AV(made.video, None if made.audio is None else self.waveform(made.audio, num_samples)))
        return AV(*(None if latents[i] is None else torch.cat([pair[i] for pair in pairs]) for i in range(2)))

    def _decode_one(self, latents: AV) -> AV:
        """One clip's latents to frames [1 3 t h w] and its audio image [1 3 h w]."""
        network, t = self.network, self.geometry.num_frames
        z = AV(
            None if latents.video is None else latents.video[:, :, 0].to(self.dtype),
            None if latents.audio is None else rearrange(latents.audio, "b c l f -> b c f l").to(self.dtype),
        )
        meaning = network.encode_semantics(z) if all(x is not None for x in z) else None
        labels = None if meaning is None or meaning.logits is None else meaning.logits.argmax(1)
        frames = torch.arange(t, device=self.device)[None]
        features = None if meaning is None else meaning.features
        there = self._denoise(network.make_condition(z, frames, features=features, labels=labels), z)
        null_latents = network.null_latents()
        absent = z.map(lambda x: None if x is None else torch.zeros(1, dtype=torch.bool, device=self.device))
        without = self._denoise(network.make_condition(z, frames, features=features, labels=labels, present=absent, null_latents=null_latents), z)
        scale = AV(self.decoding.video_scale, self.decoding.audio_scale)
        counts = AV(0 if z.video is None else t, 0 if z.audio is None else 1)
        x = counts.map(lambda n, name: self._noise(name).expand(n, -1, -1, -1), AV(*AV._fields))
        times = uniform_times(self.decoding.steps)
        made = sample(classifier_free_guidance(there, without, scale), x, AV(SCHEDULE, SCHEDULE), AV(times, times))
        pictures = made.map(lambda p: self.decode_signal(p.to(self.dtype)).float() if len(p) else None)
        video = None if pictures.video is None else rearrange(pictures.video, "t c h w -> 1 c t h w")
        return AV(video, pictures.audio)

    def _denoise(self, told: Any, latents: AV) -> Denoiser:
        """The signal decoder under one condition, as the sampler calls it: frames and audio image as one batch."""

        def model(x: AV, t: AV, condition: Any, previous: AV | None) -> Any:
            out = self.network(torch.cat([*x]).to(self.dtype), torch.cat([*t]), told)
            return _NetworkOutput(AV(*out.split([len(x.video), len(x.audio)])))

        return build_denoiser(model, AV(SCHEDULE, SCHEDULE), self.network.config.predict)

    def _noise(self, name: str) -> Float[Tensor, "1 c h w"]:
        shape = self.network.signal_shapes.audio
        return draw_noise(seeded_generators([NOISE_SEED], name), shape).to(self.device)

    def waveform(self, pictures: Float[Tensor, "b 3 h w"], num_samples: int) -> Float[Tensor, "b n"]:
        """Audio images to sound."""
        mel = self.picture.decode(pictures.float(), self.log_mel.bins, self.mel_frames)
        wave = self.vocoder(mel).float()[:, :num_samples]
        return F.pad(wave, (0, num_samples - wave.shape[1]))

    def whiten(self, raw: AV) -> AV:
        return raw.map(lambda z, own: None if z is None else whiten(z, own.mean, own.std), self.whitening)

    def unwhiten(self, final: AV) -> AV:
        return final.map(lambda z, own: None if z is None else unwhiten(z, own.mean, own.std), self.whitening)

    def _check(self, latents: AV) -> None:
        for name, z, wanted in zip(AV._fields, latents, self.latent_shapes(self.geometry), strict=True):
            if z is not None and tuple(z.shape[1:]) != wanted:
                raise ValueError(f"{name} latents {tuple(z.shape[1:])}, expected {wanted}: one window of this autoencoder")
        if all(z is None for z in latents):
            raise ValueError("decode: neither video nor audio latents; give at least one")

    # --- one folder ------------------------------------------------------------------------------------------------------

    def save_pretrained(self, folder: "str | os.PathLike", **options: Any) -> None:
        """Write the settings, and the parts in folders of their own, safetensors only."""
        settings = {
            "frame_codec": type(self.frame_codec).__name__,
            "vocoder": type(self.vocoder).__name__,
            "log_mel": self.log_mel.to_config(),
            "picture": asdict(self.picture),
            "geometry": self.geometry.to_config(),
            "decoding": asdict(self.decoding),
            "whitening": {name: asdict(own) for name, own in zip(AV._fields, self.whitening, strict=True)},
        }
        composite.save(self, folder, settings, ("network", "frame_codec", "vocoder"), **options)

    @classmethod
    def from_pretrained(
        cls, folder: "str | os.PathLike", *, dtype: torch.dtype | None = None, **_: Any
    ) -> "HierarchicalAutoencoder":
        """Read what `save_pretrained` wrote.

        Raises:
            ValueError: no config, or it names a part that this package does not have.
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
        """Give each stream the whitening of its latents' statistics: mappings with `mean` and `std`, one value per channel."""
        self.whitening = statistics.map(lambda own: Whitening(tuple(own["mean"]), tuple(own["std"])))

    def set_decoding(self, **changes: Any) -> None:
        """Change how pictures are drawn, see `Decoding`."""
        self.decoding = replace(self.decoding, **changes)


@dataclass(frozen=True)
class _NetworkOutput:
    """What the sampler reads from a network."""

    prediction: AV
