"""What MelGAN is trained by: discriminators at three rates, their features, and the mel spectrogram (CMMD, appendix B.1)."""

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
    """Discriminators of one form on the waveform at its rate, at half and at a quarter of it (Kumar et al. 2019, section 2.2).

    width: channels of the first layer, four times as many after each stride of four, at most `widest`.
    """

    def __init__(self, width: int = 16, scales: int = 3, widest: int = 1024):
        super().__init__()

        def network() -> nn.ModuleList:
            layers, at = [apply_weight_norm(nn.Conv1d(1, width, 15, padding=7, padding_mode="reflect"))], width
            for _ in range(4):
                wider = min(4 * at, widest)
                layers.append(apply_weight_norm(nn.Conv1d(at, wider, 41, stride=4, padding=20, groups=at // 4)))
                at = wider
            wider = min(2 * at, widest)
            layers.append(apply_weight_norm(nn.Conv1d(at, wider, 5, padding=2)))
            layers.append(apply_weight_norm(nn.Conv1d(wider, 1, 3, padding=1)))
            return nn.ModuleList(layers)

        self.networks = nn.ModuleList(network() for _ in range(scales))

    def forward(self, wave: Float[Tensor, "b n"]) -> list[list[Tensor]]:
        """For each rate, the features of every layer, the last being the verdict."""
        x, found = wave[:, None], []
        for layers in self.networks:
            features, h = [], x
            for layer in cast(nn.ModuleList, layers):
                h = layer(h)
                if layer is not layers[-1]:  # type: ignore[index]
                    h = F.leaky_relu(h, SLOPE)
                features.append(h)
            found.append(features)
            x = F.avg_pool1d(x, 4, stride=2, padding=1, count_include_pad=False)
        return found


@dataclass(frozen=True)
class MelGANObjective:
    """Waveforms from their log-mel frames: the mel's distance, and what the judge says of them (Kong et al. 2020, eqs. 1-6).

    batch: a mapping with `waveform`, float [b n] in [-1, 1]. mel, adversarial, matching: weights, the paper's; the verdicts are
    summed over the rates, and so are the distances of features, over their layers too. filters: whether each sound passes a
    random filter first, in training. spectrum: the weight of spectral distances over several windows. floor: the mel magnitude
    below which levels count as alike.

    Deviation: `spectrum` and `floor` are not the paper's and do nothing as they stand here. Where sounds hold digital silence, as
    scenes do, levels of nearly nothing would weigh most in the gradient of a logarithm.
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
        true = batch["waveform"].float()
        with torch.autocast(true.device.type, enabled=False), torch.no_grad():
            if self.filters and model.training:
                true = apply_random_biquad(true, self.log_mel.sample_rate, generator)
            mel = self.log_mel(true)
        made = model(mel)
        with torch.autocast(true.device.type, enabled=False):
            made = made.float()
            low = math.log(self.floor)
            levels = self.log_mel(made).clamp(min=low) - mel.clamp(min=low)
            losses = {"mel": self.mel * per_sample(levels.abs())}
            if self.spectrum:
                losses["spectrum"] = self.spectrum * multi_resolution_stft_loss(made, true)
        if self.adversary is not None:
            judged = self.adversary(made)
            with torch.no_grad():
                reference = self.adversary(true)
            losses["verdict"] = self.adversarial * sum_losses(per_sample((r[-1].float() - 1) ** 2) for r in judged)
            pairs = [(a, b) for r, s in zip(judged, reference, strict=True) for a, b in zip(r[:-1], s[:-1], strict=True)]
            losses["features"] = self.matching * sum_losses(per_sample((a - b).abs().float()) for a, b in pairs)
        return ReconstructionOutput(losses, (true, made.detach()))

    def discriminate(self, adversary: nn.Module, made: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """What the judge regresses: one for the true sounds, zero for the made ones (Mao et al. 2017)."""
        true, false = (adversary(wave) for wave in made)
        return {
            "true": sum_losses(per_sample((r[-1].float() - 1) ** 2) for r in true),
            "made": sum_losses(per_sample(r[-1].float() ** 2) for r in false),
        }


def sum_losses(values: Any) -> Float[Tensor, "b"]:
    """The sum of several losses, by sample."""
    return torch.stack(list(values)).sum(0)
