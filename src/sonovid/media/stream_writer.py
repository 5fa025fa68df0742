"""A clip written as it is made: pictures and sound piece by piece to one file, in memory that does not grow with its length."""

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
    """A file to which a clip is given piece by piece, with the encoders and settings of `write`; complete or not at all.

        with streaming("out.mp4", fps=8, size=(64, 64), sample_rate=16000) as pieces:
            pieces.add(frames, waveform)

    The file appears under its name when the block ends well. Its sound lasts exactly as long as its pictures: what is over is
    dropped at the end, what is missing is silent. A name of a sound file (wav, flac) takes the sound alone.

    size: (h, w) of all pictures. channels: of the sound. fps, sample_rate, overwrite, quality, metadata: as in `write`.
    written_rate: the sample rate in the file, in Hz; None: that of the pieces.

    Raises:
        FileExistsError: the file exists and `overwrite` was not given.
        MediaError: as `write`; nothing was added; or a piece of another size or number of channels.
    """
    path, fps = Path(path), as_rate(fps)
    container = container_for(path)
    if channels not in LAYOUTS:
        raise MediaError(f"{path}: {channels} channels, expected {', '.join(map(str, LAYOUTS))}")
    if min(size) < 1:
        raise MediaError(f"{path}: pictures of {size[1]}x{size[0]}, expected at least 1x1")
    written_rate = written_rate or sample_rate
    rates = (fps, written_rate)
    with atomic_output(path, overwrite=overwrite) as temp_path, open_output(temp_path, path, container, metadata, rates) as out:
        video = None if container.video is None else add_video_stream(out, container, size, fps, quality)
        audio = add_audio_stream(out, container, channels, written_rate)
        pieces = StreamWriter(path, out, video, audio, fps, size, sample_rate, channels)
        yield pieces
        pieces.finish()


class StreamWriter:
    """What `streaming` hands out. num_frames: how many pictures were added."""

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
        # Samples that came before their pictures, as they were given; how many have gone on; those short of a block.
        self._pending_audio = np.zeros((channels, 0), np.float32)
        self._samples_in, self._samples_out = 0, 0
        self._partial_block = np.zeros((channels, 0), np.float32)
        self._resampler = None
        if audio.rate != sample_rate:
            self._resampler = soxr.ResampleStream(sample_rate, audio.rate, channels, dtype="float32", quality="HQ")

    def add(self, frames: "np.ndarray | None" = None, waveform: "np.ndarray | None" = None) -> None:
        """The pictures and the sound that follow: uint8 [t h w 3] and float32 [c n]; one may run ahead of the other.

        Sound that runs ahead of its pictures is kept until they come, so whoever gives both in step needs no memory for it.

        Raises:
            MediaError: another size or number of channels, or values that are no numbers.
        """
        if frames is not None:
            if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != (*self.size, 3):
                raise MediaError(
                    f"{self.path}: frames {frames.dtype} {frames.shape}, expected uint8 [t {self.size[0]} {self.size[1]} 3]"
                )
            for picture in frames:
                if self._video is not None:
                    self._queues[0].extend(encode_frame(self._video, picture, self.num_frames, self.fps))
                self.num_frames += 1
        if waveform is not None:
            if waveform.ndim != 2 or len(waveform) != self.channels:
                raise MediaError(f"{self.path}: a sound of shape {waveform.shape}, expected [{self.channels} n]")
            if not np.isfinite(waveform).all():
                raise MediaError(f"{self.path}: the sound holds values that are no numbers (NaN or infinity)")
            self._pending_audio = np.concatenate([self._pending_audio, waveform.astype(np.float32)], axis=1)
        self._encode_audio(self._pending_audio[:, : self._samples_due() - self._samples_in])
        self._mux()

    def finish(self) -> None:
        """The sound to its length, and all that encoders still hold.

        Raises:
            MediaError: nothing was added.
        """
        if self.num_frames == 0:
            raise MediaError(f"{self.path}: no pictures were given, so there is nothing to write")
        missing = self._samples_due() - self._samples_in
        self._encode_audio(
            np.pad(self._pending_audio[:, :missing], ((0, 0), (0, max(0, missing - self._pending_audio.shape[1])))), last=True
        )
        if self._video is not None:
            self._queues[0].extend(encode_frame(self._video, None, 0, self.fps))
        self._queues[-1].extend(encode_samples(self._audio, None, 0, self._audio.rate))
        self._mux(last=True)

    def _samples_due(self) -> int:
        """How many samples last as long as the pictures so far."""
        return count(duration(self.num_frames, self.fps), self.sample_rate)

    def _encode_audio(self, waveform: np.ndarray, *, last: bool = False) -> None:
        """Samples on their way to the encoder, in whole blocks; with `last` all of them."""
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
        """Write packets by time, as far as it is known that none comes before them."""
        while all(self._queues) or (last and any(self._queues)):
            self._out.mux(min((track for track in self._queues if track), key=lambda track: packet_time(track[0])).popleft())
