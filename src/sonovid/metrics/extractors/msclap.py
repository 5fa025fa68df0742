"""The audio encoder of Microsoft's CLAP 2023 (Elizalde et al. 2024), for FAD as in fadtk and CMMD.

The network is HTSAT, which transformers implements as the audio encoder of LAION's CLAP; the published state dict is converted.

Deviation: audio is resampled by soxr and stays in floating point. fadtk resamples with a Kaiser window, writes 16-bit files and
stores embeddings in half precision, which changes its distances in the fifth digit.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, WeightFile
from sonovid.metrics.extractors.clap import cut_windows, get_waveform
from sonovid.metrics.extractors.htsat import Htsat, convert_htsat
from sonovid.metrics.extractors.weights import build_network, read_state_dict

SAMPLE_RATE = 44100
SECONDS, HOP_SECONDS = 7, 1
HOP = 320

BASE, PROJECTION = "audio_encoder.base.htsat.", "audio_encoder.projection."


class Projection(nn.Module):
    """HTSAT's 768 channels to the joint space: a linear layer, a residual linear layer and a layer norm."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, out, bias=False)
        self.linear2 = nn.Linear(out, out, bias=False)
        self.layer_norm = nn.LayerNorm(out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear1(x)
        return self.layer_norm(x + self.linear2(F.gelu(x)))


class MsClapAudio(Htsat):
    """Audio at 44.1 kHz to embeddings, [b n] -> [b 1024].

    The mel filters were designed for 32 kHz and are used at 44.1 kHz, so that the bands are not where the config says (50 to
    8000 Hz). The network was trained that way.
    """

    def __init__(
        self, width: int = 96, depths: Sequence[int] = (2, 2, 6, 2), heads: Sequence[int] = (4, 8, 16, 32), out: int = 1024
    ) -> None:
        super().__init__(width, depths, heads, HOP)
        self.projection = Projection(self.channels, out)

    def forward(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b d"]:
        return self.projection(super().forward(waveform))


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the audio encoder of the published checkpoint to the keys of `MsClapAudio`; the text encoder is dropped."""
    found = convert_htsat(state, BASE)
    return found | {"projection." + k.removeprefix(PROJECTION): v for k, v in state.items() if k.startswith(PROJECTION)}


class MsClap(Extractor):
    """`features` [k 1024]: a row per window of 7 s every second, padded with silence, as fadtk cuts them."""

    name = "clap2023"
    what = "MS-CLAP 2023's audio embeddings"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=True)
    weights = (
        WeightFile(
            "CLAP_weights_2023.pth",
            "the Hugging Face hub (0.7 GB; hf download microsoft/msclap CLAP_weights_2023.pth)",
            licence="MIT",
        ),
    )
    settings: ClassVar = {"features": f"windows of {SECONDS} s every {HOP_SECONDS} s, padded with silence"}
    batch_size = 4
    chunk_size: ClassVar[int] = 8
    # Overrides of the published sizes, for tests.
    sizes: ClassVar[Mapping[str, Any]] = {}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        file = Path(files[0])
        state = convert_state_dict(read_state_dict(file))
        if not state:
            raise ValueError(f"{file}: contains no audio encoder of MS-CLAP 2023 (audio_encoder.base.htsat)")
        self.network, self.device = (
            build_network(partial(MsClapAudio, **self.sizes), state, name=file.name, device=device),
            device,
        )

    def prepare(self, sample: Sample) -> Arrays:
        return {"waveform": get_waveform(sample)}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        sounds: list[Float32[np.ndarray, "k n"]] = [
            cut_windows(p["waveform"], SECONDS * SAMPLE_RATE, HOP_SECONDS * SAMPLE_RATE) for p in prepared
        ]
        joined = torch.from_numpy(np.concatenate(sounds))
        rows = torch.cat([self.network(some.to(self.device)) for some in joined.split(self.chunk_size)]).cpu().numpy()
        parts = np.split(rows, np.cumsum([len(sound) for sound in sounds])[:-1])
        return [{"features": part} for part in parts]
