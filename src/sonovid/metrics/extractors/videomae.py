"""VideoMAE, whose features weight motion more than single frames: content-debiased FVD (Ge et al. 2024).

Two checkpoints under different names: VideoMAE-v2-g as in cd-fvd, and the base model of transformers.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, WeightFile
from sonovid.metrics.extractors.frames import (
    IMAGENET,
    get_frames,
    normalize_frames,
    resize_and_crop,
    resize_frames,
    window_starts,
)
from sonovid.metrics.extractors.pretrained import load_model
from sonovid.metrics.extractors.vit import Block, Patches
from sonovid.metrics.extractors.weights import build_network, read_state_dict

FRAMES, SIDE = 16, 224


@lru_cache(maxsize=2)
@torch.inference_mode(False)
def sinusoids(count: int, width: int) -> Float[Tensor, "1 k d"]:
    """Sinusoidal position embeddings (Vaswani et al. 2017, section 3.5); not part of the checkpoint."""
    place = torch.arange(count, dtype=torch.float64)[:, None]
    angle = place / 10000 ** (torch.arange(width, dtype=torch.float64) // 2 * 2 / width)
    table = torch.where(torch.arange(width) % 2 == 0, angle.sin(), angle.cos())
    return table.float()[None]


class VideoMaeGiant(nn.Module):
    """VideoMAE-v2-g (Wang et al. 2023), frames in [0, 1] to one feature vector per window: [b 3 16 224 224] -> [b 1408].

    The checkpoint's head over 174 classes is not used.
    """

    def __init__(
        self, width: int = 1408, depth: int = 40, heads: int = 16, hidden: int = 6144, patch: int = 14, classes: int = 174
    ) -> None:
        super().__init__()
        self.patch_embed = Patches(3, width, (2, patch, patch))
        self.blocks = nn.ModuleList(Block(width, heads, hidden, qv_bias=True) for _ in range(depth))
        self.fc_norm = nn.LayerNorm(width, 1e-6)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b d"]:
        x = self.patch_embed(images)
        x = x + sinusoids(*x.shape[1:]).to(x)
        for block in self.blocks:
            x = block(x)
        return self.fc_norm(x.mean(1))


class WindowExtractor(Extractor):
    """Base: features of non-overlapping windows of 16 consecutive frames at the file's own rate; the remainder is dropped."""

    input_spec: ClassVar[InputSpec] = InputSpec(video=True)
    batch_size = 2
    chunk_size: ClassVar[int] = 4

    def preprocess_window(self, frames: np.ndarray) -> Float32[np.ndarray, "t 3 h w"]:
        """Preprocess the frames of one window."""
        raise NotImplementedError

    def features(self, images: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        """Compute one row per window."""
        raise NotImplementedError

    def prepare(self, sample: Sample) -> Arrays:
        frames = get_frames(sample, FRAMES)
        return {
            "windows": np.stack(
                [self.preprocess_window(frames[i : i + FRAMES]) for i in window_starts(len(frames), FRAMES, FRAMES)]
            )
        }

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        joined = torch.from_numpy(np.concatenate([p["windows"] for p in prepared]))
        rows = torch.cat([self.features(some.to(self.device)) for some in joined.split(self.chunk_size)]).float().cpu().numpy()
        parts = np.split(rows, np.cumsum([len(p["windows"]) for p in prepared])[:-1])
        return [{"features": part} for part in parts]

    device: str = "cpu"


class ContentDebiased(WindowExtractor):
    """`features` [k 1408], a row per window of 16 frames, resized to 224x224 without keeping the aspect ratio, in [0, 1]."""

    name = "videomae_v2_g_ssv2"
    what = "VideoMAE-v2-g fine-tuned on Something-Something v2, cd-fvd's network"
    weights = (
        WeightFile(
            "vit_g_hybrid_pt_1200e_ssv2_ft.pth",
            "model OpenGVLab/InternVideoMAE_models of the Hugging Face hub (2.02 GB)",
            sha256="5a210a92f035dff30c53b46157b612e7a1a5d3c99700e1b2d71da5c399ca7e70",
        ),
    )
    settings: ClassVar = {
        "windows": "16 frames in a row, none shared",
        "resize": "squash to 224x224, bilinear, no antialias",
        "range": "0 to 1, no mean and deviation",
    }
    batch_size = 1
    chunk_size = 1
    sizes: ClassVar[Mapping[str, Any]] = {}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        file = Path(files[0])
        build = partial(VideoMaeGiant, **self.sizes)
        self.network, self.device = build_network(build, read_state_dict(file), name=file.name, device=device), device

    def preprocess_window(self, frames: np.ndarray) -> Float32[np.ndarray, "t 3 h w"]:
        return resize_frames(frames, (SIDE, SIDE))

    def features(self, images: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        return self.network(images.transpose(1, 2))


class VideoMaeBase(WindowExtractor):
    """`features` [k 768], a row per window of 16 frames: the normalised mean over tokens, the input of the classifier."""

    name = "videomae_base_ssv2"
    what = "VideoMAE base fine-tuned on Something-Something v2, a smaller network than cd-fvd's"
    weights = (
        WeightFile(
            "MCG-NJU/videomae-base-finetuned-ssv2",
            "the Hugging Face hub (0.4 GB; hf download MCG-NJU/videomae-base-finetuned-ssv2)",
            licence="CC BY-NC 4.0",
        ),
    )
    settings: ClassVar = {
        "windows": "16 frames in a row, none shared",
        "resize": "shorter side to 224, bilinear, no antialias, middle 224x224",
        "range": "ImageNet's mean and deviation",
    }

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        folder = Path(files[0])
        self.model, self.device = load_model(folder, "VideoMAEForVideoClassification", "videomae", device=device), device
        config = self.model.config
        if config.num_frames != FRAMES or self.model.fc_norm is None:
            raise ValueError(f"{folder}: {config.num_frames} frames or no mean over tokens; expected {self.weights[0].name}")
        self.side = config.image_size

    def preprocess_window(self, frames: np.ndarray) -> Float32[np.ndarray, "t 3 h w"]:
        return normalize_frames(resize_and_crop(frames, SIDE, SIDE), IMAGENET)

    def features(self, images: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        return self.model.fc_norm(self.model.videomae(pixel_values=images).last_hidden_state.mean(1))
