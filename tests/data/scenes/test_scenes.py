"""All worlds: reproducible bytes, independence of the geometry, and accurate captions."""

from dataclasses import replace
from fractions import Fraction
from hashlib import sha256

import numpy as np
import pytest

from sonovid.core.geometry import Geometry
from sonovid.data.scenes import WORLDS, attributes, render

SMALL = Geometry(8, Fraction(8), 24, 24, 8000)
PINNED = {
    "hits": "1efe99b26f645a45",
    "bounces": "617e54b64bcabedd",
    "dance": "811d84339bd18ff8",
    "landscape": "829fd74dc161e4c6",
    "kitchen": "e85f6689a9ff338f",
}


@pytest.fixture(scope="module")
def seeds():
    """Seeds of every world that between them show each of its labels once."""
    found: dict[str, dict[str, int]] = {}
    for world in WORLDS:
        found[world] = {}
        for seed in range(80):
            known = attributes(world, seed)
            found[world].setdefault(known.get("kind") or known.get("material") or known["style"], seed)
    assert [len(found[world]) for world in ("hits", "bounces", "dance", "landscape", "kitchen")] == [8, 5, 4, 9, 4]
    return found


def digest(clip):
    return sha256(clip.frames.tobytes() + clip.waveform.tobytes() + repr((clip.caption, clip.label)).encode()).hexdigest()[:16]


@pytest.mark.parametrize("world", sorted(PINNED))
def test_the_bytes_are_pinned(world):
    assert digest(render(world, 3, Geometry(8, Fraction(8), 32, 40, 16000))) == PINNED[world]


@pytest.mark.parametrize("world", WORLDS)
def test_another_seed_is_another_scene(world):
    assert digest(render(world, 1, SMALL)) == digest(render(world, 1, SMALL)) != digest(render(world, 2, SMALL))


@pytest.mark.parametrize("world", WORLDS)
def test_a_longer_clip_begins_as_the_shorter_one(world, seeds):
    for seed in seeds[world].values():
        short, long = render(world, seed, SMALL), render(world, seed, replace(SMALL, num_frames=20))
        assert np.array_equal(short.frames, long.frames[:8])
        assert np.array_equal(short.waveform[0], long.waveform[0, : short.waveform.shape[1]])
        assert short.events == long.events[: len(short.events)]
        assert all(time >= 1 for time in long.events[len(short.events) :])


@pytest.mark.parametrize("world", WORLDS)
def test_twice_the_frame_rate_shows_the_same_times_and_sounds_the_same(world):
    slow, fast = render(world, 5, SMALL), render(world, 5, replace(SMALL, num_frames=16, fps=Fraction(16)))
    assert np.array_equal(slow.frames, fast.frames[::2])
    assert np.array_equal(slow.waveform, fast.waveform)
    assert slow.events == fast.events


@pytest.mark.parametrize("world", WORLDS)
def test_a_larger_picture_is_the_same_picture(world, seeds):
    for seed in seeds[world].values():
        small, large = render(world, seed, SMALL), render(world, seed, replace(SMALL, height=96, width=96))
        shrunk = large.frames.reshape(8, 24, 4, 24, 4, 3).mean((2, 4))
        assert np.abs(shrunk - small.frames).mean() < 4.0
        assert np.array_equal(small.waveform, large.waveform)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 31), (40, 23)])
def test_odd_sizes_rates_and_lengths(world, height, width):
    geometry = Geometry(5, Fraction(30000, 1001), height, width, 22050)
    clip = render(world, 7, geometry)
    assert clip.frames.shape == (5, height, width, 3)
    assert clip.waveform.shape == (1, geometry.num_samples)
    assert clip.geometry == geometry


@pytest.mark.parametrize("world", WORLDS)
def test_sounds_are_sixteen_bit_and_never_clip(world, seeds):
    for seed in seeds[world].values():
        clip = render(world, seed, replace(SMALL, num_frames=16))
        steps = clip.waveform.astype(np.float64) * 2**15
        assert np.array_equal(steps, np.round(steps))
        assert 0.04 < np.abs(clip.waveform).max() < 0.985
        assert list(clip.events) == sorted(clip.events)
        assert all(0 <= time < clip.seconds for time in clip.events)


@pytest.mark.parametrize("world", WORLDS)
def test_pictures_move(world, seeds):
    for seed in seeds[world].values():
        frames = render(world, seed, replace(SMALL, num_frames=16)).frames.astype(int)
        assert np.abs(np.diff(frames, axis=0)).max() > 40


STEMS = {
    "wood": ("wood",),
    "fire crackling": ("crackl",),
    "explosion": ("explo",),
    "rain": ("rain",),
    "waves": ("waves",),
    "underwater bubbles": ("bubbles", "water"),
    "squishing water": ("squish",),
    "day": ("by day",),
    "evening": ("in the evening",),
    "night": ("at night",),
    "box": ("box", "crate"),
    "basin": ("basin", "bowl", "tub"),
    "towel": ("cloth",),
    "mound": ("dirt",),
    "one": ("ball",),
    "two": ("two", "pair"),
    "hits": ("hit", "struck", "strikes", "beats", "taps"),
    "bounces": ("bounc",),
    "dance": ("danc", "moves"),
    "tap": ("tap",),
    "sizzling": ("sizzling",),
    "chopping": ("chopping",),
}


@pytest.mark.parametrize("world", WORLDS)
def test_captions_name_the_attributes_in_varied_words(world):
    captions = set()
    still = Geometry(1, Fraction(1), 16, 16, 1000)
    for seed in range(30):
        known = attributes(world, seed)
        assert known["world"] == world
        caption = render(world, seed, still).caption
        captions.add(caption)
        for name, value in known.items():
            if name == "world" and world in ("landscape", "kitchen"):
                continue
            assert any(stem in caption for stem in STEMS.get(value, (value,))), (seed, name, value, caption)
        assert "{" not in caption
        assert "  " not in caption
    assert len(captions) > 15


def test_an_unknown_world_gets_the_near_miss():
    with pytest.raises(ValueError, match="did you mean 'bounces'"):
        render("bounce", 0, SMALL)
    with pytest.raises(ValueError, match="take one of hits"):
        attributes("xyzzy", 0)
