"""Released autoencoders and vocoders as codecs of this package, by hub id or local folder, safetensors only."""

from typing import Any, TypeAlias

import diffusers
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs.mel import LogMel
from sonovid.codecs.spectrogram import SpectrogramCodec
from sonovid.codecs.whitening import per_channel
from sonovid.core import renamed
from sonovid.core.geometry import Geometry

Source: TypeAlias = "str | os.PathLike"


def _mode(encoded: Any) -> Tensor:
    """Latents of an autoencoder's output: the mode of the posterior, so that encoding is deterministic."""
    return encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents


class PretrainedVideo(nn.Module):
    """An image or video autoencoder of diffusers as a video codec.

    `AutoencoderKL` and similar autoencoders work frame by frame. 3-D autoencoders (CogVideoX, Wan, LTX-Video, Hunyuan, Allegro,
    Mochi, ...) take k n + 1 frames: a clip of another length is padded by repeating its last frame and cut after decoding.

    Whitening uses the statistics of the autoencoder: latents_mean and latents_std, or shift_factor and scaling_factor.

    Args:
        autoencoder: An autoencoder of diffusers.
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
        """(spatial, temporal) compression, from attributes or the config of the autoencoder."""
        ratios = []
        for kind in ("spatial", "temporal"):
            values = [self._setting(name) for name in (f"{kind}_compression_ratio", f"vae_scale_factor_{kind}")]
            value = next((v for v in values if v is not None), None)
            if value is None:
                value = 2 ** sum(self.autoencoder.config["temperal_downsample"]) if kind == "temporal" else 8
            ratios.append(int(value))
        return ratios[0], ratios[1]

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
        """Shape (c, t, h, w) of the latents of one clip.

        Raises:
            ValueError: The frame size is not a multiple of the spatial compression.
        """
        if geometry.height % self.spatial or geometry.width % self.spatial:
            raise ValueError(f"frames of {geometry.width}x{geometry.height}: this codec needs multiples of {self.spatial}")
        steps = geometry.num_frames if self.framewise else -(-(geometry.num_frames - 1) // self.temporal) + 1
        return (self.latent_channels, steps, geometry.height // self.spatial, geometry.width // self.spatial)

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c t2 h2 w2"]:
        """Encode frames in [-1, 1] to raw latents."""
        frames = frames.to(self.dtype)
        if self.framewise:
            flat = rearrange(frames, "b c t h w -> (b t) c h w")
            return rearrange(_mode(self.autoencoder.encode(flat)), "(b t) c h w -> b c t h w", b=len(frames))
        num_padding = -(frames.shape[2] - 1) % self.temporal
        padding = frames[:, :, -1:].expand(-1, -1, num_padding, -1, -1)
        return _mode(self.autoencoder.encode(torch.cat([frames, padding], dim=2)))

    def decode(self, latents: Float[Tensor, "b c t h w"], num_frames: int | None = None) -> Float[Tensor, "b 3 t2 h2 w2"]:
        """Decode raw latents to frames, cut to `num_frames` if given. Gradients pass, so that the decoder can be fine-tuned."""
        latents = latents.to(self.dtype)
        if self.framewise:
            flat = rearrange(latents, "b c t h w -> (b t) c h w")
            return rearrange(self.autoencoder.decode(flat).sample, "(b t) c h w -> b c t h w", b=len(latents))
        return self.autoencoder.decode(latents).sample[:, :, :num_frames]

    def _setting(self, name: str) -> Any:
        """A value that the autoencoder keeps as an attribute or a buffer, or else in its config."""
        kept = {**self.autoencoder._buffers, **vars(self.autoencoder)}
        return kept.get(name, self.autoencoder.config.get(name))

    def _whitening(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = self._setting("latents_mean"), self._setting("latents_std")
        scale = self.autoencoder.config.get("scaling_factor") or 1.0
        if mean is not None and std is not None:
            mean, std = (v.tolist() if isinstance(v, Tensor) else list(v) for v in (mean, std))
            return per_channel(mean, x), per_channel(std, x) / scale
        shift = self.autoencoder.config.get("shift_factor") or 0.0
        return per_channel([shift], x), per_channel([1 / scale], x)

    def whiten(self, raw: Tensor) -> Tensor:
        mean, std = self._whitening(raw)
        return (raw - mean) / std

    def unwhiten(self, final: Tensor) -> Tensor:
        mean, std = self._whitening(final)
        return final * std + mean

    def save_pretrained(self, folder: Source, **options: Any) -> None:
        """Save the autoencoder in the format of diffusers."""
        self.autoencoder.save_pretrained(folder, **options)

    @classmethod
    def from_pretrained(
        cls, source: Source, *, subfolder: str | None = None, dtype: torch.dtype | None = None, **options: Any
    ) -> "PretrainedVideo":
        """Load any autoencoder of diffusers by hub id or folder. Its config names the class.

        Raises:
            ValueError: The config names a class that is not an autoencoder of the installed diffusers.
        """
        config = diffusers.AutoencoderKL.load_config(source, subfolder=subfolder)
        name = config.get("_class_name", "AutoencoderKL")
        kind: Any = (
            getattr(diffusers, name, None) if name.startswith(("Autoencoder", "AsymmetricAutoencoder", "Consistency")) else None
        )
        # Some pipelines have similar names, and the folder of a pipeline may request remote code.
        if diffusers.ModelMixin not in getattr(kind, "__mro__", ()):
            raise ValueError(f"{source}: {name!r} is not an autoencoder that the installed diffusers has")
        options = {"use_safetensors": True, **options}
        return cls(kind.from_pretrained(source, subfolder=subfolder, torch_dtype=dtype, **options).eval())


class MelImageAutoencoder(nn.Module):
    """Autoencoder of mel spectrograms as one-channel images with time as rows (AudioLDM). Latents have the shape [b c l f].

    Args:
        autoencoder: An `AutoencoderKL` with one channel.
    """

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
            ValueError: The number of frames or bins is not a multiple of the compression.
        """
        if num_mel_frames % self.factor or bins % self.factor:
            raise ValueError(f"{num_mel_frames} mel frames of {bins} bins: this autoencoder needs multiples of {self.factor}")
        return num_mel_frames // self.factor, bins // self.factor

    @torch.no_grad()
    def encode(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b c l2 f2"]:
        """Encode natural-logarithm mel frames to raw latents."""
        return _mode(self.autoencoder.encode(rearrange(log_mel, "b f l -> b 1 l f")))

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "b c l f"]) -> Float[Tensor, "b f2 l2"]:
        """Decode raw latents to natural-logarithm mel frames."""
        return rearrange(self.autoencoder.decode(latents.to(self.autoencoder.dtype)).sample, "b 1 l f -> b f l").float()

    def save_pretrained(self, folder: Source, **options: Any) -> None:
        """Save the autoencoder in the format of diffusers."""
        self.autoencoder.save_pretrained(folder, **options)

    @classmethod
    def from_pretrained(cls, source: Source, **options: Any) -> "MelImageAutoencoder":
        """Load an `AutoencoderKL` with one channel by hub id or folder."""
        return cls(diffusers.AutoencoderKL.from_pretrained(source, **{"use_safetensors": True, **options}).eval())


class HifiGanVocoder(nn.Module):
    """HiFi-GAN in the SpeechT5 format of transformers (AudioLDM's): log-mel [b f l] to a waveform of l * hop samples."""

    def __init__(self, vocoder: Any):
        super().__init__()
        self.vocoder = vocoder

    @torch.no_grad()
    def forward(self, log_mel: Float[Tensor, "b f l"]) -> Float[Tensor, "b n"]:
        """Convert natural-logarithm mel frames to a waveform."""
        hop = 1
        for rate in self.vocoder.config.upsample_rates:
            hop *= rate
        wave = self.vocoder(rearrange(log_mel, "b f l -> b l f").to(self.vocoder.dtype))
        # An even kernel with an odd rate leaves extra samples at the end; they would desynchronise audio and frames.
        return wave[:, : log_mel.shape[2] * hop].float()

    def save_pretrained(self, folder: Source, **options: Any) -> None:
        """Save the vocoder in the format of transformers."""
        self.vocoder.save_pretrained(folder, **options)

    @classmethod
    def from_pretrained(cls, source: Source, **options: Any) -> "HifiGanVocoder":
        """Load a `SpeechT5HifiGan` by hub id or folder."""
        from transformers import SpeechT5HifiGan

        # Without a dtype, transformers takes that of the config, which may be float16 in releases.
        dtype = options.pop("torch_dtype", None) or torch.float32
        return cls(SpeechT5HifiGan.from_pretrained(source, **{"use_safetensors": True, "dtype": dtype, **options}).eval())


def load_audioldm(source: Source, *, dtype: torch.dtype | None = None) -> SpectrogramCodec:
    """Load the autoencoder and vocoder of AudioLDM from the folder or hub id of its pipeline (subfolders vae and vocoder)."""
    autoencoder = MelImageAutoencoder.from_pretrained(source, subfolder="vae", torch_dtype=dtype)
    vocoder = HifiGanVocoder.from_pretrained(source, subfolder="vocoder", torch_dtype=dtype)
    scale = autoencoder.autoencoder.config.scaling_factor
    return SpectrogramCodec(autoencoder, vocoder, LogMel(), latents_std=(1 / scale,))


__getattr__ = renamed.attributes(__name__, {"audioldm": "load_audioldm"})
