"""PaSST (Koutini et al. 2022): AudioSet's 527 classes at 32 kHz, for av-benchmark's FD and KL. Published state dict keys."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, WeightFile
from sonovid.metrics.extractors.clap import get_waveform
from sonovid.metrics.extractors.front_ends import htk_filters
from sonovid.metrics.extractors.vit import Block, Patches
from sonovid.metrics.extractors.weights import build_network, read_state_dict

SAMPLE_RATE, SECONDS = 32000, 10
WINDOW, HOP, N_FFT, BINS = 800, 320, 1024, 128
# In training the upper edge of the filters is random in 15 to 17 kHz; without augmentation it is 15 kHz.
HIGH = 15000
STRIDE = 10
# A second classifier, for distillation, which is not used.
UNUSED = ("head_dist.weight", "head_dist.bias")


def log_mel(waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b f l"]:
    """(log(power + 1e-5) + 4.5) / 5 in Kaldi's filters up to 15 kHz.

    Pre-emphasis 0.97, symmetric Hann windows of 800 every 320, centred with reflection padding.
    """
    emphasised = waveform[:, 1:] - 0.97 * waveform[:, :-1]
    window = torch.hann_window(WINDOW, periodic=False, device=waveform.device)
    spectrum = torch.stft(emphasised, N_FFT, HOP, WINDOW, window, center=True, pad_mode="reflect", return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    mel = htk_filters(BINS, N_FFT, SAMPLE_RATE, 0, HIGH).to(power) @ power
    return (torch.log(mel + 1e-5) + 4.5) / 5


class PasstNetwork(nn.Module):
    """PaSST-S: separate time and frequency position embeddings; features are the mean of the class and distillation tokens."""

    def __init__(self, width: int = 768, depth: int = 12, heads: int = 12, frames: int = 998, classes: int = 527) -> None:
        super().__init__()
        bands, steps = (BINS - 16) // STRIDE + 1, (frames - 16) // STRIDE + 1
        self.patch_embed = Patches(1, width, (16, 16), (STRIDE, STRIDE))
        self.cls_token, self.dist_token = (nn.Parameter(torch.zeros(1, 1, width)) for _ in range(2))
        self.new_pos_embed = nn.Parameter(torch.zeros(1, 2, width))
        self.freq_new_pos_embed = nn.Parameter(torch.zeros(1, width, bands, 1))
        self.time_new_pos_embed = nn.Parameter(torch.zeros(1, width, 1, steps))
        self.blocks = nn.Sequential(*(Block(width, heads, 4 * width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, 1e-6)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, mel: Float[Tensor, "b f l"]) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b d"]]:
        x = self.patch_embed.proj(mel[:, None])
        x = x + self.time_new_pos_embed[..., : x.shape[-1]] + self.freq_new_pos_embed
        marks = torch.cat([self.cls_token, self.dist_token], 1) + self.new_pos_embed
        x = torch.cat([marks.expand(len(x), -1, -1), rearrange(x, "b d f t -> b (f t) d")], 1)
        features = self.norm(self.blocks(x))[:, :2].mean(1)
        return self.head(features), features


class Passt(Extractor):
    """`features` [768] and `logits` [527] of the first 10 s, mean removed, padded with silence."""

    name = "passt"
    what = "PaSST-S trained on AudioSet (mAP 0.476, weights averaged): features and logits of 527 classes"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=True)
    weights = (
        WeightFile(
            "passt-s-f128-p16-s10-ap.476-swa.pt",
            "https://github.com/kkoutini/PaSST/releases/download/v0.0.1-audioset/passt-s-f128-p16-s10-ap.476-swa.pt (0.34 GB)",
            sha256="302903fa8c4aee817b11dc982da0b29aaf8d11a3e722420476d0a12c9db70c2c",
            licence="Apache-2.0",
        ),
    )
    settings: ClassVar = {"seconds": "the first 10, silence behind shorter sounds", "mean": "of the sound removed before that"}
    batch_size = 4
    # Overrides of the published sizes, for tests.
    sizes: ClassVar[Mapping[str, Any]] = {}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        file, build = Path(files[0]), partial(PasstNetwork, **self.sizes)
        self.network = build_network(build, read_state_dict(file), name=file.name, device=device, ignored=UNUSED)
        self.device = device

    def prepare(self, sample: Sample) -> Arrays:
        length = SECONDS * SAMPLE_RATE
        waveform = get_waveform(sample)[:length]
        return {"waveform": np.pad(waveform - waveform.mean(), (0, length - len(waveform)))}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        sounds = torch.from_numpy(np.stack([p["waveform"] for p in prepared])).to(self.device)
        logits, features = (rows.cpu().numpy() for rows in self.network(log_mel(sounds)))
        return [{"features": f, "logits": z} for f, z in zip(features, logits, strict=True)]
