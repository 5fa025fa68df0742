"""Draws a clip as one image: a row of frames above the log-mel spectrogram on a common time axis, with events marked."""

import math
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

import numpy as np
from einops import reduce
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from sonovid.core.clip import Clip
from sonovid.core.geometry import count

WIDTH, MARGIN, LEFT = 1200, 14, 52
STRIP, SPECTROGRAM, GAP, FOOT = 120, 190, 8, 26
PAPER, INK, FAINT, MARK = (255, 255, 255), (40, 40, 46), (150, 150, 158), (230, 57, 70)
# Colour map from silence to full loudness, dark to light. It is readable in greyscale and for colour-blind readers.
COLOURS = np.array([[7, 5, 30], [60, 15, 110], [150, 40, 125], [225, 90, 85], [253, 180, 100], [252, 253, 200]], np.float32)
FLOOR = 70.0  # Levels this many decibels below the maximum are drawn as silence.


def preview(
    clip: Clip,
    *,
    events: "Iterable[float | int]" = (),
    mel: "Float[np.ndarray, 'f l'] | None" = None,
    flow: "UInt8[np.ndarray, 't h w 3'] | None" = None,
    width: int = WIDTH,
) -> Image.Image:
    """Draws a preview of a clip.

    Args:
        clip: The clip.
        events: Times in seconds that are marked by vertical lines. Defaults to the events of the clip.
        mel: A log-mel spectrogram [f l], lowest band first, that is drawn over its whole range instead of the clip's own.
        flow: Images of the motion into each frame, uint8 [t h w 3], drawn in a row below the frames at the same times.
        width: Width of the image in pixels, at least 200.
    """
    if width < 200:
        raise ValueError(f"preview: width={width}, expected at least 200 pixels")
    seconds = float(clip.seconds)
    left, right = LEFT, width - MARGIN
    strip = STRIP if clip.frames is not None else 0
    sounding = clip.waveform is not None or mel is not None
    moving = STRIP if strip and flow is not None else 0
    top = MARGIN + strip + (GAP + moving if moving else 0) + (GAP if strip and sounding else 0)
    bottom = top + (SPECTROGRAM if sounding else 0)
    page = Image.new("RGB", (width, bottom + FOOT), PAPER)
    draw = ImageDraw.Draw(page)
    if clip.frames is not None:
        page.paste(_draw_strip(clip.frames, clip.fps, right - left, strip), (left, MARGIN))
        if flow is not None:
            page.paste(_draw_strip(flow, clip.fps, right - left, moving), (left, MARGIN + strip + GAP))
    if sounding:
        own = mel is None
        if mel is None:
            assert clip.waveform is not None
            mel = log_mel(clip.waveform, clip.sample_rate, num_frames=min(right - left, 600))
        page.paste(_draw_spectrogram(mel, right - left, SPECTROGRAM, relative=own), (left, top))
        if own:
            _draw_frequency_axis(draw, clip.sample_rate / 2, len(mel), left, top)
    _draw_time_axis(draw, seconds, left, right, bottom)
    for event in tuple(events) or clip.events:
        if 0 <= event <= seconds:
            x = left + event / seconds * (right - left - 1)
            below = MARGIN + strip + GAP
            for first, last in ((MARGIN, MARGIN + strip), (below, below + moving), (top, bottom)):
                if last > first:
                    draw.line([(x, first), (x, last - 1)], fill=MARK, width=1)
            draw.polygon([(x - 4, MARGIN - 9), (x + 4, MARGIN - 9), (x, MARGIN - 2)], fill=MARK)
    return page


def mel_filters(num_bands: int, num_bins: int, sample_rate: int) -> Float[np.ndarray, "f k"]:
    """Mel filter bank [f k].

    Triangles evenly spaced on the mel scale (2595 log10(1 + Hz / 700)) up to half the sample rate, of sum one.
    """
    top = 2595 * math.log10(1 + sample_rate / 1400)
    edges = 700 * (10 ** (np.linspace(0, top, num_bands + 2) / 2595) - 1)
    bins = np.linspace(0, sample_rate / 2, num_bins)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    # Low bands are narrower than a bin. A floor gives each of them the nearest bin.
    spacing = bins[1]
    near = np.clip(1 - np.abs(bins - edges[1:-1, None]) / spacing, 0, 1)
    filters = np.maximum(np.clip(np.minimum(rise, fall), 0, None), near * 1e-3)
    return (filters / filters.sum(1, keepdims=True)).astype(np.float32)


def log_mel(
    waveform: Float[np.ndarray, "c n"], sample_rate: int, *, num_frames: int = 600, num_bands: int = 80
) -> Float[np.ndarray, "f l"]:
    """Log-mel spectrogram for display, in decibels: windows of 40 ms, evenly spaced, channels averaged.

    This is not the spectrogram that models use.

    Args:
        waveform: Samples [c n].
        sample_rate: In Hz.
        num_frames: Number of windows.
        num_bands: Number of mel bands.
    """
    sound = reduce(waveform, "c n -> n", "mean")
    window = max(64, 2 * count(Fraction(1, 50), sample_rate))
    padded = np.pad(sound, (window // 2, window))
    starts = np.linspace(0, max(len(sound) - 1, 0), num_frames).astype(int)
    blocks = padded[starts[:, None] + np.arange(window)] * np.hanning(window).astype(np.float32)
    power = np.abs(np.fft.rfft(blocks, axis=1)) ** 2
    mel = mel_filters(num_bands, power.shape[1], sample_rate) @ power.T
    return (10 * np.log10(mel + 1e-10)).astype(np.float32)


def _draw_strip(frames: UInt8[np.ndarray, "t h w 3"], fps: Fraction, width: int, height: int) -> Image.Image:
    """Draws as many frames as fit in a row, each at its own time."""
    num_frames, tall, wide = frames.shape[:3]
    fitting = max(1, round(width / max(1, height * wide / tall)))
    shown = min(fitting, num_frames)
    strip = Image.new("RGB", (width, height), PAPER)
    edges = np.linspace(0, width, shown + 1).round().astype(int)
    for place, (first, last) in enumerate(pairwise(edges.tolist())):
        image = Image.fromarray(frames[place * num_frames // shown])
        cell = (max(1, last - first - 1), height)
        scale = max(cell[0] / wide, cell[1] / tall)
        if shown < fitting:
            scale = min(cell[0] / wide, cell[1] / tall)  # Few frames: show them whole, with space between.
        size = (max(1, round(wide * scale)), max(1, round(tall * scale)))
        smooth = Image.Resampling.BILINEAR if scale < 3 else Image.Resampling.NEAREST
        image = image.resize(size, smooth)
        x, y = (size[0] - cell[0]) // 2, (size[1] - cell[1]) // 2
        if shown < fitting:
            strip.paste(image, (first, -y))
        else:
            strip.paste(image.crop((x, y, x + cell[0], y + cell[1])), (first, 0))
    return strip


def _draw_spectrogram(mel: np.ndarray, width: int, height: int, *, relative: bool) -> Image.Image:
    """Draws a spectrogram in colour, low frequencies at the bottom. relative: from the maximum to FLOOR below it."""
    high = max(float(mel.max()), -20.0) if relative else float(mel.max())
    low = high - FLOOR if relative else float(mel.min())
    level = np.clip((mel - low) / max(high - low, 1e-6), 0, 1)[::-1]
    smooth = Image.fromarray((level * 255).astype(np.uint8)).resize((width, height), Image.Resampling.BILINEAR)
    table = np.stack([np.interp(np.linspace(0, 5, 256), np.arange(6), COLOURS[:, c]) for c in range(3)], -1)
    return Image.fromarray(table.astype(np.uint8)[np.asarray(smooth)])


def _font() -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    return ImageFont.load_default(size=11)


def _draw_time_axis(draw: ImageDraw.ImageDraw, seconds: float, left: int, right: int, bottom: int) -> None:
    steps = [m * 10.0**e for e in range(-3, 5) for m in (1, 2, 5)]
    step = next(s for s in steps if seconds / s <= max(2, (right - left) / 90))
    digits = max(0, -math.floor(math.log10(step)))
    for index in range(int(seconds / step + 1e-6) + 1):
        x = left + index * step / seconds * (right - left - 1)
        draw.line([(x, bottom), (x, bottom + 4)], fill=INK)
        last = (index + 1) * step > seconds + 1e-6
        text = f"{index * step:.{digits}f}" + (" s" if last else "")
        # The last label is aligned with the right edge, the others with their ticks.
        anchor = "ra" if last and x > right - 24 else "ma"
        draw.text((right if anchor == "ra" else x, bottom + 7), text, fill=INK, font=_font(), anchor=anchor)


def _draw_frequency_axis(draw: ImageDraw.ImageDraw, highest: float, num_bands: int, left: int, top: int) -> None:
    span = math.log10(1 + highest / 700)
    for hertz in (250, 1000, 2000, 4000, 8000, 16000):
        if hertz < highest * 0.97:
            y = top + SPECTROGRAM * (1 - math.log10(1 + hertz / 700) / span)
            draw.line([(left - 4, y), (left - 1, y)], fill=FAINT)
            text = f"{hertz} Hz" if hertz < 1000 else f"{hertz // 1000} kHz"
            draw.text((left - 7, y), text, fill=FAINT, font=_font(), anchor="rm")
