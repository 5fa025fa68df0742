"""Somebody's own pictures with another sound, their own sound with other pictures."""

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_samples import flash_clip_arrays, make, number_of, numbered, packets_of

from sonovid.clip import Clip
from sonovid.media import MediaError, mux, read, replace_pictures, write

REAL = Path(__file__).parents[2].parent / "shared" / "media"


def click(at: float, rate: int = 16000, seconds: float = 2.0) -> np.ndarray:
    waveform = np.zeros((1, round(seconds * rate)), np.float32)
    waveform[0, round(at * rate)] = 0.9
    return waveform


def heard_at(path: Path) -> float:
    back = read(path)
    return float(np.abs(back.waveform).max(0).argmax() / back.sample_rate)


@pytest.mark.parametrize("fps", ["24000/1001", "25", "60"])
def test_pictures_are_copied_bit_for_bit(tmp_path, fps):
    fps = Fraction(fps)
    frames, _, flash, _ = flash_clip_arrays(fps)
    own = write(tmp_path / "own.mp4", Clip(frames, click(1.5), fps=fps))
    out = mux(own, click(float(flash / fps)), 16000, tmp_path / "out.mp4")
    assert packets_of(out, "video") == packets_of(own, "video")
    back = read(out)
    assert back.fps == fps
    np.testing.assert_array_equal(back.frames, read(own).frames)
    assert back.waveform.shape[1] == round(len(frames) / fps * 16000)
    assert abs(heard_at(out) - float(flash / fps)) <= 1 / 1000


@pytest.mark.parametrize("codec", ["libsvtav1", "libvpx-vp9", "mpeg4"])
def test_other_codecs_are_copied(tmp_path, codec):
    # Not libx265: the encoder in PyAV's wheel ends the process now and then, and a sample has to be encoded first.
    suffix = ".webm" if codec == "libvpx-vp9" else ".mp4"
    options = {"svtav1-params": "lp=1", "preset": "12", "crf": "10"} if codec == "libsvtav1" else {}
    own = make(tmp_path / f"own{suffix}", frames=numbered(10), base=Fraction(1, 10), codec=codec, options=options)
    out = mux(own, click(0.5), 16000, tmp_path / "out.mp4")
    assert packets_of(out, "video") == packets_of(own, "video")
    back = read(out)
    assert (len(back.frames), back.waveform.shape) == (10, (1, 16000))
    assert [number_of(picture, 10) for picture in back.frames] == list(range(10))


def test_stamps_and_rotation_of_the_pictures_stay(tmp_path):
    stamps = [0, 40, 80, 400, 440, 480, 900, 960]
    matrix = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    own = make(tmp_path / "own.mp4", frames=numbered(8), stamps=stamps, base=Fraction(1, 1000), codec="libx264", matrix=matrix)
    out = mux(own, click(0.5), 16000, tmp_path / "out.mp4")
    before, after = read(own, fps=25), read(out, fps=25)
    assert before.frames.shape[1:3] == (48, 32)
    np.testing.assert_array_equal(before.frames, after.frames)


def test_pictures_that_start_late_start_with_the_sound(tmp_path):
    own = make(tmp_path / "own.mkv", frames=numbered(25), stamps=range(50, 75), codec="libx264", options={"crf": "2"})
    out = mux(own, click(0.5), 16000, tmp_path / "out.mp4")
    # The very packets, though mkv keeps no times of decoding and these pictures are stored out of order.
    assert packets_of(out, "video") == packets_of(own, "video")
    back = read(out)
    assert [number_of(picture, 25) for picture in back.frames] == list(range(25))
    assert abs(heard_at(out) - 0.5) <= 1 / 1000
    with av.open(str(out)) as file:
        assert file.streams.video[0].start_time == 0


def test_a_gif_is_encoded_anew_and_that_is_said(tmp_path, caplog):
    own = make(tmp_path / "own.gif", frames=numbered(8), base=Fraction(1, 10), codec="gif")
    with caplog.at_level(logging.WARNING):
        out = mux(own, click(0.3), 16000, tmp_path / "out.mp4")
    assert "encoded anew" in caplog.text
    back = read(out)
    assert (back.fps, len(back.frames), back.waveform.shape) == (10, 8, (1, 12800))
    assert [number_of(picture, 8) for picture in back.frames] == list(range(8))


def test_pictures_without_an_order_are_encoded_anew(tmp_path, caplog):
    own = make(tmp_path / "own.avi", frames=numbered(20), base=Fraction(1, 10), codec="libx264", options={"crf": "2"})
    assert [number_of(picture, 20) for picture in read(own).frames] == list(range(20))
    out = mux(own, click(0.3), 16000, tmp_path / "out.mp4")
    assert "encoded anew" in caplog.text
    assert [number_of(picture, 20) for picture in read(out).frames] == list(range(20))


def test_mux_refuses_and_leaves_nothing(tmp_path):
    own = write(tmp_path / "own.mp4", Clip(numbered(4), None, fps=Fraction(4)))
    with pytest.raises(MediaError, match="holds no pictures"):
        mux(own, click(0.3), 16000, tmp_path / "out.wav")
    with pytest.raises(MediaError, match="NaN"):
        mux(own, np.full((1, 10), np.nan, np.float32), 16000, tmp_path / "out.mp4")
    with pytest.raises(FileExistsError):
        mux(own, click(0.3), 16000, own)
    with pytest.raises(MediaError, match="no pictures"):
        mux(write(tmp_path / "a.wav", Clip(None, click(0.1))), click(0.3), 16000, tmp_path / "out.mp4")
    assert {p.name for p in tmp_path.iterdir()} == {"own.mp4", "a.wav"}
    mux(own, click(0.3), 16000, own, overwrite=True)
    assert read(own).waveform is not None


@pytest.mark.parametrize(("suffix", "codec"), [(".m4a", "aac"), (".mp3", "libmp3lame")])
def test_own_sound_is_copied(tmp_path, suffix, codec):
    waveform = np.zeros((1, 2 * 44100), np.float32)
    waveform[0, 22050:22150] = np.hanning(100)
    own = make(tmp_path / f"own{suffix}", waveform=waveform, audio_codec=codec, rate=44100)
    out = replace_pictures(own, numbered(12), 8, tmp_path / "out.mp4")
    copied, source = packets_of(out, "audio"), packets_of(own, "audio")
    assert copied == source[: len(copied)]
    assert len(copied) >= 44100 * 1.5 // 1152
    back = read(out)
    assert (len(back.frames), back.fps, back.waveform.shape) == (12, 8, (1, 66150))
    reference = read(own).waveform[:, :66150]
    assert np.abs(back.waveform - reference)[:, :64000].max() < 1e-4
    with av.open(str(out)) as file:
        lasting = [stream.duration * stream.time_base for stream in file.streams]
    assert abs(lasting[0] - lasting[1]) <= Fraction(1, 1000)


def test_own_sound_that_is_too_short_or_pcm_is_encoded(tmp_path):
    own = make(tmp_path / "own.m4a", waveform=click(0.2, 44100, 0.5), audio_codec="aac", rate=44100)
    back = read(replace_pictures(own, numbered(8), 8, tmp_path / "a.mp4"))
    assert back.waveform.shape == (1, 44100)
    assert abs(int(np.abs(back.waveform).argmax()) / 44100 - 0.2) < 1 / 1000
    wav = write(tmp_path / "own.wav", Clip(None, click(0.7, 16000, 3.0)))
    exact = read(replace_pictures(wav, numbered(8), 8, tmp_path / "a.mkv"))
    np.testing.assert_array_equal(exact.waveform, read(wav).waveform[:, :16000])
    assert abs(heard_at(replace_pictures(wav, numbered(8), 8, tmp_path / "b.mp4")) - 0.7) < 1 / 1000


def test_sound_of_a_film_is_taken_from_its_first_picture_on(tmp_path):
    waveform = np.zeros((1, 32000), np.float32)
    waveform[0, 16000:16100] = np.hanning(100)
    own = make(
        tmp_path / "own.mp4",
        frames=numbered(40),
        stamps=range(10, 50),
        codec="libx264",
        waveform=waveform,
        audio_codec="aac",
    )
    out = replace_pictures(own, numbered(8), 8, tmp_path / "out.mp4")
    assert abs(heard_at(out) - heard_at(own)) < 2 / 1000
    assert abs(heard_at(out) - (1.003 - 0.4)) < 6 / 1000


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not on this machine")
@pytest.mark.parametrize("name", ["vggsound_0B4dYTMsgHA.mp4", "kitchen_talk.mp4"])
def test_real_films(tmp_path, name):
    out = mux(REAL / name, click(1.0), 16000, tmp_path / "out.mp4")
    assert packets_of(out, "video") == packets_of(REAL / name, "video")
    back = read(out, video=False, start=0.5, seconds=1)
    assert abs(int(np.abs(back.waveform).argmax()) / 16000 - 0.5) < 1 / 1000
    other = replace_pictures(REAL / name, numbered(16), 8, tmp_path / "other.mp4")
    sound, own = packets_of(other, "audio"), packets_of(REAL / name, "audio")
    assert sound == own[: len(sound)]
    np.testing.assert_allclose(
        read(other).waveform[:, :80000], read(REAL / name, video=False, seconds=3).waveform[:, :80000], atol=1e-4
    )
