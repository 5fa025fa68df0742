"""Objectives of the codecs: reconstruct frames, clips, log-mel spectrograms and waveforms. Also PSNR and spectral distances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs.mel import LogMel


@dataclass(frozen=True)
class ReconstructionOutput:
    """Output of a reconstruction objective.

    Args:
        losses: by name, [b] each.
        discriminator_input: real and reconstructed samples, or None without an adversary.
    """

    losses: dict[str, Tensor]
    discriminator_input: tuple[Tensor, ...] | None = None


def per_sample(x: Float[Tensor, "b *rest"]) -> Float[Tensor, "b"]:
    """The mean over all axes but the first."""
    return x.flatten(1).mean(1)


def kl_to_standard_normal(mean: Float[Tensor, "b *x"], log_variance: Float[Tensor, "b *x"]) -> Float[Tensor, "b"]:
    """KL(N(mean, variance) || N(0, 1)), averaged over the latents of a sample (Kingma & Welling 2014, app. B)."""
    return per_sample(0.5 * (mean**2 + log_variance.exp() - 1 - log_variance))


def sample_posterior(mean: Tensor, log_variance: Tensor, generator: torch.Generator | None) -> Tensor:
    """A sample of the posterior N(mean, variance), reparameterised."""
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    return mean + (0.5 * log_variance).exp() * noise


def pixel_differences(frames: Float[Tensor, "b c *t h w"]) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels, along the width and along the height."""
    return frames.diff(dim=-1), frames.diff(dim=-2)


@dataclass(frozen=True)
class FrameReconstruction:
    """Objective of a frame autoencoder: L1 error of pixels and of pixel differences, and the KL divergence.

    A batch has `frames`, float [b 3 t h w] in [-1, 1].

    Args:
        kl: weight of the KL divergence.
        edge: weight of the error of pixel differences.
    """

    kl: float = 1e-4
    edge: float = 1.0

    def __call__(self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> ReconstructionOutput:
        frames = batch["frames"]
        mean, log_variance = model.posterior(frames)
        reconstructed = model.decode(sample_posterior(mean, log_variance, generator)).float()
        sides = zip(pixel_differences(reconstructed), pixel_differences(frames), strict=True)
        edge_error = torch.stack([per_sample((a - b).abs()) for a, b in sides]).sum(0)
        losses = {
            "pixels": per_sample((reconstructed - frames).abs()),
            "edges": self.edge * edge_error,
            "kl": self.kl * kl_to_standard_normal(mean, log_variance),
        }
        return ReconstructionOutput(losses)


def motion_mask(frames: Float[Tensor, "b c t h w"], threshold: float = 0.12) -> Float[Tensor, "b 1 t h w"]:
    """Mask of moving pixels: 1 where any channel differs from the median over time by more than `threshold`, else 0.

    Args:
        frames: clips in [-1, 1].
        threshold: share of the full range.
    """
    background = frames.median(dim=2, keepdim=True).values
    return ((frames - background).abs().amax(1, keepdim=True) > 2 * threshold).to(frames.dtype)


# A smaller share of moving pixels does not raise their weight further: there, noise of the background would count most.
LEAST_MOVING = 0.005


def partial_noise(latents: Float[Tensor, "b c t h w"], generator: torch.Generator | None) -> Float[Tensor, "b c t h w"]:
    """Noise with the deviation of each channel in the batch, times a uniform share; every second sample has none."""
    deviation = latents.detach().std((0, 2, 3, 4), keepdim=True)
    share = torch.rand(len(latents), generator=generator, device=latents.device)
    share[::2] = 0
    noise = torch.randn(latents.shape, generator=generator, device=latents.device)
    return noise * deviation * share.view(-1, 1, 1, 1, 1)


@dataclass(frozen=True)
class VideoReconstruction:
    """Objective of a video autoencoder: errors of pixels and pixel differences, weighted by motion, and the KL divergence.

    A batch has `frames`, float [b 3 t h w] in [-1, 1].

    Args:
        kl: weight of the KL divergence.
        edge: weight of the error of pixel differences.
        coarse: weight of the error at a quarter of the size.
        motion: additional weight of moving pixels and their neighbourhood.
        focus: total weight of the moving pixels of a clip and their neighbourhood, relative to all its pixels. In contrast
            to `motion` it does not depend on their number, so that a small ball counts as much as a waterfall.
        noise: largest standard deviation of noise on the latents, relative to that of their channel in the batch. Every second
            clip gets a uniform share of it. Generated latents have errors; a decoder trained without noise passes them on.
        square: weight of the squared error, relative to the absolute error.
    """

    kl: float = 1e-4
    edge: float = 1.0
    coarse: float = 0.5
    motion: float = 6.0
    focus: float = 0.0
    noise: float = 0.0
    square: float = 2.0

    def __call__(self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> ReconstructionOutput:
        frames = batch["frames"]
        mean, log_variance = model.posterior(frames)
        latents = sample_posterior(mean, log_variance, generator)
        if self.noise:
            latents = latents + self.noise * partial_noise(mean, generator)
        reconstructed = model.decode(latents).float()
        moving = F.max_pool3d(motion_mask(frames), (1, 5, 5), 1, (0, 2, 2))
        share = moving.mean((1, 2, 3, 4), keepdim=True).clamp(min=LEAST_MOVING)
        weight = 1 + self.motion * moving + self.focus * moving / share
        error = reconstructed - frames
        across, down = pixel_differences(error)
        small = F.avg_pool3d(error, (1, 4, 4))
        losses = {
            "pixels": per_sample(weight * error.abs()),
            "square": self.square * per_sample(weight * error.square()),
            "edges": self.edge * (per_sample(weight[..., 1:] * across.abs()) + per_sample(weight[..., 1:, :] * down.abs())),
            "coarse": self.coarse * per_sample(F.avg_pool3d(weight, (1, 4, 4)) * small.abs()),
            "kl": self.kl * kl_to_standard_normal(mean, log_variance),
        }
        return ReconstructionOutput(losses)


# Levels of mel magnitudes, in nats, above which the ear hears partials beside noise in these scenes.
LOUD = -4.0


@dataclass(frozen=True)
class MelReconstruction:
    """Objective of a mel autoencoder: L1 error of the log-mel spectrogram and of its time differences, and the KL divergence.

    A batch has `waveform`, float [b n] in [-1, 1].

    Args:
        log_mel: the spectrogram.
        kl: weight of the KL divergence.
        rise: weight of the error of time differences.
        loud: additional weight of levels above `LOUD` nats.
        initial: an autoencoder whose latents are kept. None: none.
        keep: weight of the squared distance to its latents.
    """

    log_mel: LogMel = field(default_factory=LogMel)
    kl: float = 1e-3
    rise: float = 0.5
    loud: float = 0.0
    initial: Any = None
    keep: float = 0.0

    def __call__(self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> ReconstructionOutput:
        with torch.no_grad(), torch.autocast(batch["waveform"].device.type, enabled=False):
            mel = self.log_mel(batch["waveform"].float())
        mean, log_variance = model.posterior(mel)
        reconstructed = model.decode(sample_posterior(mean, log_variance, generator)).float()
        weight = 1 + self.loud * (mel - LOUD).sigmoid()
        error = reconstructed - mel
        losses = {
            "levels": per_sample(weight * error.abs()),
            "rise": self.rise * per_sample(torch.maximum(weight[..., 1:], weight[..., :-1]) * error.diff(dim=-1).abs()),
            "kl": self.kl * kl_to_standard_normal(mean, log_variance),
        }
        if self.initial is not None and self.keep:
            with torch.no_grad():
                kept, _ = self.initial.posterior(mel)
            losses["keep"] = self.keep * per_sample((mean - kept).float().square())
        return ReconstructionOutput(losses)


def spectral_magnitudes(wave: Float[Tensor, "b n"], n_fft: int) -> Float[Tensor, "b f l"]:
    """Magnitudes of the short-time Fourier transform with a hop of a quarter of the window."""
    spectrum = torch.stft(wave, n_fft, n_fft // 4, n_fft, torch.hann_window(n_fft, device=wave.device), return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-8).sqrt()


def multi_resolution_stft_loss(
    generated: Float[Tensor, "b n"], real: Float[Tensor, "b n"], sizes: Sequence[int] = (128, 512, 2048)
) -> Float[Tensor, "b"]:
    """Multi-resolution STFT loss: spectral convergence and log-magnitude distance (Yamamoto et al. 2020, eqs. 4-6).

    Args:
        generated: waveforms.
        real: reference waveforms.
        sizes: window lengths in samples.
    """
    parts = []
    for size in sizes:
        a, b = spectral_magnitudes(generated, size), spectral_magnitudes(real, size)
        # Relative norm of the difference; the floor bounds the weight of near-silence.
        convergence = (a - b).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1).clamp(min=1.0)
        logs = per_sample((a.clamp(min=1e-3).log() - b.clamp(min=1e-3).log()).abs())
        parts.append(convergence + logs)
    return torch.stack(parts).mean(0)


class SpectrogramDiscriminator(nn.Module):
    """A small discriminator per STFT resolution (UnivNet, Jang et al. 2021).

    Args:
        sizes: window lengths in samples.
        width: channels.
    """

    def __init__(self, sizes: Sequence[int] = (256, 512, 1024), width: int = 24):
        super().__init__()
        self.sizes = tuple(sizes)

        def network() -> nn.ModuleList:
            return nn.ModuleList(
                [
                    nn.Conv2d(1, width, (9, 3), padding=(4, 1)),
                    nn.Conv2d(width, width, (9, 3), stride=(2, 1), padding=(4, 1)),
                    nn.Conv2d(width, width, (9, 3), stride=(2, 1), padding=(4, 1)),
                    nn.Conv2d(width, width, (9, 3), stride=(2, 1), padding=(4, 1)),
                    nn.Conv2d(width, 1, 3, padding=1),
                ]
            )

        self.networks = nn.ModuleList(network() for _ in self.sizes)

    def forward(self, wave: Float[Tensor, "b n"]) -> list[list[Tensor]]:
        """For each resolution the features of all layers; the last are the discriminator's output."""
        outputs = []
        for size, layers in zip(self.sizes, self.networks, strict=True):
            with torch.autocast(wave.device.type, enabled=False):
                x = spectral_magnitudes(wave.float(), size)[:, None].clamp(min=1e-4).log() / 4
            features: list[Tensor] = []
            for i, layer in enumerate(cast(nn.ModuleList, layers)):
                x = layer(x if i == 0 else F.leaky_relu(x, 0.1))
                features.append(x)
            outputs.append(features)
        return outputs


@dataclass(frozen=True)
class VocoderObjective:
    """Objective of a vocoder: mel distance, multi-resolution STFT loss, and a least-squares GAN with feature matching.

    A batch has `waveform`, float [b n] in [-1, 1]. For the GAN, see Kumar et al. 2019 and Kong et al. 2020, eqs. 1-5.

    Args:
        log_mel: the spectrogram that the vocoder takes.
        adversary: the discriminator. None: no GAN.
        mel_autoencoder: an autoencoder that half of the spectrograms pass first, so the vocoder learns what it will decode.
        mel: weight of the mel distance.
        adversarial: weight of the adversarial loss.
        matching: weight of feature matching.
    """

    log_mel: LogMel = field(default_factory=LogMel)
    adversary: SpectrogramDiscriminator | None = None
    mel_autoencoder: Any = None
    mel: float = 1.0
    adversarial: float = 0.1
    matching: float = 0.2

    def __call__(self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> ReconstructionOutput:
        real = batch["waveform"].float()
        with torch.autocast(real.device.type, enabled=False), torch.no_grad():
            mel = self.log_mel(real)
        source = mel
        if self.mel_autoencoder is not None:
            with torch.no_grad():
                rebuilt = self.mel_autoencoder.decode(self.mel_autoencoder.encode(mel))
            # The other half is left as it is, so that the vocoder also works for recorded audio.
            unchanged = torch.rand(len(mel), generator=generator, device=mel.device) < 0.5
            source = torch.where(unchanged[:, None, None], mel, rebuilt)
        generated = model(source)
        with torch.autocast(real.device.type, enabled=False):
            generated = generated.float()
            losses = {
                "mel": self.mel * per_sample((self.log_mel(generated) - mel).abs()),
                "spectrum": multi_resolution_stft_loss(generated, real),
            }
        if self.adversary is not None:
            losses |= self._adversarial_losses(generated, real)
        return ReconstructionOutput(losses, (real, generated.detach()))

    def _adversarial_losses(self, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
        assert self.adversary is not None
        outputs = self.adversary(generated)
        with torch.no_grad():
            reference = self.adversary(real)
        verdict = torch.stack([per_sample((r[-1].float() - 1) ** 2) for r in outputs]).mean(0)
        pairs = [(a, b) for r, s in zip(outputs, reference, strict=True) for a, b in zip(r[:-1], s[:-1], strict=True)]
        features = torch.stack([per_sample((a - b).abs().float()) for a, b in pairs]).mean(0)
        return {"verdict": self.adversarial * verdict, "features": self.matching * features}

    def discriminate(self, adversary: nn.Module, pair: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Least-squares losses of the discriminator: target 1 for real waveforms, 0 for generated ones."""
        real, fake = (adversary(wave) for wave in pair)
        return {
            "true": torch.stack([per_sample((r[-1].float() - 1) ** 2) for r in real]).mean(0),
            "made": torch.stack([per_sample(r[-1].float() ** 2) for r in fake]).mean(0),
        }


def psnr_moving(reconstructed: Float[Tensor, "b c t h w"], real: Float[Tensor, "b c t h w"]) -> Tensor:
    """PSNR in dB over all pixels that move in the real clips (`motion_mask`); NaN if none does."""
    mask = motion_mask(real).expand_as(real)
    return 10 * torch.log10(4 * mask.sum() / (mask * (reconstructed.clamp(-1, 1) - real) ** 2).sum())


def psnr(reconstructed: Float[Tensor, "b *x"], real: Float[Tensor, "b *x"]) -> Float[Tensor, "b"]:
    """PSNR in dB of each sample, for values in [-1, 1]."""
    return 10 * torch.log10(4 / per_sample((reconstructed.clamp(-1, 1) - real) ** 2).clamp(min=1e-10))
