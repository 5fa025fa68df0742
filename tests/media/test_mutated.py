"""Damaged files of ten containers give a clip or a one-line MediaError."""

import random
import warnings
import zlib
from fractions import Fraction

import numpy as np
import pytest
from media_samples import make, numbered
from PIL import Image

from sonovid.media import Limits, MediaError, Source, mux, probe, read

MUTATIONS = 30
LIMITS = Limits(max_seconds=30, max_pixels=2**20, max_bytes=2**26, max_samples=2**22)
# Values that break arithmetic: nothing, the greatest of each kind, minus one, the sign alone.
EXTREMES = [bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\x00\x00\x00\x01", b"\xff\xff\x00\x00"]


def sound(seconds: float = 1.0, rate: int = 16000) -> np.ndarray:
    return (0.3 * np.sin(np.arange(round(seconds * rate)) / 9)).astype(np.float32)[None]


def webp(path):
    pictures = [Image.fromarray(picture) for picture in numbered(6)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, lossless=True)
    return path


FILMS = {"frames": 6, "base": Fraction(1, 10)}
KINDS = {
    "a.mp4": {"codec": "libx264", "audio_codec": "aac", **FILMS},
    "a.mov": {"codec": "mpeg4", "audio_codec": "pcm_s16le", **FILMS},
    "a.mkv": {"codec": "ffv1", "audio_codec": "pcm_s16le", **FILMS},
    "a.webm": {"codec": "libvpx", "audio_codec": "libopus", "rate": 48000, **FILMS},
    "a.avi": {"codec": "mjpeg", "audio_codec": "pcm_s16le", **FILMS},
    "a.ts": {"codec": "mpeg2video", "audio_codec": "mp2", "base": Fraction(1, 25), "frames": 6},
    "a.gif": {"codec": "gif", **FILMS},
    "a.webp": {},
    "a.flac": {"audio_codec": "flac"},
    "a.mp3": {"audio_codec": "libmp3lame"},
}


def sample(folder, name: str) -> bytes:
    options = dict(KINDS[name])
    if not options:
        return webp(folder / name).read_bytes()
    if "frames" in options:
        options["frames"] = numbered(options["frames"])
    if "audio_codec" in options:
        options["waveform"] = sound(rate=options.get("rate", 16000))
    return make(folder / name, **options).read_bytes()


def mutated(data: bytes, seed: int) -> bytes:
    """One of several kinds of damage, drawn from a seed; headers are hit as often as all the rest."""
    draw = random.Random(seed)
    reach = len(data) if draw.random() < 0.5 else min(len(data), 600)
    at = draw.randrange(reach)
    kind = draw.choice(["bits", "extreme", "extreme", "cut", "gap", "double", "zeros", "noise"])
    if kind == "bits":
        changed = bytearray(data)
        for _ in range(draw.randint(1, 20)):
            changed[draw.randrange(reach)] ^= 1 << draw.randrange(8)
        return bytes(changed)
    if kind == "extreme":
        return data[:at] + draw.choice(EXTREMES) + data[at + 4 :]
    length = draw.randint(1, 200)
    if kind == "cut":
        return data[: max(1, at)]
    middle = {"gap": b"", "double": data[at : at + length] * 2, "zeros": bytes(length), "noise": draw.randbytes(length)}[kind]
    return data[:at] + middle + data[at + length :]


@pytest.mark.parametrize("name", KINDS)
def test_no_damage_reaches_unexpected(tmp_path, name):
    whole = sample(tmp_path, name)
    path = tmp_path / f"damaged{name[1:]}"
    faults, understood = [], 0
    for seed in range(MUTATIONS):
        path.write_bytes(mutated(whole, zlib.crc32(name.encode()) + seed))
        for what in (
            lambda: probe(path, limits=LIMITS),
            lambda: read(path, fps=8, size=(16, 16), sample_rate=8000, mono=True, limits=LIMITS),
            lambda: mux(Source(path, limits=LIMITS), sound(0.5), 16000, tmp_path / "out.mp4", overwrite=True, own_sound=True),
        ):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    what()
                understood += 1
            except Exception as error:
                if not isinstance(error, MediaError) or "\n" in str(error):
                    faults.append(f"mutation {seed}: {type(error).__name__}: {error}")
    assert not faults, "\n".join(faults)
    assert understood > 0  # Not everything is refused: the damage is varied.
