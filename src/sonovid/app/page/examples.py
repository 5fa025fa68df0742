"""Example inputs: a silent clip and a sound, rendered on first use."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from sonovid import media
from sonovid.core.geometry import Geometry

PROMPTS = (
    "a wooden stick hits a metal can twice",
    "a red rubber ball bounces on a wooden floor",
    "a glass ball bounces on a stone floor",
    "a stick hits a drum three times",
)
SEEDS = {"bounces": 90_000_003, "hits": 90_000_001}  # Scenes that the packaged model was not trained on.


@dataclass(frozen=True)
class Examples:
    """Paths of the examples.

    Args:
        folder: Their folder.
        video: A video without sound.
        audio: A sound.
    """

    folder: Path
    video: Path
    audio: Path


def render(folder: Path) -> Examples:
    """Render the examples that are missing."""
    from sonovid.data.scenes import WORLDS

    folder.mkdir(parents=True, exist_ok=True)
    found = Examples(folder, folder / "ball.mp4", folder / "stick.wav")
    geometry = Geometry(16, Fraction(8), 64, 64, 16000)
    if not found.video.exists():
        media.write(found.video, replace(WORLDS["bounces"].render(SEEDS["bounces"], geometry), waveform=None))
    if not found.audio.exists():
        media.write(found.audio, replace(WORLDS["hits"].render(SEEDS["hits"], geometry), frames=None))
    return found
