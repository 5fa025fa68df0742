"""Procedural clips with sound and known event times, rendered at any size, frame rate, sample rate and length."""

from difflib import get_close_matches

from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data.scenes.bounces import BOUNCES
from sonovid.data.scenes.dance import DANCE
from sonovid.data.scenes.hits import HITS
from sonovid.data.scenes.kitchen import KITCHEN
from sonovid.data.scenes.landscape import LANDSCAPE
from sonovid.data.scenes.world import World

WORLDS: dict[str, World] = {world.name: world for world in (HITS, BOUNCES, DANCE, LANDSCAPE, KITCHEN)}


def find(world: str) -> World:
    """Returns the world with this name.

    Raises:
        ValueError: There is none; the message suggests the closest name.
    """
    if world not in WORLDS:
        near = get_close_matches(world, WORLDS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"take one of {', '.join(WORLDS)}"
        raise ValueError(f"scenes: no world {world!r}; {hint}")
    return WORLDS[world]


def render(world: str, seed: int, geometry: Geometry) -> Clip:
    """Renders a scene.

    A scene is a function of (world, seed); the geometry only samples it. The result is bit-identical on every machine.

    Args:
        world: Name of the world.
        seed: Seed of the scene.
        geometry: Geometry of the clip.

    Returns:
        A clip: frames uint8 [t h w 3], waveform float32 [1 n], caption, label and exact event times in seconds.

    Raises:
        ValueError: The world does not exist.
    """
    return find(world).render(seed, geometry)


def attributes(world: str, seed: int) -> dict[str, str]:
    """Returns the attributes of a scene: its world, material, colour and so on. The caption names them.

    Raises:
        ValueError: The world does not exist.
    """
    return find(world).attributes(seed)
