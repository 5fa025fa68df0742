"""HTSAT with the mel filters of its checkpoint, the audio encoder of two published CLAP models (Chen et al. 2022).

The network is transformers' `ClapAudioModel`. Checkpoints in the published layout are converted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

WINDOW, BINS = 1024, 64

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
# Parts of a checkpoint that the embedding does not use: classifiers and constants.
UNUSED = ("spectrogram_extractor.", "tscam_conv.", "head.")


class Htsat(nn.Module):
    """Audio to the pooled features of HTSAT, [b n] -> [b c]. The mel filters are part of the weights.

    Args:
        width: channels of the first stage; each later stage has twice as many.
        depths: blocks per stage.
        heads: attention heads per stage.
        hop: samples between the windows of the spectrogram.
    """

    def __init__(self, width: int, depths: Sequence[int], heads: Sequence[int], hop: int) -> None:
        super().__init__()
        from transformers import ClapAudioConfig, ClapAudioModel

        self.hop = hop
        self.channels = width * 2 ** (len(depths) - 1)
        config = ClapAudioConfig(
            patch_embeds_hidden_size=width, depths=list(depths), num_attention_heads=list(heads), hidden_size=self.channels,
            enable_fusion=False, num_mel_bins=BINS, spec_size=256, hidden_dropout_prob=0.0,
        )  # fmt: skip
        self.htsat = ClapAudioModel(config)
        self.filters = nn.Parameter(torch.zeros(WINDOW // 2 + 1, BINS))

    def log_mel(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b l f"]:
        """Power in decibels, floor 1e-10, Hann windows of 1024, centred with reflection padding."""
        window = torch.hann_window(WINDOW, device=waveform.device)
        spectrum = torch.stft(waveform, WINDOW, self.hop, WINDOW, window, center=True, pad_mode="reflect", return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        return 10 * torch.log10((power.mT @ self.filters).clamp(min=1e-10))

    def forward(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b c"]:
        features: Any = self.htsat(input_features=self.log_mel(waveform)[:, None])
        return features.pooler_output


def convert_htsat(state: Mapping[str, Tensor], base: str) -> dict[str, Tensor]:
    """Convert the keys of a published HTSAT to those of `Htsat`.

    Args:
        state: a checkpoint.
        base: the prefix of HTSAT's keys in it; other keys are left out.
    """
    found = {}
    for key, value in state.items():
        own = key.removeprefix(base)
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
