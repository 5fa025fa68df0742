"""ImageBind, from the user's own installation: joint embeddings of video, audio and text (Girdhar et al. 2023).

Its code and weights must not be used commercially (CC BY-NC-SA 4.0), so this package neither includes nor reimplements them. The
preprocessing is implemented here, following ImageBind's own loader.
"""

from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, UnavailableError, WeightFile
from sonovid.metrics.extractors.clap import get_caption, get_waveform
from sonovid.metrics.extractors.frames import CLIP, get_frames, normalize_frames, resize_short_side, square_frames
from sonovid.metrics.extractors.front_ends import kaldi_fbank
from sonovid.metrics.extractors.pretrained import first_line, quiet
from sonovid.metrics.extractors.weights import read_state_dict
from sonovid.metrics.scores import windows

SAMPLE_RATE, BINS, BANK_FRAMES = 16000, 128, 204
MEAN, DEVIATION = -4.268, 9.138
CLIP_SECONDS, VIDEO_CLIPS, AUDIO_CLIPS = 2, 5, 3
SIDE = 224
# JavisScore's windows in seconds, as in JavisBench's command line.
WINDOW, OVERLAP = 2.0, 1.5

WEIGHTS = WeightFile(
    "imagebind_huge.pth",
    "https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth (4.8 GB; it also takes ImageBind's own code, "
    "pip install git+https://github.com/facebookresearch/ImageBind)",
    sha256="d6f6c22bedcc90708448d5d2fbb7b2db9c73f505dc89bd0b2e09b23af1b62157",
    licence="CC BY-NC-SA 4.0, not for commercial use",
)


def import_imagebind() -> Any:
    """Import ImageBind's own module of networks.

    Raises:
        UnavailableError: it or one of its dependencies is not installed.
    """
    try:
        return import_module("imagebind.models.imagebind_model")
    except Exception as error:
        # Its dependencies fail in many ways if they do not match the installed torch.
        raise UnavailableError(
            f"ImageBind's code cannot be imported ({first_line(error)}): it is for non-commercial use and not part of "
            "this package; pip install git+https://github.com/facebookresearch/ImageBind"
        ) from None


def clip_starts(seconds: float | int, count: int) -> list[float]:
    """Start times of `count` clips of 2 s, evenly spaced over a clip; all 0 if it is no longer than 2 s."""
    room = max(0.0, seconds - CLIP_SECONDS)
    return [room * i / max(1, count - 1) for i in range(count)]


def filter_bank(waveform: Float32[np.ndarray, "n"]) -> Float32[np.ndarray, "1 f l"]:
    """Kaldi filter banks of a waveform with its mean removed, truncated or zero-padded to 204 frames, then normalised."""
    found = kaldi_fbank(torch.from_numpy(waveform - waveform.mean()), bins=BINS, sample_rate=SAMPLE_RATE).numpy().T
    found = np.pad(found[:, :BANK_FRAMES], ((0, 0), (0, max(0, BANK_FRAMES - found.shape[1]))))
    return ((found - MEAN) / DEVIATION).astype(np.float32)[None]


def side_crops(images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "3 t 3 s s"]:
    """Three square crops along the longer side: start, centre and end."""
    height, width = images.shape[-2:]
    places = (0, -(-(max(height, width) - SIDE) // 2), max(height, width) - SIDE)
    some = [images[..., p : p + SIDE, :] if height > width else images[..., :, p : p + SIDE] for p in places]
    return torch.stack(some)


class ImageBind(Extractor):
    """Base of the ImageBind extractors."""

    weights = (WEIGHTS,)
    batch_size = 2
    # Images, or clips of two frames, per forward pass.
    chunk_size: ClassVar[int] = 16

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        own, file = import_imagebind(), Path(files[0])
        self.device = device
        with quiet(), redirect_stdout(StringIO()):
            network = own.imagebind_huge(pretrained=False)
        state = read_state_dict(file)
        try:
            network.load_state_dict(state)
        except RuntimeError:
            own_keys = set(network.state_dict())
            differ = sorted(own_keys ^ set(state)) or ["shapes"]
            raise ValueError(f"{file.name}: weights of another network than ImageBind-huge: {differ[0]}") from None
        self.network = network.to(device).eval().requires_grad_(False)

    @torch.inference_mode()
    def embed_inputs(self, kind: str, inputs: Tensor) -> Float32[np.ndarray, "k d"]:
        """Embeddings of inputs of one modality: "vision", "audio" or "text"."""
        rows = [self.network({kind: part.to(self.device)})[kind] for part in inputs.split(self.chunk_size)]
        return torch.cat(rows).float().cpu().numpy()

    def embed_arrays(self, kind: str, prepared: Sequence[Arrays], key: str) -> list[np.ndarray]:
        """Embeddings of the arrays [k ...] of some samples, split by sample."""
        rows = self.embed_inputs(kind, torch.from_numpy(np.concatenate([p[key] for p in prepared])))
        return np.split(rows, np.cumsum([len(p[key]) for p in prepared])[:-1])


class ImageBindVideo(ImageBind):
    """`features` [1024]: the mean over 5 clips of 2 s, each with its first and last frame in 3 square crops."""

    name = "imagebind_huge_video"
    what = "ImageBind's embedding of a video, cut as by its own loader"
    input_spec: ClassVar[InputSpec] = InputSpec(video=True)
    settings: ClassVar = {
        "clips": "5 of 2 s, evenly; 2 frames each",
        "resize": "shorter side to 224, bilinear, no antialias; 3 squares",
    }
    chunk_size = 1

    def prepare(self, sample: Sample) -> Arrays:
        frames = get_frames(sample)
        assert sample.clip is not None
        fps, seconds = float(sample.clip.fps), float(sample.clip.seconds)
        clips = []
        for start in clip_starts(seconds, VIDEO_CLIPS):
            first = min(int(np.ceil(start * fps - 1e-6)), len(frames) - 1)
            last = min(max(first, int(np.ceil((start + CLIP_SECONDS) * fps - 1e-6)) - 1), len(frames) - 1)
            clips.append(side_crops(resize_short_side(frames[[first, last]], "bilinear", SIDE)))
        images = normalize_frames(torch.cat(clips).numpy(), CLIP)
        return {"video": rearrange(images, "k t c h w -> 1 k c t h w")}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return [{"features": rows[0]} for rows in self.embed_arrays("vision", prepared, "video")]


class ImageBindFrames(ImageBind):
    """`features` [t 1024]: every frame as an image, at the file's own rate; `times` [t] in seconds."""

    name = "imagebind_huge_frames"
    what = "ImageBind's embedding of each frame"
    input_spec: ClassVar[InputSpec] = InputSpec(video=True, seconds=None)
    settings: ClassVar = {"resize": "shorter side to 224, bicubic with antialias, middle 224x224"}
    batch_size = 1

    def prepare(self, sample: Sample) -> Arrays:
        frames = get_frames(sample)
        assert sample.clip is not None
        return {"pictures": square_frames(frames, SIDE), "times": np.arange(len(frames)) / float(sample.clip.fps)}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return [{"features": self._rows(p["pictures"]), "times": p["times"]} for p in prepared]

    def _rows(self, images: UInt8[np.ndarray, "t s s 3"]) -> Float32[np.ndarray, "t d"]:
        rows = []
        for i in range(0, len(images), self.chunk_size):
            some = rearrange(images[i : i + self.chunk_size].astype(np.float32) / 255, "t h w c -> t c h w")
            rows.append(self.embed_inputs("vision", torch.from_numpy(normalize_frames(some, CLIP))))
        return np.concatenate(rows)


class ImageBindAudio(ImageBind):
    """`features` [1024], the mean over 3 clips of 2 s; `windows` [w 1024] of 2 s every 0.5 s, and `spans` [w 2] in seconds."""

    name = "imagebind_huge_audio"
    what = "ImageBind's embedding of audio, cut as by its own loader, and of JavisScore's windows"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=True)
    settings: ClassVar = {
        "clips": "3 of 2 s, evenly",
        "windows": f"{WINDOW} s, overlapping by {OVERLAP} s",
        "front end": "Kaldi filter banks, 128 bins, 204 frames, zeros behind the end",
        "channels": "mixed to one (ImageBind hears the first alone)",
    }

    def prepare(self, sample: Sample) -> Arrays:
        waveform = get_waveform(sample, SAMPLE_RATE // 40)
        seconds = len(waveform) / SAMPLE_RATE
        clips = [self._cut(waveform, start, start + CLIP_SECONDS) for start in clip_starts(seconds, AUDIO_CLIPS)]
        spans = [span for span in windows(seconds, window=WINDOW, overlap=OVERLAP) if span[1] - span[0] >= 0.025]
        return {
            "clips": np.stack([filter_bank(clip) for clip in clips])[None],
            "windows": np.stack([filter_bank(self._cut(waveform, *span)) for span in spans])[:, None],
            "spans": np.array(spans),
        }

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        wholes, parts = (self.embed_arrays("audio", prepared, key) for key in ("clips", "windows"))
        return [
            {"features": whole[0], "windows": part, "spans": p["spans"]}
            for whole, part, p in zip(wholes, parts, prepared, strict=True)
        ]

    @staticmethod
    def _cut(waveform: np.ndarray, start: float, end: float) -> Float32[np.ndarray, "n"]:
        return waveform[int(start * SAMPLE_RATE) : max(int(end * SAMPLE_RATE), int(start * SAMPLE_RATE) + 400)]


class ImageBindText(ImageBind):
    """`features` [1024]: the caption's embedding; ImageBind's own tokenizer cuts it at 77 tokens."""

    name = "imagebind_huge_text"
    what = "ImageBind's embedding of the caption"
    input_spec: ClassVar[InputSpec] = InputSpec(text=True)
    settings: ClassVar = {"text": "the caption as it is"}
    batch_size = 16

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        super().load(files, device)
        try:
            self.tokens = import_module("imagebind.data").load_and_transform_text
        except Exception as error:
            raise UnavailableError(f"ImageBind's tokenizer cannot be imported ({first_line(error)}): reinstall it") from None

    def prepare(self, sample: Sample) -> Arrays:
        return {"caption": get_caption(sample)}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        tokens = self.tokens([str(p["caption"]) for p in prepared], "cpu")
        return [{"features": row} for row in self.embed_inputs("text", tokens)]


def frames_in_windows(frames: Arrays, audio: Arrays) -> tuple[list[np.ndarray], np.ndarray]:
    """The embeddings of the frames within each audio window, and of these windows; windows without frames are dropped."""
    spans, times = np.asarray(audio["spans"]), np.asarray(frames["times"])
    inside = [np.flatnonzero((times >= start - 1e-9) & (times < end - 1e-9)) for start, end in spans]
    kept = [i for i, some in enumerate(inside) if len(some)]
    return [np.asarray(frames["features"])[inside[i]] for i in kept], np.asarray(audio["windows"])[kept]
