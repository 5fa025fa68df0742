"""The preview: frames, spectrogram and event marks share one time axis."""

from fractions import Fraction

import numpy as np
import pytest

from sonovid.core.clip import Clip
from sonovid.media.preview import FOOT, LEFT, MARGIN, MARK, SPECTROGRAM, STRIP, log_mel, mel_filters, preview


def click_clip(at: float) -> Clip:
    """Two seconds, sixteen pictures that turn from dark to light and a click, both at `at` seconds."""
    frames = np.zeros((16, 16, 16, 3), np.uint8)
    frames[round(at * 8) :] = 255
    waveform = np.zeros((1, 32000), np.float32)
    waveform[0, round(at * 16000)] = 1.0
    return Clip(frames, waveform, fps=Fraction(8), sample_rate=16000, events=(at,))


@pytest.mark.parametrize("at", [0.5, 1.25])
def test_mark_click_and_picture_stand_above_each_other(at):
    page = np.asarray(preview(click_clip(at), width=1000)).astype(int)
    assert page.shape[1] == 1000
    span = 1000 - MARGIN - LEFT
    expected = LEFT + at / 2 * span
    lines = np.flatnonzero((page == MARK).all(-1).mean(0) > 0.7)
    assert len(lines) == 1
    assert abs(lines[0] - expected) < 2
    spectrogram = page[MARGIN + STRIP + 10 : -FOOT].sum(-1)
    loud = spectrogram.mean(0)[LEFT:-MARGIN].copy()
    loud[lines[0] - LEFT] = loud.min()  # The mark itself is bright.
    assert abs(LEFT + np.average(np.arange(span), weights=loud - loud.min()) - expected) < 15
    light = page[MARGIN + STRIP // 2, LEFT : -MARGIN - 3].mean(-1) > 128
    light[[lines[0] - LEFT]] = True
    # Pictures stand in eight cells, so one turns light within a cell of the mark.
    first = next(i for i in range(span) if light[i : i + 20].all())
    assert abs(first + LEFT - expected) <= span / 8


def test_a_tone_lies_where_its_band_is():
    waveform = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)[None]
    mel = log_mel(waveform, 16000, num_frames=50, num_bands=80)
    assert mel.shape == (80, 50)
    centres = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 82)[1:-1] / 2595) - 1)
    assert abs(centres[mel[:, 5:-5].mean(1).argmax()] - 1000) < 60


def test_filters_add_up_to_one_and_none_is_empty():
    filters = mel_filters(80, 161, 16000)
    np.testing.assert_allclose(filters.sum(1), 1, rtol=1e-5)
    assert (filters.argmax(1)[1:] >= filters.argmax(1)[:-1]).all()


def test_half_a_clip_has_half_a_page():
    both = click_clip(0.5)
    full, sound = preview(both), preview(Clip(None, both.waveform))
    pictures = preview(Clip(both.frames, None, fps=Fraction(8)))
    assert sound.height < full.height
    assert pictures.height < full.height
    assert full.height >= STRIP + SPECTROGRAM
    silent = np.asarray(preview(Clip(None, np.zeros((1, 16000), np.float32))))
    assert silent[MARGIN + 20 : -FOOT - 5, LEFT + 5 : -MARGIN - 5].max() < 40


def test_a_given_spectrogram_is_drawn_and_outside_events_are_not():
    clip = Clip(np.zeros((4, 8, 8, 3), np.uint8), None, fps=Fraction(4))
    ramp = np.repeat(np.linspace(0, 1, 20, dtype=np.float32)[:, None], 30, 1)
    page = np.asarray(preview(clip, mel=ramp, events=[-1.0, 7.0])).astype(int)
    drawn = page[MARGIN + STRIP + 20 : -FOOT - 10, 400].sum(-1)
    assert drawn[0] > drawn[-1] + 200
    assert not (page == MARK).all(-1).any()
    with pytest.raises(ValueError, match="width"):
        preview(clip, width=10)


def test_a_row_of_flow_stands_below_the_frames_at_the_same_moments():
    clip = click_clip(1.0)
    plain = np.asarray(preview(clip, width=1000))
    page = np.asarray(preview(clip, flow=255 - clip.frames, width=1000))
    assert page.shape[0] == plain.shape[0] + STRIP + 8
    frames, flow = page[MARGIN : MARGIN + STRIP, LEFT:-MARGIN], page[MARGIN + STRIP + 8 : MARGIN + 2 * STRIP + 8, LEFT:-MARGIN]
    shown = (frames != MARK).any(-1) & (flow != MARK).any(-1) & (frames.sum(-1) % 765 == 0) & (flow.sum(-1) % 765 == 0)
    # Dark frames have light flow here, and light ones dark, but for the lines of paper between the cells.
    assert ((frames[shown].sum(-1) > 0) != (flow[shown].sum(-1) > 0)).mean() > 0.95
    assert (page[-SPECTROGRAM:] == plain[-SPECTROGRAM:]).all()
