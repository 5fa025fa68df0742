"""A clip as one picture: frames in a row above the log-mel spectrogram of its sound, on one axis of time, events marked."""

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
# Corners of a map from silence to full loudness, dark to light, that reads in grey and for the colour-blind.
COLOURS = np.array([[7, 5, 30], [60, 15, 110], [150, 40, 125], [225, 90, 85], [253, 180, 100], [252, 253, 200]], np.float32)
FLOOR = 70.0  # Decibels below the loudest spot that are drawn as silence.


def preview(
    clip: Clip,
    *,
    events: "Iterable[float | int]" = (),
    mel: "Float[np.ndarray, 'f l'] | None" = None,
    flow: "UInt8[np.ndarray, 't h w 3'] | None" = None,
    width: int = WIDTH,
) -> Image.Image:
    """A picture of a clip to look at.

    events: times in seconds that are marked by a line through both strips; none given: the clip's own.
    mel: a log-mel spectrogram [f l], lowest band first, to draw instead of the sound's own; drawn over its whole range.
    flow: pictures of the motion into each frame, drawn in a row below the frames at the same moments.
    width: of the picture, in pixels.
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
    """Triangles, evenly spaced on the mel scale (2595 log10(1 + Hz / 700)) from 0 Hz to half the sample rate, each of sum one."""
    top = 2595 * math.log10(1 + sample_rate / 1400)
    edges = 700 * (10 ** (np.linspace(0, top, num_bands + 2) / 2595) - 1)
    bins = np.linspace(0, sample_rate / 2, num_bins)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    # Low bands are narrower than a bin: a floor keeps each of them looking at the nearest.
    spacing = bins[1]
    near = np.clip(1 - np.abs(bins - edges[1:-1, None]) / spacing, 0, 1)
    filters = np.maximum(np.clip(np.minimum(rise, fall), 0, None), near * 1e-3)
    return (filters / filters.sum(1, keepdims=True)).astype(np.float32)


def log_mel(
    waveform: Float[np.ndarray, "c n"], sample_rate: int, *, num_frames: int = 600, num_bands: int = 80
) -> Float[np.ndarray, "f l"]:
    """The spectrogram that is drawn, in decibels: `num_frames` windows of 40 ms, evenly over the sound, channels averaged.

    Not the spectrogram that models see: this one is cut for looking at.
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
    """As many pictures as fit, each beginning at its own time: the one on screen then."""
    num_frames, tall, wide = frames.shape[:3]
    fitting = max(1, round(width / max(1, height * wide / tall)))
    shown = min(fitting, num_frames)
    strip = Image.new("RGB", (width, height), PAPER)
    edges = np.linspace(0, width, shown + 1).round().astype(int)
    for place, (first, last) in enumerate(pairwise(edges.tolist())):
        picture = Image.fromarray(frames[place * num_frames // shown])
        cell = (max(1, last - first - 1), height)
        scale = max(cell[0] / wide, cell[1] / tall)
        if shown < fitting:
            scale = min(cell[0] / wide, cell[1] / tall)  # Few pictures: whole ones with paper between, not slices of them.
        size = (max(1, round(wide * scale)), max(1, round(tall * scale)))
        smooth = Image.Resampling.BILINEAR if scale < 3 else Image.Resampling.NEAREST
        picture = picture.resize(size, smooth)
        x, y = (size[0] - cell[0]) // 2, (size[1] - cell[1]) // 2
        if shown < fitting:
            strip.paste(picture, (first, -y))
        else:
            strip.paste(picture.crop((x, y, x + cell[0], y + cell[1])), (first, 0))
    return strip


def _draw_spectrogram(mel: np.ndarray, width: int, height: int, *, relative: bool) -> Image.Image:
    """A spectrogram in colours, low tones at the bottom. relative: from the loudest spot to FLOOR below it."""
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
        # The last label stays on the page, the others stand under their ticks.
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
