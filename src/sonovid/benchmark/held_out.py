"""The held-out scenes of the benchmark, and their export for other programs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from sonovid import media
from sonovid.core import atomic, progress
from sonovid.core.av import Task
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.core.processes import process_pool
from sonovid.data import scenes

# Far from the training seeds, which start at 0, and from those of the event reader.
FIRST_SEED = 90_000_000
GEOMETRY = Geometry(16, Fraction(8), 64, 64, 16000)
# Tasks by the names of their folders.
TASKS: dict[str, Task] = {task.name.lower(): task for task in (Task.VIDEO_TO_AUDIO, Task.AUDIO_TO_VIDEO, Task.JOINT)}
FILE = "held_out.json"


@dataclass(frozen=True)
class Scene:
    """One held-out scene. events: times in seconds. attributes: what its caption names."""

    name: str
    world: str
    seed: int
    caption: str
    events: tuple[float, ...]
    attributes: dict[str, str]


@dataclass(frozen=True)
class HeldOut:
    """A set of held-out scenes.

    Args:
        worlds: of the scenes, interleaved.
        count: number of scenes.
        first: the first seed.
        geometry: length, rates and size of the clips.

    Raises:
        ValueError: an unknown world, or fewer than two scenes per world.
    """

    worlds: tuple[str, ...] = ("hits", "bounces")
    count: int = 128
    first: int = FIRST_SEED
    geometry: Geometry = GEOMETRY

    def __post_init__(self) -> None:
        for world in self.worlds:
            scenes.find(world)
        if not self.worlds or self.count < 2 * len(self.worlds):
            raise ValueError(f"{self.count} scenes of {len(self.worlds)} worlds: expected at least two per world")

    def world_and_seed(self, index: int) -> tuple[str, int]:
        """World and seed of a scene by its index."""
        return self.worlds[index % len(self.worlds)], self.first + index // len(self.worlds)

    @cached_property
    def scenes(self) -> tuple[Scene, ...]:
        """Caption, events and attributes of every scene."""
        return tuple(_scene(index, self) for index in range(self.count))

    def partner(self, index: int) -> int:
        """The index of the next scene of the same world, used for floors."""
        own = range(index % len(self.worlds), self.count, len(self.worlds))
        return own[(own.index(index) + 1) % len(own)]

    def clip(self, index: int) -> Clip:
        """Render a scene."""
        return scenes.render(*self.world_and_seed(index), self.geometry)

    def to_json(self) -> str:
        """The settings as JSON text."""
        settings = {"worlds": list(self.worlds), "count": self.count, "first": self.first, "geometry": self.geometry.to_config()}
        return json.dumps(settings, indent=1) + "\n"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "HeldOut":
        """The held-out scenes of the values that `to_json` writes.

        Raises:
            KeyError, TypeError: a value is missing, or of the wrong kind.
        """
        geometry = Geometry(**{**settings["geometry"], "fps": Fraction(settings["geometry"]["fps"])})
        return cls(tuple(settings["worlds"]), settings["count"], settings["first"], geometry)

    @classmethod
    def load(cls, folder: "str | Path") -> "HeldOut":
        """Read the held-out scenes of an exported folder.

        Raises:
            ValueError: the folder contains none.
        """
        path = Path(folder) / FILE
        try:
            return cls.from_settings(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ValueError(f"{folder}: contains no {FILE}; sonovid benchmark export {folder} writes it") from None
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: not a file that sonovid benchmark wrote ({error})") from None


def _scene(index: int, held_out: HeldOut) -> Scene:
    world, seed = held_out.world_and_seed(index)
    small = Geometry(held_out.geometry.num_frames, held_out.geometry.fps, 8, 8, held_out.geometry.sample_rate)
    clip = scenes.render(world, seed, small)
    return Scene(f"{index:04d}-{world}", world, seed, clip.caption, clip.events, scenes.attributes(world, seed))


def export(held_out: HeldOut, out: "str | Path", *, workers: int = 0, quiet: bool = True) -> Path:
    """Write the inputs for systems and the reference. Existing files are kept.

    prompts.jsonl lists the name, prompt, video and audio of each scene. `videos/NAME.mp4` contain video only, `audio/NAME.wav`
    audio only. `reference/NAME.mkv` (lossless) and NAME.txt are the true clips and captions. A system writes its clips to
    `SYSTEM/TASK/NAME.mp4` (or .mkv, or .wav for audio), where TASK is video_to_audio, audio_to_video or joint.

    Args:
        held_out: the scenes.
        out: the folder.
        workers: processes that render; 0: this process.
        quiet: show no progress bar.

    Returns:
        The path of prompts.jsonl.

    Raises:
        ValueError: the folder contains other scenes.
    """
    out = Path(out)
    for folder in ("videos", "audio", "reference"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    if (out / FILE).is_file() and HeldOut.load(out) != held_out:
        raise ValueError(f"{out}: contains other held-out scenes; use another folder, or the same --world, --clips and --seed")
    atomic.write_text(out / FILE, held_out.to_json())
    with process_pool(workers) as run:
        done = run(partial(_write, held_out=held_out, out=out), range(held_out.count))
        seen = progress.bar(done, total=held_out.count, desc="held-out scenes", unit="clip", quiet=quiet)
        lines = [json.dumps(row) + "\n" for row in seen]
    atomic.write_text(out / "prompts.jsonl", "".join(lines))
    return out / "prompts.jsonl"


def _write(index: int, held_out: HeldOut, out: Path) -> dict[str, str]:
    name, clip = f"{index:04d}-{held_out.world_and_seed(index)[0]}", held_out.clip(index)
    parts = {
        f"videos/{name}.mp4": Clip(clip.frames, None, clip.fps, clip.sample_rate),
        f"audio/{name}.wav": Clip(None, clip.waveform, clip.fps, clip.sample_rate),
        f"reference/{name}.mkv": clip,
    }
    for place, part in parts.items():
        if not (out / place).is_file():
            media.write(out / place, part)
    atomic.write_text(out / "reference" / f"{name}.txt", clip.caption + "\n")
    return {"name": name, "prompt": clip.caption, "video": f"videos/{name}.mp4", "audio": f"audio/{name}.wav"}
