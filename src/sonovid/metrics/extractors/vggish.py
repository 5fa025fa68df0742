"""VGGish: 128 numbers for every 0.96 s of sound, behind FAD (Hershey et al. 2017; Kilgour et al. 2019)."""

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

from sonovid.metrics.base import Arrays, Extractor, Material, Reading, Unfit, WeightFile
from sonovid.metrics.extractors.clap import waveform_of
from sonovid.metrics.extractors.front_ends import vggish_patches
from sonovid.metrics.extractors.weights import filled, read_state

SAMPLE_RATE = 16000
# What one patch needs: 96 windows of 400 samples, one every 160.
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
    """Patches of log-mel [k 96 64] to embeddings [k 128], by the names of torchvggish's file; 72 141 184 values at full width."""

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
        linear = [nn.Linear(given, wanted) for given, wanted in itertools.pairwise(sizes)]
        self.embeddings = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])

    def forward(self, patches: Float[Tensor, "k l f"]) -> Float[Tensor, "k d"]:
        return self.embeddings(rearrange(self.features(patches[:, None]), "k c l f -> k (l f c)"))


class VGGishFeatures(Extractor):
    """`features` [k 128], a row per patch of 0.96 s.

    Deviation: sound is resampled by soxr, where torchvggish takes resampy; the two differ near half the sample rate.
    """

    name = "vggish"
    what = "VGGish's embeddings of patches of 0.96 s"
    reading: ClassVar[Reading] = Reading(audio=True, sample_rate=SAMPLE_RATE)
    weights = (WEIGHTS,)
    settings: ClassVar = FRONT_END | {"sound": "as read"}
    batch_size = 8
    network: VGGish
    # Other widths than the published ones, for tests.
    widths: ClassVar[Mapping[str, int]] = {}
    # Patches that go through the network at a time.
    at_once: ClassVar[int] = 32

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.device = device
        self.network = filled(partial(VGGish, **self.widths), read_state(files[0]), name=files[0].name, device=device)

    def prepare(self, material: Material) -> Arrays:
        waveform = self.heard(waveform_of(material))
        if len(waveform) < PATCH_SAMPLES:
            raise Unfit(f"its sound lasts {len(waveform) / SAMPLE_RATE:.3f} s; VGGish needs 0.975 s")
        return {"patches": vggish_patches(torch.from_numpy(waveform)).numpy()}

    @staticmethod
    def heard(waveform: np.ndarray) -> np.ndarray:
        """The sound as the front end gets it."""
        return waveform

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        patches = torch.from_numpy(np.concatenate([one["patches"] for one in prepared]))
        rows = torch.cat([self.network(some.to(self.device)).cpu() for some in patches.split(self.at_once)]).numpy()
        parts = np.split(rows, np.cumsum([len(one["patches"]) for one in prepared])[:-1])
        return [{"features": part} for part in parts]


class VGGishAudioLDM(VGGishFeatures):
    """The same as audioldm_eval hears a file: its first channel, without its mean, filled up with silence to 2 s.

    A clip of 1.6 s has two patches here, the second half silent, and one in `vggish`: the two are not comparable.
    """

    name = "vggish_audioldm"
    what = "VGGish's embeddings, sound taken as audioldm_eval takes it"
    reading: ClassVar[Reading] = Reading(audio=True, sample_rate=SAMPLE_RATE, mono=False)
    settings: ClassVar = FRONT_END | {"sound": "first channel, its mean taken off, filled up with silence to 2 s"}

    @staticmethod
    def heard(waveform: np.ndarray) -> np.ndarray:
        waveform = waveform - waveform.mean(dtype=np.float64).astype(np.float32)
        return np.pad(waveform, (0, max(0, 2 * SAMPLE_RATE - len(waveform))))
