"""PANNs' Cnn14 at 16 kHz: 2048 features and AudioSet's 527 classes per clip, for FD, KL, IS and KID (Kong et al. 2020)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, WeightFile
from sonovid.metrics.extractors.batches import run_by_length
from sonovid.metrics.extractors.clap import get_waveform
from sonovid.metrics.extractors.front_ends import panns_log_mel, slaney_filters
from sonovid.metrics.extractors.weights import build_network, read_state_dict

SAMPLE_RATE = 16000
# Constants of the file's own front end, which is implemented here. The mel filters distinguish 16 kHz from 32 kHz.
STFT = ("spectrogram_extractor.stft.conv_real.weight", "spectrogram_extractor.stft.conv_imag.weight")
MEL = "logmel_extractor.melW"

WEIGHTS = WeightFile(
    "Cnn14_16k_mAP=0.438.pth",
    "https://zenodo.org/records/3987831/files/Cnn14_16k_mAP%3D0.438.pth (358.7 MB)",
    sha256="e2ee543a27919542c2ea03eabaa70b24dcd4e6c8e05621de6b67a94e4c5058e6",
    licence="CC BY 4.0",
)


class Block(nn.Module):
    """Two convolutions with batch norms, then average pooling over pool x pool."""

    def __init__(self, in_channels: int, out_channels: int, pool: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return F.avg_pool2d(F.relu(self.bn2(self.conv2(x))), self.pool)


class Cnn14(nn.Module):
    """Log-mel [b l 64] to features [b 2048] and logits [b 527], with the published state dict keys except the front end's."""

    def __init__(self, width: int = 64, classes: int = 527) -> None:
        super().__init__()
        widths = [1, *(width << i for i in range(6))]
        self.bn0 = nn.BatchNorm2d(64)
        for i in range(6):
            # The last block does not pool.
            self.add_module(f"conv_block{i + 1}", Block(widths[i], widths[i + 1], 2 if i < 5 else 1))
        self.fc1 = nn.Linear(widths[6], widths[6])
        self.fc_audioset = nn.Linear(widths[6], classes)

    def forward(self, mel: Float[Tensor, "b l f"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b c"]]:
        """Needs at least 32 frames (0.31 s). The features are the output of the first linear layer after its ReLU."""
        x = self.bn0(mel[:, None].transpose(1, 3)).transpose(1, 3)
        for i in range(6):
            x = self.get_submodule(f"conv_block{i + 1}")(x)
        x = x.mean(3)
        features = F.relu(self.fc1(x.amax(2) + x.mean(2)))
        return features, self.fc_audioset(features)


class PannsFeatures(Extractor):
    """`features` [2048] and `logits` [527] of a whole clip.

    The preprocessing is audioldm_eval's, except for the channels and the resampler.

    Deviation: channels are mixed down; audioldm_eval takes the first channel and ignores the others.
    Deviation: audio is resampled by soxr, not by torchaudio.
    """

    name = "panns"
    what = "Cnn14 at 16 kHz: features and AudioSet's classes of a whole clip"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE)
    weights = (WEIGHTS,)
    settings: ClassVar = {
        "sound": "its mean taken off, filled up with silence to 2 s",
        "front end": "power in dB, 64 bands of Slaney's scale in 50-8000 Hz, Hann of 512 every 160 samples, centred, floor 1e-10",
        "features": "2048, behind the first linear layer and its ReLU",
        "logits": "527, before any sigmoid or softmax",
    }
    batch_size = 8
    network: Cnn14
    # Overrides of the published sizes, for tests.
    widths: ClassVar[Mapping[str, int]] = {}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        state = read_state_dict(files[0])
        check_front_end(state, files[0].name)
        self.device = device
        self.network = build_network(
            partial(Cnn14, **self.widths), state, name=files[0].name, device=device, ignored=(*STFT, MEL)
        )

    def prepare(self, sample: Sample) -> Arrays:
        waveform = get_waveform(sample)
        waveform = waveform - waveform.mean(dtype=np.float64).astype(np.float32)
        return {"waveform": np.pad(waveform, (0, max(0, 2 * SAMPLE_RATE - len(waveform))))}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        rows = run_by_length(
            [one["waveform"] for one in prepared], lambda sounds: self.network(panns_log_mel(sounds)), self.device
        )
        return [{"features": features, "logits": logits} for features, logits in rows]


def check_front_end(state: dict[str, Tensor], name: str) -> None:
    """Check that the mel filters in a file of Cnn14 belong to its 16 kHz front end.

    Raises:
        ValueError: they do not. The networks for 8, 16 and 32 kHz have the same names and shapes.
    """
    if MEL not in state:
        return
    expected = slaney_filters(64, 512, SAMPLE_RATE, 50, 8000).T
    if state[MEL].shape != expected.shape or not torch.allclose(state[MEL].float(), expected, atol=1e-4):
        raise ValueError(f"{name}: a Cnn14 for another sample rate or front end ({MEL} differs); expected {WEIGHTS.name}")
