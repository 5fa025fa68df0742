"""Synchformer's video and audio tokens, and the offset that it predicts from them: DeSync as in av-benchmark.

The streams are extracted separately, so that any audio can be combined with any video. The joint transformer, the last part of
the network, is loaded again from the weight file that the tokens came from.
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

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, UnusableClipError, WeightFile
from sonovid.metrics.extractors.clap import get_waveform
from sonovid.metrics.extractors.frames import get_frames, window_starts
from sonovid.metrics.extractors.synchformer_network import BINS, FRAMES, MEL_FRAMES, SEGMENTS, SIDE, Synchformer
from sonovid.metrics.extractors.weights import build_network, find_weights, read_state_dict
from sonovid.metrics.scores import segment_spans

FPS, SAMPLE_RATE = Fraction(25), 16000
# A segment lasts 0.64 s, and one starts every 0.32 s.
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
# In the file but not used for offsets: a second, 2-D patch embedding.
UNUSED = ("vfeat_extractor.patch_embed.proj.weight", "vfeat_extractor.patch_embed.proj.bias")


def load_synchformer(file: Path, sizes: Mapping[str, Any], device: str = "cpu") -> Synchformer:
    """Load the network from a file.

    Raises:
        ValueError: the weights belong to another network.
    """
    return build_network(partial(Synchformer, **sizes), read_state_dict(file), name=file.name, device=device, ignored=UNUSED)


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def filters() -> Float[Tensor, "s f"]:
    """128 triangular filters of height one, linear in hertz, with edges spaced on HTK's mel scale, 0 to 8000 Hz (torchaudio)."""
    edges = 700 * torch.expm1(torch.linspace(0, float(np.log1p(8000 / 700)), BINS + 2, dtype=torch.float64))
    hz = torch.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1, dtype=torch.float64)[:, None]
    rising, falling = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float()


def log_mel(segments: Float[Tensor, "k n"]) -> Float[Tensor, "k l f"]:
    """Log-mel spectrograms of audio segments: log(power + 1e-6), zero-padded to 66 frames, then normalised.

    Windows of 400 samples every 160, FFT size 1024, centred with reflection padding.
    """
    window = torch.hann_window(WINDOW, device=segments.device)
    spectrum = torch.stft(segments, N_FFT, HOP, WINDOW, window, center=True, pad_mode="reflect", return_complex=True)
    mel = torch.log((spectrum.real.square() + spectrum.imag.square()).mT @ filters().to(segments) + 1e-6)
    mel = F.pad(mel, (0, 0, 0, MEL_FRAMES - mel.shape[1]))
    return (mel - MEAN) / (2 * DEVIATION)


def resize_and_crop_frames(frames: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "t s s 3"]:
    """Resize the shorter side to 224 (bicubic with antialiasing, rounded to uint8), and crop the centre square."""
    height, width = frames.shape[1:3]
    scale = SIDE / min(height, width)
    size = (SIDE, max(SIDE, int(width * scale))) if height <= width else (max(SIDE, int(height * scale)), SIDE)
    done = np.empty((len(frames), SIDE, SIDE, 3), np.uint8)
    top, left = (round((side - SIDE) / 2) for side in size)
    for i, frame in enumerate(frames):
        image = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
        if frame.shape[:2] != size:
            image = F.interpolate(image, size, mode="bicubic", align_corners=False, antialias=True).round().clamp(0, 255)
        done[i] = image[0, :, top : top + SIDE, left : left + SIDE].permute(1, 2, 0).byte().numpy()
    return done


class SyncTokens(Extractor):
    """Base of the video and the audio extractor."""

    weights = (WEIGHTS,)
    batch_size = 1
    # Segments per forward pass.
    chunk_size: ClassVar[int] = 4
    # Overrides of the published sizes, for tests.
    sizes: ClassVar[Mapping[str, Any]] = {}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.file, self.device = Path(files[0]), device
        self.network = load_synchformer(self.file, self.sizes, device)

    def tokens(self, segment: Tensor) -> Tensor:
        """The tokens of some segments."""
        raise NotImplementedError

    @torch.inference_mode()
    def embed_segments(self, segments: Sequence[Tensor]) -> Arrays:
        """The tokens of all segments, and the path of the weights for the joint transformer."""
        some = [torch.stack(list(segments[i : i + self.chunk_size])) for i in range(0, len(segments), self.chunk_size)]
        rows = torch.cat([self.tokens(part.to(self.device)) for part in some]).float().cpu().numpy()
        # As bytes, because features are stored as tensors.
        return {"tokens": rows, "weights": np.frombuffer(str(self.file.resolve()).encode(), np.uint8)}


class SyncVideo(SyncTokens):
    """`tokens` [s 8 768] of the s segments of the first 10 s of video."""

    name = "synchformer_video"
    what = "Synchformer's video tokens"
    input_spec: ClassVar[InputSpec] = InputSpec(video=True, fps=FPS, seconds=SECONDS)
    settings: ClassVar = {
        "resize": "shorter side to 224, bicubic with antialias, rounded, middle 224x224",
        "segments": "16 frames every 8, at 25 per second",
    }

    def prepare(self, sample: Sample) -> Arrays:
        frames = get_frames(sample)
        if len(window_starts(len(frames), FRAMES, STEP)) < SEGMENTS:
            raise UnusableClipError(f"has {float(len(frames) / FPS):.2f} s of video; Synchformer needs {LEAST} s")
        return {"frames": resize_and_crop_frames(frames)}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        done = []
        for frames in (p["frames"] for p in prepared):
            images = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
            done.append(
                self.embed_segments([images[i : i + FRAMES].transpose(0, 1) for i in window_starts(len(frames), FRAMES, STEP)])
            )
        return done

    def tokens(self, segment: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b k d"]:
        return self.network.encode_video(segment)


class SyncAudio(SyncTokens):
    """`tokens` [s 6 768] of the s segments of the first 10 s of audio."""

    name = "synchformer_audio"
    what = "Synchformer's audio tokens"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=True, seconds=SECONDS)
    settings: ClassVar = {"segments": "0.64 s every 0.32 s", "front end": "log-mel of each segment, filled up with zeros"}
    chunk_size = 14

    def prepare(self, sample: Sample) -> Arrays:
        waveform = get_waveform(sample)
        if len(window_starts(len(waveform), SAMPLES, SAMPLE_STEP)) < SEGMENTS:
            raise UnusableClipError(f"has {len(waveform) / SAMPLE_RATE:.2f} s of audio; Synchformer needs {LEAST} s")
        return {"waveform": waveform}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        done = []
        for waveform in (torch.from_numpy(p["waveform"]) for p in prepared):
            mel = log_mel(torch.stack([waveform[i : i + SAMPLES] for i in window_starts(len(waveform), SAMPLES, SAMPLE_STEP)]))
            done.append(self.embed_segments(list(mel)))
        return done

    def tokens(self, segment: Float[Tensor, "b l f"]) -> Float[Tensor, "b k d"]:
        return self.network.encode_audio(segment)


def offset_logits(video: Arrays, audio: Arrays, sizes: Mapping[str, Any] | None = None) -> Float32[np.ndarray, "2 c"]:
    """Logits over 21 offsets for the first and the last 14 segments of a video with an audio.

    Of different lengths the shorter counts.

    Raises:
        UnavailableError: the weight file is neither where the tokens came from nor in the weights folder.
    """
    count = min(len(video["tokens"]), len(audio["tokens"]))
    file = Path(np.asarray(video["weights"], np.uint8).tobytes().decode())
    joint = _joint(file if file.is_file() else find_weights(WEIGHTS).path, tuple((sizes or {}).items()))
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
    return load_synchformer(file, dict(sizes)).transformer
