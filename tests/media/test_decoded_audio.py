from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.media import MediaError

REAL = Path(__file__).parents[2].parent / "shared" / "media"


def tone(seconds=1.0, rate=16000, channels=1):
    times = np.arange(int(seconds * rate)) / rate
    return np.stack([(0.4 + 0.1 * i) * np.sin(2 * np.pi * 440 * times) for i in range(channels)]).astype(np.float32)


def test_a_wav_comes_back_as_it_was(tmp_path):
    wave = tone(channels=2)
    media.write(tmp_path / "a.wav", Clip(None, wave))
    clip = media.read_as_decoded(tmp_path / "a.wav")
    assert (clip.frames, clip.sample_rate) == (None, 16000)
    np.testing.assert_allclose(clip.waveform, wave, atol=1e-4)
    mixed = media.read_as_decoded(tmp_path / "a.wav", mono=True, sample_rate=8000)
    assert mixed.waveform.shape == (1, 8000)
    assert np.abs(mixed.waveform).max() == pytest.approx(0.45, abs=0.01)


def test_the_sound_of_a_video_where_nothing_is_out_of_place_is_that_of_read(tmp_path):
    frames = np.zeros((8, 16, 16, 3), np.uint8)
    media.write(tmp_path / "a.mp4", Clip(frames, tone(), fps=Fraction(8)))
    decoded, placed = media.read_as_decoded(tmp_path / "a.mp4"), media.read(tmp_path / "a.mp4")
    length = placed.waveform.shape[1]
    np.testing.assert_allclose(decoded.waveform[:, :length], placed.waveform, atol=1e-6)


def test_gaps_in_a_real_file_are_passed_over():
    if not REAL.is_dir():
        pytest.skip("no real clips here")
    decoded = media.read_as_decoded(REAL / "landscape_samples.mp4")
    # Clips glued together, each with a little less sound than pictures.
    assert decoded.waveform.shape == (2, 1407744)
    placed = media.read(REAL / "landscape_samples.mp4", video=False)
    assert placed.waveform.shape[1] > decoded.waveform.shape[1]


def test_faults_are_one_line(tmp_path):
    media.write(tmp_path / "silent.mp4", Clip(np.zeros((4, 16, 16, 3), np.uint8), None))
    with pytest.raises(MediaError, match="no audio"):
        media.read_as_decoded(tmp_path / "silent.mp4")
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    with pytest.raises(MediaError):
        media.read_as_decoded(tmp_path / "broken.wav")
    media.write(tmp_path / "long.wav", Clip(None, tone(2.0)))
    with pytest.raises(MediaError, match="above the limit"):
        media.read_as_decoded(tmp_path / "long.wav", limits=media.Limits(max_seconds=1))
