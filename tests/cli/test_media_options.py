"""Options of sonovid generate for media files, on a tiny model."""

from fractions import Fraction

import av
import numpy as np
import pytest
from media_samples import make, numbered
from PIL import Image

from sonovid import media
from sonovid.cli import main
from sonovid.media.loudness import measure_loudness


@pytest.fixture
def sonovid(tiny_folder, tmp_path, capsys, monkeypatch):
    """Run `sonovid generate` in an empty folder; returns exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        status = main(["generate", *map(str, words), "--model", str(tiny_folder)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def film(tmp_path):
    """Two seconds of frames at 10 per second, a keyframe every half second, with a tone of half a second at 0.75 s."""
    time = np.arange(2 * 16000) / 16000
    sound = np.where((time >= 0.75) & (time < 1.25), 0.5 * np.sin(2 * np.pi * 440 * time), 0).astype(np.float32)[None]
    options = {"codec": "libx264", "options": {"g": "5", "bf": "0"}, "waveform": sound, "audio_codec": "aac"}
    return make(tmp_path / "film.mp4", frames=numbered(20), base=Fraction(1, 10), **options)


def tracks(path):
    """The audio tracks of a file, each as (samples [c n], rate)."""
    found = []
    with av.open(str(path)) as file:
        count = len(file.streams.audio)
    for index in range(count):
        with av.open(str(path)) as file:
            frames = list(file.decode(audio=index))
        found.append((np.concatenate([f.to_ndarray() for f in frames], axis=1), frames[0].sample_rate))
    return found


def heard(samples, rate, first, last):
    """The level of an excerpt in dB."""
    part = samples[:, round(first * rate) : round(last * rate)]
    return 10 * np.log10(np.square(part).mean() + 1e-12)


def test_the_own_sound_is_replaced_and_that_is_said(sonovid, film):
    status, _, err = sonovid("--video", film, "-o", "out.mp4")
    assert status == 0
    assert "its original sound is replaced (--keep-audio mix or second-track keeps it)" in err
    assert len(tracks("out.mp4")) == 1


def test_the_own_sound_is_a_second_track(sonovid, film):
    status, _, err = sonovid("--video", film, "-o", "out.mp4", "--keep-audio", "second-track")
    assert (status, "replaced" in err) == (0, False)
    (_, new_rate), (own, rate) = tracks("out.mp4")
    assert (new_rate, rate) == (8000, 16000)
    assert heard(own, rate, 0.85, 1.15) > -10 > -60 > heard(own, rate, 0.1, 0.6)


def test_the_own_sound_is_mixed_in_and_ducked(sonovid, film):
    levels = {}
    for name, words in {"plain": [], "soft": ["--gain", "-40"], "ducked": ["--duck", "30"]}.items():
        assert (
            sonovid("--video", film, "-o", f"{name}.mkv", "--keep-audio", "mix", "--loudness", "-30", "--quiet", *words)[0] == 0
        )
        ((samples, rate),) = tracks(f"{name}.mkv")
        assert (rate, samples.shape) == (16000, (1, 32000))
        levels[name] = heard(samples, rate, 0.85, 1.15), heard(samples, rate, 1.4, 1.9)
    assert abs(levels["plain"][0] - levels["soft"][0]) < 1  # The tone is the film's own
    assert levels["plain"][1] - levels["soft"][1] > 30  # and what is heard after it is new.
    assert levels["plain"][0] - levels["ducked"][0] > 6


@pytest.mark.parametrize(("wish", "lufs"), [([], -23), (["--loudness", "-30"], -30), (["--loudness", "-30", "--gain", "6"], -24)])
def test_the_new_sound_has_the_loudness_that_is_wished(sonovid, wish, lufs):
    assert sonovid("a hit", "-o", "out.mkv", *wish)[0] == 0
    clip = media.read("out.mkv")
    found = measure_loudness(clip.waveform, clip.sample_rate)
    assert abs(found.integrated - lufs) < 0.5 or found.peak == pytest.approx(-1, abs=0.3)


def test_without_a_loudness_the_model_s_own_is_written(sonovid, tiny_pipeline):
    sonovid("a hit", "-o", "out.mkv", "--loudness", "none", "--seed", 3, "--dtype", "float32")
    np.testing.assert_allclose(media.read("out.mkv").waveform, tiny_pipeline("a hit", generator=3).clips[0].waveform, atol=1e-4)


def test_rate_and_channels_are_as_wished_and_that_is_said(sonovid, film):
    words = ["--sample-rate", 48000, "--channels", 2]
    _, _, err = sonovid("--video", film, "-o", "out.mp4", *words)
    assert "resampled from the model's 8000 Hz to 48000 Hz" in err
    assert "one channel is copied to both" in err
    clip = media.read("out.mp4")
    assert (clip.sample_rate, clip.waveform.shape) == (48000, (2, 96000))
    sound = media.write("own.wav", media.read(film, video=False))
    assert sonovid("--audio", sound, "-o", "pictures.mkv", *words, "--seconds", 1, "--start", 0.5)[0] == 0
    clip = media.read("pictures.mkv")
    assert (clip.sample_rate, clip.waveform.shape) == (48000, (2, 48000))
    assert heard(clip.waveform, 48000, 0.3, 0.7) > -12 > -40 > heard(clip.waveform, 48000, 0, 0.2)


@pytest.mark.parametrize(("start", "seconds"), [(1, 1), (0.7, 0.5)])
def test_a_part_of_a_film_gets_a_sound(sonovid, film, start, seconds):
    assert sonovid("--video", film, "-o", "out.mp4", "--start", start, "--seconds", seconds, "--quiet")[0] == 0
    clip = media.read("out.mp4")
    assert (len(clip.frames), clip.waveform.shape) == (seconds * 10, (1, round(seconds * 8000)))
    np.testing.assert_array_equal(clip.frames, media.read(film, start=start, seconds=seconds).frames)


def test_longer_films_by_option(sonovid, film):
    assert "--max-seconds" in sonovid("--video", film, "-o", "a.mp4", "--max-seconds", 1)[2]
    assert sonovid("--video", film, "-o", "a.mp4", "--max-seconds", 5)[0] == 0
    assert "--max-pixels" in sonovid("--video", film, "-o", "b.mp4", "--max-pixels", 1000)[2]


def test_numbered_pictures_get_a_sound(sonovid, tmp_path):
    (tmp_path / "frames").mkdir()
    for index, picture in enumerate(numbered(24)):
        Image.fromarray(picture).save(tmp_path / "frames" / f"{index + 1:04d}.png")
    for number, name in enumerate(("frames", "frames/%04d.png")):
        assert sonovid("--video", name, "--fps", 24, "-o", f"{number}.mp4", "--quiet")[0] == 0
        clip = media.read(f"{number}.mp4")
        assert (len(clip.frames), clip.fps, clip.waveform.shape) == (24, 24, (1, 8000))


def test_time_stamps_that_cannot_be_meant_are_refused_before_the_model_is_loaded(sonovid, tmp_path):
    path = make(tmp_path / "a.mp4", frames=numbered(5), base=Fraction(1, 10), codec="libx264", last=5860)
    status, _, err = sonovid("--video", path, "-o", "out.mp4")
    assert (status, "implausible timestamps" in err) == (2, True)
    assert sonovid("--video", path, "-o", "out.mp4", "--seconds", 1, "--quiet")[0] == 0
    assert media.read("out.mp4").waveform.shape == (1, 8000)
