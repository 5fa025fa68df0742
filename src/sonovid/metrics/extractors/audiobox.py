"""Audiobox Aesthetics (Tjandra et al. 2025): four qualities of any audio as trained listeners rated them, from 1 to 10.

The encoder is WavLM base, a network of transformers; the published state dict is converted.

Deviation: float32 throughout, and audio is resampled by soxr. The published program computes in bfloat16 and resamples by
torchaudio.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, WeightFile
from sonovid.metrics.extractors.clap import get_waveform
from sonovid.metrics.extractors.weights import build_network, read_state_dict

SAMPLE_RATE, SECONDS = 16000, 10
# Samples between the frames of WavLM, and samples that one frame is computed from.
FRAME, FIELD = 320, 400
AXES = ("CE", "CU", "PC", "PQ")
# Published names in WavLM, and their names in transformers, as regular expressions.
NAMES = (
    (r"^feature_extractor\.conv_layers\.(\d+)\.0\.", r"feature_extractor.conv_layers.\1.conv."),
    (r"^feature_extractor\.conv_layers\.(\d+)\.2\.", r"feature_extractor.conv_layers.\1.layer_norm."),
    (r"^layer_norm\.", "feature_projection.layer_norm."),
    (r"^post_extract_proj\.", "feature_projection.projection."),
    (r"^encoder\.pos_conv\.0\.weight_g$", "encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"^encoder\.pos_conv\.0\.weight_v$", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"^encoder\.pos_conv\.0\.", "encoder.pos_conv_embed.conv."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
    (r"\.self_attn\.grep_linear\.", ".attention.gru_rel_pos_linear."),
    (r"\.self_attn\.grep_a$", ".attention.gru_rel_pos_const"),
    (r"\.self_attn\.relative_attention_bias\.", ".attention.rel_attn_embed."),
    (r"\.self_attn\.", ".attention."),
)


class Aesthetics(nn.Module):
    """Windows of audio to four normalised scores: [b n] and their frames in use [b] -> [b 4].

    Args:
        layers: linear layers of each head, with GELUs between them.
        norm: whether layer norms lie between them too.
        dropout: whether the heads were trained with dropout, which counts in the names of their layers.
        sizes: changes to WavLM base, for tests.
    """

    def __init__(self, layers: int, norm: bool, dropout: bool, sizes: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        from transformers import WavLMConfig, WavLMModel

        config = WavLMConfig(**({"mask_time_prob": 0.0, "mask_feature_prob": 0.0} | dict(sizes or {})))
        self.wavlm = WavLMModel(config)
        states = config.num_hidden_layers + 1
        self.layer_weights = nn.ParameterDict({axis: torch.ones(states) / states for axis in AXES})
        self.proj_layer = nn.ModuleDict({axis: head(config.hidden_size, layers, norm, dropout) for axis in AXES})

    def forward(self, waveform: Float[Tensor, "b n"], used: Bool[Tensor, "b t"]) -> Float[Tensor, "b 4"]:
        # WavLM computes the number of frames from a mask of samples.
        lengths = (used.sum(1) - 1) * FRAME + FIELD
        mask = torch.arange(waveform.shape[1], device=waveform.device) < lengths[:, None]
        output: Any = self.wavlm(waveform, attention_mask=mask.long(), output_hidden_states=True)
        states = torch.stack(output.hidden_states, -1)
        scores = []
        for axis in AXES:
            x = states @ self.layer_weights[axis].softmax(0)
            mean = (x * used[..., None]).sum(1) / used.sum(1, keepdim=True).clamp(min=1)
            scores.append(self.proj_layer[axis](F.normalize(mean, dim=-1)))
        return torch.cat(scores, -1)


def head(width: int, layers: int, norm: bool, dropout: bool) -> nn.Sequential:
    """The layers from the mean over frames to one score."""
    parts: list[nn.Module] = []
    for _ in range(layers - 1):
        parts += [nn.Linear(width, width), *([nn.LayerNorm(width)] if norm else []), nn.GELU()]
        parts += [nn.Dropout(0.0)] if dropout else []
    return nn.Sequential(*parts, nn.Linear(width, 1))


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published state dict under the names of `Aesthetics`, without the vector of masked frames that only training uses."""
    found = {}
    for key, value in state.items():
        own = key.removeprefix("model.").removeprefix("wavlm_model.")
        if own == "mask_emb":
            continue
        if own.startswith(("proj_layer.", "layer_weights.")):
            found[own] = value
            continue
        for pattern, name in NAMES:
            own = re.sub(pattern, name, own)
        found["wavlm." + own] = value
    return found


def cut(waveform: Float32[np.ndarray, "n"]) -> tuple[Float32[np.ndarray, "k m"], np.ndarray]:
    """Windows of 10 s without overlap, the last one padded with zeros, and the samples of audio [k] in each."""
    length = SECONDS * SAMPLE_RATE
    starts = range(0, len(waveform), length)
    padded = np.pad(waveform, (0, starts[-1] + length - len(waveform)))
    return np.stack([padded[i : i + length] for i in starts]), np.array([min(length, len(waveform) - i) for i in starts])


class AudioboxAesthetics(Extractor):
    """`ce`, `cu`, `pc`, `pq` [1]: content enjoyment, content usefulness, production complexity and production quality."""

    name = "audiobox_aesthetics"
    what = "Audiobox Aesthetics: content enjoyment and usefulness, production complexity and quality"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=True)
    weights = (
        WeightFile(
            "facebook/audiobox-aesthetics",
            "the Hugging Face hub (0.4 GB; hf download facebook/audiobox-aesthetics --revision 9b1dd8e5df9a)",
            licence="CC BY 4.0",
            revision="9b1dd8e5df9af7216e836a98974fe3b82c56ded6",
        ),
    )
    settings: ClassVar = {"windows": f"{SECONDS} s without overlap, weighted by the audio in them", "precision": "float32"}
    batch_size = 2
    # Changes to the published sizes, for tests.
    sizes: ClassVar[Mapping[str, Any]] = {}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        folder = Path(files[0])
        try:
            config = json.loads((folder / "config.json").read_text())
            transform = config["target_transform"]
            self.scale = np.array([[transform[axis][key] for axis in AXES] for key in ("std", "mean")])
            heads = (int(config["proj_num_layer"]), bool(config["proj_ln"]), config["proj_dropout"] != 0)
            variant = [config[key] for key in ("use_weighted_layer_sum", "normalize_embed", "output_dim", "proj_act_fn")]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{folder}: no config of Audiobox Aesthetics ({type(error).__name__}: {error})") from None
        if variant != [True, True, 1, "gelu"]:
            raise ValueError(f"{folder}: another variant than the published Audiobox Aesthetics: {variant}")
        state = convert_state_dict(read_state_dict(folder / "model.safetensors"))
        build = partial(Aesthetics, *heads, self.sizes)
        self.network, self.device = build_network(build, state, name=folder.name, device=device), device

    def prepare(self, sample: Sample) -> Arrays:
        windows, counts = cut(get_waveform(sample, FIELD))
        return {"windows": windows, "counts": counts}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return [self._score(np.asarray(one["windows"]), np.asarray(one["counts"])) for one in prepared]

    def _score(self, windows: np.ndarray, counts: np.ndarray) -> Arrays:
        rows = []
        frames = (SECONDS * SAMPLE_RATE - FIELD) // FRAME + 1
        for window, count in zip(windows, counts, strict=True):
            used = torch.arange(frames)[None] < -(-int(count) // FRAME)
            rows.append(self.network(torch.from_numpy(window)[None].to(self.device), used.to(self.device)).cpu().numpy()[0])
        deviation, mean = self.scale
        scores = np.average(np.stack(rows).astype(np.float64) * deviation + mean, axis=0, weights=counts)
        return {axis.lower(): scores[i : i + 1] for i, axis in enumerate(AXES)}
