"""V-JEPA 2 of transformers, for the kernel distance of JEDi (Luo et al. 2025), under a name of its own.

Deviation: JEDi's network is V-JEPA ViT-H/16 with the pooling of a probe trained on Something-Something v2, which no maintained
library loads. This is its successor with the mean over tokens. The distance is JEDi's, but the numbers are not comparable.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32
from torch import Tensor

from sonovid.metrics.base import WeightFile
from sonovid.metrics.extractors.frames import IMAGENET, normalize_frames, resize_and_crop
from sonovid.metrics.extractors.pretrained import load_model
from sonovid.metrics.extractors.videomae import WindowExtractor

SIDE, SHORT = 256, 292


class VJepa2(WindowExtractor):
    """`features` [k 1024], a row per window of 16 frames: the mean of the encoder's tokens."""

    name = "vjepa2_vitl"
    what = "V-JEPA 2 ViT-L's features, the mean over tokens"
    weights = (
        WeightFile(
            "facebook/vjepa2-vitl-fpc64-256",
            "the Hugging Face hub (1.3 GB; hf download facebook/vjepa2-vitl-fpc64-256 --revision b3c1679b7c34)",
            licence="MIT",
            revision="b3c1679b7c34d3255ef3547f27c7b226aefab26f",
        ),
    )
    settings: ClassVar = {
        "windows": "16 frames in a row, none shared",
        "resize": "shorter side to 292, bilinear, no antialias, middle 256x256",
        "range": "ImageNet's mean and deviation",
        "pooling": "mean over tokens",
    }

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.model, self.device = load_model(Path(files[0]), "VJEPA2Model", "vjepa2", device=device), device

    def preprocess_window(self, frames: np.ndarray) -> Float32[np.ndarray, "t 3 h w"]:
        return normalize_frames(resize_and_crop(frames, SHORT, SIDE), IMAGENET)

    def features(self, images: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        return self.model.get_vision_features(images).mean(1)
