"""Small media files with known contents."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (32, 48)


def flash_clip_arrays(fps: Fraction, sample_rate: int = 16000, seconds: int = 2) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Black pictures with one white frame, silence with one click at its start; and the indices of both."""
    num_frames = round(seconds * fps)
    frames = np.zeros((num_frames, *SIZE, 3), np.uint8)
    flash = num_frames // 2
    frames[flash] = 255
    waveform = np.zeros((1, round(Fraction(num_frames) / fps * sample_rate)), np.float32)
    click = round(Fraction(flash) / fps * sample_rate)
    waveform[0, click] = 1.0
    return frames, waveform, flash, click


def numbered(num_frames: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Grey pictures whose brightness tells their number."""
    levels = np.linspace(20, 235, num_frames).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (num_frames, *size, 3)).copy()


def number_of(picture: np.ndarray, num_frames: int) -> int:
    """Which of the `numbered` pictures this is."""
    levels = np.linspace(20, 235, num_frames).astype(np.uint8)
    return int(np.abs(levels - picture.mean()).argmin())


def make(
    path: Path,
    *,
    frames: "np.ndarray | None" = None,
    stamps: "Sequence[int] | None" = None,
    base: Fraction = Fraction(1, 25),
    codec: str = "ffv1",
    matrix: "Sequence[int] | None" = None,
    aspect: "Fraction | None" = None,
    waveform: "np.ndarray | None" = None,
    audio_codec: str = "pcm_s16le",
    layout: str = "mono",
    rate: int = 16000,
    late: float = 0.0,
    options: "dict | None" = None,
    last: int = 0,
) -> Path:
    """A file written with PyAV alone, apart from the code under test. late: where the sound begins, in seconds. last: how long
    the last picture stands, in ticks of `base`."""
    with av.open(str(path), "w") as out:
        video = audio = None
        if frames is not None:
            video = out.add_stream(codec, rate=1 / base, options=options or {})
            video.height, video.width = frames.shape[1:3]
            video.pix_fmt = {"ffv1": "bgr0", "gif": "rgb8", "mjpeg": "yuvj420p", "apng": "rgb24", "png": "rgb24"}.get(
                codec, "yuv420p"
            )
            video.codec_context.time_base = base
            video.codec_context.thread_count = 1
            if aspect is not None:
                video.codec_context.sample_aspect_ratio = aspect
            if matrix is not None:
                video.set_display_matrix(matrix)
        if waveform is not None:
            audio = out.add_stream(audio_codec, rate=rate, layout=layout)
        if video is not None:
            packets = []
            for index, picture in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=video.pix_fmt, threads=1)
                frame.pts, frame.time_base = (stamps[index] if stamps is not None else index), base
                packets += video.encode(frame)
            packets += video.encode(None)
            if last:
                max(packets, key=lambda packet: packet.pts).duration = last
            out.mux(packets)
        if audio is not None:
            kind = audio.format.name
            samples = waveform
            if "flt" not in kind:
                bits = int(kind.strip("sp"))
                samples = np.round(waveform * (2.0 ** (bits - 1) - 1)).astype(f"int{bits}")
            for first in range(0, samples.shape[1], 1024):
                block = samples[:, first : first + 1024]
                block = block if kind.endswith("p") else block.T.reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format=kind, layout=layout)
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = first + round(late * rate)
                out.mux(audio.encode(frame))
            out.mux(audio.encode(None))
    return path


def packets_of(path: Path, kind: str) -> list[bytes]:
    """The encoded packets of a file's pictures or sound."""
    with av.open(str(path)) as source:
        stream = getattr(source.streams, kind)[0]
        return [bytes(packet) for packet in source.demux(stream) if packet.size]
