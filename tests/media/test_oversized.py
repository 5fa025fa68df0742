"""Files that exceed the limits are rejected with one line before they are decoded."""

import json
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media_samples import make, numbered
from PIL import Image

from sonovid.media import Limits, MediaError, probe, read

SMALL = {"max_seconds": 5, "max_pixels": 2**20, "max_bytes": 2**24, "max_samples": 2**18}
REFUSED = ("above the limit", "size is unknown", "implausible time stamps", "cannot be read")


def replaced(path: Path, old: bytes, new: bytes, count: int = -1) -> Path:
    """A file with some bytes exchanged, which have to be there."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, count))
    return path


def film(path: Path, codec: str, **more) -> Path:
    return make(path, frames=more.pop("frames", numbered(4)), codec=codec, base=more.pop("base", Fraction(1, 10)), **more)


def heard(path: Path, codec: str, seconds: float, rate: int = 8000, layout: str = "mono", channels: int = 1) -> Path:
    waveform = np.zeros((channels, round(seconds * rate)), np.float32)
    return make(path, waveform=waveform, audio_codec=codec, rate=rate, layout=layout)


def wide_png(path: Path) -> Path:
    """A PNG of 40000 x 40000 by its header."""
    film(path, "apng")
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 40000, 40000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    return path


def webp(path: Path, duration: int = 100, size: "int | None" = None) -> Path:
    pictures = [Image.fromarray(picture) for picture in numbered(2)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=duration, lossless=True)
    if size:
        data = bytearray(path.read_bytes())
        data[24:30] = (size - 1).to_bytes(3, "little") * 2
        path.write_bytes(data)
    return path


def stills(folder: Path) -> Path:
    folder.mkdir()
    for index in range(2):
        Image.new("L", (6000, 3000)).save(folder / f"{index}.png")
    return folder


def y4m(path: Path) -> Path:
    path.write_bytes(b"YUV4MPEG2 W40000 H40000 F25:1 C420jpeg\nFRAME\n" + bytes(10000))
    return path


def large_frames_in_a_small_avi(path: Path) -> Path:
    film(path, "mjpeg", frames=np.zeros((3, 2000, 2000, 3), np.uint8))
    size = (2000).to_bytes(4, "little")
    return replaced(path, size + size, (64).to_bytes(4, "little") * 2)


def unbounded_flac(path: Path) -> Path:
    """Without its number of samples, which is then found out by decoding."""
    heard(path, "flac", 4, 192000, "7.1", 8)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    return path


KINDS = {
    "gif of 9000 x 4000": lambda f: Image.new("P", (9000, 4000)).save(f / "a.gif") or f / "a.gif",
    "apng of 40000 x 40000": lambda f: wide_png(f / "a.apng"),
    "webp of 16384 x 16384": lambda f: webp(f / "a.webp", size=16384),
    "webp of hours": lambda f: webp(f / "b.webp", duration=8_000_000),
    "y4m of 40000 x 40000": lambda f: y4m(f / "a.y4m"),
    "mp4 of 2048 x 1024": lambda f: film(f / "a.mp4", "libx264", frames=np.zeros((2, 1024, 2048, 3), np.uint8)),
    "mkv of 2048 x 1024": lambda f: film(f / "a.mkv", "ffv1", frames=np.zeros((2, 1024, 2048, 3), np.uint8)),
    "webm of 2048 x 1024": lambda f: film(f / "a.webm", "libvpx", frames=np.zeros((1, 1024, 2048, 3), np.uint8)),
    "avi of 2048 x 1024": lambda f: film(f / "b.avi", "mjpeg", frames=np.zeros((2, 1024, 2048, 3), np.uint8)),
    "avi whose pictures are larger than its header says": lambda f: large_frames_in_a_small_avi(f / "a.avi"),
    "large numbered pictures": lambda f: stills(f / "frames"),
    "flac of 8 channels at 192 kHz": lambda f: heard(f / "b.flac", "flac", 3, 192000, "7.1", 8),
    "flac that does not say how long it is": lambda f: unbounded_flac(f / "c.flac"),
    "wav of 6 channels": lambda f: heard(f / "b.wav", "pcm_s16le", 2, 48000, "5.1", 6),
    "mkv of 6 channels": lambda f: heard(f / "b.mkv", "pcm_s16le", 2, 48000, "5.1", 6),
    "mp3 of a minute": lambda f: heard(f / "a.mp3", "libmp3lame", 60),
    "opus of a minute": lambda f: heard(f / "a.ogg", "libopus", 60, 48000),
    "mp4 of one picture an hour": lambda f: film(f / "c.mp4", "libx264", base=Fraction(3600)),
    "gif whose pictures stand for minutes": lambda f: film(
        f / "c.gif", "gif", base=Fraction(1, 100), stamps=[0, 9000, 18000, 27000]
    ),
    "mp4 whose last picture stands for an hour": lambda f: film(f / "d.mp4", "libx264", last=36000),
    "ts of a minute": lambda f: film(f / "a.ts", "mpeg2video", base=Fraction(1, 25), frames=numbered(1500, (16, 16))),
}

SCRIPT = """
import json, resource, sys
from fractions import Fraction
from sonovid.media import Limits, MediaError, Source, read
names, limits = json.loads(sys.argv[1]), Limits(**json.loads(sys.argv[2]))
for name, path in names.items():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        clip = read(Source(path, fps=Fraction(8)), limits=limits)
        said = "read " + str([None if x is None else x.shape for x in (clip.frames, clip.waveform)])
    except MediaError as error:
        said = str(error)
    print(json.dumps([name, said, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]))
"""


def test_oversized_files_are_refused_in_little_memory(tmp_path):
    """In a process of its own, whose peak is its own; 21 kinds."""
    paths = {name: str(build(tmp_path)) for name, build in KINDS.items()}
    words = [sys.executable, "-c", SCRIPT, json.dumps(paths), json.dumps(SMALL)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [name for name, _, _ in found] == list(KINDS)
    read_after_all = [(name, said) for name, said, _ in found if not any(word in said for word in REFUSED)]
    assert not read_after_all
    assert not [(name, said) for name, said, _ in found if "\n" in said]
    # A picture of 2048 x 1024 may be decoded in search of the streams' facts; nothing of the sizes that are claimed.
    assert not [(name, kilobytes) for name, _, kilobytes in found if kilobytes > 60_000]


def test_a_wav_that_claims_four_gigabytes_is_what_is_there(tmp_path):
    """As programs leave them that write to a pipe."""
    path = heard(tmp_path / "a.wav", "pcm_s16le", 0.1)
    replaced(path, b"data" + (1600).to_bytes(4, "little"), b"data" + (0xFFFFFFF0).to_bytes(4, "little"))
    assert read(path).waveform.shape == (1, 800)


def test_what_is_asked_of_a_small_file_is_limited_too(tmp_path):
    path = film(tmp_path / "a.mkv", "ffv1")
    for wish in ({"fps": 10**9}, {"size": (40000, 40000)}, {"fps": 10000, "size": (2000, 2000)}):
        with pytest.raises(MediaError, match=r"above the limit of 8\.0 GiB"):
            read(path, **wish)
    with pytest.raises(MediaError, match="above the limit"):
        probe(path, limits=Limits(max_pixels=100))
