"""Writing chunk by chunk: same bytes as `write`, exact durations, atomic, constant memory."""

import tracemalloc
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from media_samples import numbered

from sonovid.core.clip import Clip
from sonovid.media import MediaError, open_writer, read, write


def noisy(num_samples: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.2, (channels, num_samples)).astype(np.float32)


def cut(length: int, at: tuple[int, ...]) -> list[slice]:
    edges = [0, *at, length]
    return [slice(a, b) for a, b in pairwise(edges)]


# Matroska numbers its files at random.
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".wav", ".flac"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_pieces_leave_the_bytes_of_the_whole(tmp_path, suffix, rate):
    clip = Clip(numbered(60), noisy(2 * rate * 60 // 59, 2), fps=Fraction(30000, 1001), sample_rate=rate)
    whole = write(tmp_path / f"whole{suffix}", Clip(clip.frames, clip.waveform[:, : round(clip.seconds * rate)], clip.fps, rate))
    with open_writer(tmp_path / f"a{suffix}", fps=clip.fps, size=(32, 48), sample_rate=rate, channels=2, metadata={}) as writer:
        for frames, samples in zip(cut(60, (1, 30, 30, 47)), cut(clip.waveform.shape[1], (7, 5000, 5001, 9000)), strict=True):
            writer.add(clip.frames[frames], clip.waveform[:, samples])
    assert (tmp_path / f"a{suffix}").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("samples", [100, 12000, 40000])
def test_sound_is_made_as_long_as_the_pictures(tmp_path, samples):
    sound = noisy(samples)
    with open_writer(tmp_path / "a.mkv", fps="29.97", size=(32, 48), sample_rate=16000) as writer:
        writer.add(waveform=sound)
        for index in range(15):
            writer.add(numbered(15)[index : index + 1])
    back = read(tmp_path / "a.mkv")
    lasting = round(15 * 1001 / 30000 * 16000)
    assert (len(back.frames), back.waveform.shape[1]) == (15, lasting)
    np.testing.assert_allclose(back.waveform[0, :samples], sound[0, :lasting].clip(-1, 1), atol=1e-6)
    assert not back.waveform[0, samples:].any()


def test_a_rate_that_aac_has_not_is_resampled_without_seams(tmp_path):
    time = np.arange(17000) / 17000
    sound = (0.3 * np.sin(2 * np.pi * 440 * time))[None].astype(np.float32)
    with open_writer(tmp_path / "a.mp4", fps=10, size=(32, 48), sample_rate=17000) as writer:
        for index, samples in enumerate(cut(17000, tuple(range(1700, 17000, 1700)))):
            writer.add(numbered(10)[index : index + 1], sound[:, samples])
    at_once = read(write(tmp_path / "b.mp4", Clip(numbered(10), sound, fps=Fraction(10), sample_rate=17000)))
    back = read(tmp_path / "a.mp4")
    assert (back.sample_rate, back.waveform.shape) == (22050, (1, 22050))
    np.testing.assert_allclose(back.waveform[0, 500:-500], at_once.waveform[0, 500:-500], atol=0.02)


def test_a_fault_on_the_way_leaves_nothing(tmp_path):
    settings = {"fps": 8, "size": (32, 48), "sample_rate": 16000}

    def breaks():
        with open_writer(tmp_path / "a.mp4", **settings) as writer:
            writer.add(numbered(8), noisy(16000))
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        breaks()
    with pytest.raises(MediaError, match=r"a\.mp4: no frames were added"), open_writer(tmp_path / "a.mp4", **settings):
        pass
    for wrong, message in (
        ((numbered(2, (16, 16)), None), "expected uint8"),
        ((None, noisy(10, 2)), r"expected \[1 n\]"),
        ((None, np.full((1, 10), np.nan, np.float32)), "NaN or infinity"),
    ):
        with pytest.raises(MediaError, match=message), open_writer(tmp_path / "a.mp4", **settings) as writer:
            writer.add(*wrong)
    assert not list(tmp_path.iterdir())
    (tmp_path / "a.mp4").write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"), open_writer(tmp_path / "a.mp4", **settings):
        pass
    assert (tmp_path / "a.mp4").read_text() == "mine"


def test_memory_does_not_grow_with_length(tmp_path):
    frames, sound = numbered(8), noisy(16000)

    def peak(seconds: int) -> int:
        tracemalloc.start()
        with open_writer(tmp_path / "a.mp4", fps=8, size=(32, 48), sample_rate=16000, overwrite=True) as writer:
            for _ in range(seconds):
                writer.add(frames, sound)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)
    assert peak(28) < peak(8) + 200_000  # 20 s more of this clip are 2 MB.
