"""Entry: one stretch of a media file, or one scene to be rendered, with what is known of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One stretch of a media file, or one scene to be rendered.

    path: the file; empty for a scene. start, seconds: the stretch, to the end of the file where seconds is None. events: times of
    known events in seconds from the beginning of the stretch. name: what tells it from others in its manifest, the same wherever
    the files lie. scene: world and seed.
    """

    path: str
    caption: str = ""
    label: str = ""
    start: float = 0.0
    seconds: float | None = None
    events: tuple[float, ...] = ()
    name: str = ""
    scene: tuple[str, int] | None = None
