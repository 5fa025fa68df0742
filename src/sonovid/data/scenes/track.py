"""Synthesises audio from modes, noise bursts and chirps that start at exact times."""

import numpy as np

from sonovid.core.geometry import Geometry, count
from sonovid.data.scenes.random_stream import Number, RandomStream

ROUND = 32768.0


class Track:
    """One audio channel, float64 [n].

    Sounds are added at times in seconds and cut at the end, so that a longer track begins exactly as a shorter one.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.rate = geometry.sample_rate
        self.samples = np.zeros(geometry.num_samples)

    def length(self, seconds: Number) -> int:
        return max(1, count(seconds, self.rate))

    def start(self, time: Number) -> tuple[int, Number]:
        """The first sample at or after `time`, and its delay in seconds."""
        first = int(np.ceil(time * self.rate - 1e-9))
        return first, first / self.rate - time

    def add(self, first: int, samples: np.ndarray) -> None:
        """Adds samples from index `first` on, which may be negative."""
        begin, end = max(first, 0), min(first + len(samples), len(self.samples))
        if end > begin:
            self.samples[begin:end] += samples[begin - first : end - first]

    def add_modes(self, time: Number, frequencies: np.ndarray, t60: np.ndarray, gains: np.ndarray) -> None:
        """Adds struck modes: the sum of g sin(2 pi f t) 10^(-3 t / t60).

        Args:
            time: Start in seconds.
            frequencies: f in Hz, [m].
            t60: Time to -60 dB in seconds, [m].
            gains: g, [m].
        """
        first, late = self.start(time)
        if first >= len(self.samples):
            return
        audible = frequencies < 0.47 * self.rate
        frequencies, t60, gains = frequencies[audible], t60[audible], gains[audible]
        if not len(frequencies):
            return
        # exp(z (a B + b)) = exp(z a B) exp(z b): the samples are a product of two small matrices.
        fine = 128
        coarse = -(-self.length(float(t60.max())) // fine)
        z = (-6.907755278982137 / t60 + 2j * np.pi * frequencies) / self.rate
        rows = np.exp(np.arange(coarse)[:, None] * fine * z + z * late * self.rate) * gains
        columns = np.exp(np.arange(fine)[:, None] * z)
        self.add(first, (rows.real @ columns.imag.T + rows.imag @ columns.real.T).reshape(-1))

    def add_burst(
        self,
        time: Number,
        rng: RandomStream,
        *,
        band: tuple[Number, Number],
        seconds: Number,
        gain: Number,
        grains: Number = 0.0,
    ) -> None:
        """Adds band-limited noise that starts at once and decays by 60 dB in `seconds`.

        Args:
            time: Start in seconds.
            rng: Random stream of the noise.
            band: Lowest and highest frequency in Hz.
            seconds: Time to -60 dB.
            gain: Gain.
            grains: Clicks per second into which the noise is broken up; 0 for smooth noise.
        """
        first, late = self.start(time)
        if first >= len(self.samples):
            return
        n = self.length(seconds)
        padded = -(-n // 256) * 256
        spectrum = np.fft.rfft(rng.noise(padded))
        frequency = np.fft.rfftfreq(padded, 1 / self.rate)
        response = 1 / (1 + (frequency / band[1]) ** 4)
        if band[0] > 0:
            response = response * (1 - 1 / (1 + (frequency / band[0]) ** 4))
        noise = np.fft.irfft(spectrum * response, padded)[:n]
        noise /= np.sqrt((response**2).mean()) + 1e-9
        t = np.arange(n) / self.rate + late
        envelope = np.exp(-6.907755278982137 / seconds * t)
        if grains > 0:
            # The first grain is at the onset, so that the event is heard when it is seen.
            number = max(1, int(seconds * grains))
            starts = np.concatenate([[0.0], rng.uniforms(number, 0.0, seconds * 0.8)])
            sizes = np.concatenate([[1.0], rng.uniforms(number, 0.2, 1.0)])
            rough = np.zeros(n)
            for begin, size in zip(starts, sizes, strict=True):
                i = min(int(begin * self.rate), n - 1)
                tail = min(n - i, self.length(0.02))
                rough[i : i + tail] += size * np.exp(-np.arange(tail) / (0.004 * self.rate))
            envelope = envelope * (0.15 + 0.85 * np.minimum(rough, 1.0))
        self.add(first, gain * noise * envelope)

    def add_chirp(self, time: Number, *, low: Number, high: Number, seconds: Number, gain: Number) -> None:
        """Adds the sound of a bubble: a decaying tone that glides from `low` to `high` Hz.

        This is the Minnaert resonance of a rising, shrinking bubble.
        """
        first, late = self.start(time)
        n = self.length(seconds)
        if first >= len(self.samples) or first + n <= 0:
            return
        t = np.arange(n) / self.rate + late
        phase = 2 * np.pi * (low * t + (high - low) * t * t / (2 * seconds))
        self.add(first, gain * np.sin(phase) * np.exp(-5.0 * t / seconds) * np.minimum(t / 0.002, 1.0))

    def waveform(self) -> np.ndarray:
        """Returns the track as float32 [1 n], within (-1, 1), in steps of 2^-15. Peaks above 0.7 are soft-clipped per sample."""
        size = np.abs(self.samples)
        bent = np.where(size > 0.7, 0.7 + 0.28 * np.tanh((size - 0.7) / 0.28), size)
        return (np.floor(np.copysign(bent, self.samples) * ROUND + 0.5) / ROUND).astype(np.float32)[None]
