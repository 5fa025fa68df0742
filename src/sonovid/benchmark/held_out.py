"""The scenes that systems are compared on, which no model was trained on, and how they are handed out to other programs."""

import json
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path

from sonovid import media
from sonovid.core import atomic, progress
from sonovid.core.av import Task
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.core.processes import process_pool
from sonovid.data import scenes

# Far from the seeds of training, which are counted from 0, and of the reader of events.
FIRST_SEED = 90_000_000
GEOMETRY = Geometry(16, Fraction(8), 64, 64, 16000)
# What a task's folder of clips is called.
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
    """`count` scenes, the worlds in turn, from seed `first` on, sampled by one geometry."""

    worlds: tuple[str, ...] = ("hits", "bounces")
    count: int = 128
    first: int = FIRST_SEED
    geometry: Geometry = GEOMETRY

    def __post_init__(self) -> None:
        for world in self.worlds:
            scenes.find(world)
        if not self.worlds or self.count < 2 * len(self.worlds):
            raise ValueError(f"{self.count} scenes of {len(self.worlds)} worlds: expected two or more of each")

    def place(self, index: int) -> tuple[str, int]:
        """World and seed of a scene by its number."""
        return self.worlds[index % len(self.worlds)], self.first + index // len(self.worlds)

    @cached_property
    def scenes(self) -> tuple[Scene, ...]:
        """What is true of every scene; nothing but its events is rendered for it."""
        return tuple(_scene(index, self) for index in range(self.count))

    def partner(self, index: int) -> int:
        """The number of the next scene of the same world: what floors are made with."""
        own = range(index % len(self.worlds), self.count, len(self.worlds))
        return own[(own.index(index) + 1) % len(own)]

    def clip(self, index: int) -> Clip:
        """A scene's pictures and sound."""
        return scenes.render(*self.place(index), self.geometry)

    def to_json(self) -> str:
        """Plain values, as text."""
        held_out = {"worlds": list(self.worlds), "count": self.count, "first": self.first, "geometry": self.geometry.to_config()}
        return json.dumps(held_out, indent=1) + "\n"

    @classmethod
    def load(cls, folder: "str | Path") -> "HeldOut":
        """The scenes that were written into a folder.

        Raises:
            ValueError: there are none.
        """
        path = Path(folder) / FILE
        try:
            held_out = json.loads(path.read_text(encoding="utf-8"))
            geometry = Geometry(**{**held_out["geometry"], "fps": Fraction(held_out["geometry"]["fps"])})
            return cls(tuple(held_out["worlds"]), held_out["count"], held_out["first"], geometry)
        except FileNotFoundError:
            raise ValueError(f"{folder}: holds no {FILE}; sonovid benchmark export {folder} writes the held-out scenes") from None
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: not a file that sonovid benchmark wrote ({error})") from None


def _scene(index: int, held_out: HeldOut) -> Scene:
    world, seed = held_out.place(index)
    small = Geometry(held_out.geometry.num_frames, held_out.geometry.fps, 8, 8, held_out.geometry.sample_rate)
    clip = scenes.render(world, seed, small)
    return Scene(f"{index:04d}-{world}", world, seed, clip.caption, clip.events, scenes.attributes(world, seed))


def export(held_out: HeldOut, out: "str | Path", *, workers: int = 0, quiet: bool = True) -> Path:
    """Write what systems are given, and the reference: what is there already is kept.

    prompts.jsonl names each scene with its prompt, its video and its sound; `videos/NAME.mp4` are pictures alone,
    `audio/NAME.wav` sounds alone, `reference/NAME.mkv` (lossless) with NAME.txt the true clips. A system's clips belong into
    `SYSTEM/TASK/NAME.mp4` (or .mkv, or .wav of sounds alone), TASK one of video_to_audio, audio_to_video and joint.

    Raises:
        ValueError: the folder holds other scenes.
    """
    out = Path(out)
    for folder in ("videos", "audio", "reference"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    if (out / FILE).is_file() and HeldOut.load(out) != held_out:
        raise ValueError(f"{out}: holds other held-out scenes; take another folder, or the same --world, --clips and --seed")
    atomic.write_text(out / FILE, held_out.to_json())
    with process_pool(workers) as run:
        done = run(partial(_write, held_out=held_out, out=out), range(held_out.count))
        seen = progress.bar(done, total=held_out.count, desc="held-out scenes", unit="clip", quiet=quiet)
        lines = [json.dumps(row) + "\n" for row in seen]
    atomic.write_text(out / "prompts.jsonl", "".join(lines))
    return out / "prompts.jsonl"


def _write(index: int, held_out: HeldOut, out: Path) -> dict[str, str]:
    name, clip = f"{index:04d}-{held_out.place(index)[0]}", held_out.clip(index)
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
