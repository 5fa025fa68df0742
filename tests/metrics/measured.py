"""Small clips and small extractors for the tests of measuring: real files, real networks, nothing published."""

import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.metrics.base import (
    Arrays,
    ClipDistance,
    ClipScore,
    Distance,
    Extractor,
    InputSpec,
    PairedScore,
    Sample,
    SetScore,
    UnusableClipError,
    WeightFile,
)
from sonovid.metrics.frechet import frechet, per_clip
from sonovid.metrics.kernels import kvd

RATE = 8000


def clip(seed: int, *, seconds: float = 1.0, level: float = 1.0) -> Clip:
    """A square that brightens, and a tone that sets in, at a moment of the seed."""
    draw = np.random.default_rng(seed)
    frames = np.full((round(8 * seconds), 32, 32, 3), draw.integers(20, 80), np.uint8)
    at = int(draw.integers(2, 6))
    frames[at:, 8:24, 8:24] = draw.integers(120, 250, 3)
    t = np.arange(round(RATE * seconds)) / RATE
    tone = np.sin(2 * np.pi * draw.integers(200, 2000) * t) * (t >= at / 8) * 0.5 * level
    return Clip(
        frames, (tone + draw.normal(0, 0.01, len(t)))[None].astype(np.float32), Fraction(8), RATE, f"a square, seed {seed}"
    )


def folder(path: Path, seeds: Sequence[int], *, captions: bool = True, level: float = 1.0) -> Path:
    """Clips 000.mp4, 001.mp4, ... of some seeds."""
    path.mkdir()
    for number, seed in enumerate(seeds):
        made = clip(seed, level=level)
        media.write(path / f"{number:03d}.mp4", made)
        if captions:
            (path / f"{number:03d}.txt").write_text(made.caption)
    return path


def silent(path: Path) -> None:
    """Pictures without sound."""
    made = clip(0)
    media.write(path, Clip(made.frames, None, made.fps, made.sample_rate))


def no_numbers(path: Path) -> None:
    """A sound that holds NaN, as float samples in a wav."""
    samples = np.full(RATE, np.nan, "<f4").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(4)
        file.setframerate(RATE)
        file.writeframes(samples)
    held = bytearray(path.read_bytes())
    held[20:22] = (3).to_bytes(2, "little")  # IEEE float
    path.write_bytes(bytes(held))


class Look(Extractor):
    """Mean colours of quarters of the pictures, one row per second frame, through a fixed random matrix."""

    name = "look"
    input_spec = InputSpec(video=True, size=(16, 16))
    batch_size = 3
    embedded = 0

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.matrix = np.random.default_rng(7).standard_normal((12, 4))

    def prepare(self, sample: Sample) -> Arrays:
        assert sample.clip is not None
        assert sample.clip.frames is not None
        if len(sample.clip.frames) < 6:
            raise UnusableClipError(f"{len(sample.clip.frames)} frames, 6 are needed")
        quarters = sample.clip.frames[::2].reshape(-1, 2, 8, 2, 8, 3).mean((2, 4))
        return {"quarters": quarters.reshape(len(quarters), 12) / 255}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        type(self).embedded += len(prepared)
        return [{"features": p["quarters"] @ self.matrix, "level": p["quarters"].mean(1)} for p in prepared]


class Tone(Extractor):
    """The level of the sound in eighths of a second."""

    name = "tone"
    input_spec = InputSpec(audio=True, sample_rate=RATE)

    def prepare(self, sample: Sample) -> Arrays:
        assert sample.clip is not None
        assert sample.clip.waveform is not None
        sound = np.pad(sample.clip.waveform[0][:RATE], (0, RATE))[:RATE]
        parts = sound.reshape(8, RATE // 8)
        return {"level": np.sqrt((parts**2).mean(1))}


class Words(Extractor):
    """The number in a caption."""

    name = "words"
    input_spec = InputSpec(text=True)

    def prepare(self, sample: Sample) -> Arrays:
        return {"number": np.array([float(sample.caption.split()[-1])])}


class Heavy(Look):
    """One whose weights nobody has."""

    name = "heavy"
    weights = (WeightFile("nobody_has_this.pt", "https://example.org/nobody_has_this.pt"),)


def rise(level: np.ndarray) -> int:
    return int(np.argmax(np.diff(np.asarray(level, float))))


def in_time(look: Arrays, tone: Arrays) -> float:
    """One where the pictures brighten when the sound sets in, falling with the distance."""
    return 1 - abs(rise(look["level"]) - rise(tone["level"]) / 2) / 4


def level_difference(made: Arrays, true: Arrays) -> float:
    return float(np.abs(made["level"] - true["level"]).mean())


FVD = Distance("fvd_look", "fvd", "of colours", "lower", extractor=Look, distance=frechet, by_size=True)
KVD = Distance("kvd_look", "kvd", "of colours", "lower", extractor=Look, distance=kvd)
PER_CLIP = ClipDistance("fad_per_clip_look", "fad", "of colours", "lower", extractor=Look, distances=per_clip)
SPREAD = SetScore("spread", "is", "spread", "higher", extractor=Look, key="features", score=lambda rows: float(rows.std()))
PAIR = PairedScore("levels", "pairs", "levels", "lower", extractor=Tone, score=level_difference)
TIME = ClipScore("in_time", "sync", "in time", "higher", of=Look, to=Tone, score=in_time)
HEAVY = Distance("fvd_heavy", "fvd", "of colours", "lower", extractor=Heavy, distance=frechet)
EVERY = (FVD, KVD, PER_CLIP, SPREAD, PAIR, TIME, HEAVY)
