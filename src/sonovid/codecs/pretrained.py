"""Released autoencoders and vocoders behind this package's codecs, by hub id or local folder, safetensors only."""

from typing import Any, TypeAlias

import diffusers
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs.mel import LogMel
from sonovid.codecs.spectrogram import SpectrogramCodec
from sonovid.codecs.whitening import channelwise
from sonovid.core.geometry import Geometry

Source: TypeAlias = "str | os.PathLike"


def _mode(encoded: Any) -> Tensor:
    """The latents of an autoencoder's output: its posterior's mode, so that a clip has one code."""
    return encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents


class PretrainedVideo(nn.Module):
    """A released image or video autoencoder of diffusers as a video codec.

    `AutoencoderKL` and its like work frame by frame; the 3-D ones (CogVideoX, Wan, LTX-Video, Hunyuan, Allegro, Mochi, ...) take
    k n + 1 frames, and a clip of another length is filled up by holding its last frame and cut back after decoding.

    The whitening is the autoencoder's own: latents_mean and latents_std, or shift_factor and scaling_factor.
    """

    config_name = "config.json"

    def __init__(self, autoencoder: Any):
        super().__init__()
        self.autoencoder = autoencoder
        config = autoencoder.config
        self.framewise = "temporal" not in " ".join(config) and isinstance(self._first_conv(), nn.Conv2d)
        if self.framewise:
            self.spatial, self.temporal = 2 ** (len(config.block_out_channels) - 1), 1
        else:
            self.spatial, self.temporal = self._compression()
        self._frames = 0

    def _first_conv(self) -> nn.Module:
        return next(m for m in self.autoencoder.modules() if isinstance(m, nn.Conv2d | nn.Conv3d))

    def _compression(self) -> tuple[int, int]:
        """(spatial, temporal) compression, from what the autoencoder says of itself."""
        found = []
        for kind in ("spatial", "temporal"):
            values = [self._own(name) for name in (f"{kind}_compression_ratio", f"vae_scale_factor_{kind}")]
            value = next((v for v in values if v is not None), None)
            if value is None:
                value = 2 ** sum(self.autoencoder.config["temperal_downsample"]) if kind == "temporal" else 8
            found.append(int(value))
        return found[0], found[1]

    @property
    def dtype(self) -> torch.dtype:
        return self.autoencoder.dtype

    @property
    def device(self) -> torch.device:
        return self.autoencoder.device

    @property
    def latent_channels(self) -> int:
        config = self.autoencoder.config
        return config.get("latent_channels") or config["z_dim"]

    def latent_shape(self, geometry: Geometry) -> tuple[int, ...]:
        """(c, t, h, w) of one clip.

        Raises:
            ValueError: the size cannot be divided by the autoencoder's spatial compression.
        """
        if geometry.height % self.spatial or geometry.width % self.spatial:
            raise ValueError(f"frames of {geometry.width}x{geometry.height}: this codec needs multiples of {self.spatial}")
        steps = geometry.num_frames if self.framewise else -(-(geometry.num_frames - 1) // self.temporal) + 1
        return (self.latent_channels, steps, geometry.height // self.spatial, geometry.width // self.spatial)

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c t2 h2 w2"]:
        """Frames in [-1, 1] to raw latents."""
        frames = frames.to(self.dtype)
        if self.framewise:
            flat = rearrange(frames, "b c t h w -> (b t) c h w")
            return rearrange(_mode(self.autoencoder.encode(flat)), "(b t) c h w -> b c t h w", b=len(frames))
        missing = -(frames.shape[2] - 1) % self.temporal
        held = frames[:, :, -1:].expand(-1, -1, missing, -1, -1)
        return _mode(self.autoencoder.encode(torch.cat([frames, held], dim=2)))

    def decode(self, latents: Float[Tensor, "b c t h w"], num_frames: int | None = None) -> Float[Tensor, "b 3 t2 h2 w2"]:
        """Raw latents to frames, cut to `num_frames` where given; gradients pass, so that the decoder can be fine-tuned."""
        latents = latents.to(self.dtype)
        if self.framewise:
            flat = rearrange(latents, "b c t h w -> (b t) c h w")
            return rearrange(self.autoencoder.decode(flat).sample, "(b t) c h w -> b c t h w", b=len(latents))
        return self.autoencoder.decode(latents).sample[:, :, :num_frames]

    def _own(self, name: str) -> Any:
        """A value that the autoencoder keeps as an attribute or a buffer, or else in its config."""
        kept = {**self.autoencoder._buffers, **vars(self.autoencoder)}
        return kept.get(name, self.autoencoder.config.get(name))

    def _whitening(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = self._own("latents_mean"), self._own("latents_std")
        scale = self.autoencoder.config.get("scaling_factor") or 1.0
        if mean is not None and std is not None:
            mean, std = (v.tolist() if isinstance(v, Tensor) else list(v) for v in (mean, std))
            return channelwise(mean, x), channelwise(std, x) / scale
        shift = self.autoencoder.config.get("shift_factor") or 0.0
        return channelwise([shift], x), channelwise([1 / scale], x)

    def whiten(self, raw: Tensor) -> Tensor:
        mean, std = self._whitening(raw)
        return (raw - mean) / std

    def unwhiten(self, final: Tensor) -> Tensor:
        mean, std = self._whitening(final)
        return final * std + mean

    def save_pretrained(self, folder: Source, **options: Any) -> None:
        """Write the autoencoder as diffusers does."""
        self.autoencoder.save_pretrained(folder, **options)

    @classmethod
    def from_pretrained(
        cls, source: Source, *, subfolder: str | None = None, dtype: torch.dtype | None = None, **options: Any
    ) -> "PretrainedVideo":
        """Load any autoencoder of diffusers by hub id or folder; its config names the class.

        Raises:
            ValueError: the config names no autoencoder that diffusers has.
        """
        config = diffusers.AutoencoderKL.load_config(source, subfolder=subfolder)
        name = config.get("_class_name", "AutoencoderKL")
        kind: Any = (
            getattr(diffusers, name, None) if name.startswith(("Autoencoder", "AsymmetricAutoencoder", "Consistency")) else None
        )
        # Some names of pipelines begin alike, and a pipeline's folder may ask for code of its own to be run.
        if diffusers.ModelMixin not in getattr(kind, "__mro__", ()):
            raise ValueError(f"{source}: {name!r} is not an autoencoder that the installed diffusers has")
        options = {"use_safetensors": True, **options}
        return cls(kind.from_pretrained(source, subfolder=subfolder, torch_dtype=dtype, **options).eval())


class MelImageAutoencoder(nn.Module):
    """An autoencoder of mel spectrograms as one-channel pictures, time downwards (AudioLDM): latents [b c l f]."""

    autoencoder: Any

    def __init__(self, autoencoder: Any):
        super().__init__()
        self.autoencoder = autoencoder
        self.factor = 2 ** (len(autoencoder.config.block_out_channels) - 1)

    @property
    def latent_channels(self) -> int:
        return self.autoencoder.config.latent_channels

    def latent_grid(self, num_mel_frames: int, bins: int) -> tuple[int, int]:
        """(l, f) of the latents.

        Raises:
            ValueError: frames or bins are not multiples of the compression.
        """
        if num_mel_frames % self.factor or bins % self.factor:
            raise ValueError(f"{num_mel_frames} mel frames of {bins} bins: this autoencoder needs multiples of {self.factor}")
        return num_mel_frames // self.factor, bins // self.factor

    @torch.no_grad()
    def encode(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b c l2 f2"]:
        """Natural-logarithm mel frames to raw latents."""
        return _mode(self.autoencoder.encode(rearrange(log_mel, "b f l -> b 1 l f")))

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "b c l f"]) -> Float[Tensor, "b f2 l2"]:
        """Raw latents to natural-logarithm mel frames."""
        return rearrange(self.autoencoder.decode(latents.to(self.autoencoder.dtype)).sample, "b 1 l f -> b f l").float()

    def save_pretrained(self, folder: Source, **options: Any) -> None:
        """Write the autoencoder as diffusers does."""
        self.autoencoder.save_pretrained(folder, **options)

    @classmethod
    def from_pretrained(cls, source: Source, **options: Any) -> "MelImageAutoencoder":
        """Load an `AutoencoderKL` of one channel by hub id or folder."""
        return cls(diffusers.AutoencoderKL.from_pretrained(source, **{"use_safetensors": True, **options}).eval())


class HifiGanVocoder(nn.Module):
    """A HiFi-GAN in transformers' SpeechT5 layout (AudioLDM's): log-mel [b f l] to a waveform of l hop samples."""

    def __init__(self, vocoder: Any):
        super().__init__()
        self.vocoder = vocoder

    @torch.no_grad()
    def forward(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b n"]:
        """Natural-logarithm mel frames to a waveform."""
        hop = 1
        for rate in self.vocoder.config.upsample_rates:
            hop *= rate
        wave = self.vocoder(rearrange(log_mel, "b f l -> b l f").to(self.vocoder.dtype))
        # An even kernel over an odd rate leaves some samples over at the end; kept, they let sound and frames drift apart.
        return wave[:, : log_mel.shape[2] * hop].float()

    def save_pretrained(self, folder: Source, **options: Any) -> None:
        """Write the vocoder as transformers does."""
        self.vocoder.save_pretrained(folder, **options)

    @classmethod
    def from_pretrained(cls, source: Source, **options: Any) -> "HifiGanVocoder":
        """Load a `SpeechT5HifiGan` by hub id or folder."""
        from transformers import SpeechT5HifiGan

        # Left out, the config's dtype would be taken, which in released ones may be float16.
        dtype = options.pop("torch_dtype", None) or torch.float32
        return cls(SpeechT5HifiGan.from_pretrained(source, **{"use_safetensors": True, "dtype": dtype, **options}).eval())


def audioldm(source: Source, *, dtype: torch.dtype | None = None) -> SpectrogramCodec:
    """AudioLDM's autoencoder and vocoder from its pipeline's folder or hub id (subfolders vae and vocoder)."""
    autoencoder = MelImageAutoencoder.from_pretrained(source, subfolder="vae", torch_dtype=dtype)
    vocoder = HifiGanVocoder.from_pretrained(source, subfolder="vocoder", torch_dtype=dtype)
    scale = autoencoder.autoencoder.config.scaling_factor
    return SpectrogramCodec(autoencoder, vocoder, LogMel(), latents_std=(1 / scale,))
