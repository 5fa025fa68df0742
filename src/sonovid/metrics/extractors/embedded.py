"""The embedded extractors: video and audio features, and step embeddings for synchronisation, from networks in the package.

The networks were trained on procedural scenes only (docs/embedded-extractors.md). They rank models of such scenes and say little
about other videos.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, UnusableClipError
from sonovid.metrics.extractors.scene_networks import (
    FPS,
    REACH,
    SAMPLE_RATE,
    SIZE,
    STEP_RATE,
    SceneAudio,
    SceneSync,
    SceneVideo,
)
from sonovid.metrics.extractors.weights import build_network, file_sha256, read_state_dict

FILE = Path(__file__).parents[2] / "weights_metrics" / "scenes.safetensors"
SHA256 = "f1fff45a964ed0bcdefd063a1c08e93b222a47b704935b6865faf29d3d8b2597"
# A window in frames, and the shortest clip that is used as one.
WINDOW, SHORTEST = 2 * FPS, 3 * FPS // 2
PER_FRAME = SAMPLE_RATE // FPS
# How many samples the audio may be shorter than the video, because of codec padding and rounded lengths.
SLACK = SAMPLE_RATE // 25


class SceneNetworks(nn.Module):
    """The three networks in one state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.video, self.audio, self.sync = SceneVideo(), SceneAudio(), SceneSync()


def networks(path: Path = FILE, checksum: str | None = None) -> SceneNetworks:
    """Load the networks in evaluation mode, on the CPU.

    Args:
        path: of the weights.
        checksum: the file's SHA-256; None: that of the packaged file.

    Raises:
        ValueError: no such file, a wrong checksum, or weights of other networks.
    """
    if not path.is_file():
        raise ValueError(f"{path}: the weights of the embedded extractors are missing; reinstall sonovid")
    found, expected = file_sha256(path), SHA256 if checksum is None else checksum
    if found != expected:
        raise ValueError(f"{path}: SHA-256 {found[:12]}..., expected {expected[:12]}...: not the weights of this version")
    return build_network(SceneNetworks, read_state_dict(path), name=path.name)


@lru_cache(maxsize=1)
def packaged_networks() -> SceneNetworks:
    """The packaged networks, loaded once."""
    return networks()


def split_frames(frames: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "k s h w 3"]:
    """Split frames into whole windows of 2 s. A clip of 1.5 to 2 s is one window of its own length.

    Raises:
        UnusableClipError: the clip is shorter than 1.5 s.
    """
    if len(frames) < SHORTEST:
        raise UnusableClipError(f"video of {len(frames) / FPS:.2f} s; the embedded extractor needs {SHORTEST / FPS:g} s")
    length = min(len(frames), WINDOW)
    return rearrange(frames[: len(frames) // length * length], "(k s) h w c -> k s h w c", s=length)


def split_audio(waveform: Float32[np.ndarray, "n"]) -> Float32[np.ndarray, "k s"]:
    """Split audio at 16 kHz into the same windows. Up to 40 ms missing at the end are filled with silence.

    Raises:
        UnusableClipError: the clip is shorter than 1.5 s, or contains NaN or infinity.
    """
    if not np.isfinite(waveform).all():
        raise UnusableClipError("the audio contains NaN or infinity")
    frames = (len(waveform) + SLACK) // PER_FRAME
    if frames < SHORTEST:
        raise UnusableClipError(
            f"audio of {len(waveform) / SAMPLE_RATE:.2f} s; the embedded extractor needs {SHORTEST / FPS:g} s"
        )
    length = min(frames, WINDOW)
    count = frames // length * length * PER_FRAME
    padded = np.pad(waveform, (0, max(0, count - len(waveform))))[:count]
    return rearrange(padded, "(k s) -> k s", s=length * PER_FRAME)


class _Scenes(Extractor):
    """Base of both extractors. Arrays: `features` [k 32] and `steps` [k s 64], for k windows, 32 steps per second."""

    settings: ClassVar[Mapping[str, Any]] = {"weights": FILE.name, "sha256": SHA256, "window": "2 s, from 1.5 s", "stride": "2 s"}

    def __init__(self) -> None:
        self.device = "cpu"
        self.network: nn.Module | None = None

    def _run(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        assert self.network is not None, "call load first"
        return self.network(windows)

    def _embedded(self, prepared: Sequence[Arrays], key: str) -> list[Arrays]:
        # One window at a time: a batched convolution differs in the last bits, and batches are no faster on a CPU.
        result: list[Arrays] = []
        with torch.inference_mode():
            for one in prepared:
                pairs = [self._run(torch.from_numpy(window[None]).to(self.device)) for window in one[key]]
                features, steps = (torch.cat(part).float().cpu().numpy() for part in zip(*pairs, strict=True))
                result.append({"features": features, "steps": steps})
        return result


class ScenesVideo(_Scenes):
    name = "scenes_video"
    what = "video of procedural scenes, 64x64 at 8 frames per second (in the package)"
    input_spec = InputSpec(video=True, fps=Fraction(FPS), size=(SIZE, SIZE))

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.device, self.network = device, packaged_networks().video.to(device)

    def prepare(self, sample: Sample) -> Arrays:
        """Windows of frames, uint8 [k s 64 64 3]."""
        if sample.clip is None or sample.clip.frames is None:
            raise UnusableClipError("no video")
        return {"frames": split_frames(sample.clip.frames)}

    def _run(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        return super()._run(rearrange(windows, "b t h w c -> b t c h w").float() / 255)

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return self._embedded(prepared, "frames")


class ScenesAudio(_Scenes):
    name = "scenes_audio"
    what = "audio of procedural scenes, 16 kHz (in the package)"
    input_spec = InputSpec(audio=True, sample_rate=SAMPLE_RATE)

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.device, self.network = device, packaged_networks().audio.to(device)

    def prepare(self, sample: Sample) -> Arrays:
        """Windows of samples, float32 [k n]."""
        if sample.clip is None or sample.clip.waveform is None:
            raise UnusableClipError("no audio")
        return {"waveform": split_audio(sample.clip.waveform[0])}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return self._embedded(prepared, "waveform")


# Offset ----------------------------------------------------------------------------------------------------------------------

OFFSETS = np.arange(-REACH, REACH + 1) * (1000 / STEP_RATE)
# The score falls linearly from 1 at offset 0 to 0 at this many ms.
TOLERANCE = 250.0


class Timing(NamedTuple):
    """The output of the synchronisation network for a clip.

    Attributes:
        score: in [0, 1]: the probability of each offset weighted by its closeness to zero, mean over windows.
        offset: in ms, positive if the audio is late, estimated from all windows; NaN if the streams look unrelated.
        related: the probability that video and audio belong together at an offset within half a second, mean over windows.
    """

    score: float
    offset: float
    related: float


def probabilities(video: Float[np.ndarray, "k s e"], audio: Float[np.ndarray, "j s2 e"]) -> Float[np.ndarray, "i o"]:
    """The probabilities of -500..500 ms in steps of 31.25 ms and of "unrelated", for each window of both streams, [i 34]."""
    count, length = min(len(video), len(audio)), min(video.shape[1], audio.shape[1])
    with torch.inference_mode():
        logits = packaged_networks().sync(
            torch.from_numpy(np.ascontiguousarray(video[:count, :length], np.float32)),
            torch.from_numpy(np.ascontiguousarray(audio[:count, :length], np.float32)),
        )
        return logits.double().softmax(1).numpy()


def timing(video: Float[np.ndarray, "k s e"], audio: Float[np.ndarray, "j s2 e"]) -> Timing:
    """Estimate the timing of a clip from the step embeddings of its video and its audio."""
    p = probabilities(video, audio)
    weights = np.clip(1 - np.abs(OFFSETS) / TOLERANCE, 0, 1)
    related = float(1 - p[:, -1].mean())
    # Windows are independent observations of one offset, so log probabilities add up. The estimate is the mean near the mode.
    total = np.log(np.maximum(p[:, :-1], 1e-12)).sum(0)
    top = int(total.argmax())
    near = slice(max(top - 2, 0), top + 3)
    share = np.exp(total[near] - total[top])
    offset = float((share * OFFSETS[near]).sum() / share.sum()) if related >= 0.5 else float("nan")
    return Timing(float((p[:, :-1] @ weights).mean()), offset, related)
