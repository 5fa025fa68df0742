"""What the codecs regress: frames, mel spectrograms and waveforms from what is left of them."""

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
    """Losses of one batch, one value per sample, and what an adversary is to judge: the true and the made one."""

    losses: dict[str, Tensor]
    made: tuple[Tensor, ...] | None = None


def per_sample(x: Float[Tensor, "b *rest"]) -> Float[Tensor, "b"]:
    """The mean of everything but the batch."""
    return x.flatten(1).mean(1)


def kl_to_standard_normal(mean: Float[Tensor, "b *x"], log_variance: Float[Tensor, "b *x"]) -> Float[Tensor, "b"]:
    """Kullback-Leibler divergence of N(mean, variance) from N(0, 1), averaged over the cells (Kingma & Welling 2014, app. B)."""
    return per_sample(0.5 * (mean**2 + log_variance.exp() - 1 - log_variance))


def sample_posterior(mean: Tensor, log_variance: Tensor, generator: torch.Generator | None) -> Tensor:
    """A sample of the posterior, by the reparameterisation."""
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    return mean + (0.5 * log_variance).exp() * noise


def pixel_differences(frames: Float[Tensor, "b c *t h w"]) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels, across and down."""
    return frames.diff(dim=-1), frames.diff(dim=-2)


@dataclass(frozen=True)
class FrameReconstruction:
    """Frames through a frame autoencoder: absolute error of pixels and of edges, and the posterior's divergence.

    batch: a mapping with `frames`, float [b 3 t h w] in [-1, 1]. kl, edge: weights.
    """

    kl: float = 1e-4
    edge: float = 1.0

    def __call__(self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> ReconstructionOutput:
        frames = batch["frames"]
        mean, log_variance = model.posterior(frames)
        made = model.decode(sample_posterior(mean, log_variance, generator)).float()
        sharp = torch.stack(
            [per_sample((a - b).abs()) for a, b in zip(pixel_differences(made), pixel_differences(frames), strict=True)]
        ).sum(0)
        losses = {
            "pixels": per_sample((made - frames).abs()),
            "edges": self.edge * sharp,
            "kl": self.kl * kl_to_standard_normal(mean, log_variance),
        }
        return ReconstructionOutput(losses)


def motion_mask(frames: Float[Tensor, "b c t h w"], threshold: float = 0.12) -> Float[Tensor, "b 1 t h w"]:
    """One where any channel differs from the clip's median over time by more than `threshold` of the full range, else zero."""
    still = frames.median(dim=2, keepdim=True).values
    return ((frames - still).abs().amax(1, keepdim=True) > 2 * threshold).to(frames.dtype)


@dataclass(frozen=True)
class VideoReconstruction:
    """Clips through a video autoencoder: errors of pixels and edges at two scales, moving parts weighted, and the divergence.

    batch: a mapping with `frames`, float [b 3 t h w] in [-1, 1]. kl, edge, coarse: weights of the divergence, of the edges and of
    the pixels at a quarter of the size. motion: how much more a moving pixel and its neighbourhood weigh than a still one.
    square: weight of the squared error, in units of the absolute one.
    """

    kl: float = 1e-4
    edge: float = 1.0
    coarse: float = 0.5
    motion: float = 6.0
    square: float = 2.0

    def __call__(self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> ReconstructionOutput:
        frames = batch["frames"]
        mean, log_variance = model.posterior(frames)
        made = model.decode(sample_posterior(mean, log_variance, generator)).float()
        near = F.max_pool3d(motion_mask(frames), (1, 5, 5), 1, (0, 2, 2))
        weight = 1 + self.motion * near
        error = made - frames
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


@dataclass(frozen=True)
class MelReconstruction:
    """Log-mel frames through a mel autoencoder: absolute error of levels and of their rise in time, and the divergence.

    batch: a mapping with `waveform`, float [b n] in [-1, 1]. kl, rise: weights.
    """

    log_mel: LogMel = field(default_factory=LogMel)
    kl: float = 1e-3
    rise: float = 0.5

    def __call__(self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> ReconstructionOutput:
        with torch.no_grad(), torch.autocast(batch["waveform"].device.type, enabled=False):
            mel = self.log_mel(batch["waveform"].float())
        mean, log_variance = model.posterior(mel)
        made = model.decode(sample_posterior(mean, log_variance, generator)).float()
        losses = {
            "levels": per_sample((made - mel).abs()),
            "rise": self.rise * per_sample((made.diff(dim=-1) - mel.diff(dim=-1)).abs()),
            "kl": self.kl * kl_to_standard_normal(mean, log_variance),
        }
        return ReconstructionOutput(losses)


def spectral_magnitudes(wave: Float[Tensor, "b n"], n_fft: int) -> Float[Tensor, "b f l"]:
    """Magnitudes of the short-time Fourier transform with hops of a quarter of the window."""
    spectrum = torch.stft(wave, n_fft, n_fft // 4, n_fft, torch.hann_window(n_fft, device=wave.device), return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-8).sqrt()


def multi_resolution_stft_loss(
    made: Float[Tensor, "b n"], true: Float[Tensor, "b n"], sizes: Sequence[int] = (128, 512, 2048)
) -> Float[Tensor, "b"]:
    """Spectral convergence and log-magnitude distance over several windows (Yamamoto et al. 2020, eqs. 4-6), without unit."""
    parts = []
    for size in sizes:
        a, b = spectral_magnitudes(made, size), spectral_magnitudes(true, size)
        # The norm of the difference over that of the truth; a floor keeps near-silence from weighing without bound.
        convergence = (a - b).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1).clamp(min=1.0)
        logs = per_sample((a.clamp(min=1e-3).log() - b.clamp(min=1e-3).log()).abs())
        parts.append(convergence + logs)
    return torch.stack(parts).mean(0)


class SpectrogramDiscriminator(nn.Module):
    """One discriminator per resolution on magnitudes of the transform (Jang et al. 2021, UnivNet, in a small size)."""

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
        """For each resolution, the features of every layer, the last being the verdict."""
        found = []
        for size, layers in zip(self.sizes, self.networks, strict=True):
            with torch.autocast(wave.device.type, enabled=False):
                x = spectral_magnitudes(wave.float(), size)[:, None].clamp(min=1e-4).log() / 4
            features: list[Tensor] = []
            for i, layer in enumerate(cast(nn.ModuleList, layers)):
                x = layer(x if i == 0 else F.leaky_relu(x, 0.1))
                features.append(x)
            found.append(features)
        return found


@dataclass(frozen=True)
class VocoderObjective:
    """Waveforms from their log-mel frames: mel and multi-resolution distances, and an adversary where one is given.

    batch: a mapping with `waveform`, float [b n] in [-1, 1]. The adversary's part is least-squares with feature matching
    (Kumar et al. 2019; Kong et al. 2020, eqs. 1-5). through: an autoencoder that half of the mel frames pass first, so that the
    vocoder learns the frames it will get. mel, adversarial, matching: weights.
    """

    log_mel: LogMel = field(default_factory=LogMel)
    adversary: SpectrogramDiscriminator | None = None
    through: Any = None
    mel: float = 1.0
    adversarial: float = 0.1
    matching: float = 0.2

    def __call__(self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> ReconstructionOutput:
        true = batch["waveform"].float()
        with torch.autocast(true.device.type, enabled=False), torch.no_grad():
            mel = self.log_mel(true)
        source = mel
        if self.through is not None:
            with torch.no_grad():
                rebuilt = self.through.decode(self.through.encode(mel))
            # Half of the samples as they are, so that the vocoder also serves recorded sound.
            plain = torch.rand(len(mel), generator=generator, device=mel.device) < 0.5
            source = torch.where(plain[:, None, None], mel, rebuilt)
        made = model(source)
        with torch.autocast(true.device.type, enabled=False):
            made = made.float()
            losses = {
                "mel": self.mel * per_sample((self.log_mel(made) - mel).abs()),
                "spectrum": multi_resolution_stft_loss(made, true),
            }
        if self.adversary is not None:
            losses |= self._adversarial(made, true)
        return ReconstructionOutput(losses, (true, made.detach()))

    def _adversarial(self, made: Tensor, true: Tensor) -> dict[str, Tensor]:
        assert self.adversary is not None
        judged = self.adversary(made)
        with torch.no_grad():
            reference = self.adversary(true)
        verdict = torch.stack([per_sample((r[-1].float() - 1) ** 2) for r in judged]).mean(0)
        pairs = [(a, b) for r, s in zip(judged, reference, strict=True) for a, b in zip(r[:-1], s[:-1], strict=True)]
        features = torch.stack([per_sample((a - b).abs().float()) for a, b in pairs]).mean(0)
        return {"verdict": self.adversarial * verdict, "features": self.matching * features}

    def discriminate(self, adversary: nn.Module, made: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """What the adversary regresses: one for the true sounds, zero for the made ones."""
        true, false = (adversary(wave) for wave in made)
        return {
            "true": torch.stack([per_sample((r[-1].float() - 1) ** 2) for r in true]).mean(0),
            "made": torch.stack([per_sample(r[-1].float() ** 2) for r in false]).mean(0),
        }


def psnr_moving(made: Float[Tensor, "b c t h w"], true: Float[Tensor, "b c t h w"]) -> Tensor:
    """Peak signal-to-noise ratio in dB over all pixels that move in the true clips; NaN where none does."""
    mask = motion_mask(true).expand_as(true)
    return 10 * torch.log10(4 * mask.sum() / (mask * (made.clamp(-1, 1) - true) ** 2).sum())


def psnr(made: Float[Tensor, "b *x"], true: Float[Tensor, "b *x"]) -> Float[Tensor, "b"]:
    """Peak signal-to-noise ratio in dB of values in [-1, 1]."""
    return 10 * torch.log10(4 / per_sample((made.clamp(-1, 1) - true) ** 2).clamp(min=1e-10))
