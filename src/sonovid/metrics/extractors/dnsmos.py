"""DNSMOS by `speechmos`, whose small networks lie in its wheel (Reddy et al. 2021, 2022): what people would say of speech."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from sonovid.metrics.base import Arrays, Extractor, Material, Missing, Reading
from sonovid.metrics.extractors.clap import waveform_of

SAMPLE_RATE = 16000
NAMES = ("ovrl", "sig", "bak", "p808")


class Dnsmos(Extractor):
    """`ovrl`, `sig`, `bak` (P.835) and `p808` [1]: predicted mean opinions, from 1 to 5.

    Networks that hear 9.01 s at a time; shorter sounds are repeated, longer ones averaged over windows, as `speechmos` does. They
    were trained on speech with noise and say nothing of other sounds.
    """

    name = "dnsmos"
    what = "DNSMOS P.835 and P.808 (speechmos)"
    reading: ClassVar[Reading] = Reading(audio=True, sample_rate=SAMPLE_RATE, mono=True)
    settings: ClassVar = {"library": "speechmos", "level": "as it is, cut to [-1, 1]"}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        try:
            from speechmos import dnsmos
        except ImportError as error:
            raise Missing(f"speechmos cannot be imported ({error}): pip install 'sonovid[speech]'") from None
        self.run = dnsmos.run

    def prepare(self, material: Material) -> Arrays:
        return {"waveform": np.clip(waveform_of(material, SAMPLE_RATE // 10), -1, 1)}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        found = [self.run(np.asarray(one["waveform"]), sr=SAMPLE_RATE) for one in prepared]
        return [{name: np.array([float(one[f"{name}_mos"])]) for name in NAMES} for one in found]
