"""Streamed frames equal those of `read`, in constant memory."""

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from media_samples import flash_clip_arrays

from sonovid.core.clip import Clip
from sonovid.media import Limits, MediaError, read, stream_frames, write


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    frames, waveform, *_ = flash_clip_arrays(Fraction(25))
    return write(tmp_path_factory.mktemp("films") / "film.mp4", Clip(frames, waveform, fps=Fraction(25), sample_rate=16000))


@pytest.mark.parametrize(
    "how", [{}, {"fps": 8}, {"fps": "30000/1001"}, {"size": (20, 20)}, {"seconds": Fraction(1, 2), "fps": 10}]
)
def test_the_frames_are_those_of_the_whole_clip(film, how):
    whole = read(film, audio=False, **how)
    found = stream_frames(film, **how)
    assert (found.fps, found.num_frames) == (whole.fps, len(whole.frames))
    np.testing.assert_array_equal(np.stack(list(found.frames)), whole.frames)


def test_memory_does_not_grow_with_the_file(tmp_path):
    still = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3), dtype=np.uint8)
    path = write(tmp_path / "long.mp4", Clip(np.repeat(still, 400, axis=0), None, fps=Fraction(25)))
    tracemalloc.start()
    count = sum(1 for _ in stream_frames(path).frames)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 400
    assert peak < 60 * still.nbytes


def test_faults(tmp_path, film):
    sound = write(tmp_path / "sound.wav", Clip(None, np.zeros((1, 800), np.float32), sample_rate=8000))
    with pytest.raises(MediaError, match="no video"):
        stream_frames(sound)
    with pytest.raises(MediaError, match="above the limit"):
        stream_frames(film, limits=Limits(max_seconds=0.1))
    with pytest.raises(ValueError, match="above zero"):
        stream_frames(film, seconds=0)
    with pytest.raises(MediaError, match="above the limit of 10 pixels"):
        next(stream_frames(film, limits=Limits(max_pixels=10)).frames)
