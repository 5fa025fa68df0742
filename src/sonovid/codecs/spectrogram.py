"""SpectrogramCodec: log-mel spectrogram, autoencoder and vocoder as one audio codec, saved as one folder."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs import composite
from sonovid.codecs.mel import LogMel
from sonovid.codecs.whitening import unwhiten, whiten
from sonovid.core.geometry import Geometry

# Components that a saved codec may name. Others are refused, so that a folder cannot run foreign code.
PARTS = {
    "MelAutoencoder": "sonovid.codecs.audio",
    "IdentityMel": "sonovid.codecs.audio",
    "MelImageAutoencoder": "sonovid.codecs.pretrained",
    "SpectralVocoder": "sonovid.codecs.vocoder",
    "MelGAN": "sonovid.codecs.melgan",
    "GriffinLim": "sonovid.codecs.vocoder",
    "HifiGanVocoder": "sonovid.codecs.pretrained",
}


class SpectrogramCodec(nn.Module):
    """Waveform [b n] in [-1, 1] to latents [b c l f] and back.

    Args:
        autoencoder: Log-mel frames [b f l] to latents and back: `MelAutoencoder`, `IdentityMel` or `MelImageAutoencoder`.
        vocoder: Log-mel frames [b f l] to a waveform of l * hop samples.
        log_mel: Settings of the spectrogram. None: the defaults of `LogMel`.
        latents_mean: Whitening: mean, one value or one per channel.
        latents_std: Whitening: standard deviation, one value or one per channel.
    """

    config_name = composite.CONFIG

    def __init__(
        self,
        autoencoder: Any,
        vocoder: Any,
        log_mel: LogMel | None = None,
        *,
        latents_mean: Sequence = (0.0,),
        latents_std: Sequence = (1.0,),
    ):
        super().__init__()
        self.autoencoder, self.vocoder = autoencoder, vocoder
        self.log_mel = log_mel or LogMel()
        self.latents_mean, self.latents_std = list(latents_mean), list(latents_std)

    @property
    def sample_rate(self) -> int:
        return self.log_mel.sample_rate

    @property
    def dtype(self) -> torch.dtype:
        return next(iter(self.autoencoder.state_dict().values())).dtype

    @property
    def device(self) -> torch.device:
        return next(iter(self.autoencoder.state_dict().values())).device

    def latent_shape(self, geometry: Geometry) -> tuple[int, ...]:
        """Shape (c, l, f) of the latents of one clip.

        Raises:
            ValueError: The sample rate or the length of the clip does not fit the spectrogram or the autoencoder.
        """
        grid = self.autoencoder.latent_grid(self.log_mel.num_frames(geometry), self.log_mel.bins)
        return (self.autoencoder.latent_channels, *grid)

    def mel(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b f l"]:
        """Log-mel frames of a waveform, in float32 whatever the dtype of the codec."""
        return self.log_mel(waveform.float())

    def encode(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b c l f"]:
        """Encode a waveform to raw latents."""
        return self.autoencoder.encode(self.mel(waveform).to(self.dtype))

    def decode(self, latents: Float[Tensor, "b c l f"], num_samples: int) -> Float[Tensor, "b n"]:
        """Decode raw latents to a waveform of `num_samples`, cut or padded with silence."""
        wave = self.vocoder(self.autoencoder.decode(latents)).float()[:, :num_samples]
        return torch.nn.functional.pad(wave, (0, num_samples - wave.shape[1]))

    def whiten(self, raw: Tensor) -> Tensor:
        return whiten(raw, self.latents_mean, self.latents_std)

    def unwhiten(self, final: Tensor) -> Tensor:
        return unwhiten(final, self.latents_mean, self.latents_std)

    def save_pretrained(self, folder: "str | os.PathLike", **options: Any) -> None:
        """Save the settings, and each component in a subfolder, as safetensors only."""
        settings = {
            "autoencoder": type(self.autoencoder).__name__,
            "vocoder": type(self.vocoder).__name__,
            "log_mel": self.log_mel.to_config(),
            "latents_mean": self.latents_mean,
            "latents_std": self.latents_std,
        }
        composite.save(self, folder, settings, ("autoencoder", "vocoder"), **options)

    @classmethod
    def from_pretrained(
        cls, folder: "str | os.PathLike", *, dtype: torch.dtype | None = None, variant: str | None = None, **_: Any
    ) -> "SpectrogramCodec":
        """Load what `save_pretrained` saved.

        Raises:
            ValueError: The folder has no config, or the config names a component that this package does not have.
        """
        config = composite.read_config(folder, "an audio codec")
        autoencoder, vocoder = (
            composite.load_part(folder, config, name, PARTS, torch_dtype=dtype, variant=variant)
            for name in ("autoencoder", "vocoder")
        )
        whitening = {name: config[name] for name in ("latents_mean", "latents_std")}
        return cls(autoencoder, vocoder, LogMel(**config["log_mel"]), **whitening)
