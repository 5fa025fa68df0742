"""Generation of a system's clips of the held-out scenes."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sonovid import media
from sonovid.benchmark.held_out import TASKS, HeldOut, Scene
from sonovid.core import atomic, progress
from sonovid.core.av import Task
from sonovid.core.clip import Clip

# Clips in one call of a pipeline. They are written before the next call, so that an interrupted run loses few.
GROUP = 16
FACTS = "system.json"


@dataclass(frozen=True)
class GenerationConfig:
    """Settings of the generation.

    Args:
        tasks: which tasks; tasks that a system does not have are skipped.
        prompts: pass the prompt with a conditioning stream too. Without, only text-to-both uses it.
        steps: sampling steps; None: each model's own.
        guidance_scale: guidance scale; None: each model's own.
        quiet: show no progress bar.
    """

    tasks: Sequence[Task] = tuple(TASKS.values())
    prompts: bool = False
    steps: int | None = None
    guidance_scale: float | None = None
    quiet: bool = True


def generate_system(pipe: Any, held_out: HeldOut, out: "str | Path", name: str, config: GenerationConfig | None = None) -> int:
    """Generate the clips of one system that are missing: `OUT/NAME/TASK/SCENE.mp4`, and the facts in `OUT/NAME/system.json`.

    The clip of scene i has the seed i, so a resumed run writes the same clips up to rounding in batches.

    Args:
        pipe: a `SoundingVideoPipeline`, or anything that is called alike.
        held_out: the scenes.
        out: the folder that `held_out.export` wrote; a pipeline reads videos/ and audio/ in it.
        name: the system's name.
        config: the settings; default: `GenerationConfig()`.

    Returns:
        The number of generated clips.
    """
    config, out = config or GenerationConfig(), Path(out)
    facts: dict[str, Any] = {"parameters": count_parameters(pipe)}
    count = 0
    for task in config.tasks:
        if not supports(pipe, task):
            continue
        groups = pending_groups(held_out, out / name, task)
        bar = progress.bar(total=sum(map(len, groups)), desc=f"{name}, {task.name.lower()}", unit="clip", quiet=config.quiet)
        for group in groups:
            facts |= generate_group(pipe, held_out, out, name, task, group, config)
            bar.update(len(group))
            count += len(group)
        bar.close()
    write_facts(out / name, facts)
    return count


def pending_groups(held_out: HeldOut, folder: Path, task: Task) -> list[list[int]]:
    """The numbers of the scenes whose clips are missing in the folder of a system, in groups of one call."""
    names = enumerate(scene.name for scene in held_out.scenes)
    pending = [number for number, name in names if not (folder / task.name.lower() / f"{name}.mp4").is_file()]
    return [pending[first : first + GROUP] for first in range(0, len(pending), GROUP)]


def generate_group(
    pipe: Any, held_out: HeldOut, out: Path, name: str, task: Task, numbers: Sequence[int], config: GenerationConfig
) -> dict[str, Any]:
    """Generate and write the clips of some scenes in one call of a pipeline.

    Args:
        pipe, held_out, out, name, config: see `generate_system`.
        task: the task.
        numbers: the numbers of the scenes.

    Returns:
        Seconds and evaluations per clip, for text-to-both.
    """
    target = out / name / task.name.lower()
    target.mkdir(parents=True, exist_ok=True)
    group = [(number, held_out.scenes[number]) for number in numbers]
    with count_evaluations(pipe) as evaluations:
        start = time.perf_counter()
        clips = _call(pipe, task, group, out, config)
        seconds = time.perf_counter() - start
    for (_, scene), clip in zip(group, clips, strict=True):
        media.write(target / f"{scene.name}.mp4", clip)
    if task is not Task.JOINT:
        return {}
    return {"seconds_per_clip": round(seconds / len(group), 3), "evaluations": evaluations.per_sample(len(group))}


def write_facts(folder: Path, measured: dict[str, Any]) -> None:
    """Write `system.json`. What it holds already stays, but for the measured seconds and evaluations."""
    facts = read_facts(folder)
    kept = {"parameters": facts["parameters"]} if "parameters" in facts else {}
    atomic.write_text(folder / FACTS, json.dumps({**facts, **measured, **kept}, indent=1) + "\n")


def supports(pipe: Any, task: Task) -> bool:
    """Whether a pipeline generates the streams of a task: a model of one stream has neither text-to-both nor the other task."""
    streams = getattr(pipe, "generated_streams", None)
    return streams is None or all(own or not wanted for own, wanted in zip(streams, task.value, strict=True))


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts that `system.json` of a system's folder holds; empty if there is none.

    Raises:
        ValueError: not a JSON object of plain values.
    """
    path = folder / FACTS
    if not path.is_file():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(held, dict) or any(not isinstance(value, str | int | float) for value in held.values()):
        raise ValueError(f"{path}: expected an object whose values are numbers or text")
    return held


def count_parameters(pipe: Any) -> int:
    """The number of parameters of all networks of a pipeline."""
    networks = [part for part in getattr(pipe, "components", {}).values() if isinstance(part, torch.nn.Module)]
    return sum({id(p): p.numel() for network in networks for p in network.parameters()}.values())


class count_evaluations:
    """Context that counts how many samples the denoiser evaluates; a guided step of one clip counts two."""

    def __init__(self, pipe: Any):
        self._network = getattr(pipe, "denoiser", None)
        self._samples = 0

    def __enter__(self) -> "count_evaluations":
        self._handle = None
        if isinstance(self._network, torch.nn.Module):
            self._handle = self._network.register_forward_pre_hook(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.remove()

    def _count(self, module: torch.nn.Module, inputs: tuple) -> None:
        x = inputs[0]
        stream = x.video if x.video is not None else x.audio
        self._samples += len(stream)

    def per_sample(self, clips: int) -> int:
        """Evaluations per clip."""
        return round(self._samples / clips)


def _call(pipe: Any, task: Task, group: Sequence[tuple[int, Scene]], out: Path, config: GenerationConfig) -> list[Clip]:
    options: dict[str, Any] = {"generator": [i for i, _ in group]}
    if task is Task.VIDEO_TO_AUDIO:
        options["video"] = [str(out / "videos" / f"{scene.name}.mp4") for _, scene in group]
    elif task is Task.AUDIO_TO_VIDEO:
        options["audio"] = [str(out / "audio" / f"{scene.name}.wav") for _, scene in group]
    if (task is Task.JOINT or config.prompts) and getattr(pipe, "accepts_text", True):
        options["prompt"] = [scene.caption for _, scene in group]
    if labels := list(_labels(pipe, [scene for _, scene in group])):
        options["label"] = labels
    for key, value in (("num_inference_steps", config.steps), ("guidance_scale", config.guidance_scale)):
        if value is not None:
            options[key] = value
    if not {"prompt", "video", "audio", "label"} & options.keys():
        options["num_outputs_per_prompt"] = len(group)
    return pipe(**options).clips


def _labels(pipe: Any, scenes: Sequence[Scene]) -> Iterator[str]:
    """The class of each scene, for a model that was trained on classes of scenes: its material or its world."""
    names = set(getattr(getattr(pipe, "classes", None), "names", ()))
    for attribute in ("material", "world"):
        if names and all(scene.attributes.get(attribute) in names for scene in scenes):
            yield from (scene.attributes[attribute] for scene in scenes)
            return
