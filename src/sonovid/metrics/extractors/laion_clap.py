"""LAION's CLAP checkpoints in their own format (Wu et al. 2023): the CLAP score of av-benchmark, and fadtk's FAD.

The audio encoder is HTSAT and the text encoder RoBERTa, both networks of transformers; the published state dicts are converted.

Deviation: audio is not quantised to 16 bits, as laion_clap and fadtk do it for arrays. The score is of the first 10 s of longer
audio; laion_clap draws a random crop, so that its own values differ from call to call.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, WeightFile
from sonovid.metrics.extractors.clap import HOP_SECONDS, SECONDS, ClapAudio, get_caption
from sonovid.metrics.extractors.htsat import Htsat, convert_htsat
from sonovid.metrics.extractors.pretrained import load_tokenizer
from sonovid.metrics.extractors.weights import build_network, read_state_dict

HOP = 480
# Tokens of a caption, padding included.
TOKENS = 77
TINY: Mapping[str, Any] = {"width": 96, "depths": (2, 2, 6, 2), "heads": (4, 8, 16, 32)}
BASE: Mapping[str, Any] = {"width": 128, "depths": (2, 2, 12, 2), "heads": (4, 8, 16, 32)}

LARGE_FILE = WeightFile(
    "music_speech_audioset_epoch_15_esc_89.98.pt",
    "the Hugging Face hub (2.4 GB; hf download lukewys/laion_clap music_speech_audioset_epoch_15_esc_89.98.pt)",
    sha256="51c68f12f9d7ea25fdaaccf741ec7f81e93ee594455410f3bca4f47f88d8e006",
    licence="CC0-1.0",
)
SMALL_FILE = WeightFile(
    "630k-audioset-best.pt",
    "the Hugging Face hub (1.9 GB; hf download lukewys/laion_clap 630k-audioset-best.pt)",
    licence="CC0-1.0",
)
TOKENIZER = WeightFile(
    "FacebookAI/roberta-base",
    "the Hugging Face hub (its tokenizer alone, 2.7 MB; hf download FacebookAI/roberta-base config.json tokenizer.json "
    "tokenizer_config.json vocab.json merges.txt --revision e2da8e2f811d)",
    licence="MIT",
    revision="e2da8e2f811d1448a5b465c236feacd80ffbac7b",
)


class LaionClapAudioNetwork(Htsat):
    """Audio at 48 kHz to embeddings of length one, [b n] -> [b 512]."""

    def __init__(self, width: int, depths: Sequence[int], heads: Sequence[int], out: int = 512) -> None:
        super().__init__(width, depths, heads, HOP)
        self.projection = joint_projection(self.channels, out)

    def forward(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.projection(super().forward(waveform)), dim=-1)


class LaionClapTextNetwork(nn.Module):
    """Tokens to embeddings of length one, [b l] -> [b 512].

    Args:
        out: width of the joint space.
        text: changes to the sizes of RoBERTa base.
    """

    def __init__(self, out: int = 512, text: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        from transformers import RobertaConfig, RobertaModel

        sizes = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
        config = RobertaConfig(**(sizes | dict(text or {})))
        self.roberta = RobertaModel(config)
        # Indices, which are not part of a state dict: real ones even if the weights are still to be loaded.
        count, embeddings = config.max_position_embeddings, self.roberta.embeddings
        embeddings.position_ids = torch.arange(count, device="cpu")[None]
        embeddings.token_type_ids = torch.zeros(1, count, dtype=torch.long, device="cpu")
        self.projection = joint_projection(config.hidden_size, out)

    def forward(self, tokens: Int64[Tensor, "b l"], mask: Int64[Tensor, "b l"]) -> Float[Tensor, "b d"]:
        output: Any = self.roberta(input_ids=tokens, attention_mask=mask)
        return F.normalize(self.projection(output.pooler_output), dim=-1)


def joint_projection(width: int, out: int) -> nn.Sequential:
    """The layers from an encoder to the joint space."""
    return nn.Sequential(nn.Linear(width, out), nn.ReLU(), nn.Linear(out, out))


def split_state_dict(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of both networks from a published checkpoint; its further heads and temperatures are left out."""
    state = {key.removeprefix("module."): value for key, value in state.items()}
    audio = convert_htsat(state, "audio_branch.")
    text = {
        "roberta." + key.removeprefix("text_branch."): value
        for key, value in state.items()
        if key.startswith("text_branch.") and not key.endswith("position_ids")
    }
    for part, name in ((audio, "audio_projection."), (text, "text_projection.")):
        part |= {"projection." + key.removeprefix(name): value for key, value in state.items() if key.startswith(name)}
    return audio, text


class LaionClapAudio(ClapAudio):
    """`features` [k 512]: a row per window of 10 s every second; `whole` [512]: the first 10 s, with short audio repeated.

    Rows are normalised to length one.
    """

    name = "clap_music_speech_audioset"
    what = "audio embeddings of LAION's CLAP, music_speech_audioset_epoch_15_esc_89.98"
    weights = (LARGE_FILE,)
    settings: ClassVar = {
        "features": f"windows of {SECONDS} s every {HOP_SECONDS} s, padded with silence",
        "whole": f"the first {SECONDS} s, shorter audio repeated",
        "length": "one",
    }
    # Sizes of the audio encoder.
    sizes: ClassVar[Mapping[str, Any]] = BASE

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        file = Path(files[0])
        state, _ = split_state_dict(read_state_dict(file))
        if not state:
            raise ValueError(f"{file}: contains no audio encoder of LAION's CLAP (audio_branch)")
        build = partial(LaionClapAudioNetwork, **self.sizes)
        self.network, self.device = build_network(build, state, name=file.name, device=device), device

    @torch.inference_mode()
    def _rows(self, sounds: Float32[np.ndarray, "k n"]) -> Float[np.ndarray, "k d"]:
        joined = torch.from_numpy(sounds).float()
        return torch.cat([self.network(some.to(self.device)) for some in joined.split(self.chunk_size)]).cpu().numpy()


class LaionClapAudioSmall(LaionClapAudio):
    """The same, of the checkpoint with the smaller encoder."""

    name = "clap_630k_audioset"
    what = "audio embeddings of LAION's CLAP, 630k-audioset-best (fadtk's clap-laion-audio)"
    weights = (SMALL_FILE,)
    sizes = TINY


class LaionClapText(Extractor):
    """`features` [512]: the caption's embedding, of length one."""

    name = "clap_music_speech_audioset_text"
    what = "text embeddings of the same checkpoint"
    input_spec: ClassVar[InputSpec] = InputSpec(text=True)
    weights = (LARGE_FILE, TOKENIZER)
    settings: ClassVar = {"text": f"the caption as it is, at most {TOKENS} tokens", "length": "one"}
    batch_size = 32
    # Changes to the published sizes, for tests.
    sizes: ClassVar[Mapping[str, Any]] = {}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        file = Path(files[0])
        _, state = split_state_dict(read_state_dict(file))
        if not state:
            raise ValueError(f"{file}: contains no text encoder of LAION's CLAP (text_branch)")
        build = partial(LaionClapTextNetwork, **self.sizes)
        self.network, self.device = build_network(build, state, name=file.name, device=device), device
        self.tokenizer = load_tokenizer(Path(files[1]))

    def prepare(self, sample: Sample) -> Arrays:
        return {"caption": get_caption(sample)}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        captions = [str(p["caption"]) for p in prepared]
        tokens = self.tokenizer(captions, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
        rows = self.network(tokens["input_ids"].to(self.device), tokens["attention_mask"].to(self.device)).cpu().numpy()
        return [{"features": row} for row in rows]


class LaionClapTextSmall(LaionClapText):
    """The same, of the checkpoint with the smaller audio encoder."""

    name = "clap_630k_audioset_text"
    weights = (SMALL_FILE, TOKENIZER)
