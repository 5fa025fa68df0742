"""Writes a clip chunk by chunk, in constant memory."""

import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import soxr
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from sonovid.core.geometry import as_rate, count, duration
from sonovid.media.files import MediaError, atomic_output
from sonovid.media.writer import (
    AUDIO_BLOCK,
    LAYOUTS,
    add_audio_stream,
    add_video_stream,
    container_for,
    encode_frame,
    encode_samples,
    open_output,
    packet_time,
)


@contextmanager
def open_writer(
    path: "str | os.PathLike",
    *,
    fps: "Fraction | int | float | str",
    size: tuple[int, int],
    sample_rate: int,
    channels: int = 1,
    overwrite: bool = False,
    quality: int = 18,
    metadata: "Mapping[str, str] | None" = None,
    written_rate: "int | None" = None,
) -> Iterator["StreamWriter"]:
    """Opens a file for writing chunk by chunk, with the encoders and settings of `write`.

    The file appears under its name when the block succeeds. Audio is trimmed or padded to exactly the duration of the video.
    Audio files (wav, flac) receive the audio alone.

    Args:
        path: .mp4, .mov, .mkv, .wav or .flac.
        fps: Frames per second, as in `write`.
        size: Size (h, w) of all frames.
        sample_rate: Sample rate of the chunks in Hz.
        channels: Number of audio channels.
        overwrite, quality, metadata: As in `write`.
        written_rate: Sample rate of the file in Hz. Defaults to that of the chunks.

    Raises:
        FileExistsError: The file exists and `overwrite` is False.
        MediaError: As in `write`; also if nothing was added, or a chunk has another size or number of channels.

    Example:
        >>> with open_writer("out.mp4", fps=8, size=(64, 64), sample_rate=16000) as writer:
        ...     writer.add(frames, waveform)
    """
    path, fps = Path(path), as_rate(fps)
    container = container_for(path)
    if channels not in LAYOUTS:
        raise MediaError(f"{path}: {channels} channels, expected {', '.join(map(str, LAYOUTS))}")
    if min(size) < 1:
        raise MediaError(f"{path}: frames of {size[1]}x{size[0]}, expected at least 1x1")
    written_rate = written_rate or sample_rate
    rates = (fps, written_rate)
    with atomic_output(path, overwrite=overwrite) as temp_path, open_output(temp_path, path, container, metadata, rates) as out:
        video = None if container.video is None else add_video_stream(out, container, size, fps, quality)
        audio = add_audio_stream(out, container, channels, written_rate)
        pieces = StreamWriter(path, out, video, audio, fps, size, sample_rate, channels)
        yield pieces
        pieces.finish()


class StreamWriter:
    """Writes frames and audio as they arrive. Created by `open_writer`.

    Attributes:
        num_frames: Number of frames that were added.
    """

    def __init__(
        self,
        path: Path,
        out: OutputContainer,
        video: VideoStream | None,
        audio: AudioStream,
        fps: Fraction,
        size: tuple[int, int],
        sample_rate: int,
        channels: int,
    ):
        self.path, self.fps, self.size, self.sample_rate, self.channels = path, fps, size, sample_rate, channels
        self.num_frames = 0
        self._out, self._video, self._audio = out, video, audio
        self._queues: list[deque[Packet]] = [deque() for _ in range(1 if video is None else 2)]
        # Samples that arrived before their frames, numbers of samples taken and encoded, and samples short of a block.
        self._pending_audio = np.zeros((channels, 0), np.float32)
        self._samples_in, self._samples_out = 0, 0
        self._partial_block = np.zeros((channels, 0), np.float32)
        self._resampler = None
        if audio.rate != sample_rate:
            self._resampler = soxr.ResampleStream(sample_rate, audio.rate, channels, dtype="float32", quality="HQ")

    def add(self, frames: "np.ndarray | None" = None, waveform: "np.ndarray | None" = None) -> None:
        """Adds the next frames and samples. One stream may run ahead of the other.

        Audio that runs ahead of the video is held in memory until its frames arrive.

        Args:
            frames: uint8 [t h w 3].
            waveform: float32 [c n].

        Raises:
            MediaError: A chunk has another size or number of channels, or contains NaN or infinity.
        """
        if frames is not None:
            if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != (*self.size, 3):
                raise MediaError(
                    f"{self.path}: frames {frames.dtype} {frames.shape}, expected uint8 [t {self.size[0]} {self.size[1]} 3]"
                )
            for image in frames:
                if self._video is not None:
                    self._queues[0].extend(encode_frame(self._video, image, self.num_frames, self.fps))
                self.num_frames += 1
        if waveform is not None:
            if waveform.ndim != 2 or len(waveform) != self.channels:
                raise MediaError(f"{self.path}: audio of shape {waveform.shape}, expected [{self.channels} n]")
            if not np.isfinite(waveform).all():
                raise MediaError(f"{self.path}: the audio contains NaN or infinity")
            self._pending_audio = np.concatenate([self._pending_audio, waveform.astype(np.float32)], axis=1)
        self._encode_audio(self._pending_audio[:, : self._samples_due() - self._samples_in])
        self._mux()

    def finish(self) -> None:
        """Trims or pads the audio to its final length and flushes the encoders.

        Raises:
            MediaError: No frames were added.
        """
        if self.num_frames == 0:
            raise MediaError(f"{self.path}: no frames were added, so there is nothing to write")
        missing = self._samples_due() - self._samples_in
        self._encode_audio(
            np.pad(self._pending_audio[:, :missing], ((0, 0), (0, max(0, missing - self._pending_audio.shape[1])))), last=True
        )
        if self._video is not None:
            self._queues[0].extend(encode_frame(self._video, None, 0, self.fps))
        self._queues[-1].extend(encode_samples(self._audio, None, 0, self._audio.rate))
        self._mux(last=True)

    def _samples_due(self) -> int:
        """Number of samples that last as long as the frames so far."""
        return count(duration(self.num_frames, self.fps), self.sample_rate)

    def _encode_audio(self, waveform: np.ndarray, *, last: bool = False) -> None:
        """Encodes samples in whole blocks. With `last`, encodes all of them."""
        self._samples_in += waveform.shape[1]
        self._pending_audio = self._pending_audio[:, waveform.shape[1] :]
        waveform = np.clip(waveform, -1.0, 1.0)
        if self._resampler is not None:
            found = self._resampler.resample_chunk(np.ascontiguousarray(waveform.T), last=last)
            waveform = np.clip(found.reshape(-1, self.channels).T, -1, 1)
        samples = np.concatenate([self._partial_block, waveform], axis=1)
        if last and self._resampler is not None:
            whole = count(duration(self.num_frames, self.fps), self._audio.rate) - self._samples_out
            samples = np.pad(samples[:, :whole], ((0, 0), (0, max(0, whole - samples.shape[1]))))
        end = samples.shape[1] if last else samples.shape[1] // AUDIO_BLOCK * AUDIO_BLOCK
        for first in range(0, end, AUDIO_BLOCK):
            block = samples[:, first : min(first + AUDIO_BLOCK, end)]
            self._queues[-1].extend(encode_samples(self._audio, block, self._samples_out, self._audio.rate))
            self._samples_out += block.shape[1]
        self._partial_block = samples[:, end:]

    def _mux(self, *, last: bool = False) -> None:
        """Writes packets in time order, as long as no earlier packet can follow."""
        while all(self._queues) or (last and any(self._queues)):
            self._out.mux(min((track for track in self._queues if track), key=lambda track: packet_time(track[0])).popleft())
