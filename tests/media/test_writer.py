"""Writing: equal durations, atomicity, rejected input."""

import os
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from media_samples import numbered

from sonovid.core.clip import Clip
from sonovid.media import MediaError, read, write
from sonovid.media.files import atomic_output


def tone(num_samples: int, channels: int = 1) -> np.ndarray:
    return np.tile(0.3 * np.sin(np.arange(num_samples) / 10), (channels, 1)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("samples", [3000, 9000, 16000])
def test_sound_is_made_as_long_as_the_pictures(tmp_path, suffix, samples):
    fps = Fraction(30000, 1001)
    path = write(tmp_path / f"a{suffix}", Clip(numbered(15), tone(samples), fps=fps))
    with av.open(str(path)) as file:
        pictures, sound = file.streams.video[0], file.streams.audio[0]
        ends = []
        for stream in (pictures, sound):
            if stream.duration is not None:
                ends.append(stream.duration * stream.time_base)
        # Where the container keeps lengths (mp4, mov), they agree to the sample; mkv keeps milliseconds.
        assert not ends or abs(ends[0] - ends[1]) <= Fraction(1, 16000)
        assert sound.start_time == 0
    back = read(path)
    assert len(back.frames) == 15
    assert back.waveform.shape[1] == round(15 / fps * 16000)
    heard = min(samples, back.waveform.shape[1])
    assert np.abs(back.waveform[0, 500 : heard - 500] - tone(samples)[0, 500 : heard - 500]).max() < (
        0.1 if suffix == ".mp4" else 1e-3
    )
    assert np.abs(back.waveform[0, heard + 1100 :]).max(initial=0) < 1e-3


@pytest.mark.parametrize(("suffix", "exact"), [(".wav", True), (".flac", True)])
def test_sound_alone(tmp_path, suffix, exact):
    waveform = np.round(tone(1234, 2) * 32768).astype(np.float32) / 32768
    back = read(write(tmp_path / f"a{suffix}", Clip(None, waveform, sample_rate=22050)))
    assert back.frames is None
    assert back.sample_rate == 22050
    np.testing.assert_array_equal(back.waveform, waveform)
    with_pictures = Clip(numbered(5), tone(16000), fps=Fraction(10))
    assert read(write(tmp_path / f"b{suffix}", with_pictures)).waveform.shape == (1, 16000)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_channels_keep_their_order(tmp_path, channels):
    waveform = np.zeros((channels, 48000), np.float32)
    for channel in range(channels):
        if channel != 3:  # The bass channel of AAC keeps low tones only.
            waveform[channel, channel * 8000 + 2000 : channel * 8000 + 6000] = tone(4000)
    back = read(write(tmp_path / "a.mp4", Clip(numbered(25), waveform, fps=Fraction(25), sample_rate=48000)))
    assert back.waveform.shape == waveform.shape
    for channel in range(channels):
        if channel != 3:
            power = np.abs(back.waveform[:, channel * 8000 + 2500 : channel * 8000 + 5500]).mean(1)
            assert power.argmax() == channel


def test_a_rate_that_aac_has_not_is_resampled(tmp_path):
    back = read(write(tmp_path / "a.mp4", Clip(numbered(10), tone(17000), fps=Fraction(10), sample_rate=17000)))
    assert back.sample_rate == 22050
    assert back.waveform.shape == (1, 22050)


def test_odd_sizes_repeat_the_last_row_and_column(tmp_path):
    frames = numbered(4, (33, 47))
    frames[:, -1, :, :] = 250
    back = read(write(tmp_path / "a.mp4", Clip(frames, None, fps=Fraction(4)), quality=1)).frames
    assert back.shape == (4, 34, 48, 3)
    assert np.abs(back[:, -2:, :46].astype(int) - 250).max() < 25


def test_metadata_is_kept(tmp_path):
    clip = Clip(numbered(2), None, fps=Fraction(2))
    for suffix in (".mp4", ".mkv"):
        path = write(tmp_path / f"a{suffix}", clip, metadata={"title": "a hit", "comment": "by hand", "seed": "7"})
        with av.open(str(path)) as file:
            names = {key.lower(): value for key, value in file.metadata.items()}
        assert (names["title"], names["comment"], names["seed"]) == ("a hit", "by hand", "7")


def test_an_existing_file_is_kept_unless_told(tmp_path):
    clip = Clip(numbered(2), None, fps=Fraction(2))
    path = tmp_path / "a.mp4"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match=r"a\.mp4 exists already"):
        write(path, clip)
    assert path.read_text() == "mine"
    write(path, clip, overwrite=True)
    assert len(read(path).frames) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


class Breaks(np.ndarray):
    """Pictures of which the third cannot be had."""

    def __iter__(self):
        yield from np.asarray(self)[:2]
        raise RuntimeError("the third picture")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_fault_in_the_middle_leaves_nothing(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    clip = Clip(numbered(5).view(Breaks), tone(16000), fps=Fraction(5))
    with pytest.raises(RuntimeError, match="the third picture"):
        write(path, clip)
    assert not list(tmp_path.iterdir())
    path.write_text("mine")
    with pytest.raises(RuntimeError, match="the third picture"):
        write(path, clip, overwrite=True)
    assert path.read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_appears_meanwhile_is_not_lost(tmp_path):
    path = tmp_path / "a.mp4"

    def write_while_another_does() -> None:
        with atomic_output(path, overwrite=False) as beside:
            beside.write_text("late")
            path.write_text("early")

    with pytest.raises(FileExistsError, match="while this one was written"):
        write_while_another_does()
    assert path.read_text() == "early"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "waveform", "message"),
    [
        ("a.mp4", np.full((1, 100), np.nan, np.float32), "NaN or infinity"),
        ("a.mp4", np.full((1, 100), np.inf, np.float32), "NaN or infinity"),
        ("a.mp4", np.zeros((1, 0), np.float32), "no samples"),
        ("a.mp4", np.zeros((5, 100), np.float32), "expected"),
        ("a.wav", None, "the clip has none"),
        ("a.txt", None, r"cannot write \.txt"),
        ("none/a.mp4", None, "does not exist"),
    ],
)
def test_what_cannot_be_written(tmp_path, name, waveform, message):
    with pytest.raises(MediaError, match=message) as caught:
        write(tmp_path / name, Clip(numbered(2), waveform, fps=Fraction(2)))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path):
    clip = Clip(numbered(2), None, fps=Fraction(2))
    (tmp_path / "b.mp4").mkdir()
    with pytest.raises(MediaError, match="is a folder"):
        write(tmp_path / "b.mp4", clip, overwrite=True)
    (tmp_path / "c").write_text("a file")
    with pytest.raises(MediaError, match="does not exist"):
        write(tmp_path / "c" / "a.mp4", clip)


def test_same_clip_same_bytes(tmp_path):
    clip = Clip(numbered(6), tone(16000), fps=Fraction(6))
    first, second = (write(tmp_path / name, clip).read_bytes() for name in ("a.mp4", "b.mp4"))
    assert first == second


BLOB = """
import sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from sonovid.core.clip import Clip
from sonovid.media import write
random, (y, x), pictures = np.random.default_rng(0), np.mgrid[:48, :48], []
back = random.normal(128, 12, (48, 48, 3))
for t in range(8):
    blob = np.exp(-((x - 48 * (0.2 + 0.075 * t)) ** 2 + (y - 48 * (0.5 + 0.3 * np.sin(t / 3))) ** 2) / 23)[..., None]
    pictures.append(back * (1 - blob) + blob * np.array([250, 40, 60]) + random.normal(0, 3, (48, 48, 3)))
write(Path(sys.argv[1]), Clip(np.clip(pictures, 0, 255).astype(np.uint8), None, fps=Fraction(8)))
"""


def test_the_bytes_do_not_depend_on_what_memory_held_before(tmp_path):
    written = []
    for filling in ("1", "200"):  # glibc fills new memory with it; elsewhere the variable does nothing.
        path = tmp_path / f"{filling}.mp4"
        subprocess.run([sys.executable, "-c", BLOB, str(path)], env={**os.environ, "MALLOC_PERTURB_": filling}, check=True)
        written.append(path.read_bytes())
    assert written[0] == written[1]
