"""What is done to clips of scenes, by degrees: sounds moved, exchanged, noisy, without events; pictures blurred, still, coded."""

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

# Scenes begin a second before the clip and end a little after it, so that a moved sound is whole.
LEAD, TAIL = Fraction(1), Fraction(2, 5)


@dataclass(frozen=True)
class Scene:
    """A scene that lasts longer than the clip which is taken from it: the clip begins one second in, and lasts `seconds`."""

    world: str
    seed: int
    whole: Clip
    seconds: Fraction

    @property
    def clip(self) -> Clip:
        return self.moved(0)

    def moved(self, late: "Fraction | float | int") -> Clip:
        """The clip with its sound later by `late` seconds, or earlier."""
        frames, waveform, fps, rate = self.whole.frames, self.whole.waveform, self.whole.fps, self.whole.sample_rate
        assert frames is not None
        assert waveform is not None
        first, number = count(LEAD, fps), count(self.seconds, fps)
        begin, samples = count(LEAD - Fraction(late), rate), count(duration(number, fps), rate)
        if begin < 0 or begin + samples > waveform.shape[1]:
            raise ValueError(f"a sound moved by {float(late):g} s: expected from {float(-TAIL):g} to {float(LEAD):g}")
        events = tuple(t - float(LEAD) for t in self.whole.events if LEAD <= t < LEAD + self.seconds)
        return replace(
            self.whole,
            frames=frames[first : first + number],
            waveform=waveform[:, begin : begin + samples],
            events=events,
        )


def scene(world: str, seed: int, *, seconds: Fraction, fps: Fraction, size: int, sample_rate: int = 16000) -> Scene:
    """A scene rendered long enough for its sound to be moved.

    Raises:
        ValueError: no such world, or a rate of which a second has no whole number of frames.
    """
    if as_rate(fps).denominator != 1:
        raise ValueError(f"fps={fps}: expected a whole number of frames per second")
    frames = -(-((LEAD + seconds + TAIL) * fps) // 1)
    return Scene(world, seed, scenes.render(world, seed, Geometry(int(frames), as_rate(fps), size, size, sample_rate)), seconds)


@dataclass(frozen=True)
class Degradation:
    """One thing that is done to clips, by degrees that become worse in their order.

    changes: which streams. apply: (scene, degree, generator) -> the clip. unit: of the degrees. Where `apply` is None, another
    clip's sound takes the place of this one's in the share of clips that the degree says.
    """

    name: str
    what: str
    unit: str
    degrees: tuple[float | int, ...]
    changes: AV
    apply: Callable[[Scene, float | int, np.random.Generator], Clip] | None

    def severity(self, degree: float | int) -> float:
        """How much worse a degree is: its place in the order; both directions of a shift count alike."""
        if self.name == "shift":
            return float(abs(degree))
        return float(self.degrees.index(degree) + 1)


def _shift(one: Scene, milliseconds: float | int, generator: np.random.Generator) -> Clip:
    return one.moved(Fraction(int(milliseconds), 1000))


def _noise(one: Scene, ratio: float | int, generator: np.random.Generator) -> Clip:
    """White noise, so many dB below the sound."""
    clip = one.clip
    assert clip.waveform is not None
    power = float((clip.waveform.astype(np.float64) ** 2).mean()) / 10 ** (ratio / 10)
    noise = generator.standard_normal(clip.waveform.shape) * np.sqrt(power)
    return replace(clip, waveform=np.clip(clip.waveform + noise, -1, 1).astype(np.float32))


def _without_events(one: Scene, share: float | int, generator: np.random.Generator) -> Clip:
    """Silence from 20 ms before an event until the next, at most half a second, for a share of the events."""
    clip = one.clip
    assert clip.waveform is not None
    gain = np.ones(clip.waveform.shape[1])
    chosen = generator.permutation(len(clip.events))[: int(share * len(clip.events) + 0.5)]
    for i in chosen:
        following = clip.events[i + 1] - 0.02 if i + 1 < len(clip.events) else np.inf
        begin, end = clip.events[i] - 0.02, min(clip.events[i] + 0.5, following)
        gain[max(0, count(begin, clip.sample_rate)) : count(end, clip.sample_rate)] = 0
    # Ten milliseconds of slope, or the cut itself would sound.
    width = count(Fraction(1, 100), clip.sample_rate)
    gain = np.convolve(np.pad(gain, width, mode="edge"), np.ones(width) / width, "same")[width:-width]
    return replace(clip, waveform=(clip.waveform * gain).astype(np.float32))


def _blur(one: Scene, pixels: float | int, generator: np.random.Generator) -> Clip:
    """A Gaussian of so many pixels' deviation for a picture 64 pixels high, in proportion for others."""
    clip = one.clip
    assert clip.frames is not None
    sigma = pixels * clip.frames.shape[1] / 64
    return replace(clip, frames=gaussian_filter(clip.frames, (0, sigma, sigma, 0)))


def _freeze(one: Scene, share: float | int, generator: np.random.Generator) -> Clip:
    """The last share of the clip stands still."""
    clip = one.clip
    assert clip.frames is not None
    still = max(0, len(clip.frames) - 1 - round(share * len(clip.frames)))
    return replace(clip, frames=clip.frames[np.minimum(np.arange(len(clip.frames)), still)])


def _coded(one: Scene, factor: float | int, generator: np.random.Generator) -> Clip:
    """Through an mp4 file: H.264 at a constant rate factor, and AAC."""
    clip = one.clip
    with TemporaryDirectory() as folder:
        path = media.write(Path(folder) / "clip.mp4", clip, quality=int(factor))
        back = media.read(path, fps=clip.fps, sample_rate=clip.sample_rate, mono=True)
    return replace(clip, frames=back.frames, waveform=back.waveform)


BOTH, VIDEO, AUDIO = AV(True, True), AV(True, False), AV(False, True)
SHIFTS = (-320, -160, -80, -40, 40, 80, 160, 320)
DEGRADATIONS: tuple[Degradation, ...] = (
    Degradation("shift", "the sound is late (below 0: early)", "ms", SHIFTS, AUDIO, _shift),
    Degradation("swap", "a share of the clips has another clip's sound, of the same world", "", (0.25, 0.5, 1.0), AUDIO, None),
    Degradation("events", "a share of the events is silent", "", (0.25, 0.5, 1.0), AUDIO, _without_events),
    Degradation("noise", "white noise, so far below the sound", "dB", (30, 20, 10, 0), AUDIO, _noise),
    Degradation("blur", "pictures are blurred", "px", (1, 2, 4), VIDEO, _blur),
    Degradation("freeze", "the last share of the pictures stands still", "", (0.25, 0.5, 1.0), VIDEO, _freeze),
    Degradation("codec", "through mp4 at a constant rate factor, and AAC", "", (18, 28, 38, 48), BOTH, _coded),
)
