"""Long videos cut at their shots."""

from fractions import Fraction

import numpy as np
import pytest

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.curation import splitting
from sonovid.curation.splitting import Shot

pytest.importorskip("scenedetect")
FPS = Fraction(10)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Three shots of 2, 3 and 1.5 s in different colours, each with a moving square and a tone of its own."""
    lengths, colours, tones = (20, 30, 15), ((200, 30, 30), (30, 60, 200), (230, 230, 60)), (300, 600, 900)
    frames, sound = [], []
    for length, colour, tone in zip(lengths, colours, tones, strict=True):
        for i in range(length):
            frame = np.full((48, 64, 3), colour, np.uint8)
            frame[20:28, 4 + i : 12 + i] = 255
            frames.append(frame)
        sound.append(0.5 * np.sin(2 * np.pi * tone * np.arange(length * 1600) / 16000))
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    media.write(path, Clip(np.stack(frames), np.concatenate(sound)[None].astype(np.float32), FPS))
    return path


def test_shots_begin_where_the_picture_changes_at_once(film):
    assert splitting.detect_shots(film) == [
        Shot(Fraction(0), Fraction(2)),
        Shot(Fraction(2), Fraction(5)),
        Shot(Fraction(5), Fraction(13, 2)),
    ]
    assert len(splitting.detect_shots(film, least=3)) < 3
    assert len(splitting.detect_shots(film, threshold=255)) == 1


def test_stretches_are_neither_short_nor_long():
    found = [Shot(Fraction(0), Fraction(1)), Shot(Fraction(1), Fraction(26)), Shot(Fraction(26), Fraction(30))]
    cut = list(splitting.split_shots(found, least=2, most=10))
    assert [float(shot.seconds) for shot in cut] == [pytest.approx(25 / 3)] * 3 + [4.0]
    assert (cut[0].start, cut[2].end) == (1, 26)
    with pytest.raises(ValueError, match="twice the first"):
        list(splitting.split_shots(found, least=2, most=3))


def test_a_shot_becomes_a_file_with_its_own_pictures_and_sound(film, tmp_path):
    shot = splitting.detect_shots(film)[1]
    splitting.write_shot(film, shot, tmp_path / "shot.mp4")
    clip = media.read(tmp_path / "shot.mp4", mono=True)
    assert (len(clip.frames), clip.fps) == (30, FPS)
    assert np.abs(clip.frames[:, 0, 0].astype(int) - (30, 60, 200)).max() < 25, "no picture of another shot"
    spectrum = np.abs(np.fft.rfft(clip.waveform[0, 2000:-2000]))
    assert np.fft.rfftfreq(len(clip.waveform[0]) - 4000, 1 / clip.sample_rate)[spectrum.argmax()] == pytest.approx(600, abs=2)
