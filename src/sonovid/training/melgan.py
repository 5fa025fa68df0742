"""Objective and discriminators of MelGAN as CMMD trains it (appendix B.1)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.codecs.mel import LogMel
from sonovid.codecs.melgan import SLOPE, apply_weight_norm
from sonovid.training.biquads import apply_random_biquad
from sonovid.training.reconstruction import ReconstructionOutput, multi_resolution_stft_loss, per_sample


class WaveformDiscriminator(nn.Module):
    """Multi-scale discriminator: equal networks on the waveform at its sample rate, half of it, a quarter, ... (MelGAN).

    Kumar et al. 2019, section 2.2.

    Args:
        width: channels of the first layer, multiplied by 4 at each stride of 4.
        scales: number of sample rates.
        widest: maximum number of channels.
    """

    def __init__(self, width: int = 16, scales: int = 3, widest: int = 1024):
        super().__init__()

        def network() -> nn.ModuleList:
            layers, channels = [apply_weight_norm(nn.Conv1d(1, width, 15, padding=7, padding_mode="reflect"))], width
            for _ in range(4):
                wider = min(4 * channels, widest)
                layers.append(apply_weight_norm(nn.Conv1d(channels, wider, 41, stride=4, padding=20, groups=channels // 4)))
                channels = wider
            wider = min(2 * channels, widest)
            layers.append(apply_weight_norm(nn.Conv1d(channels, wider, 5, padding=2)))
            layers.append(apply_weight_norm(nn.Conv1d(wider, 1, 3, padding=1)))
            return nn.ModuleList(layers)

        self.networks = nn.ModuleList(network() for _ in range(scales))

    def forward(self, wave: Float[Tensor, "b n"]) -> list[list[Tensor]]:
        """For each sample rate the features of all layers; the last are the discriminator's output."""
        x, outputs = wave[:, None], []
        for layers in self.networks:
            features, h = [], x
            for layer in cast(nn.ModuleList, layers):
                h = layer(h)
                if layer is not layers[-1]:  # type: ignore[index]
                    h = F.leaky_relu(h, SLOPE)
                features.append(h)
            outputs.append(features)
            x = F.avg_pool1d(x, 4, stride=2, padding=1, count_include_pad=False)
        return outputs


@dataclass(frozen=True)
class MelGANObjective:
    """Objective of MelGAN: mel distance, least-squares GAN and feature matching (Kong et al. 2020, eqs. 1-6).

    A batch has `waveform`, float [b n] in [-1, 1]. The adversarial losses are summed over the sample rates, those of feature
    matching over sample rates and layers. The default weights are those of the paper.

    Args:
        log_mel: the spectrogram that the vocoder takes.
        adversary: the discriminator. None: no GAN.
        mel: weight of the mel distance.
        adversarial: weight of the adversarial loss.
        matching: weight of feature matching.
        spectrum: weight of the multi-resolution STFT loss.
        filters: whether waveforms pass a random biquad filter in training.
        floor: mel magnitude below which differences are ignored.

    Deviation: the paper has neither `spectrum` nor `floor`; their defaults have no effect. Digital silence, as in procedural
    scenes, would otherwise dominate the gradient of the logarithm.
    """

    log_mel: LogMel = field(default_factory=lambda: LogMel(bins=80, n_fft=512, window=512, hop=256))
    adversary: WaveformDiscriminator | None = None
    mel: float = 10.0
    adversarial: float = 1.0
    matching: float = 2.0
    spectrum: float = 0.0
    filters: bool = True
    floor: float = 1e-5

    def __call__(self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> ReconstructionOutput:
        real = batch["waveform"].float()
        with torch.autocast(real.device.type, enabled=False), torch.no_grad():
            if self.filters and model.training:
                real = apply_random_biquad(real, self.log_mel.sample_rate, generator)
            mel = self.log_mel(real)
        generated = model(mel)
        with torch.autocast(real.device.type, enabled=False):
            generated = generated.float()
            low = math.log(self.floor)
            error = self.log_mel(generated).clamp(min=low) - mel.clamp(min=low)
            losses = {"mel": self.mel * per_sample(error.abs())}
            if self.spectrum:
                losses["spectrum"] = self.spectrum * multi_resolution_stft_loss(generated, real)
        if self.adversary is not None:
            outputs = self.adversary(generated)
            with torch.no_grad():
                reference = self.adversary(real)
            losses["verdict"] = self.adversarial * sum_losses(per_sample((r[-1].float() - 1) ** 2) for r in outputs)
            pairs = [(a, b) for r, s in zip(outputs, reference, strict=True) for a, b in zip(r[:-1], s[:-1], strict=True)]
            losses["features"] = self.matching * sum_losses(per_sample((a - b).abs().float()) for a, b in pairs)
        return ReconstructionOutput(losses, (real, generated.detach()))

    def discriminate(self, adversary: nn.Module, pair: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Least-squares losses of the discriminator: target 1 for real waveforms, 0 for generated ones (Mao et al. 2017)."""
        real, fake = (adversary(wave) for wave in pair)
        return {
            "true": sum_losses(per_sample((r[-1].float() - 1) ** 2) for r in real),
            "made": sum_losses(per_sample(r[-1].float() ** 2) for r in fake),
        }


def sum_losses(values: Any) -> Float[Tensor, "b"]:
    """The sum of several losses [b]."""
    return torch.stack(list(values)).sum(0)
