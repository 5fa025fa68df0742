"""Degradations of rendered scenes in several degrees: audio shifted, swapped, noisy or muted; video blurred, frozen or coded."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.ndimage import gaussian_filter

from sonovid import media
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry, as_rate, count, duration
from sonovid.data import scenes

# Scenes are rendered from one second before the clip to a little after it, so that shifted audio is complete.
LEAD, TAIL = Fraction(1), Fraction(2, 5)


@dataclass(frozen=True)
class Scene:
    """A rendered scene that is longer than its clip. The clip starts one second into the scene and lasts `seconds`."""

    world: str
    seed: int
    whole: Clip
    seconds: Fraction

    @property
    def clip(self) -> Clip:
        return self.shifted(0)

    def shifted(self, late: "Fraction | float | int") -> Clip:
        """The clip with its audio delayed by `late` seconds; negative: advanced."""
        frames, waveform, fps, rate = self.whole.frames, self.whole.waveform, self.whole.fps, self.whole.sample_rate
        assert frames is not None
        assert waveform is not None
        first, number = count(LEAD, fps), count(self.seconds, fps)
        begin, samples = count(LEAD - Fraction(late), rate), count(duration(number, fps), rate)
        if begin < 0 or begin + samples > waveform.shape[1]:
            raise ValueError(f"cannot shift the audio by {float(late):g} s; expected from {float(-TAIL):g} to {float(LEAD):g}")
        events = tuple(t - float(LEAD) for t in self.whole.events if LEAD <= t < LEAD + self.seconds)
        return replace(
            self.whole,
            frames=frames[first : first + number],
            waveform=waveform[:, begin : begin + samples],
            events=events,
        )


def scene(world: str, seed: int, *, seconds: Fraction, fps: Fraction, size: int, sample_rate: int = 16000) -> Scene:
    """Render a scene with margins for shifting its audio.

    Raises:
        ValueError: no such world, or a frame rate that is not an integer.
    """
    if as_rate(fps).denominator != 1:
        raise ValueError(f"fps={fps}: expected an integer")
    frames = -(-((LEAD + seconds + TAIL) * fps) // 1)
    return Scene(world, seed, scenes.render(world, seed, Geometry(int(frames), as_rate(fps), size, size, sample_rate)), seconds)


@dataclass(frozen=True)
class Degradation:
    """One kind of degradation, in degrees of increasing severity.

    Attributes:
        name: of the degradation.
        what: one line of description.
        unit: of the degrees.
        degrees: in increasing severity.
        changes: which streams it changes.
        apply: (scene, degree, generator) -> clip. None: another clip's audio replaces that of a share of the clips, which is the
            degree.
    """

    name: str
    what: str
    unit: str
    degrees: tuple[float | int, ...]
    changes: AV
    apply: Callable[[Scene, float | int, np.random.Generator], Clip] | None

    def severity(self, degree: float | int) -> float:
        """The severity of a degree: its rank; for shifts the absolute value."""
        if self.name == "shift":
            return float(abs(degree))
        return float(self.degrees.index(degree) + 1)


def _shift(one: Scene, milliseconds: float | int, generator: np.random.Generator) -> Clip:
    return one.shifted(Fraction(int(milliseconds), 1000))


def _noise(one: Scene, ratio: float | int, generator: np.random.Generator) -> Clip:
    """Add white noise at this signal-to-noise ratio in dB."""
    clip = one.clip
    assert clip.waveform is not None
    power = float((clip.waveform.astype(np.float64) ** 2).mean()) / 10 ** (ratio / 10)
    noise = generator.standard_normal(clip.waveform.shape) * np.sqrt(power)
    return replace(clip, waveform=np.clip(clip.waveform + noise, -1, 1).astype(np.float32))


def _without_events(one: Scene, share: float | int, generator: np.random.Generator) -> Clip:
    """Mute a share of the events: from 20 ms before the event to the next one, at most half a second."""
    clip = one.clip
    assert clip.waveform is not None
    gain = np.ones(clip.waveform.shape[1])
    chosen = generator.permutation(len(clip.events))[: int(share * len(clip.events) + 0.5)]
    for i in chosen:
        following = clip.events[i + 1] - 0.02 if i + 1 < len(clip.events) else np.inf
        begin, end = clip.events[i] - 0.02, min(clip.events[i] + 0.5, following)
        gain[max(0, count(begin, clip.sample_rate)) : count(end, clip.sample_rate)] = 0
    # Fades of 10 ms, because abrupt cuts would be audible.
    width = count(Fraction(1, 100), clip.sample_rate)
    gain = np.convolve(np.pad(gain, width, mode="edge"), np.ones(width) / width, "same")[width:-width]
    return replace(clip, waveform=(clip.waveform * gain).astype(np.float32))


def _blur(one: Scene, pixels: float | int, generator: np.random.Generator) -> Clip:
    """Gaussian blur with this standard deviation in pixels for frames 64 pixels high, in proportion for others."""
    clip = one.clip
    assert clip.frames is not None
    sigma = pixels * clip.frames.shape[1] / 64
    return replace(clip, frames=gaussian_filter(clip.frames, (0, sigma, sigma, 0)))


def _freeze(one: Scene, share: float | int, generator: np.random.Generator) -> Clip:
    """Freeze the last share of the clip."""
    clip = one.clip
    assert clip.frames is not None
    still = max(0, len(clip.frames) - 1 - round(share * len(clip.frames)))
    return replace(clip, frames=clip.frames[np.minimum(np.arange(len(clip.frames)), still)])


def _coded(one: Scene, factor: float | int, generator: np.random.Generator) -> Clip:
    """Encode and decode as mp4: H.264 at a constant rate factor, and AAC."""
    clip = one.clip
    with TemporaryDirectory() as folder:
        path = media.write(Path(folder) / "clip.mp4", clip, quality=int(factor))
        back = media.read(path, fps=clip.fps, sample_rate=clip.sample_rate, mono=True)
    return replace(clip, frames=back.frames, waveform=back.waveform)


BOTH, VIDEO, AUDIO = AV(True, True), AV(True, False), AV(False, True)
SHIFTS = (-320, -160, -80, -40, 40, 80, 160, 320)
DEGRADATIONS: tuple[Degradation, ...] = (
    Degradation("shift", "the audio is late (negative: early)", "ms", SHIFTS, AUDIO, _shift),
    Degradation(
        "swap", "a share of the clips has the audio of another clip of the same world", "", (0.25, 0.5, 1.0), AUDIO, None
    ),
    Degradation("events", "a share of the events is muted", "", (0.25, 0.5, 1.0), AUDIO, _without_events),
    Degradation("noise", "white noise, as signal-to-noise ratio", "dB", (30, 20, 10, 0), AUDIO, _noise),
    Degradation("blur", "the video is blurred", "px", (1, 2, 4), VIDEO, _blur),
    Degradation("freeze", "the last share of the video is frozen", "", (0.25, 0.5, 1.0), VIDEO, _freeze),
    Degradation("codec", "mp4 at a constant rate factor, and AAC", "", (18, 28, 38, 48), BOTH, _coded),
)
