"""Entry: a time range of a media file or a procedural scene, with its annotations."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A time range of a media file, or a procedural scene.

    Attributes:
        path: The file; empty for a scene.
        caption: A text caption.
        label: A class label.
        start: Beginning of the time range in seconds.
        seconds: Length of the time range. None: to the end of the file.
        events: Times of annotated events, in seconds from `start`.
        name: Identifies the entry within its manifest, independent of where the files lie.
        scene: World and seed of a scene.
    """

    path: str
    caption: str = ""
    label: str = ""
    start: float = 0.0
    seconds: float | None = None
    events: tuple[float, ...] = ()
    name: str = ""
    scene: tuple[str, int] | None = None
