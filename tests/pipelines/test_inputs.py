"""Video and audio inputs of all types."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from sonovid.core.clip import Clip
from sonovid.pipelines.inputs import as_audio, as_video, to_list

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
WAVE = np.random.default_rng(1).normal(0, 0.1, 800).astype(np.float32)


@pytest.mark.parametrize(
    "given",
    [
        FRAMES,
        FRAMES / np.float32(255),
        torch.from_numpy(FRAMES),
        torch.from_numpy(FRAMES).permute(0, 3, 1, 2),
        torch.from_numpy(FRAMES).permute(0, 3, 1, 2).float() / 255,
        [Image.fromarray(one) for one in FRAMES],
        list(FRAMES),
    ],
)
@pytest.mark.parametrize("fps", [Fraction(8), 8, 8.0, "8", np.int64(8)])
def test_all_video_inputs_give_the_same_clip(given, fps):
    clip = as_video(given, fps)
    assert np.array_equal(clip.frames, FRAMES)
    assert (clip.fps, type(clip.fps)) == (Fraction(8), Fraction)


@pytest.mark.parametrize(
    "given", [WAVE, WAVE[None], torch.from_numpy(WAVE), np.rint(WAVE * 32768).astype(np.int16), WAVE.astype(np.float64)]
)
def test_all_audio_inputs_give_the_same_clip(given):
    clip = as_audio(given, np.int32(8000))
    assert np.abs(clip.waveform[0] - WAVE).max() < 2e-5
    assert (clip.waveform.shape, clip.sample_rate) == ((1, 800), 8000)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: as_video(FRAMES), "pass fps="),
        (lambda: as_video(FRAMES[0], 8), r"expected \[t h w 3\]"),
        (lambda: as_video(FRAMES.astype(np.int64), 8), "bytes"),
        (lambda: as_video(FRAMES.astype(np.float32), 8), "floats from 0 to 255"),
        (lambda: as_video([FRAMES[0], FRAMES[0][:2]], 8), "several sizes"),
        (lambda: as_audio(WAVE), "pass sample_rate="),
        (lambda: as_audio(WAVE[:, None], 8000), "transpose"),
        (lambda: as_audio(WAVE.astype(np.int64), 8000), "int16"),
        (lambda: to_list(3), "type int"),
        (lambda: as_video(FRAMES, 0), "above zero"),
    ],
)
def test_invalid_inputs_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_to_list_of_one_or_several():
    clip = Clip(FRAMES, None, fps=Fraction(8))
    assert to_list(None) == [None]
    assert to_list("a.mp4") == ["a.mp4"]
    assert to_list(clip) == [clip]
    assert to_list(["a.mp4", clip]) == ["a.mp4", clip]
    assert len(to_list(FRAMES)) == 1
    assert len(to_list([FRAMES, FRAMES])) == 2
    assert len(to_list(np.stack([FRAMES, FRAMES]))) == 2
    assert len(to_list([Image.fromarray(one) for one in FRAMES])) == 1


def test_rates_of_clips_become_fractions():
    rates = [Clip(FRAMES, None, fps=rate).fps for rate in (24, 29.97, "30000/1001", np.float32(12.5))]
    assert rates == [Fraction(24), Fraction(30000, 1001), Fraction(30000, 1001), Fraction(25, 2)]
    with pytest.raises(ValueError, match="above zero"):
        Clip(FRAMES, None, fps=0)
