"""Small files in the layouts of datasets."""

from fractions import Fraction

import numpy as np

from sonovid import media
from sonovid.core.clip import Clip


def empty(folder, *names):
    """Files with nothing in them, for readers that go by names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def film(path, seconds):
    """A film of so many seconds, grey and silent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames, wave = np.full((round(4 * seconds), 16, 16, 3), 90, np.uint8), np.zeros((1, round(8000 * seconds)), np.float32)
    if path.suffix == ".MP4":
        media.write(path.with_suffix(".mp4"), Clip(frames, wave, Fraction(4), 8000))
        path.with_suffix(".mp4").rename(path)
    else:
        media.write(path, Clip(frames, wave, Fraction(4), 8000))
    return path


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path
