"""VGGish: 128 features for every 0.96 s of audio, for FAD (Hershey et al. 2017; Kilgour et al. 2019)."""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, UnusableClipError, WeightFile
from sonovid.metrics.extractors.clap import get_waveform
from sonovid.metrics.extractors.front_ends import vggish_patches
from sonovid.metrics.extractors.weights import build_network, read_state_dict

SAMPLE_RATE = 16000
# Samples per patch: 96 windows of 400 samples, one every 160.
PATCH_SAMPLES = 95 * 160 + 400

WEIGHTS = WeightFile(
    "vggish-10086976.pth",
    "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth (289 MB)",
    sha256="10086976",
    licence="Apache-2.0",
)
FRONT_END: dict[str, str] = {
    "front end": "log(magnitude mel + 0.01), 64 bands of HTK's scale in 125-7500 Hz, Hann of 25 ms every 10 ms",
    "patches": "0.96 s without overlap, what is left at the end is dropped",
    "layer": "the last linear layer, without its ReLU and without PCA or quantisation",
}


class VGGish(nn.Module):
    """Log-mel patches [k 96 64] to embeddings [k 128], with torchvggish's state dict keys; 72 141 184 parameters."""

    def __init__(self, width: int = 64, hidden: int = 4096, features: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for multiples in ((1,), (2,), (4, 4), (8, 8)):
            for multiple in multiples:
                layers += [nn.Conv2d(channels, multiple * width, 3, padding=1), nn.ReLU()]
                channels = multiple * width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        sizes = (6 * 4 * channels, hidden, hidden, features)
        linear = [nn.Linear(n_in, n_out) for n_in, n_out in itertools.pairwise(sizes)]
        self.embeddings = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])

    def forward(self, patches: Float[Tensor, "k l f"]) -> Float[Tensor, "k d"]:
        return self.embeddings(rearrange(self.features(patches[:, None]), "k c l f -> k (l f c)"))


class VGGishFeatures(Extractor):
    """`features` [k 128], a row per patch of 0.96 s.

    Deviation: audio is resampled by soxr, in torchvggish by resampy; they differ near half the sample rate.
    """

    name = "vggish"
    what = "VGGish's embeddings of patches of 0.96 s"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE)
    weights = (WEIGHTS,)
    settings: ClassVar = FRONT_END | {"sound": "as read"}
    batch_size = 8
    network: VGGish
    # Overrides of the published sizes, for tests.
    widths: ClassVar[Mapping[str, int]] = {}
    # Patches per forward pass.
    chunk_size: ClassVar[int] = 32

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.device = device
        self.network = build_network(partial(VGGish, **self.widths), read_state_dict(files[0]), name=files[0].name, device=device)

    def prepare(self, sample: Sample) -> Arrays:
        waveform = self.preprocess(get_waveform(sample))
        if len(waveform) < PATCH_SAMPLES:
            raise UnusableClipError(f"its audio lasts {len(waveform) / SAMPLE_RATE:.3f} s; VGGish needs 0.975 s")
        return {"patches": vggish_patches(torch.from_numpy(waveform)).numpy()}

    @staticmethod
    def preprocess(waveform: np.ndarray) -> np.ndarray:
        """Applied to the waveform before the front end."""
        return waveform

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        patches = torch.from_numpy(np.concatenate([one["patches"] for one in prepared]))
        rows = torch.cat([self.network(some.to(self.device)).cpu() for some in patches.split(self.chunk_size)]).numpy()
        parts = np.split(rows, np.cumsum([len(one["patches"]) for one in prepared])[:-1])
        return [{"features": part} for part in parts]


class VGGishAudioLDM(VGGishFeatures):
    """The same with audioldm_eval's preprocessing: first channel, mean removed, padded with silence to 2 s.

    A clip of 1.6 s has two patches here, the second half silent, and one in `vggish`; the two are not comparable.
    """

    name = "vggish_audioldm"
    what = "VGGish's embeddings with audioldm_eval's preprocessing"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=False)
    settings: ClassVar = FRONT_END | {"sound": "first channel, its mean taken off, filled up with silence to 2 s"}

    @staticmethod
    def preprocess(waveform: np.ndarray) -> np.ndarray:
        waveform = waveform - waveform.mean(dtype=np.float64).astype(np.float32)
        return np.pad(waveform, (0, max(0, 2 * SAMPLE_RATE - len(waveform))))
