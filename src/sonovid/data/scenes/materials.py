"""Impact sounds of materials. Stronger impacts are louder and brighter, since their contact is shorter."""

from dataclasses import dataclass

import numpy as np

from sonovid.data.scenes.random_stream import Number, RandomStream
from sonovid.data.scenes.track import Track


@dataclass(frozen=True)
class ModalSound:
    """Parameters of the modal synthesis of a material.

    Attributes:
        base: Lowest and highest fundamental in Hz.
        ratios: Frequency ratios of the modes.
        ring: Time to -60 dB of the fundamental in seconds, lowest and highest.
        damping: How much faster high modes decay, as a power of their ratio.
        noise: Band of the contact noise in Hz.
        noise_gain: Gain of the contact noise.
        noise_seconds: Duration of the contact noise.
        cutoff: Frequency in Hz above which the spectrum of a full-strength impact falls.
    """

    base: tuple[Number, Number]
    ratios: tuple[Number, ...]
    ring: tuple[Number, Number]
    damping: Number
    noise: tuple[Number, Number]
    noise_gain: Number
    noise_seconds: Number
    cutoff: Number


MODAL_SOUNDS = {
    "wood": ModalSound((420, 700), (1, 2.57, 4.3, 6.9), (0.10, 0.18), 0.5, (300, 2500), 0.22, 0.03, 3500),
    "metal": ModalSound(
        (480, 900), (1, 1.51, 2.04, 2.73, 3.46, 4.61, 5.9, 7.3), (0.55, 1.1), 0.4, (1500, 7000), 0.22, 0.02, 7000
    ),
    "glass": ModalSound((1700, 2500), (1, 1.43, 2.1, 2.74), (0.45, 0.8), 0.6, (3000, 7500), 0.12, 0.012, 7500),
    "plastic": ModalSound((190, 320), (1, 1.72, 2.63, 3.9, 5.2), (0.12, 0.2), 0.6, (200, 1300), 0.3, 0.04, 1700),
    "rubber": ModalSound((95, 170), (1, 2.1, 3.4), (0.16, 0.26), 0.7, (60, 500), 0.25, 0.04, 700),
    "stone": ModalSound((900, 1400), (1, 1.9, 3.1), (0.04, 0.07), 0.4, (800, 5000), 0.3, 0.02, 5000),
    "carpet": ModalSound((70, 100), (1, 1.8), (0.08, 0.12), 0.6, (40, 300), 0.25, 0.05, 300),
    "cloth": ModalSound((65, 95), (1, 1.7), (0.14, 0.2), 0.6, (40, 420), 0.35, 0.16, 350),
}


def add_strike(
    track: Track, time: Number, material: str, strength: Number, voice: RandomStream, event: RandomStream, *, gain: Number = 1.0
) -> None:
    """Adds the sound of one impact.

    Args:
        track: The track.
        time: Time of the impact in seconds.
        material: wood, metal, glass, plastic, rubber, stone, carpet, cloth, water, leaves or dirt.
        strength: In (0, 1].
        voice: Random stream of the object: equal for all impacts on it (pitch, decay).
        event: Random stream of this impact (noise).
        gain: Gain.

    Raises:
        ValueError: The material is unknown.
    """
    loud = gain * strength**1.3
    if material in MODAL_SOUNDS:
        modal = MODAL_SOUNDS[material]
        base, ring = voice.uniform(*modal.base), voice.uniform(*modal.ring)
        ratios = np.array(modal.ratios) * (1 + 0.03 * (voice.uniforms(len(modal.ratios)) - 0.5))
        weights = 0.5 + voice.uniforms(len(ratios))
        # Every impact hits another point.
        weights = weights * (0.75 + 0.5 * event.uniforms(len(ratios)))
        cutoff = modal.cutoff * (0.25 + 0.95 * strength**1.5)
        frequencies = base * ratios
        gains = weights / weights.sum() / (1 + (frequencies / cutoff) ** 2)
        track.add_modes(time, frequencies, ring / ratios**modal.damping, loud * gains)
        band = (modal.noise[0], modal.noise[1] * (0.3 + 0.7 * strength))
        track.add_burst(time, event, band=band, seconds=modal.noise_seconds * 2, gain=loud * modal.noise_gain)
    elif material == "water":
        track.add_burst(time, event, band=(900, 1500 + 4500 * strength), seconds=0.12 + 0.4 * strength, gain=0.16 * loud)
        track.add_chirp(time, low=voice.uniform(280, 420), high=voice.uniform(700, 1000), seconds=0.16, gain=0.6 * loud)
        for _ in range(2 + int(7 * strength)):
            low, late = event.uniform(450, 1100), event.uniform(0.03, 0.08 + 0.35 * strength)
            track.add_chirp(
                time + late,
                low=low,
                high=low * event.uniform(1.5, 2.4),
                seconds=event.uniform(0.05, 0.1),
                gain=0.3 * loud * event.uniform(0.3, 1),
            )
    elif material == "leaves":
        band = (2200, 3000 + 4500 * strength)
        track.add_burst(time, event, band=band, seconds=0.35 + 0.35 * strength, gain=0.28 * loud, grains=120)
    elif material == "dirt":
        band = (150, 500 + 2000 * strength)
        track.add_burst(time, event, band=band, seconds=0.18 + 0.14 * strength, gain=0.42 * loud, grains=170)
    else:
        raise ValueError(
            f"add_strike: unknown material {material!r}; expected one of {sorted([*MODAL_SOUNDS, 'water', 'leaves', 'dirt'])}"
        )
