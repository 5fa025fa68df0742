"""SourceClip: the same frames and samples at once or in segments, from a file or a clip."""

from fractions import Fraction

import numpy as np
import pytest

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.pipelines.continuation.source import SourceClip, sample_index

OWN = Geometry(8, Fraction(8), 16, 16, 8000)


@pytest.fixture(scope="module")
def clip():
    rng = np.random.default_rng(0)
    frames = np.repeat(np.repeat(rng.integers(0, 256, (26, 4, 6, 3), dtype=np.uint8), 6, 1), 6, 2)
    return Clip(frames, rng.normal(0, 0.1, (2, 31200)).astype(np.float32), fps=Fraction(10), sample_rate=12000)


@pytest.fixture(scope="module")
def path(clip, tmp_path_factory):
    return media.write(tmp_path_factory.mktemp("source") / "clip.mkv", clip)


def test_a_file_and_its_clip_give_the_same_segments(clip, path):
    kept, read = SourceClip(clip, OWN), SourceClip(path, OWN)
    assert kept.num_frames == read.num_frames == 20  # 2.6 s are 20.8 frames: whole ones count.
    whole = kept.frames(0, 20)
    np.testing.assert_array_equal(whole, media.read(path, fps=8, size=(16, 16)).frames[:20])
    for begin, end in ((0, 7), (7, 8), (8, 20)):
        np.testing.assert_array_equal(read.frames(begin, end), whole[begin:end])
        np.testing.assert_allclose(read.audio(begin, end), kept.audio(0, 20)[begin * 1000 : end * 1000], atol=1e-6)


@pytest.mark.parametrize("kind", ["clip", "path"])
def test_beyond_the_end_the_last_frame_repeats_and_audio_is_silent(request, kind):
    source = SourceClip(request.getfixturevalue(kind), OWN)
    last = source.frames(19, 20)[0]
    for begin, end in ((18, 24), (22, 25)):
        held = source.frames(begin, end)
        assert len(held) == end - begin
        assert (held[-2:] == last).all()
    assert not source.audio(20, 22).any()
    assert source.audio(19, 22).shape == (3000,)


def test_unused_and_missing_streams_are_left_out(clip, path):
    assert not SourceClip(path, OWN, audio=False).has_audio
    assert not SourceClip(clip, OWN, video=False).has_video
    with pytest.raises(ValueError, match="lacks the video or the audio"):
        SourceClip(Clip(clip.frames, None, fps=clip.fps), OWN, video=False)


def test_segments_add_up_to_the_samples_of_the_whole():
    odd = Geometry(16, Fraction(30000, 1001), 16, 16, 44100)
    edges = [sample_index(frame, odd) for frame in range(0, 400, 7)]
    assert edges == sorted(edges)
    assert abs(edges[-1] - 399 * 1001 / 30000 * 44100) <= 0.5
