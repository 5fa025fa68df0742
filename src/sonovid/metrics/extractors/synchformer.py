"""Synchformer's tokens of pictures and of sound, and the offset that it hears between them: DeSync as av-benchmark computes it.

Both streams are extracted apart, so that any sound can be put to any pictures; what joins them is the last part of the network,
which reads its weights again from the file that the tokens came from.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from sonovid.metrics.base import Arrays, Extractor, Material, Reading, Unfit, WeightFile
from sonovid.metrics.extractors.clap import waveform_of
from sonovid.metrics.extractors.pictures import frames_of, windows
from sonovid.metrics.extractors.synchformer_network import BINS, FRAMES, MEL_FRAMES, SEGMENTS, SIDE, Synchformer
from sonovid.metrics.extractors.weights import filled, find, read_state
from sonovid.metrics.scores import segment_spans

FPS, SAMPLE_RATE = Fraction(25), 16000
# A segment is 0.64 s, and one begins every 0.32 s.
STEP = FRAMES // 2
SAMPLES, SAMPLE_STEP = 10240, 5120
WINDOW, HOP, N_FFT = 400, 160, 1024
MEAN, DEVIATION = -4.2677393, 4.5689974
LEAST = 4.8
SECONDS = Fraction(10)

WEIGHTS = WeightFile(
    "synchformer_state_dict.pth",
    "https://github.com/hkchengrex/MMAudio/releases/download/v0.1/synchformer_state_dict.pth (0.95 GB)",
    licence="MIT",
    md5="5b2f5594b0730f70e41e549b7c94390c",
)
# In the file, and in no path to an offset: a second, flat way to cut pictures into patches.
UNUSED = ("vfeat_extractor.patch_embed.proj.weight", "vfeat_extractor.patch_embed.proj.bias")


def network_of(file: Path, sizes: Mapping[str, Any], device: str = "cpu") -> Synchformer:
    """The network with the weights of a file.

    Raises:
        ValueError: those of another one.
    """
    return filled(partial(Synchformer, **sizes), read_state(file), name=file.name, device=device, passed_over=UNUSED)


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def filters() -> Float[Tensor, "s f"]:
    """128 triangles of height one, straight in hertz between edges that HTK's mel scale spaces, 0 to 8000 Hz (torchaudio's)."""
    edges = 700 * torch.expm1(torch.linspace(0, float(np.log1p(8000 / 700)), BINS + 2, dtype=torch.float64))
    hz = torch.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1, dtype=torch.float64)[:, None]
    rising, falling = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float()


def log_mel(segments: Float[Tensor, "k n"]) -> Float[Tensor, "k l f"]:
    """Segments of sound as the network hears them: log(power + 1e-6), filled up with zeros to 66 frames, then normalised.

    Windows of 400 samples every 160 in transforms of 1024, centred and reflected.
    """
    window = torch.hann_window(WINDOW, device=segments.device)
    spectrum = torch.stft(segments, N_FFT, HOP, WINDOW, window, center=True, pad_mode="reflect", return_complex=True)
    mel = torch.log((spectrum.real.square() + spectrum.imag.square()).mT @ filters().to(segments) + 1e-6)
    mel = F.pad(mel, (0, 0, 0, MEL_FRAMES - mel.shape[1]))
    return (mel - MEAN) / (2 * DEVIATION)


def middle(frames: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "t s s 3"]:
    """Shorter side to 224 (bicubic with antialias, rounded to whole grey levels), and the middle square."""
    height, width = frames.shape[1:3]
    scale = SIDE / min(height, width)
    size = (SIDE, max(SIDE, int(width * scale))) if height <= width else (max(SIDE, int(height * scale)), SIDE)
    done = np.empty((len(frames), SIDE, SIDE, 3), np.uint8)
    top, left = (round((side - SIDE) / 2) for side in size)
    for i, frame in enumerate(frames):
        picture = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
        if frame.shape[:2] != size:
            picture = F.interpolate(picture, size, mode="bicubic", align_corners=False, antialias=True).round().clamp(0, 255)
        done[i] = picture[0, :, top : top + SIDE, left : left + SIDE].permute(1, 2, 0).byte().numpy()
    return done


class SyncTokens(Extractor):
    """What both halves have in common."""

    weights = (WEIGHTS,)
    batch_size = 1
    # Segments that go through the network at a time.
    at_once: ClassVar[int] = 4
    # Sizes of the published network.
    sizes: ClassVar[Mapping[str, Any]] = {}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.file, self.device = Path(files[0]), device
        self.network = network_of(self.file, self.sizes, device)

    def tokens(self, segment: Tensor) -> Tensor:
        """Tokens of some segments."""
        raise NotImplementedError

    @torch.inference_mode()
    def of_segments(self, segments: Sequence[Tensor]) -> Arrays:
        """Tokens of all segments, and where the weights lie that can join them."""
        some = [torch.stack(list(segments[i : i + self.at_once])) for i in range(0, len(segments), self.at_once)]
        rows = torch.cat([self.tokens(part.to(self.device)) for part in some]).float().cpu().numpy()
        # As bytes, since features are kept as tensors.
        return {"tokens": rows, "weights": np.frombuffer(str(self.file.resolve()).encode(), np.uint8)}


class SyncVideo(SyncTokens):
    """`tokens` [s 8 768] of the s segments of the first 10 s of pictures."""

    name = "synchformer_video"
    what = "Synchformer's tokens of pictures"
    reading: ClassVar[Reading] = Reading(video=True, fps=FPS, seconds=SECONDS)
    settings: ClassVar = {
        "resize": "shorter side to 224, bicubic with antialias, rounded, middle 224x224",
        "segments": "16 frames every 8, at 25 per second",
    }

    def prepare(self, material: Material) -> Arrays:
        frames = frames_of(material)
        if len(windows(len(frames), FRAMES, STEP)) < SEGMENTS:
            raise Unfit(f"has {float(len(frames) / FPS):.2f} s of pictures; Synchformer needs {LEAST} s")
        return {"frames": middle(frames)}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        done = []
        for frames in (p["frames"] for p in prepared):
            pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
            done.append(self.of_segments([pictures[i : i + FRAMES].transpose(0, 1) for i in windows(len(frames), FRAMES, STEP)]))
        return done

    def tokens(self, segment: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b k d"]:
        return self.network.encode_video(segment)


class SyncAudio(SyncTokens):
    """`tokens` [s 6 768] of the s segments of the first 10 s of sound."""

    name = "synchformer_audio"
    what = "Synchformer's tokens of sound"
    reading: ClassVar[Reading] = Reading(audio=True, sample_rate=SAMPLE_RATE, mono=True, seconds=SECONDS)
    settings: ClassVar = {"segments": "0.64 s every 0.32 s", "front end": "log-mel of each segment, filled up with zeros"}
    at_once = 14

    def prepare(self, material: Material) -> Arrays:
        waveform = waveform_of(material)
        if len(windows(len(waveform), SAMPLES, SAMPLE_STEP)) < SEGMENTS:
            raise Unfit(f"has {len(waveform) / SAMPLE_RATE:.2f} s of sound; Synchformer needs {LEAST} s")
        return {"waveform": waveform}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        done = []
        for waveform in (torch.from_numpy(p["waveform"]) for p in prepared):
            mel = log_mel(torch.stack([waveform[i : i + SAMPLES] for i in windows(len(waveform), SAMPLES, SAMPLE_STEP)]))
            done.append(self.of_segments(list(mel)))
        return done

    def tokens(self, segment: Float[Tensor, "b l f"]) -> Float[Tensor, "b k d"]:
        return self.network.encode_audio(segment)


def offset_logits(video: Arrays, audio: Arrays, sizes: Mapping[str, Any] | None = None) -> Float32[np.ndarray, "2 c"]:
    """Logits over 21 offsets for the first and for the last 14 segments of some pictures with some sound.

    Of unequal lengths the shorter counts.

    Raises:
        Missing: the weights are no longer where the tokens came from, nor where weights are looked for.
    """
    count = min(len(video["tokens"]), len(audio["tokens"]))
    file = Path(np.asarray(video["weights"], np.uint8).tobytes().decode())
    joint = _joint(file if file.is_file() else find(WEIGHTS).path, tuple((sizes or {}).items()))
    first, last = segment_spans(count)
    with torch.inference_mode():
        pairs = [
            torch.stack([torch.from_numpy(np.asarray(one["tokens"][span])).flatten(0, 1) for span in (first, last)])
            for one in (video, audio)
        ]
        return joint(*pairs).numpy()


@lru_cache(maxsize=2)
@torch.inference_mode(False)
def _joint(file: Path, sizes: tuple[tuple[str, Any], ...]) -> torch.nn.Module:
    return network_of(file, dict(sizes)).transformer
