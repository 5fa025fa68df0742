"""The embedded extractors: features of pictures and of sound, and steps to compare them by, from networks inside the package.

They know procedural scenes and nothing else (docs/embedded-extractors.md): they rank models of such scenes, and say little of
anyone's films.
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

from sonovid.metrics.base import Arrays, Extractor, Material, Reading, Unfit
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
from sonovid.metrics.extractors.weights import file_sha256, filled, read_state

FILE = Path(__file__).parents[2] / "weights_metrics" / "scenes.safetensors"
SHA256 = "f1fff45a964ed0bcdefd063a1c08e93b222a47b704935b6865faf29d3d8b2597"
# A window, and the shortest clip that is taken as one.
WINDOW, SHORTEST = 2 * FPS, 3 * FPS // 2
PER_FRAME = SAMPLE_RATE // FPS
# A sound may be so much shorter than its pictures: the padding of codecs, and lengths that are rounded.
SLACK = SAMPLE_RATE // 25


class SceneNetworks(nn.Module):
    """The three networks as one set of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.video, self.audio, self.sync = SceneVideo(), SceneAudio(), SceneSync()


def networks(path: Path = FILE, checksum: str | None = None) -> SceneNetworks:
    """The networks in evaluation mode, on the CPU. checksum: of the file, SHA-256; None: that of the packaged one.

    Raises:
        ValueError: no such file, another file than the checksum says, or weights of other networks.
    """
    if not path.is_file():
        raise ValueError(f"{path}: the weights of the embedded extractors are not there; install sonovid again")
    found, expected = file_sha256(path), SHA256 if checksum is None else checksum
    if found != expected:
        raise ValueError(f"{path}: SHA-256 {found[:12]}..., expected {expected[:12]}...: not the weights of this version")
    return filled(SceneNetworks, read_state(path), name=path.name)


@lru_cache(maxsize=1)
def shipped() -> SceneNetworks:
    """The packaged networks, read once."""
    return networks()


def windows_of_pictures(frames: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "k s h w 3"]:
    """Whole windows of 2 s from the beginning on; one of the clip's own length where it lasts from 1.5 to 2 s.

    Raises:
        Unfit: shorter than 1.5 s.
    """
    if len(frames) < SHORTEST:
        raise Unfit(f"pictures of {len(frames) / FPS:.2f} s; the embedded extractor needs {SHORTEST / FPS:g} s")
    length = min(len(frames), WINDOW)
    return rearrange(frames[: len(frames) // length * length], "(k s) h w c -> k s h w c", s=length)


def windows_of_sound(waveform: Float32[np.ndarray, "n"]) -> Float32[np.ndarray, "k s"]:
    """The same windows of a sound at 16 kHz; up to 40 ms that are missing at the end are filled with silence.

    Raises:
        Unfit: shorter than 1.5 s, or with NaN or infinity.
    """
    if not np.isfinite(waveform).all():
        raise Unfit("the sound holds NaN or infinity")
    frames = (len(waveform) + SLACK) // PER_FRAME
    if frames < SHORTEST:
        raise Unfit(f"a sound of {len(waveform) / SAMPLE_RATE:.2f} s; the embedded extractor needs {SHORTEST / FPS:g} s")
    length = min(frames, WINDOW)
    count = frames // length * length * PER_FRAME
    padded = np.pad(waveform, (0, max(0, count - len(waveform))))[:count]
    return rearrange(padded, "(k s) -> k s", s=length * PER_FRAME)


class _Scenes(Extractor):
    """What both streams' extractors share. Arrays: features [k 32] and steps [k s 64], for k windows, 32 steps a second."""

    settings: ClassVar[Mapping[str, Any]] = {"weights": FILE.name, "sha256": SHA256, "window": "2 s, from 1.5 s", "stride": "2 s"}

    def __init__(self) -> None:
        self.device = "cpu"
        self.network: nn.Module | None = None

    def _run(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        assert self.network is not None, "load first"
        return self.network(windows)

    def _embedded(self, prepared: Sequence[Arrays], key: str) -> list[Arrays]:
        # Window by window: a convolution of two is not to the last bit that of one, and nothing is gained by more on a CPU.
        result: list[Arrays] = []
        with torch.inference_mode():
            for one in prepared:
                pairs = [self._run(torch.from_numpy(window[None]).to(self.device)) for window in one[key]]
                features, steps = (torch.cat(part).float().cpu().numpy() for part in zip(*pairs, strict=True))
                result.append({"features": features, "steps": steps})
        return result


class ScenesVideo(_Scenes):
    name = "scenes_video"
    what = "pictures of procedural scenes, 64x64 at 8 per second (in the package)"
    reading = Reading(video=True, fps=Fraction(FPS), size=(SIZE, SIZE))

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.device, self.network = device, shipped().video.to(device)

    def prepare(self, material: Material) -> Arrays:
        """Windows of frames, uint8 [k s 64 64 3]."""
        if material.clip is None or material.clip.frames is None:
            raise Unfit("no pictures")
        return {"frames": windows_of_pictures(material.clip.frames)}

    def _run(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        return super()._run(rearrange(windows, "b t h w c -> b t c h w").float() / 255)

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return self._embedded(prepared, "frames")


class ScenesAudio(_Scenes):
    name = "scenes_audio"
    what = "sounds of procedural scenes, 16 kHz (in the package)"
    reading = Reading(audio=True, sample_rate=SAMPLE_RATE)

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.device, self.network = device, shipped().audio.to(device)

    def prepare(self, material: Material) -> Arrays:
        """Windows of samples, float32 [k n]."""
        if material.clip is None or material.clip.waveform is None:
            raise Unfit("no sound")
        return {"waveform": windows_of_sound(material.clip.waveform[0])}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return self._embedded(prepared, "waveform")


# Offset ----------------------------------------------------------------------------------------------------------------------

OFFSETS = np.arange(-REACH, REACH + 1) * (1000 / STEP_RATE)
# A sound counts as in time, 1 at no offset, less by a straight line, and 0 from this many ms on.
TOLERANCE = 250.0


class Timing(NamedTuple):
    """What the sync network makes of a clip.

    score: in [0, 1], how much in time: the probability of each offset weighted by its nearness to zero, mean over windows.
    offset: in ms, positive where the sound is late, from all windows together; NaN where they look unrelated. related: the
    probability that pictures and sound belong together at an offset within half a second, mean over windows.
    """

    score: float
    offset: float
    related: float


def probabilities(video: Float[np.ndarray, "k s e"], audio: Float[np.ndarray, "j s2 e"]) -> Float[np.ndarray, "i o"]:
    """Of -500..500 ms in steps of 31.25 ms, then of "unrelated", for every window that both streams have: [i 34]."""
    count, length = min(len(video), len(audio)), min(video.shape[1], audio.shape[1])
    with torch.inference_mode():
        logits = shipped().sync(
            torch.from_numpy(np.ascontiguousarray(video[:count, :length], np.float32)),
            torch.from_numpy(np.ascontiguousarray(audio[:count, :length], np.float32)),
        )
        return logits.double().softmax(1).numpy()


def timing(video: Float[np.ndarray, "k s e"], audio: Float[np.ndarray, "j s2 e"]) -> Timing:
    """The timing of one clip from the steps of its pictures and of its sound."""
    p = probabilities(video, audio)
    weights = np.clip(1 - np.abs(OFFSETS) / TOLERANCE, 0, 1)
    related = float(1 - p[:, -1].mean())
    # Windows are independent looks at one offset: their logarithms add up. The estimate is the mean about the highest.
    total = np.log(np.maximum(p[:, :-1], 1e-12)).sum(0)
    top = int(total.argmax())
    near = slice(max(top - 2, 0), top + 3)
    share = np.exp(total[near] - total[top])
    offset = float((share * OFFSETS[near]).sum() / share.sum()) if related >= 0.5 else float("nan")
    return Timing(float((p[:, :-1] @ weights).mean()), offset, related)
