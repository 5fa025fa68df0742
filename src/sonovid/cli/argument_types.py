"""Converters for command-line values: the `type` functions of argparse options."""

import argparse
import math
from fractions import Fraction


def positive_int(text: str) -> int:
    """Parse an integer of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def batch_size(text: str) -> int | str:
    """Parse a batch size: an integer of 1 or more, or "auto"."""
    return text if text == "auto" else positive_int(text)


def finite_float(text: str) -> float:
    """Parse a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def positive_float(text: str) -> float:
    """Parse a finite number above zero."""
    value = finite_float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above zero")
    return value


def positive_seconds(text: str) -> Fraction:
    """Parse a duration in seconds, as an exact fraction above zero."""
    value = _fraction(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above zero")
    return value


def start_time(text: str) -> Fraction:
    """Parse a position in seconds, as an exact fraction of zero or more."""
    value = _fraction(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below zero")
    return value


def _fraction(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None


def frame_size(text: str) -> tuple[int, int]:
    """Parse "64x48" to (width, height) = (64, 48), and "64" to a square."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size in pixels, such as 64x64")
    return int(parts[0]), int(parts[-1])


def frame_rate(text: str) -> Fraction:
    """Parse frames per second, such as 8, 29.97 or 30000/1001."""
    from sonovid.core.geometry import as_rate

    try:
        return as_rate(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a frame rate: expected a number above zero, such as 8 or 30000/1001"
        ) from None


def sample_rate(text: str) -> int:
    """Parse a sample rate from 8000 to 192000 Hz."""
    if not text.isdecimal() or not 8000 <= int(text) <= 192000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a sample rate from 8000 to 192000 Hz")
    return int(text)


def loudness(text: str) -> "float | None":
    """Parse a loudness from -50 to -5 LUFS; "none" gives None."""
    if text.lower() in ("none", "off"):
        return None
    value = finite_float(text)
    if not -50 <= value <= -5:
        raise argparse.ArgumentTypeError(f"{text!r} is not a loudness from -50 to -5 LUFS, and not none")
    return value


def byte_size(text: str) -> int:
    """Parse a number of bytes, such as 1000000, 512K, 256M or 4G (powers of 1024)."""
    factor = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:].upper(), 1)
    number = text[:-1] if factor > 1 else text
    if not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 256M or 4G")
    return int(number) * factor


def height_width(text: str) -> tuple[int, int]:
    """Parse "256x144" to (height, width) = (144, 256), and "256" to a square."""
    return frame_size(text)[::-1]
