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
from sonovid.metrics.extractors.weights import build_network, read_state_dict

SAMPLE_RATE = 44100
SECONDS, HOP_SECONDS = 7, 1
WINDOW, HOP, BINS = 1024, 320, 64

BASE, PROJECTION = "audio_encoder.base.htsat.", "audio_encoder.projection."
# Published names of the parts of an HTSAT block, and their names in transformers.
BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "attn.relative_position_bias_table": "attention.self.relative_position_bias_table",
    "attn.relative_position_index": "attention.self.relative_position_index",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
# Parts of the checkpoint that the embedding does not use: classifiers and constants.
UNUSED = ("spectrogram_extractor.", "tscam_conv.", "head.")


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


class MsClapAudio(nn.Module):
    """Audio at 44.1 kHz to embeddings, [b n] -> [b 1024].

    The mel filters are part of the weights. They were designed for 32 kHz and are used at 44.1 kHz, so that the bands are not
    where the config says (50 to 8000 Hz). The network was trained that way.
    """

    def __init__(
        self, width: int = 96, depths: Sequence[int] = (2, 2, 6, 2), heads: Sequence[int] = (4, 8, 16, 32), out: int = 1024
    ):
        super().__init__()
        from transformers import ClapAudioConfig, ClapAudioModel

        channels = width * 2 ** (len(depths) - 1)
        config = ClapAudioConfig(
            patch_embeds_hidden_size=width, depths=list(depths), num_attention_heads=list(heads), hidden_size=channels,
            enable_fusion=False, num_mel_bins=BINS, spec_size=256, hidden_dropout_prob=0.0,
        )  # fmt: skip
        self.htsat = ClapAudioModel(config)
        self.projection = Projection(channels, out)
        self.filters = nn.Parameter(torch.zeros(WINDOW // 2 + 1, BINS))

    def log_mel(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b l f"]:
        """Power in decibels, floor 1e-10, windows of 1024 every 320, centred with reflection padding."""
        window = torch.hann_window(WINDOW, device=waveform.device)
        spectrum = torch.stft(waveform, WINDOW, HOP, WINDOW, window, center=True, pad_mode="reflect", return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        return 10 * torch.log10((power.mT @ self.filters).clamp(min=1e-10))

    def forward(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b d"]:
        features: Any = self.htsat(input_features=self.log_mel(waveform)[:, None])
        return self.projection(features.pooler_output)


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the audio encoder of the published checkpoint to the keys of `MsClapAudio`; the text encoder is dropped."""
    found = {}
    for key, value in state.items():
        if key.startswith(PROJECTION):
            found["projection." + key.removeprefix(PROJECTION)] = value
            continue
        own = key.removeprefix(BASE)
        if own == key or own.startswith(UNUSED) or own.endswith("attn_mask"):
            continue
        if own == "logmel_extractor.melW":
            found["filters"] = value
            continue
        name = "batch_norm" + own.removeprefix("bn0") if own.startswith("bn0.") else own
        if ".blocks." in own:
            stage, _, rest = own.partition(".blocks.")
            block, _, part = rest.partition(".")
            prefix = f"{stage}.blocks.{block}."
            if part.startswith("attn.qkv."):
                kind = part.removeprefix("attn.qkv.")
                for which, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                    found[f"htsat.audio_encoder.{prefix}attention.self.{which}.{kind}"] = third
                continue
            theirs = next((theirs for theirs in BLOCK if part == theirs or part.startswith(theirs + ".")), "")
            name = prefix + (BLOCK[theirs] + part.removeprefix(theirs) if theirs else part)
        found["htsat.audio_encoder." + name] = value
    return found


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
