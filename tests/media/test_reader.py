"""Reading: timestamps, rotation, audio offsets, channels, rates, limits, faults."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media_samples import flash_clip_arrays, make, number_of, numbered

from sonovid.core.clip import Clip
from sonovid.media import Limits, MediaError, probe, read, write

REAL = Path(__file__).parents[2].parent / "shared" / "media"
RATES = ["8", "17", "24", "24000/1001", "25", "30000/1001", "60"]


def click_at(waveform: np.ndarray) -> int:
    return int(np.abs(waveform).max(0).argmax())


@pytest.mark.parametrize(("suffix", "tolerance"), [(".mkv", 0.001), (".mov", 0.001), (".mp4", 1024 / 16000)])
@pytest.mark.parametrize("fps", RATES)
def test_flash_and_click_come_back_together(tmp_path, fps, suffix, tolerance):
    fps = Fraction(fps)
    frames, waveform, flash, click = flash_clip_arrays(fps)
    path = write(tmp_path / f"clip{suffix}", Clip(frames, waveform, fps=fps, sample_rate=16000))
    back = read(path)
    assert back.fps == fps
    assert back.frames.shape == frames.shape
    assert back.waveform.shape == waveform.shape
    assert int(back.frames.mean((1, 2, 3)).argmax()) == flash
    assert abs(click_at(back.waveform) - click) / 16000 <= tolerance
    info = probe(path)
    assert (info.fps, info.num_frames, info.size) == (fps, len(frames), (32, 48))
    assert abs(info.duration - Fraction(len(frames)) / fps) < Fraction(1, 500)


def test_lossless_container_gives_back_every_pixel_and_sample(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (5, 33, 47, 3), dtype=np.uint8)
    waveform = rng.uniform(-1, 1, (2, 3200)).astype(np.float32)
    back = read(write(tmp_path / "a.mkv", Clip(frames, waveform, fps=Fraction(25), sample_rate=16000)))
    np.testing.assert_array_equal(back.frames, frames)
    np.testing.assert_array_equal(back.waveform, waveform)


def test_colours_survive_encoding(tmp_path):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [90, 120, 200]], np.uint8)
    frames = np.repeat(np.repeat(colours[:, None, None], 32, 1), 32, 2)
    back = read(write(tmp_path / "a.mp4", Clip(frames, None, fps=Fraction(5)), quality=5))
    assert np.abs(back.frames.mean((1, 2)) - colours).max() < 6


@pytest.mark.parametrize("codec", ["ffv1", "libx264"])
def test_varying_rate_is_resampled_by_stamps(tmp_path, codec):
    # Ten pictures in the first second, three in the next two: an index would show the wrong ones throughout.
    stamps = [*range(0, 1000, 100), 1000, 1700, 2900]
    suffix = ".mkv" if codec == "ffv1" else ".mp4"
    path = make(tmp_path / f"v{suffix}", frames=numbered(13), stamps=stamps, base=Fraction(1, 1000), codec=codec)
    back = read(path, fps=4)
    shown = [number_of(picture, 13) for picture in back.frames]
    expected = [max(i for i, stamp in enumerate(stamps) if stamp <= 250 * t) for t in range(len(shown))]
    assert shown == expected
    assert len(shown) in (12, 13)


def test_varying_rate_without_a_wish_is_read_at_its_average(tmp_path):
    stamps = [0, 40, 80, 400, 440, 480, 900, 960]
    path = make(tmp_path / "v.mp4", frames=numbered(8), stamps=stamps, base=Fraction(1, 1000), codec="libx264")
    back = read(path)
    assert Fraction(7) < back.fps < Fraction(9)
    times = [float(i / back.fps) for i in range(len(back.frames))]
    expected = [max(i for i, stamp in enumerate(stamps) if stamp / 1000 <= time + 1e-4) for time in times]
    assert [number_of(picture, 8) for picture in back.frames] == expected


@pytest.mark.parametrize(("native", "wished"), [("25", "8"), ("30000/1001", "24"), ("10", "25"), ("24", "17")])
def test_another_rate_shows_the_picture_on_screen(tmp_path, native, wished):
    native, wished = Fraction(native), Fraction(wished)
    path = make(tmp_path / "a.mkv", frames=numbered(20), base=1 / native)
    back = read(path, fps=wished)
    assert len(back.frames) == round(Fraction(20) / native * wished)
    for index, picture in enumerate(back.frames):
        at = Fraction(index) / wished * native
        # mkv rounds its stamps to milliseconds.
        assert number_of(picture, 20) in {int(at), int(at + Fraction(1, 1000) * native), int(at - Fraction(1, 1000) * native)}


@pytest.mark.parametrize("late", [0.25, -0.25])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_sound_that_starts_late_or_early(tmp_path, late, suffix):
    waveform = np.zeros((1, 11000), np.float32)
    waveform[0, 8000] = 0.9
    codec = {".mkv": ("ffv1", "pcm_s16le"), ".mp4": ("libx264", "aac")}[suffix]
    stamps = range(10, 35) if late < 0 else range(25)  # Early sound: the pictures begin after zero.
    path = make(
        tmp_path / f"a{suffix}",
        frames=numbered(25),
        stamps=stamps,
        waveform=waveform,
        codec=codec[0],
        audio_codec=codec[1],
        late=max(late, 0.0) if late > 0 else 0.15,
    )
    back = read(path)
    assert len(back.frames) == 25
    assert number_of(back.frames[0], 25) == 0
    assert back.waveform.shape == (1, 16000)
    assert abs(click_at(back.waveform) - (8000 + late * 16000)) <= (16 if suffix == ".mkv" else 40)
    alone = read(path, video=False)
    assert abs(click_at(alone.waveform) - (8000 + late * 16000)) <= (16 if suffix == ".mkv" else 40)


@pytest.mark.parametrize(("samples", "kept", "frames"), [(4000, 4000, 25), (17000, 16000, 25), (40000, 40000, 62)])
def test_pictures_and_sound_last_equally_long(tmp_path, samples, kept, frames):
    """A sound that ends early is filled up; one that goes on for a codec's frame is cut; for longer, the last picture is held."""
    waveform = np.full((1, samples), 0.5, np.float32)
    path = make(tmp_path / "a.mkv", frames=numbered(25), waveform=waveform)
    back = read(path)
    length = max(kept, 16000) if frames == 25 else round(frames / 25 * 16000)
    assert (len(back.frames), back.waveform.shape) == (frames, (1, length))
    assert np.all(np.abs(back.waveform[0, :kept] - 0.5) < 1e-3)
    assert not back.waveform[0, kept:].any()
    assert np.array_equal(back.frames[-1], back.frames[24])
    assert abs(probe(path).duration - Fraction(frames, 25)) <= Fraction(1, 50)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif"])
def test_a_last_picture_is_held_as_long_as_its_file_says(tmp_path, suffix):
    """Ten pictures a second, of which the last stands for three seconds."""
    codec = {".mp4": "libx264", ".mkv": "libx264", ".gif": "gif"}[suffix]
    path = make(tmp_path / f"a{suffix}", frames=numbered(10), base=Fraction(1, 10), codec=codec, last=30)
    back = read(path)
    assert [number_of(picture, 10) for picture in back.frames] == [*range(10), *[9] * 29]
    assert abs(float(probe(path).duration) - 3.9) < 0.11
    assert len(read(path, fps=20).frames) == 78
    assert len(read(path, start=2, seconds=1).frames) == 10


def test_time_stamps_that_cannot_be_meant_are_refused_unless_a_length_is_named(tmp_path):
    path = make(tmp_path / "a.mp4", frames=numbered(5), base=Fraction(1, 10), codec="libx264", last=5860)
    with pytest.raises(MediaError, match=r"implausible timestamps: 5 frames for 586 s, one of them for 586 s.*--seconds"):
        read(path)
    assert len(read(path, seconds=1).frames) == 10
    sound = np.zeros((1, 70 * 8000), np.float32)
    slides = make(tmp_path / "b.mkv", frames=numbered(2), base=Fraction(1, 10), waveform=sound, rate=8000)
    assert len(read(slides, fps=1).frames) == 70  # A picture to music is meant.


def quadrants() -> np.ndarray:
    frames = np.zeros((3, 32, 48, 3), np.uint8)
    frames[:, :16, :24, 0] = 255  # Top left is red,
    frames[:, :16, 24:, 1] = 255  # top right green,
    frames[:, 16:, :24, 2] = 255  # bottom left blue.
    return frames


ONE = 1 << 16
MATRICES = {
    "as stored": ([ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30], lambda f: f),
    "quarter turn clockwise": ([0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30], lambda f: np.rot90(f, -1, (1, 2))),
    "half turn": ([-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30], lambda f: np.rot90(f, 2, (1, 2))),
    "quarter turn anticlockwise": ([0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30], lambda f: np.rot90(f, 1, (1, 2))),
    "mirrored": ([-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30], lambda f: f[:, :, ::-1]),
    "upside down": ([ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30], lambda f: f[:, ::-1]),
    "transposed": ([0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30], lambda f: f.swapaxes(1, 2)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_rotation_is_applied(tmp_path, name):
    matrix, expected = MATRICES[name]
    path = make(tmp_path / "r.mp4", frames=quadrants(), codec="libx264", matrix=matrix, options={"crf": "1"})
    back = read(path)
    wanted = expected(quadrants())
    assert back.frames.shape == wanted.shape
    assert probe(path).size == wanted.shape[1:3]
    assert np.abs(back.frames.astype(int) - wanted).mean() < 25


def test_pixels_that_are_not_square_are_stretched(tmp_path):
    path = make(tmp_path / "a.mp4", frames=numbered(3), codec="libx264", aspect=Fraction(4, 3))
    assert read(path).frames.shape == (3, 32, 64, 3)
    assert probe(path).size == (32, 64)


def test_size_covers_and_crops_the_centre(tmp_path):
    frames = np.zeros((2, 40, 80, 3), np.uint8)
    frames[:, :, :20], frames[:, :, 60:] = (255, 0, 0), (0, 0, 255)  # Wings that a square leaves out.
    frames[:, :, 20:60] = (0, 255, 0)
    path = make(tmp_path / "a.mkv", frames=frames)
    square = read(path, size=(20, 20)).frames
    assert square.shape == (2, 20, 20, 3)
    assert np.all(square[:, :, 1:-1] == (0, 255, 0))
    assert read(path, size=(64, 100)).frames.shape == (2, 64, 100, 3)


def test_reduction_does_not_alias(tmp_path):
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    frames[:, :, ::2] = 255
    small = read(make(tmp_path / "a.mkv", frames=frames), size=(16, 16)).frames
    assert np.abs(small.astype(int) - 127).max() < 20


def test_five_channels_and_bass_to_one(tmp_path):
    # Channels of 5.1 in file order: left, right, centre, bass, left and right behind.
    waveform = np.zeros((6, 6000), np.float32)
    for channel in range(6):
        waveform[channel, channel * 1000 : channel * 1000 + 500] = 0.8
    path = make(tmp_path / "a.wav", waveform=waveform, layout="5.1")
    assert read(path).waveform.shape == (6, 6000)
    mono = read(path, mono=True).waveform
    levels = np.array([mono[0, c * 1000 + 250] for c in range(6)]) / 0.8
    expected = np.array([0.5**0.5, 0.5**0.5, 1, 0, 0.5, 0.5])
    np.testing.assert_allclose(levels, expected / expected.sum(), atol=1e-3)


def test_stereo_to_one_is_the_mean(tmp_path):
    waveform = np.stack([np.full(800, 0.5), np.full(800, -0.1)]).astype(np.float32)
    path = make(tmp_path / "a.wav", waveform=waveform, layout="stereo")
    np.testing.assert_allclose(read(path, mono=True).waveform, 0.2, atol=1e-3)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_any_sample_rate(tmp_path, rate):
    time = np.arange(rate) / rate
    waveform = (0.5 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)[None]
    back = read(make(tmp_path / "a.wav", waveform=waveform, rate=rate), sample_rate=16000)
    assert back.waveform.shape == (1, 16000)
    wanted = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    assert np.abs(back.waveform[0] - wanted)[500:-500].max() < 2e-3


@pytest.mark.parametrize(("suffix", "codec"), [(".mp3", "libmp3lame"), (".ogg", "libopus"), (".flac", "flac"), (".m4a", "aac")])
def test_priming_of_lossy_sound_is_taken_off(tmp_path, suffix, codec):
    rate = 48000
    waveform = np.zeros((1, rate), np.float32)
    waveform[0, 20000:20100] = np.hanning(100)
    back = read(make(tmp_path / f"a{suffix}", waveform=waveform, audio_codec=codec, rate=rate))
    assert back.frames is None
    assert abs(click_at(back.waveform) - 20050) < 60
    assert abs(back.waveform.shape[1] - rate) <= (0 if suffix in (".flac", ".m4a") else 1200)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("samples", [30000, 32800])
def test_a_film_lasts_as_its_pictures_where_its_sound_ends_with_them_or_before(tmp_path, suffix, samples):
    path = make(tmp_path / f"a{suffix}", frames=numbered(50), codec="libx264", waveform=np.zeros((1, samples), np.float32))
    info = probe(path)
    assert (info.duration, info.fps, info.num_frames) == (2, 25, 50)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4a"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_the_filling_of_the_last_frame_is_left_out(tmp_path, suffix, rate):
    """AAC codes 1024 samples at a time; the containers of QuickTime say how many of the last ones are meant."""
    frames = None if suffix == ".m4a" else numbered(50)
    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 2 * rate)).astype(np.float32)
    path = make(tmp_path / f"a{suffix}", frames=frames, codec="libx264", waveform=waveform, audio_codec="aac", rate=rate)
    assert read(path, video=False).waveform.shape == (1, 2 * rate)
    assert read(path, video=False, start=1.5).waveform.shape == (1, rate // 2)
    assert read(path, video=False, seconds=1).waveform.shape == (1, rate)


def test_silent_pictures_and_unseen_sounds(tmp_path):
    silent = read(make(tmp_path / "a.mkv", frames=numbered(3)))
    assert silent.waveform is None
    assert len(silent.frames) == 3
    quiet = read(make(tmp_path / "a.wav", waveform=np.zeros((1, 100), np.float32)))
    assert quiet.frames is None
    assert not quiet.waveform.any()


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "mjpeg"), (".webm", "libvpx-vp9"), (".gif", "gif"), (".mov", "libx264")])
def test_other_containers(tmp_path, suffix, codec):
    back = read(make(tmp_path / f"a{suffix}", frames=numbered(8), base=Fraction(1, 10), codec=codec))
    assert back.fps == 10
    assert [number_of(picture, 8) for picture in back.frames] == list(range(8))


@pytest.mark.parametrize("start", [0.5, 2.0])
def test_a_part_from_the_middle(tmp_path, start):
    frames = numbered(60)
    waveform = np.zeros((1, 96000), np.float32)
    waveform[0, round((start + 0.5) * 16000)] = 0.9
    codecs = {"codec": "libx264", "options": {"g": "15", "crf": "1"}, "audio_codec": "aac"}
    path = make(tmp_path / "a.mp4", frames=frames, base=Fraction(1, 10), waveform=waveform, **codecs)
    back = read(path, start=start, seconds=1)
    first = round(start * 10)
    assert [number_of(picture, 60) for picture in back.frames] == list(range(first, first + 10))
    assert back.waveform.shape == (1, 16000)
    assert abs(click_at(back.waveform) - 8000) < 40
    assert len(read(path, start=5.5, seconds=3).frames) == 5


def test_a_part_of_a_transport_stream(tmp_path):
    path = make(tmp_path / "a.ts", frames=numbered(30), base=Fraction(1, 10), codec="libx264", options={"crf": "1"})
    assert [number_of(picture, 30) for picture in read(path, start=1.5, seconds=0.5).frames] == list(range(15, 20))


def test_limits(tmp_path):
    path = make(tmp_path / "a.mkv", frames=numbered(25), waveform=np.zeros((1, 16000), np.float32))
    with pytest.raises(MediaError, match=r"48x32 is above the limit of 100 pixels.*raise it with"):
        read(path, limits=Limits(max_pixels=100))
    with pytest.raises(MediaError, match=r"1\.0 s is above the limit of 0\.5 s"):
        read(path, limits=Limits(max_seconds=0.5))
    with pytest.raises(MediaError, match=r"25 frames of 48x32 take"):
        read(path, limits=Limits(max_bytes=1000))
    assert len(read(path, seconds=0.4, limits=Limits(max_seconds=0.5)).frames) == 10
    with pytest.raises(MediaError, match="above the limit"):
        read(make(tmp_path / "a.wav", waveform=np.zeros((1, 16000), np.float32)), limits=Limits(max_seconds=0.5))


def test_faults_are_told_in_one_line(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is no film\n" * 100)
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/hostname\n#EXT-X-ENDLIST\n")
    sound = make(tmp_path / "no_samples.wav", waveform=np.zeros((1, 10), np.float32))
    sound.write_bytes(sound.read_bytes()[:-20])
    for name, message in [
        ("missing.mp4", "no such file"),
        ("empty.mp4", "the file is empty"),
        ("text.mp4", "unsupported: it is a text file"),
        ("list.mp4", "unsupported: it is an HLS playlist"),
        ("no_samples.wav", "no samples|cannot be read"),
        ("", "is a folder"),
    ]:
        with pytest.raises(MediaError, match=message) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(MediaError, match="no video"):
        read(make(tmp_path / "a.wav", waveform=np.zeros((1, 10), np.float32)), audio=False)
    with pytest.raises(MediaError, match="no audio"):
        read(make(tmp_path / "a.mkv", frames=numbered(2)), video=False)
    with pytest.raises(MediaError, match="after the end"):
        read(tmp_path / "a.mkv", start=5)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("part", [0.3, 0.6])
def test_a_file_cut_short_is_refused(tmp_path, suffix, part):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (50, 32, 48, 3), dtype=np.uint8)
    waveform = rng.uniform(-0.5, 0.5, (1, 32000)).astype(np.float32)
    path = write(tmp_path / f"a{suffix}", Clip(frames, waveform, fps=Fraction(25)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(MediaError, match="truncated"):
        read(path)


def test_sound_that_is_no_number_is_refused(tmp_path):
    waveform = np.zeros((1, 4096), np.float32)
    waveform[0, 100] = np.nan
    with pytest.raises(MediaError, match="NaN"):
        read(make(tmp_path / "a.wav", waveform=waveform, audio_codec="pcm_f32le"))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not on this machine")
@pytest.mark.parametrize(
    ("name", "fps", "size", "seconds"),
    [
        ("vggsound_0B4dYTMsgHA.mp4", 30, (720, 1280), 10),
        ("kitchen_talk.mp4", 24, (704, 1280), 5.08),
        ("landscape_samples.mp4", 10, (256, 256), 88.4),
        ("bach.mp3", None, None, 10.0),
        ("dog.wav", None, None, 2.61),
    ],
)
def test_real_files(name, fps, size, seconds):
    info = probe(REAL / name)
    assert (info.fps, info.size) == (fps, size)
    assert abs(float(info.duration) - seconds) < 0.1
    clip = read(REAL / name, fps=8 if fps else None, size=(64, 64), sample_rate=16000, mono=True, start=1, seconds=1)
    assert clip.waveform.shape == (1, 16000)
    assert 0.005 < np.abs(clip.waveform).max() <= 1
    if fps:
        assert clip.frames.shape == (8, 64, 64, 3)
        assert clip.frames.std() > 10
