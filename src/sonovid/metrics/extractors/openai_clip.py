"""OpenAI's CLIP of transformers (Radford et al. 2021): embeddings of frames and captions."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, WeightFile
from sonovid.metrics.extractors.clap import embedding, get_caption
from sonovid.metrics.extractors.frames import CLIP, get_frames, normalize_frames, square_frames
from sonovid.metrics.extractors.pretrained import load_model, load_tokenizer

SIDE = 224

LARGE = WeightFile(
    "openai/clip-vit-large-patch14",
    "the Hugging Face hub (1.7 GB; hf download openai/clip-vit-large-patch14 --revision 32bd64288804)",
    licence="MIT (its code)",
    revision="32bd64288804d66eefd0ccbe215aa642df71cc41",
)
BASE = WeightFile(
    "openai/clip-vit-base-patch32",
    "the Hugging Face hub (0.6 GB; hf download openai/clip-vit-base-patch32 --revision 3d74acf9a28c)",
    licence="MIT (its code)",
    revision="3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
)


class ClipFrames(Extractor):
    """`features` [t d]: every frame as an image, at the file's own rate; rows are normalised to length one."""

    name = "clip_vit_l14"
    what = "CLIP's embedding of each frame, ViT-L/14"
    input_spec: ClassVar[InputSpec] = InputSpec(video=True)
    weights = (LARGE,)
    settings: ClassVar = {"resize": "shorter side to 224, bicubic with antialiasing, rounded; centre 224x224", "length": "one"}
    batch_size = 1
    # Frames per forward pass.
    chunk_size: ClassVar[int] = 16

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.model, self.device = load_model(Path(files[0]), "CLIPModel", "clip", device=device), device

    def prepare(self, sample: Sample) -> Arrays:
        return {"images": square_frames(get_frames(sample), SIDE)}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return [{"features": self._rows(np.asarray(p["images"]))} for p in prepared]

    def _rows(self, images: UInt8[np.ndarray, "t s s 3"]) -> Float32[np.ndarray, "t d"]:
        rows = []
        for i in range(0, len(images), self.chunk_size):
            some = images[i : i + self.chunk_size].transpose(0, 3, 1, 2).astype(np.float32) / 255
            pixels = torch.from_numpy(normalize_frames(some, CLIP)).to(self.device)
            rows.append(embedding(self.model.get_image_features(pixel_values=pixels)))
        return torch.nn.functional.normalize(torch.cat(rows), dim=-1).cpu().numpy()


class ClipCaption(Extractor):
    """`features` [d]: the caption's embedding, of length one."""

    name = "clip_vit_l14_text"
    what = "CLIP's embedding of the caption, of the same checkpoint"
    input_spec: ClassVar[InputSpec] = InputSpec(text=True)
    weights = (LARGE,)
    settings: ClassVar = {"text": "the caption as it is, at most 77 tokens", "length": "one"}
    batch_size = 32

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        folder = Path(files[0])
        self.model, self.device = load_model(folder, "CLIPModel", "clip", device=device), device
        self.tokenizer = load_tokenizer(folder)

    def prepare(self, sample: Sample) -> Arrays:
        return {"caption": get_caption(sample)}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        captions, longest = [str(p["caption"]) for p in prepared], self.model.config.text_config.max_position_embeddings
        tokens = self.tokenizer(captions, padding=True, truncation=True, max_length=longest, return_tensors="pt").to(self.device)
        output = self.model.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        rows = torch.nn.functional.normalize(embedding(output), dim=-1).cpu().numpy()
        return [{"features": row} for row in rows]


class ClipFramesBase(ClipFrames):
    """The same, of the smaller checkpoint."""

    name = "clip_vit_b32"
    what = "CLIP's embedding of each frame, ViT-B/32"
    weights = (BASE,)


class ClipCaptionBase(ClipCaption):
    """The same, of the smaller checkpoint."""

    name = "clip_vit_b32_text"
    weights = (BASE,)
