"""LanguageBind (Zhu et al. 2024): embeddings of video, audio and text in one space, for the scores of SVG's evaluation.

Networks and preprocessing follow the released code (MIT), whose keys are those of the modules here; the text encoder is
transformers' `CLIPTextModel`.

Deviations: frames are not mirrored at random. Of audio over 10.4 s the released code stacks three random excerpts, one of each
third of their possible starts; here each excerpt is the earliest of its third. Channels are mixed to one, of which the released
code uses the first.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, WeightFile
from sonovid.metrics.extractors.clap import get_caption, get_waveform
from sonovid.metrics.extractors.frames import CLIP, get_frames, normalize_frames, resize_and_crop
from sonovid.metrics.extractors.front_ends import kaldi_fbank
from sonovid.metrics.extractors.pretrained import load_tokenizer
from sonovid.metrics.extractors.vit import attention
from sonovid.metrics.extractors.weights import build_network, read_state_dict

SAMPLE_RATE = 16000
# Tokens of a caption.
TOKENS = 77
NAMES = ("model.safetensors", "pytorch_model.bin")
VIDEO = WeightFile(
    "LanguageBind/LanguageBind_Video_FT",
    "the Hugging Face hub (hf download LanguageBind/LanguageBind_Video_FT --revision 13f52c20ce66)",
    licence="MIT",
    revision="13f52c20ce666a7d017bcd00522039f4ab034a66",
)
AUDIO = WeightFile(
    "LanguageBind/LanguageBind_Audio_FT",
    "the Hugging Face hub (hf download LanguageBind/LanguageBind_Audio_FT --revision 4820c496563c)",
    licence="MIT",
    revision="4820c496563c46acfb1ff9a486fae5319f16257e",
)


@dataclass(frozen=True)
class VisionConfig:
    """The part of a released config.json that the numbers depend on, under its names."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    patch_size: int
    image_size: int = 224
    layer_norm_eps: float = 1e-5
    hidden_act: str = "quick_gelu"
    add_time_attn: bool = False
    num_frames: int = 1
    num_mel_bins: int = 0
    target_length: int = 0
    audio_mean: float = 0.0
    audio_std: float = 1.0
    audio_sample_rate: int = SAMPLE_RATE

    def grid(self) -> int:
        """The number of patches of an image, or of a spectrogram."""
        height, width = (self.num_mel_bins or self.image_size), (self.target_length or self.image_size)
        return (height // self.patch_size) * (width // self.patch_size)


def activation(name: str) -> nn.Module:
    """The activation that a config names.

    Raises:
        ValueError: no released model has it.
    """
    if name not in ("gelu", "quick_gelu"):
        raise ValueError(f"hidden_act {name!r}: expected 'gelu' or 'quick_gelu'")
    return nn.GELU() if name == "gelu" else QuickGelu()


class QuickGelu(nn.Module):
    """x sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Attention(nn.Module):
    """Self-attention with separate projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Float[Tensor, "b k d"]) -> Float[Tensor, "b k d"]:
        return self.out_proj(attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads))


class Mlp(nn.Module):
    """Two linear layers."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.act = activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Layer(nn.Module):
    """A layer of CLIP, in the video encoder with attention over the frames of each patch before it."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width, heads = config.hidden_size, config.num_attention_heads
        self.self_attn, self.mlp = Attention(width, heads), Mlp(config)
        self.layer_norm1, self.layer_norm2 = (nn.LayerNorm(width, config.layer_norm_eps) for _ in range(2))
        self.frames = config.num_frames if config.add_time_attn else 0
        if self.frames:
            self.temporal_embedding = nn.Parameter(torch.zeros(1, self.frames, width))
            self.temporal_attn = Attention(width, heads)
            self.temporal_layer_norm1 = nn.LayerNorm(width, config.layer_norm_eps)

    def forward(self, x: Float[Tensor, "b k d"]) -> Float[Tensor, "b k d"]:
        if self.frames:
            count = x.shape[1]
            x = rearrange(x, "(b t) n d -> (b n) t d", t=self.frames)
            if self.frames > 1:
                x = x + self.temporal_embedding
            x = x + self.temporal_attn(self.temporal_layer_norm1(x))
            x = rearrange(x, "(b n) t d -> (b t) n d", n=count)
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Embeddings(nn.Module):
    """Patches, the class token and positions."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width, patch = config.hidden_size, config.patch_size
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.patch_embedding = nn.Conv2d(3, width, patch, patch, bias=False)
        self.position_embedding = nn.Embedding(config.grid() + 1, width)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k d"]:
        x = self.patch_embedding(images).flatten(2).mT
        first = self.class_embedding.expand(len(x), 1, -1)
        return torch.cat([first, x], 1) + self.position_embedding.weight


class Encoder(nn.Module):
    """All layers."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))


class Vision(nn.Module):
    """Frames or spectrograms to the normalised class token, the mean over frames: [(b t) 3 h w] -> [b d]."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.frames = config.num_frames if config.add_time_attn else 1
        self.embeddings, self.encoder = Embeddings(config), Encoder(config)
        # The released name.
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, images: Float[Tensor, "bt 3 h w"]) -> Float[Tensor, "b d"]:
        x = self.pre_layrnorm(self.embeddings(images))
        for layer in self.encoder.layers:
            x = layer(x)
        return rearrange(self.post_layernorm(x[:, 0]), "(b t) d -> b t d", t=self.frames).mean(1)


class VisionNetwork(nn.Module):
    """`Vision` and its projection to the joint space, of length one."""

    def __init__(self, config: VisionConfig, out: int) -> None:
        super().__init__()
        self.vision_model = Vision(config)
        self.visual_projection = nn.Linear(config.hidden_size, out, bias=False)

    def forward(self, images: Float[Tensor, "bt 3 h w"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.visual_projection(self.vision_model(images)), dim=-1)


class TextNetwork(nn.Module):
    """CLIP's text encoder and its projection to the joint space, of length one."""

    def __init__(self, config: Mapping[str, Any], out: int) -> None:
        super().__init__()
        from transformers import CLIPTextConfig, CLIPTextModel

        settings = CLIPTextConfig(**config)
        model: Any = CLIPTextModel(settings)
        # Until transformers 5 the layers lay in a module of their own.
        self.text_model = getattr(model, "text_model", model)
        count = settings.max_position_embeddings
        # Indices, which are not part of a state dict: real ones even if the weights are still to be loaded.
        self.text_model.embeddings.position_ids = torch.arange(count, device="cpu")[None]
        self.text_projection = nn.Linear(settings.hidden_size, out, bias=False)

    def forward(self, tokens: Int64[Tensor, "b l"], mask: Int64[Tensor, "b l"]) -> Float[Tensor, "b d"]:
        output: Any = self.text_model(input_ids=tokens, attention_mask=mask)
        return F.normalize(self.text_projection(output.pooler_output), dim=-1)


def read_config(folder: Path, model_type: str) -> dict[str, Any]:
    """The config.json of a released model.

    Raises:
        ValueError: there is none, or one of another model.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
        found = config.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{folder}: no readable config.json ({type(error).__name__})") from None
    if found != model_type:
        raise ValueError(f"{folder}: contains a {found!r}; expected a {model_type!r}")
    return config


def read_vision_config(folder: Path, config: Mapping[str, Any]) -> VisionConfig:
    """The settings of the vision encoder.

    Raises:
        ValueError: some are missing.
    """
    known = {field.name for field in fields(VisionConfig)}
    part = config.get("vision_config") or {}
    try:
        return VisionConfig(**{key: value for key, value in part.items() if key in known})
    except TypeError as error:
        raise ValueError(f"{folder}: incomplete vision_config ({error})") from None


def read_weights(folder: Path, *prefixes: str) -> dict[str, Tensor]:
    """The tensors of a released model whose names begin with one of the prefixes, without indices of positions.

    Raises:
        ValueError: there are no weights.
    """
    file = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if file is None:
        raise ValueError(f"{folder}: no {' or '.join(NAMES)}")
    state = read_state_dict(file)
    return {key: value for key, value in state.items() if key.startswith(prefixes) and not key.endswith("position_ids")}


class LanguageBind(Extractor):
    """Base of the video and audio extractors."""

    model_type: ClassVar[str]
    batch_size = 1

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        folder = Path(files[0])
        config = read_config(folder, self.model_type)
        self.config = read_vision_config(folder, config)
        state = read_weights(folder, "vision_model.", "visual_projection.")
        build = partial(VisionNetwork, self.config, int(config.get("projection_dim", 512)))
        self.network, self.device = build_network(build, state, name=folder.name, device=device), device

    @torch.inference_mode()
    def embed_images(self, images: Float32[np.ndarray, "bt 3 h w"]) -> Float32[np.ndarray, "d"]:
        """The embedding of the frames of one video, or of one spectrogram."""
        return self.network(torch.from_numpy(images).to(self.device))[0].cpu().numpy()


class LanguageBindVideo(LanguageBind):
    """`features` [d]: 8 frames spread over the video."""

    name = "languagebind_video"
    what = "LanguageBind's embedding of a video (LanguageBind_Video_FT)"
    model_type = "LanguageBindVideo"
    input_spec: ClassVar[InputSpec] = InputSpec(video=True)
    weights = (VIDEO,)
    frames: ClassVar[int] = 8
    side: ClassVar[int] = 224
    settings: ClassVar = {
        "frames": "8, evenly from the first to the last, rounded down",
        "resize": "shorter side to 224, bilinear, no antialiasing; centre 224x224",
    }

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        super().load(files, device)
        if (self.config.num_frames, self.config.image_size) != (self.frames, self.side):
            raise ValueError(f"{files[0]}: expected 8 frames of 224 pixels, as in {VIDEO.name}")

    def prepare(self, sample: Sample) -> Arrays:
        frames = get_frames(sample)
        chosen = frames[np.linspace(0, len(frames) - 1, self.frames, dtype=int)]
        return {"images": normalize_frames(resize_and_crop(chosen, self.side, self.side), CLIP)}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return [{"features": self.embed_images(np.asarray(one["images"]))} for one in prepared]


class LanguageBindAudio(LanguageBind):
    """`features` [d]: the log-mel spectrogram as an image of three equal channels, or of three excerpts of long audio."""

    name = "languagebind_audio"
    what = "LanguageBind's embedding of audio (LanguageBind_Audio_FT)"
    model_type = "LanguageBindAudio"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=True)
    weights = (AUDIO,)
    settings: ClassVar = {
        "front end": "Kaldi filter banks, mean of the audio removed; short audio repeated",
        "long audio": "three excerpts of 10.4 s, at the beginning of each third of their possible starts",
        "channels": "mixed to one (LanguageBind uses the first)",
    }

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        super().load(files, device)
        if self.config.audio_sample_rate != SAMPLE_RATE or not self.config.num_mel_bins or not self.config.target_length:
            raise ValueError(f"{files[0]}: expected spectrograms of audio at 16 kHz, as in {AUDIO.name}")

    def prepare(self, sample: Sample) -> Arrays:
        return {"waveform": get_waveform(sample, SAMPLE_RATE // 40)}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return [{"features": self.embed_images(self.spectrogram(np.asarray(one["waveform"]))[None])} for one in prepared]

    def spectrogram(self, waveform: Float32[np.ndarray, "n"]) -> Float32[np.ndarray, "3 f l"]:
        """The input of the network."""
        length = self.config.target_length
        banks = kaldi_fbank(
            torch.from_numpy(waveform - waveform.mean()), bins=self.config.num_mel_bins, sample_rate=SAMPLE_RATE
        ).numpy()
        if len(banks) > length:
            # The first of each third of the possible starts; of few starts, 0.
            thirds = np.array_split(np.arange(len(banks) - length + 1), 3)
            parts = [banks[start : start + length] for start in (int(third[0]) if len(third) else 0 for third in thirds)]
        else:
            parts = [np.tile(banks, (length // len(banks) + 1, 1))[:length]] * 3
        return ((np.stack(parts).transpose(0, 2, 1) - self.config.audio_mean) / (2 * self.config.audio_std)).astype(np.float32)


class LanguageBindText(Extractor):
    """`features` [d]: the caption's embedding."""

    name = "languagebind_text"
    what = "LanguageBind's embedding of the caption; all its models have the same text encoder"
    input_spec: ClassVar[InputSpec] = InputSpec(text=True)
    weights = (VIDEO,)
    settings: ClassVar = {"text": f"the caption as it is, at most {TOKENS} tokens"}
    batch_size = 32

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        folder = Path(files[0])
        config = read_config(folder, LanguageBindVideo.model_type)
        state = read_weights(folder, "text_model.", "text_projection.")
        build = partial(TextNetwork, config.get("text_config") or {}, int(config.get("projection_dim", 512)))
        self.network, self.device = build_network(build, state, name=folder.name, device=device), device
        self.tokenizer = load_tokenizer(folder)

    def prepare(self, sample: Sample) -> Arrays:
        return {"caption": get_caption(sample)}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        captions = [str(p["caption"]) for p in prepared]
        tokens = self.tokenizer(captions, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt")
        rows = self.network(tokens["input_ids"].to(self.device), tokens["attention_mask"].to(self.device)).cpu().numpy()
        return [{"features": row} for row in rows]
