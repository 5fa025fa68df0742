"""DNSMOS of `speechmos`, whose wheel contains the networks (Reddy et al. 2021, 2022): predicted opinions of speech."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, UnavailableError
from sonovid.metrics.extractors.clap import get_waveform

SAMPLE_RATE = 16000
NAMES = ("ovrl", "sig", "bak", "p808")


class Dnsmos(Extractor):
    """`ovrl`, `sig`, `bak` (P.835) and `p808` [1]: predicted mean opinion scores, from 1 to 5.

    The networks take 9.01 s at a time; shorter audio is repeated, longer audio is averaged over windows, as in `speechmos`. They
    were trained on noisy speech and are meaningless for other audio.
    """

    name = "dnsmos"
    what = "DNSMOS P.835 and P.808 (speechmos)"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=True)
    settings: ClassVar = {"library": "speechmos", "level": "as it is, cut to [-1, 1]"}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        try:
            from speechmos import dnsmos
        except ImportError as error:
            raise UnavailableError(f"speechmos cannot be imported ({error}): pip install 'sonovid[speech]'") from None
        self.run = dnsmos.run

    def prepare(self, sample: Sample) -> Arrays:
        return {"waveform": np.clip(get_waveform(sample, SAMPLE_RATE // 10), -1, 1)}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        found = [self.run(np.asarray(one["waveform"]), sr=SAMPLE_RATE) for one in prepared]
        return [{name: np.array([float(one[f"{name}_mos"])]) for name in NAMES} for one in found]
