"""Synthesises drums, bass and chords on a beat, for the dance scenes."""

from dataclasses import dataclass

import numpy as np

from sonovid.data.scenes.random_stream import Number, RandomStream
from sonovid.data.scenes.track import Track

STEPS = 16  # sixteenth notes in a bar of four beats

# One letter per sixteenth note: x is a stroke, o a soft stroke.
DRUMS = {
    "house": {"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "..x...x...x...x."},
    "hip hop": {"kick": "x.....x...x.....", "snare": "....x.......x...", "hat": "x.o.x.o.x.o.x.o."},
    "funk": {"kick": "x..x......x..x..", "snare": "....x..o.o..x...", "hat": "xoxoxoxoxoxoxoxo"},
    "rock": {"kick": "x.......x.x.....", "snare": "....x.......x...", "hat": "x...x...x...x..."},
}
BASS = {"house": "x.....x...x.....", "hip hop": "x...............", "funk": "x..x..x...xx..x.", "rock": "x.x.x.x.x.x.x.x."}
CHORDS = {"house": "x.....x...x.....", "hip hop": "x...............", "funk": "..x..x....x..x..", "rock": "x.......x......."}
# Chord progressions of four bars, as degrees of the minor scale.
PROGRESSIONS = ((0, 5, 2, 6), (0, 3, 5, 4), (0, 6, 5, 6), (0, 2, 3, 5))
MINOR = (0, 2, 3, 5, 7, 8, 10)


@dataclass(frozen=True)
class Song:
    """A song.

    Attributes:
        style: A key of DRUMS.
        bpm: Beats per minute.
        first: Time of the first beat of a bar, in seconds.
        root: Frequency of the root note in Hz.
        progression: Chord degrees of four bars.
    """

    style: str
    bpm: Number
    first: Number
    root: Number
    progression: tuple[int, ...]

    @property
    def beat(self) -> float:
        """Seconds between beats."""
        return 60.0 / self.bpm

    def beats(self, until: Number) -> list[Number]:
        """Times of all beats from 0 to before `until`."""
        lowest = int(np.ceil(-self.first / self.beat))
        highest = int(np.ceil((until - self.first) / self.beat))
        return [self.first + k * self.beat for k in range(lowest, highest)]


def draw_song(rng: RandomStream) -> Song:
    style = rng.choice(sorted(DRUMS))
    low, high = {"house": (115, 140), "hip hop": (80, 105), "funk": (95, 120), "rock": (105, 140)}[style]
    bpm = rng.uniform(low, high)
    # Clips start anywhere in a bar.
    first = -rng.uniform(0.0, 4 * 60.0 / bpm)
    return Song(style, bpm, first, 55.0 * 2 ** (rng.uniform(-4, 6) / 12), rng.choice(PROGRESSIONS))


def note_frequency(song: Song, degree: int, octave: Number) -> float:
    return song.root * 2 ** (octave + degree // 7 + MINOR[degree % 7] / 12)


def add_note(
    track: Track, time: Number, frequency: Number, *, harmonics: int, seconds: Number, gain: Number, tilt: Number
) -> None:
    """Adds a plucked note: harmonics whose gains fall as a power `tilt`, and of which higher ones decay faster."""
    k = np.arange(1, harmonics + 1, dtype=float)
    track.add_modes(time, frequency * k, seconds / k**0.5, gain / k**tilt)


def add_kick(track: Track, time: Number, gain: Number) -> None:
    first, late = track.start(time)
    if first < len(track.samples):
        t = np.arange(track.length(0.22)) / track.rate + late
        phase = 2 * np.pi * (48 * t + 150 * 0.03 * (1 - np.exp(-t / 0.03)))
        track.add(first, gain * np.sin(phase) * np.exp(-t / 0.07))


def add_music(song: Song, track: Track, rng: RandomStream) -> None:
    """Adds the music, from before time zero so that earlier notes still ring."""
    step = song.beat / 4
    until = len(track.samples) / track.rate
    drums = DRUMS[song.style]
    for k in range(int(np.floor(-song.first / step)) - STEPS // 2, int((until - song.first) / step) + 1):
        time, place = song.first + k * step, k % STEPS
        if time < -0.6:
            continue
        degree = song.progression[(k // STEPS) % 4]
        event = rng.substream("step", k)
        if drums["kick"][place] != ".":
            add_kick(track, time, 0.5)
            track.add_burst(time, event, band=(500, 3000), seconds=0.02, gain=0.3)
        if drums["snare"][place] != ".":
            loud = 1.0 if drums["snare"][place] == "x" else 0.35
            track.add_burst(time, event, band=(900, 5500), seconds=0.2, gain=0.2 * loud)
            track.add_modes(time, np.array([185.0, 330.0]), np.array([0.16, 0.1]), np.array([0.16, 0.08]) * loud)
        if drums["hat"][place] != ".":
            loud = 1.0 if drums["hat"][place] == "x" else 0.5
            track.add_burst(time, event, band=(5500, 7800), seconds=0.07, gain=0.07 * loud)
        if BASS[song.style][place] == "x":
            add_note(track, time, note_frequency(song, degree, 0), harmonics=7, seconds=min(0.5, 3.5 * step), gain=0.2, tilt=1.1)
        if CHORDS[song.style][place] == "x":
            for third in (0, 2, 4):
                frequency = note_frequency(song, degree + third, 2)
                add_note(
                    track,
                    time,
                    frequency,
                    harmonics=6,
                    seconds=0.6 if song.style in ("house", "funk") else 1.6,
                    gain=0.045,
                    tilt=1.3,
                )
