"""Copied video with another audio track, and copied audio with another video track."""

import logging
import resource
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_samples import flash_clip_arrays, make, number_of, numbered, packets_of

from sonovid.core.clip import Clip
from sonovid.media import MediaError, Source, mux, read, replace_video, write

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


def test_a_gif_is_re_encoded_and_that_is_said(tmp_path, caplog):
    own = make(tmp_path / "own.gif", frames=numbered(8), base=Fraction(1, 10), codec="gif")
    with caplog.at_level(logging.WARNING):
        out = mux(own, click(0.3), 16000, tmp_path / "out.mp4")
    assert "re-encoded" in caplog.text
    back = read(out)
    assert (back.fps, len(back.frames), back.waveform.shape) == (10, 8, (1, 12800))
    assert [number_of(picture, 8) for picture in back.frames] == list(range(8))


def test_pictures_without_an_order_are_re_encoded(tmp_path, caplog):
    own = make(tmp_path / "own.avi", frames=numbered(20), base=Fraction(1, 10), codec="libx264", options={"crf": "2"})
    assert [number_of(picture, 20) for picture in read(own).frames] == list(range(20))
    out = mux(own, click(0.3), 16000, tmp_path / "out.mp4")
    assert "re-encoded" in caplog.text
    assert [number_of(picture, 20) for picture in read(out).frames] == list(range(20))


def test_mux_refuses_and_leaves_nothing(tmp_path):
    own = write(tmp_path / "own.mp4", Clip(numbered(4), None, fps=Fraction(4)))
    with pytest.raises(MediaError, match="holds no video"):
        mux(own, click(0.3), 16000, tmp_path / "out.wav")
    with pytest.raises(MediaError, match="NaN"):
        mux(own, np.full((1, 10), np.nan, np.float32), 16000, tmp_path / "out.mp4")
    with pytest.raises(FileExistsError):
        mux(own, click(0.3), 16000, own)
    with pytest.raises(MediaError, match="has no video"):
        mux(write(tmp_path / "a.wav", Clip(None, click(0.1))), click(0.3), 16000, tmp_path / "out.mp4")
    assert {p.name for p in tmp_path.iterdir()} == {"own.mp4", "a.wav"}
    mux(own, click(0.3), 16000, own, overwrite=True)
    assert read(own).waveform is not None


@pytest.mark.parametrize(("suffix", "codec"), [(".m4a", "aac"), (".mp3", "libmp3lame")])
def test_own_sound_is_copied(tmp_path, suffix, codec):
    waveform = np.zeros((1, 2 * 44100), np.float32)
    waveform[0, 22050:22150] = np.hanning(100)
    own = make(tmp_path / f"own{suffix}", waveform=waveform, audio_codec=codec, rate=44100)
    out = replace_video(own, numbered(12), 8, tmp_path / "out.mp4")
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
    back = read(replace_video(own, numbered(8), 8, tmp_path / "a.mp4"))
    assert back.waveform.shape == (1, 44100)
    assert abs(int(np.abs(back.waveform).argmax()) / 44100 - 0.2) < 1 / 1000
    wav = write(tmp_path / "own.wav", Clip(None, click(0.7, 16000, 3.0)))
    exact = read(replace_video(wav, numbered(8), 8, tmp_path / "a.mkv"))
    np.testing.assert_array_equal(exact.waveform, read(wav).waveform[:, :16000])
    assert abs(heard_at(replace_video(wav, numbered(8), 8, tmp_path / "b.mp4")) - 0.7) < 1 / 1000


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
    out = replace_video(own, numbered(8), 8, tmp_path / "out.mp4")
    assert abs(heard_at(out) - heard_at(own)) < 2 / 1000
    assert abs(heard_at(out) - (1.003 - 0.4)) < 6 / 1000


def lengths_of(path: Path) -> list[float]:
    """How long each track of a file lasts, by its packets, in seconds."""
    with av.open(str(path)) as file:
        ends = [0.0] * len(file.streams)
        for packet in file.demux():
            if packet.size and packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                ends[packet.stream.index] = max(ends[packet.stream.index], float(end))
        return ends


def stamps_of(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        return sorted(float(packet.pts * packet.time_base) for packet in file.demux(video=0) if packet.size)


@pytest.mark.parametrize("out", ["out.mp4", "out.mkv", "out.mov"])
@pytest.mark.parametrize(("name", "codec"), [("own.mp4", "libx264"), ("own.mkv", "libx264"), ("own.gif", "gif")])
def test_a_held_last_picture_is_held_in_what_is_written(tmp_path, name, codec, out):
    own = make(tmp_path / name, frames=numbered(10), base=Fraction(1, 10), codec=codec, last=30)
    back = read(mux(own, click(3.5, seconds=4), 16000, tmp_path / out))
    assert (len(back.frames), back.fps, back.waveform.shape[1]) == (39, 10, 62400)
    pictures, sound = lengths_of(tmp_path / out)
    assert abs(pictures - 3.9) < 0.002
    assert abs(sound - 3.9) < 0.07
    assert abs(heard_at(tmp_path / out) - 3.5) < 0.002


def test_pictures_that_end_before_their_sound_are_held_until_its_end(tmp_path):
    own = make(tmp_path / "own.mp4", frames=numbered(30), codec="libx264", waveform=click(4.5, seconds=5), audio_codec="aac")
    out = mux(own, click(4.5, seconds=5), 16000, tmp_path / "out.mp4")
    assert packets_of(out, "video") == packets_of(own, "video")
    assert all(abs(length - 5) < 0.07 for length in lengths_of(out))
    back = read(out)
    assert (len(back.frames), back.waveform.shape) == (125, (1, 80000))


BURSTS = [*range(0, 90, 30), 2000, 2033, 2066, 2100, 5000, 5007, 5041]


@pytest.mark.parametrize(
    ("suffix", "codec", "out"), [(".webm", "libvpx", "out.mp4"), (".webm", "libvpx", "out.mov"), (".mkv", "ffv1", "out.mp4")]
)
def test_varying_times_survive_re_encoding(tmp_path, caplog, suffix, codec, out):
    own = make(tmp_path / f"own{suffix}", frames=numbered(10), stamps=BURSTS, base=Fraction(1, 1000), codec=codec, last=100)
    mux(own, click(5, seconds=6), 16000, tmp_path / out)
    assert "re-encoded" in caplog.text
    np.testing.assert_allclose(stamps_of(tmp_path / out), [s / 1000 for s in BURSTS], atol=1e-3)
    with av.open(str(tmp_path / out)) as file:
        assert [number_of(f.to_ndarray(format="rgb24"), 10) for f in file.decode(video=0)] == list(range(10))
    assert abs(heard_at(tmp_path / out) - 5) < 0.001


def test_varying_times_in_mkv_have_no_absurd_rate(tmp_path):
    own = make(
        tmp_path / "own.mp4", frames=numbered(10), stamps=[s * 90 for s in BURSTS], base=Fraction(1, 90000), codec="libx264"
    )
    out = mux(own, click(1), 16000, tmp_path / "out.mkv")
    assert packets_of(out, "video") == packets_of(own, "video")
    with av.open(str(out)) as file:
        assert float(file.streams.video[0].average_rate) < 30
    np.testing.assert_allclose(stamps_of(out), [s / 1000 for s in BURSTS], atol=1e-3)


def test_pictures_of_one_time_are_copied(tmp_path, caplog):
    """Some recorders give two pictures one stamp, at which a muxer balks."""
    own = make(tmp_path / "own.mkv", frames=numbered(10), base=Fraction(1, 10), codec="libx264", options={"bf": "0"})
    data = own.read_bytes()
    block = data.index(b"\xa3", data.index(b"\x1f\x43\xb6\x75"))
    times = [
        i for i in range(block, len(data) - 4) if data[i : i + 1] == b"\x81" and data[i + 1 : i + 3] == (500).to_bytes(2, "big")
    ]
    own.write_bytes(data[: times[0] + 1] + (400).to_bytes(2, "big") + data[times[0] + 3 :])
    assert len(set(stamps_of(own))) == 9
    for name in ("out.mp4", "out.mkv"):
        out = mux(own, click(0.3), 16000, tmp_path / name)
        assert packets_of(out, "video") == packets_of(own, "video")
        assert len(set(stamps_of(out))) == 10
    assert "re-encoded" not in caplog.text


def test_a_full_disk_is_no_reason_to_re_encode(tmp_path, caplog):
    noise = np.random.default_rng(0).integers(0, 255, (30, 64, 64, 3), dtype=np.uint8)
    own = make(tmp_path / "own.mp4", frames=noise, codec="libx264", options={"crf": "1"})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot be written.*free") as raised:
            mux(own, click(0.3), 16000, tmp_path / "out.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(raised.value)
    assert "re-encoded" not in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == ["own.mp4"]


@pytest.mark.parametrize(("start", "copied"), [(2, True), (1.5, True), (0, True)])
def test_a_part_is_copied_into_mp4(tmp_path, start, copied, caplog):
    options = {"g": "10", "bf": "0", "crf": "2"}
    sound = {"waveform": click(2.5, seconds=6), "audio_codec": "aac"}
    own = make(tmp_path / "own.mp4", frames=numbered(60), base=Fraction(1, 10), codec="libx264", options=options, **sound)
    part = Source(own, start=Fraction(start), seconds=Fraction(2))
    out = mux(part, click(0.7), 16000, tmp_path / "out.mp4", own_sound=True)
    assert ("re-encoded" not in caplog.text) == copied
    back = read(out)
    assert [number_of(p, 60) for p in back.frames] == list(range(int(start * 10), int(start * 10) + 20))
    assert abs(heard_at(out) - 0.7) < 1e-3
    with av.open(str(out)) as file:
        own_again = np.concatenate([f.to_ndarray() for f in file.decode(audio=1)], axis=1)
    if start:
        assert abs(np.abs(own_again).argmax() / 16000 - (2.5 - start)) < 0.01


def test_a_part_that_cannot_be_copied_is_encoded(tmp_path, caplog):
    own = make(tmp_path / "own.mp4", frames=numbered(60), base=Fraction(1, 10), codec="libx264", options={"g": "60", "crf": "2"})
    for name in ("out.mp4", "out.mkv"):
        back = read(mux(Source(own, start=Fraction(3, 2), seconds=Fraction(1)), click(0.5), 16000, tmp_path / name))
        assert [number_of(p, 60) for p in back.frames] == list(range(15, 25))
        assert back.waveform.shape == (1, 16000)
    assert "re-encoded" in caplog.text


def rich_film(path: Path) -> Path:
    """A film with two sounds, subtitles, chapters, a place and a date."""
    with av.open(str(path), "w", options={"movflags": "+use_metadata_tags"} if path.suffix == ".mp4" else {}) as out:
        tags = {
            "title": "Holidays",
            "comment": "by the sea",
            "location": "+48.8577+002.295/",
            "creation_time": "2024-05-01T10:00:00Z",
        }
        out.metadata.update(tags | {"com.apple.quicktime.model": "a phone"})
        video = out.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        sounds = [out.add_stream("aac", rate=16000, layout="mono") for _ in range(2)]
        sounds[1].metadata["language"] = "deu"
        with av.open(str(words(path.with_suffix(".srt")))) as source:
            written = out.add_stream_from_template(source.streams.subtitles[0]) if path.suffix == ".mkv" else None
            spoken = [p for p in source.demux() if p.size]
        base = Fraction(1, 1000)
        out.set_chapters(
            [
                {"id": 1, "start": 0, "end": 1000, "time_base": base, "metadata": {"title": "one"}},
                {"id": 2, "start": 1000, "end": 3000, "time_base": base, "metadata": {"title": "two"}},
            ]
        )
        for index, picture in enumerate(numbered(30)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for number, sound in enumerate(sounds):
            for first in range(0, 48000, 1024):
                frame = av.AudioFrame.from_ndarray(click(0.5 + number, seconds=3)[:, first : first + 1024], "fltp", "mono")
                frame.sample_rate, frame.pts, frame.time_base = 16000, first, Fraction(1, 16000)
                out.mux(sound.encode(frame))
            out.mux(sound.encode(None))
        for packet in spoken if written is not None else []:
            packet.stream = written
            out.mux(packet)
    return path


def words(path: Path) -> Path:
    path.write_text("1\n00:00:00,500 --> 00:00:01,000\nHello\n\n2\n00:00:01,500 --> 00:00:02,500\nGoodbye\n")
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_tracks_chapters_and_tags_of_a_film_are_kept(tmp_path, suffix):
    own = rich_film(tmp_path / f"own{suffix}")
    added = {"comment": "AI-generated sound", "title": "a prompt"}
    out = mux(own, click(0.2, seconds=3), 16000, tmp_path / f"out{suffix}", metadata=added, own_sound=True)
    with av.open(str(out)) as file:
        tags = {name.lower(): value for name, value in file.metadata.items()}
        assert (tags["title"], tags["comment"]) == ("Holidays", "AI-generated sound; before: by the sea")
        assert tags["location"].startswith("+48.8577+002.295")
        assert tags["com.apple.quicktime.model"] == "a phone"
        assert tags["creation_time"].startswith("2024-05-01T10:00:00")
        assert [(c["metadata"]["title"], float(c["start"] * c["time_base"])) for c in file.chapters()] == [("one", 0), ("two", 1)]
        assert [s.language for s in file.streams.audio][2] == "deu"
        assert len(file.streams.audio) == 3
        assert len(file.streams.subtitles) == (suffix == ".mkv")
    with av.open(str(out)) as file:
        own_again = np.concatenate([f.to_ndarray() for f in file.decode(audio=1)], axis=1)
        assert abs(np.abs(own_again).argmax() / 16000 - 0.5) < 0.1
    if suffix == ".mkv":
        with av.open(str(out)) as file:
            said = [(float(p.pts * p.time_base), bytes(p)) for p in file.demux(subtitles=0) if p.size]
        assert said == [(0.5, b"Hello"), (1.5, b"Goodbye")]


def test_what_a_container_cannot_hold_is_told(tmp_path, caplog):
    own = rich_film(tmp_path / "own.mkv")
    out = mux(own, click(0.2, seconds=3), 16000, tmp_path / "out.mp4")
    assert "not kept in mp4: subtitles 3 (subrip)" in caplog.text
    with av.open(str(out)) as file:
        assert len(file.streams.audio) == 2  # The new one, and the second of the film's own.


def test_an_own_sound_that_cannot_be_copied_is_encoded(tmp_path, caplog):
    own = make(
        tmp_path / "own.mkv",
        frames=numbered(20),
        base=Fraction(1, 10),
        codec="libx264",
        waveform=click(1.2),
        audio_codec="pcm_s16le",
    )
    out = mux(own, click(0.2), 16000, tmp_path / "out.mp4", own_sound=True)
    assert "its original audio is re-encoded" in caplog.text
    with av.open(str(out)) as file:
        own_again = np.concatenate([f.to_ndarray() for f in file.decode(audio=1)], axis=1)
    assert abs(np.abs(own_again).argmax() / 16000 - 1.2) < 0.1
    assert abs(heard_at(out) - 0.2) < 0.001


def hdr_film(path: Path, transfer: int) -> Path:
    """A film in BT.2020 with ten bits: grey steps of a PQ or HLG signal."""
    codec = {".mp4": "libsvtav1", ".mkv": "ffv1"}[path.suffix]
    with av.open(str(path), "w") as out:
        options = {"svtav1-params": "lp=1", "preset": "12", "crf": "5"} if codec == "libsvtav1" else {}
        stream = out.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        context = stream.codec_context
        context.thread_count = 1
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(hdr_picture(index), format="yuv420p10le")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = transfer, 9, 9, 1
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def hdr_picture(index: int) -> np.ndarray:
    picture = np.full((96, 64), 512, np.uint16)
    picture[:64] = np.linspace(64, 700 + 10 * index, 64).astype(np.uint16)
    return picture


@pytest.mark.parametrize(
    ("own", "out", "start"), [("own.mkv", "out.mp4", 0), ("own.mkv", "out.mov", 0), ("own.mp4", "out.mkv", 2)]
)
@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_that_is_re_encoded_stays_hdr(tmp_path, caplog, own, out, start, transfer):
    own = hdr_film(tmp_path / own, transfer)
    mux(Source(own, start=Fraction(start, 10)), click(0.2, seconds=0.5), 16000, tmp_path / out)
    assert "its HDR is kept" in caplog.text
    with av.open(str(tmp_path / out)) as file, av.open(str(own)) as before:
        shown, wanted = list(file.decode(video=0)), list(before.decode(video=0))
    assert len(shown) == 5 - start
    for frame, other in zip(shown, wanted[start:], strict=True):
        assert (frame.color_trc, frame.color_primaries, frame.colorspace) == (transfer, 9, 9)
        assert "10" in frame.format.name
        levels = [f.reformat(format="gray10le").to_ndarray().astype(int) for f in (frame, other)]
        assert np.abs(levels[0] - levels[1]).mean() < 6


def test_hdr_is_tone_mapped_on_request(tmp_path, caplog):
    own = hdr_film(tmp_path / "own.mkv", 16)
    out = mux(own, click(0.2, seconds=0.5), 16000, tmp_path / "out.mp4", tone_map=True)
    assert "tone mapping to SDR was requested" in caplog.text
    with av.open(str(out)) as file:
        frames = list(file.decode(video=0))
    assert (len(frames), frames[0].color_trc, frames[0].color_primaries, frames[0].format.name) == (5, 1, 1, "yuv420p")
    ramp = frames[0].to_ndarray(format="gray")[16].astype(int)
    # A PQ signal of .68 is 570 candela, of which an SDR picture makes nearly white; unmapped it would be grey (.68).
    assert (ramp[0] < 24, np.all(np.diff(ramp) >= -3), ramp[-1] > 180) == (True, True, True)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not on this machine")
@pytest.mark.parametrize("name", ["vggsound_0B4dYTMsgHA.mp4", "kitchen_talk.mp4"])
def test_real_films(tmp_path, name):
    out = mux(REAL / name, click(1.0), 16000, tmp_path / "out.mp4")
    assert packets_of(out, "video") == packets_of(REAL / name, "video")
    back = read(out, video=False, start=0.5, seconds=1)
    assert abs(int(np.abs(back.waveform).argmax()) / 16000 - 0.5) < 1 / 1000
    other = replace_video(REAL / name, numbered(16), 8, tmp_path / "other.mp4")
    sound, own = packets_of(other, "audio"), packets_of(REAL / name, "audio")
    assert sound == own[: len(sound)]
    np.testing.assert_allclose(
        read(other).waveform[:, :80000], read(REAL / name, video=False, seconds=3).waveform[:, :80000], atol=1e-4
    )
