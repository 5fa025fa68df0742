"""Windows and durations, against values by hand."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch

from sonovid.media import MediaInfo
from sonovid.pipelines.windows import audio_duration, crossfade_windows, num_frames_for, window_starts


@pytest.mark.parametrize(
    ("sound", "pictures", "expected"),
    [
        (Fraction(2048, 1000), Fraction(2), Fraction(2)),  # AAC at 16 kHz, filled to whole frames of 1024.
        (Fraction(195, 100), Fraction(2), Fraction(2)),
        (Fraction(5), Fraction(2), Fraction(5)),  # The pictures are a title, and the sound is what is meant.
        (Fraction(1), Fraction(2), Fraction(1)),
    ],
)
def test_audio_of_a_file_ends_with_its_video_within_the_tolerance(sound, pictures, expected):
    film = MediaInfo(pictures, Fraction(8), (16, 16), 16, 16000, 1, True, True, 0)
    assert audio_duration(sound, film) == expected


def test_audio_alone_keeps_its_duration():
    assert audio_duration(Fraction(2048, 1000), MediaInfo(Fraction(2), None, None, 0, 16000, 1, False, True, 0)) == Fraction(
        2048, 1000
    )


@pytest.mark.parametrize(("seconds", "frames"), [(Fraction(2), 16), (2.001, 16), (2.01, 17), (0.001, 1)])
def test_num_frames_for_rounds_up_to_a_hundredth_of_a_frame(seconds, frames):
    assert num_frames_for(seconds, Fraction(8)) == frames


@pytest.mark.parametrize("total", [1, 16, 17, 30, 100])
def test_windows_cover_the_clip_and_overlap(total):
    begins = window_starts(total, 16)
    assert begins[0] == 0
    assert max(begins) + 16 >= total
    assert all(later - begin <= 14 for begin, later in pairwise(begins))


@pytest.mark.parametrize("equal_power", [False, True])
def test_crossfade_windows_fades_each_overlap_once(equal_power):
    joined = crossfade_windows([torch.ones(16), torch.zeros(16)], [0, 12], axis=0, equal_power=equal_power)
    assert len(joined) == 28
    # An eighth of a piece is two samples long; the rest of the overlap is the second piece's alone.
    middle = (torch.tensor([0.25, 0.75]) * torch.pi / 2).cos() if equal_power else torch.tensor([0.75, 0.25])
    torch.testing.assert_close(joined, torch.cat([torch.ones(12), middle, torch.zeros(14)]))
