"""ImageBind through the user's own install: pictures, sounds and words in one space (Girdhar et al. 2023).

Its code and its weights may be used for no commercial end (CC BY-NC-SA 4.0), so that neither comes with this package nor is
written anew here. What the network is shown is made here, by the rules of ImageBind's own loader.
"""

from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from sonovid.metrics.base import Arrays, Extractor, Material, Missing, Reading, WeightFile
from sonovid.metrics.extractors.clap import caption_of, waveform_of
from sonovid.metrics.extractors.front_ends import kaldi_fbank
from sonovid.metrics.extractors.pictures import CLIP, frames_of, normalised
from sonovid.metrics.extractors.pretrained import first_line, quiet
from sonovid.metrics.extractors.weights import read_state
from sonovid.metrics.scores import windows

SAMPLE_RATE, BINS, BANK_FRAMES = 16000, 128, 204
MEAN, DEVIATION = -4.268, 9.138
CLIP_SECONDS, VIDEO_CLIPS, AUDIO_CLIPS = 2, 5, 3
SIDE = 224
# JavisScore's windows, in seconds, as JavisBench calls it.
WINDOW, OVERLAP = 2.0, 1.5

WEIGHTS = WeightFile(
    "imagebind_huge.pth",
    "https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth (4.8 GB; it also takes ImageBind's own code, "
    "pip install git+https://github.com/facebookresearch/ImageBind)",
    sha256="d6f6c22bedcc90708448d5d2fbb7b2db9c73f505dc89bd0b2e09b23af1b62157",
    licence="CC BY-NC-SA 4.0, not for commercial use",
)


def installed() -> Any:
    """ImageBind's own module of networks.

    Raises:
        Missing: it is not installed, or something that it needs is not.
    """
    try:
        return import_module("imagebind.models.imagebind_model")
    except Exception as error:
        # Its dependencies fail in many ways where they do not fit the torch that is installed.
        raise Missing(
            f"ImageBind's code cannot be imported ({first_line(error)}): it is for non-commercial use and not part of "
            "this package; pip install git+https://github.com/facebookresearch/ImageBind"
        ) from None


def spread(seconds: float | int, count: int) -> list[float]:
    """Where `count` clips of 2 s begin so that they cover a clip evenly; all at nought where it is no longer than one."""
    room = max(0.0, seconds - CLIP_SECONDS)
    return [room * i / max(1, count - 1) for i in range(count)]


def bank(waveform: Float32[np.ndarray, "n"]) -> Float32[np.ndarray, "1 f l"]:
    """Kaldi filter banks of a sound, its mean removed before, cut or filled up with zeros to 204 frames, then normalised."""
    found = kaldi_fbank(torch.from_numpy(waveform - waveform.mean()), bins=BINS, sample_rate=SAMPLE_RATE).numpy().T
    found = np.pad(found[:, :BANK_FRAMES], ((0, 0), (0, max(0, BANK_FRAMES - found.shape[1]))))
    return ((found - MEAN) / DEVIATION).astype(np.float32)[None]


def short_side(frames: UInt8[np.ndarray, "t h w 3"], mode: str) -> Float[Tensor, "t 3 h2 w2"]:
    """Frames in [0, 1] whose shorter side is 224; bicubic with antialias as Pillow's, bilinear without."""
    height, width = frames.shape[1:3]
    scale = SIDE / min(height, width)
    size = (SIDE, int(width * scale)) if height <= width else (int(height * scale), SIDE)
    pictures = rearrange(torch.from_numpy(np.ascontiguousarray(frames)), "t h w c -> t c h w").float() / 255
    return F.interpolate(pictures, size, mode=mode, align_corners=False, antialias=mode == "bicubic").clamp(0, 1)


def crops(pictures: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "3 t 3 s s"]:
    """Three squares along the longer side: its beginning, its middle and its end."""
    height, width = pictures.shape[-2:]
    places = (0, -(-(max(height, width) - SIDE) // 2), max(height, width) - SIDE)
    some = [pictures[..., p : p + SIDE, :] if height > width else pictures[..., :, p : p + SIDE] for p in places]
    return torch.stack(some)


class ImageBind(Extractor):
    """What the halves have in common."""

    weights = (WEIGHTS,)
    batch_size = 2
    # Pictures, or clips of two, that go through the network at a time.
    at_once: ClassVar[int] = 16

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        own, file = installed(), Path(files[0])
        self.device = device
        with quiet(), redirect_stdout(StringIO()):
            network = own.imagebind_huge(pretrained=False)
        state = read_state(file)
        try:
            network.load_state_dict(state)
        except RuntimeError:
            own_keys = set(network.state_dict())
            differ = sorted(own_keys ^ set(state)) or ["shapes"]
            raise ValueError(f"{file.name}: weights of another network than ImageBind-huge: {differ[0]}") from None
        self.network = network.to(device).eval().requires_grad_(False)

    @torch.inference_mode()
    def embedded(self, kind: str, inputs: Tensor) -> Float32[np.ndarray, "k d"]:
        """Embeddings of some inputs of one kind: "vision", "audio" or "text"."""
        rows = [self.network({kind: part.to(self.device)})[kind] for part in inputs.split(self.at_once)]
        return torch.cat(rows).float().cpu().numpy()

    def split(self, kind: str, prepared: Sequence[Arrays], key: str) -> list[np.ndarray]:
        """Embeddings of arrays [k ...] of some samples, given back sample by sample."""
        rows = self.embedded(kind, torch.from_numpy(np.concatenate([p[key] for p in prepared])))
        return np.split(rows, np.cumsum([len(p[key]) for p in prepared])[:-1])


class ImageBindVideo(ImageBind):
    """`features` [1024]: the mean over 5 clips of 2 s, of their first and last frame, in 3 squares each."""

    name = "imagebind_huge_video"
    what = "ImageBind's embedding of a video, as its own loader cuts it"
    reading: ClassVar[Reading] = Reading(video=True)
    settings: ClassVar = {
        "clips": "5 of 2 s, evenly; 2 frames each",
        "resize": "shorter side to 224, bilinear, no antialias; 3 squares",
    }
    at_once = 1

    def prepare(self, material: Material) -> Arrays:
        frames = frames_of(material)
        assert material.clip is not None
        fps, seconds = float(material.clip.fps), float(material.clip.seconds)
        clips = []
        for start in spread(seconds, VIDEO_CLIPS):
            first = min(int(np.ceil(start * fps - 1e-6)), len(frames) - 1)
            last = min(max(first, int(np.ceil((start + CLIP_SECONDS) * fps - 1e-6)) - 1), len(frames) - 1)
            clips.append(crops(short_side(frames[[first, last]], "bilinear")))
        pictures = normalised(torch.cat(clips).numpy(), CLIP)
        return {"video": rearrange(pictures, "k t c h w -> 1 k c t h w")}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return [{"features": rows[0]} for rows in self.split("vision", prepared, "video")]


class ImageBindFrames(ImageBind):
    """`features` [t 1024]: every frame as a picture, at the file's own rate; `times` [t] in seconds, and `seconds`."""

    name = "imagebind_huge_frames"
    what = "ImageBind's embedding of each frame"
    reading: ClassVar[Reading] = Reading(video=True, seconds=None)
    settings: ClassVar = {"resize": "shorter side to 224, bicubic with antialias, middle 224x224"}
    batch_size = 1

    def prepare(self, material: Material) -> Arrays:
        frames = frames_of(material)
        assert material.clip is not None
        done = np.empty((len(frames), SIDE, SIDE, 3), np.uint8)
        for i in range(len(frames)):
            # Frame by frame and in whole grey levels, which is what Pillow gives and a quarter of the memory.
            picture = short_side(frames[i : i + 1], "bicubic")
            top, left = (round((side - SIDE) / 2) for side in picture.shape[-2:])
            square = picture[0, :, top : top + SIDE, left : left + SIDE] * 255
            done[i] = square.round().byte().permute(1, 2, 0).numpy()
        return {"pictures": done, "times": np.arange(len(frames)) / float(material.clip.fps)}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return [{"features": self._rows(p["pictures"]), "times": p["times"]} for p in prepared]

    def _rows(self, pictures: UInt8[np.ndarray, "t s s 3"]) -> Float32[np.ndarray, "t d"]:
        rows = []
        for i in range(0, len(pictures), self.at_once):
            some = rearrange(pictures[i : i + self.at_once].astype(np.float32) / 255, "t h w c -> t c h w")
            rows.append(self.embedded("vision", torch.from_numpy(normalised(some, CLIP))))
        return np.concatenate(rows)


class ImageBindAudio(ImageBind):
    """`features` [1024], the mean over 3 clips of 2 s; `windows` [w 1024] of 2 s every 0.5 s, and `spans` [w 2] in seconds."""

    name = "imagebind_huge_audio"
    what = "ImageBind's embedding of a sound, as its own loader cuts it, and of JavisScore's windows"
    reading: ClassVar[Reading] = Reading(audio=True, sample_rate=SAMPLE_RATE, mono=True)
    settings: ClassVar = {
        "clips": "3 of 2 s, evenly",
        "windows": f"{WINDOW} s, overlapping by {OVERLAP} s",
        "front end": "Kaldi filter banks, 128 bins, 204 frames, zeros behind the end",
        "channels": "mixed to one (ImageBind hears the first alone)",
    }

    def prepare(self, material: Material) -> Arrays:
        waveform = waveform_of(material, SAMPLE_RATE // 40)
        seconds = len(waveform) / SAMPLE_RATE
        clips = [self._cut(waveform, start, start + CLIP_SECONDS) for start in spread(seconds, AUDIO_CLIPS)]
        spans = [span for span in windows(seconds, window=WINDOW, overlap=OVERLAP) if span[1] - span[0] >= 0.025]
        return {
            "clips": np.stack([bank(clip) for clip in clips])[None],
            "windows": np.stack([bank(self._cut(waveform, *span)) for span in spans])[:, None],
            "spans": np.array(spans),
        }

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        wholes, parts = (self.split("audio", prepared, key) for key in ("clips", "windows"))
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
    reading: ClassVar[Reading] = Reading(text=True)
    settings: ClassVar = {"text": "the caption as it is"}
    batch_size = 16

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        super().load(files, device)
        try:
            self.tokens = import_module("imagebind.data").load_and_transform_text
        except Exception as error:
            raise Missing(f"ImageBind's tokenizer cannot be imported ({first_line(error)}): repair its install") from None

    def prepare(self, material: Material) -> Arrays:
        return {"caption": caption_of(material)}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        tokens = self.tokens([str(p["caption"]) for p in prepared], "cpu")
        return [{"features": row} for row in self.embedded("text", tokens)]


def windows_of(frames: Arrays, audio: Arrays) -> tuple[list[np.ndarray], np.ndarray]:
    """Embeddings of the frames within each of a sound's windows, and of those windows, as far as there are frames."""
    spans, times = np.asarray(audio["spans"]), np.asarray(frames["times"])
    inside = [np.flatnonzero((times >= start - 1e-9) & (times < end - 1e-9)) for start, end in spans]
    kept = [i for i, some in enumerate(inside) if len(some)]
    return [np.asarray(frames["features"])[inside[i]] for i in kept], np.asarray(audio["windows"])[kept]
