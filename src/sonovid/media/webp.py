"""Reading animated WebP: Pillow decodes it, and FFmpeg reads the frames from an FFV1 stream in memory."""

import io
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from sonovid.media.files import Limits, MediaError, file_state

# WebP stores durations in milliseconds.
CLOCK = Fraction(1, 1000)


def open_webp(path: Path, limits: Limits) -> InputContainer:
    """Opens an animated WebP file as a lossless Matroska stream. Transparent pixels become black.

    Args:
        path: The WebP file.
        limits: Limits on the image size and the duration.

    Raises:
        MediaError: The file is damaged or exceeds the limits.
    """
    container = av.open(io.BytesIO(_to_matroska(path, file_state(path), limits)), "r", format="matroska")
    assert isinstance(container, InputContainer)
    return container


@lru_cache(maxsize=1)
def _to_matroska(path: Path, _: object, limits: Limits) -> bytes:
    memory = io.BytesIO()
    try:
        with Image.open(path, formats=["WEBP"]) as image:
            width, height = image.size
            limits.check_frame_size(path, height, width)
            with av.open(memory, "w", format="matroska") as out:
                stream = out.add_stream("ffv1", rate=25)
                assert isinstance(stream, VideoStream)
                stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
                stream.codec_context.time_base = CLOCK
                # Matroska stores a frame's duration only where it differs from the default, which is one tick here.
                stream.codec_context.framerate = 1 / CLOCK
                stream.codec_context.thread_count = 1
                at = 0
                for index in range(getattr(image, "n_frames", 1)):
                    image.seek(index)
                    image.load()
                    # Browsers use 100 ms for frames that declare less than 11 ms.
                    milliseconds = int(image.info.get("duration") or 0)
                    milliseconds = milliseconds if milliseconds > 10 else 100
                    limits.check_seconds(path, (at + milliseconds) * CLOCK)
                    back = Image.new("RGBA", image.size, (0, 0, 0, 255))
                    rgb = Image.alpha_composite(back, image.convert("RGBA")).convert("RGB")
                    frame = VideoFrame.from_ndarray(np.asarray(rgb), format="rgb24").reformat(format="bgr0", threads=1)
                    frame.pts, frame.time_base = at, CLOCK
                    for packet in stream.encode(frame):
                        packet.duration = milliseconds
                        out.mux(packet)
                    at += milliseconds
    except (OSError, SyntaxError, Image.DecompressionBombError, av.FFmpegError) as error:
        raise MediaError(f"{path}: cannot be read: damaged or truncated ({error})") from None
    return memory.getvalue()
