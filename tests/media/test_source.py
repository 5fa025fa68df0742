"""Sources: time ranges, image sequences, and rare file types."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
from media_samples import make, number_of, numbered
from PIL import Image

from sonovid.media import Limits, MediaError, Source, mux, probe, read
from sonovid.media.source import find_image_sequence, is_image_sequence


def stills(folder, names, count=None):
    """Pictures under the names given, each of its own grey."""
    folder.mkdir(exist_ok=True)
    for picture, name in zip(numbered(count or len(names)), names, strict=False):
        Image.fromarray(picture).save(folder / name)
    return folder


def test_numbered_pictures_are_a_film_at_the_rate_that_is_named(tmp_path):
    folder = stills(tmp_path / "100% frames", [f"shot_{i:04d}.png" for i in range(7, 19)])
    for path in (folder, folder / "shot_%04d.png"):
        source = Source(path, fps=Fraction(24))
        back = read(source)
        assert (back.fps, len(back.frames)) == (24, 12)
        assert [number_of(picture, 12) for picture in back.frames] == list(range(12))
        info = probe(source)
        assert (info.duration, info.fps, info.num_frames, info.size) == (Fraction(1, 2), 24, 12, (32, 48))
    assert [number_of(p, 12) for p in read(source, fps=12).frames] == [0, 2, 4, 6, 8, 10]
    out = mux(source, np.full((1, 8000), 0.1, np.float32), 16000, tmp_path / "out.mp4")
    assert [number_of(picture, 12) for picture in read(out).frames] == list(range(12))


def test_numbers_without_noughts_and_in_the_middle_of_names(tmp_path):
    folder = stills(tmp_path / "a", [f"{i}.jpg" for i in range(8, 13)])
    pattern, first, pictures = find_image_sequence(folder)
    assert (pattern.rsplit("/", 1)[1], first, [p.name for p in pictures]) == ("%d.jpg", 8, [f"{i}.jpg" for i in range(8, 13)])
    assert len(read(Source(folder, fps=Fraction(5))).frames) == 5


def test_what_is_no_series_is_told(tmp_path):
    gap = stills(tmp_path / "gap", ["1.png", "2.png", "4.png"])
    mixed = stills(tmp_path / "mixed", ["a1.png", "b1.png"])
    (tmp_path / "none").mkdir()
    for path, message in [
        (Source(gap, fps=Fraction(8)), "image 3 is missing between 2.png and 4.png"),
        (Source(mixed, fps=Fraction(8)), "several image sequences"),
        (Source(gap / "x%03d.png", fps=Fraction(8)), "no such images"),
        (gap, "has no frame rate"),
        (tmp_path / "none", "is a folder"),
    ]:
        with pytest.raises(MediaError, match=message):
            read(path)
    assert not is_image_sequence(tmp_path / "none")
    assert not is_image_sequence("clip.mp4")


def webp(path, durations, size=(48, 32)):
    pictures = [Image.fromarray(p) for p in numbered(len(durations))]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, lossless=True)
    return path


def test_animated_webp(tmp_path):
    path = webp(tmp_path / "a.webp", [100] * 9 + [400])
    back = read(path)
    assert (back.fps, [number_of(picture, 10) for picture in back.frames]) == (10, [*range(10), 9, 9, 9])
    np.testing.assert_array_equal(back.frames[:10], numbered(10))
    assert probe(path).duration == Fraction(13, 10)
    varying = read(webp(tmp_path / "b.webp", [100, 500, 100, 300]), fps=10)
    assert [number_of(picture, 4) for picture in varying.frames] == [0, 1, 1, 1, 1, 1, 2, 3, 3, 3]
    with pytest.raises(MediaError, match="above the limit of 1000 pixels"):
        read(path, limits=Limits(max_pixels=1000))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match="cannot be read"):
        read(path)


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".apng", "apng"), (".mxf", "mpeg2video"), (".y4m", "rawvideo"), (".ivf", "libvpx-vp9")]
)
def test_kinds_of_films_that_few_programs_write(tmp_path, suffix, codec):
    path = make(tmp_path / f"a{suffix}", frames=numbered(10), base=Fraction(1, 25), codec=codec)
    back = read(path)
    assert (back.fps, [number_of(picture, 10) for picture in back.frames]) == (25, list(range(10)))


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.mp4", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(100), "a PDF document"),
        ("a.mov", b"PK\x03\x04" + bytes(100), "a ZIP archive"),
        ("a.mid", b"MThd\x00\x00\x00\x06" + bytes(100), "MIDI"),
        ("a.rm", b".RMF\x00\x00\x00\x12" + bytes(100), "a RealMedia video"),
        ("a.m3u8", b"#EXTM3U\n#EXTINF:10,\nother.ts\n", "an HLS playlist"),
        ("a.txt", "Zuschriften\nüber alles\n".encode() * 300, "a text file"),
    ],
)
def test_what_is_not_supported_is_called_by_its_name(tmp_path, name, data, kind):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MediaError, match=f"unsupported: it is {kind}"):
        read(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
def test_a_still_picture_is_no_film(tmp_path, suffix):
    Image.fromarray(numbered(1)[0]).save(tmp_path / f"a{suffix}")
    with pytest.raises(MediaError, match=r"unsupported: it is a still image"):
        probe(tmp_path / f"a{suffix}")


def test_pictures_in_a_codec_that_is_not_known_are_told(tmp_path):
    path = make(tmp_path / "a.avi", frames=numbered(3), codec="mjpeg")
    path.write_bytes(path.read_bytes().replace(b"MJPG", b"ZZZ9"))
    with pytest.raises(MediaError, match="codec that is unsupported"):
        read(path)


def test_a_part_is_read_as_if_it_were_a_file(tmp_path):
    waveform = np.linspace(0, 0.5, 32000, dtype=np.float32)[None]
    path = make(tmp_path / "a.mkv", frames=numbered(50), waveform=waveform)
    part = Source(path, start=Fraction(1, 2), seconds=Fraction(1))
    for given in (part, pickle.loads(pickle.dumps(part))):
        back = read(given)
        assert [number_of(picture, 50) for picture in back.frames] == list(range(12, 37)) or len(back.frames) == 25
        np.testing.assert_allclose(back.waveform, waveform[:, 8000:24000], atol=1e-4)
    assert (probe(part).duration, probe(part).num_frames) == (1, 25)
    inner = read(part, start=0.8, seconds=1)
    assert len(inner.frames) == 5
    np.testing.assert_allclose(inner.waveform, waveform[:, 20800:24000], atol=1e-4)
    with pytest.raises(MediaError, match="after the end"):
        read(Source(path, start=Fraction(3)))
    with pytest.raises(MediaError, match="after the end"):
        probe(Source(path, start=Fraction(3)))
    with pytest.raises(MediaError, match="above the limit of 1 s"):
        read(Source(path, limits=Limits(max_seconds=1)))
