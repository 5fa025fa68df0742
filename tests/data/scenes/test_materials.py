"""Materials: stronger impacts are louder and brighter, and materials are distinguishable."""

from fractions import Fraction

import numpy as np
import pytest

from sonovid.core.geometry import Geometry
from sonovid.data.scenes.materials import MODAL_SOUNDS, add_strike
from sonovid.data.scenes.random_stream import RandomStream
from sonovid.data.scenes.track import Track

ALL = [*MODAL_SOUNDS, "water", "leaves", "dirt"]


def blow(material: str, strength: float, seed: int = 0) -> np.ndarray:
    track = Track(Geometry(8, Fraction(8), 16, 16, 16000))
    add_strike(track, 0.1003, material, strength, RandomStream("voice", seed), RandomStream("event", seed))
    return track.samples


def centroid(sound: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float((np.fft.rfftfreq(len(sound), 1 / 16000) * power).sum() / power.sum())


@pytest.mark.parametrize("material", ALL)
def test_stronger_is_louder_and_brighter(material):
    for seed in range(4):
        light, hard = blow(material, 0.35, seed), blow(material, 0.95, seed)
        assert (hard**2).sum() > 4 * (light**2).sum()
        # A carpet only thuds: what little brightness it has is its noise, which differs from blow to blow.
        assert material == "carpet" or centroid(hard) > centroid(light)


@pytest.mark.parametrize("material", ALL)
def test_the_sound_starts_at_its_time(material):
    sound = np.abs(blow(material, 0.8))
    first = int(np.ceil(0.1003 * 16000))
    assert not sound[:first].any()
    assert sound[first : first + 16].max() > 0.02


def test_metal_rings_longest_and_glass_is_highest():
    def length(material):
        energy = np.cumsum(blow(material, 0.8) ** 2)
        return np.searchsorted(energy, 0.95 * energy[-1]) - 1605  # counted from the blow

    assert length("metal") > 2 * max(length(m) for m in ("wood", "plastic", "stone", "cloth"))
    assert (
        centroid(blow("glass", 0.8)) > centroid(blow("wood", 0.8)) > centroid(blow("plastic", 0.8)) > centroid(blow("cloth", 0.8))
    )


def test_an_unknown_material_is_refused():
    with pytest.raises(ValueError, match="butter"):
        blow("butter", 0.5)
