"""The supported families of models, and which of them a model folder belongs to."""

from collections.abc import Mapping
from typing import Any

from sonovid.core.av import Task
from sonovid.pipelines.foreign import diffusers_loading
from sonovid.pipelines.foreign.base import Family
from sonovid.pipelines.foreign.cosmos3 import Cosmos3
from sonovid.pipelines.foreign.kandinsky6 import Kandinsky6
from sonovid.pipelines.foreign.ltx2 import LTX2
from sonovid.pipelines.foreign.minimax_h3 import MiniMaxH3

FAMILIES: tuple[Family, ...] = (LTX2(), Kandinsky6(), Cosmos3(), MiniMaxH3())


def is_foreign_model(index: Mapping[str, Any]) -> bool:
    """Whether an index names a pipeline of one of the families."""
    return any(index.get("_class_name") in family.classes for family in FAMILIES)


def find_family(index: Mapping[str, Any]) -> Family:
    """The family of a model, by its index.

    Raises:
        ValueError: an unknown family.
    """
    name = index.get("_class_name")
    for family in FAMILIES:
        if name in family.classes:
            return family
    known = ", ".join(family.capabilities.family for family in FAMILIES)
    raise ValueError(f"{name}: not a supported joint audio-video pipeline; supported are those of {known}")


def check_version(family: Family, task: Task) -> None:
    """Check that the family and the installed diffusers support a task.

    Raises:
        ValueError: the installed diffusers is too old, or the family does not support the task.
    """
    capabilities = family.capabilities
    if task not in capabilities.since:
        supported = "; ".join(map(describe_task, capabilities.tasks))
        raise ValueError(f"{capabilities.family} does not generate {describe_task(task)}; it generates {supported}")
    needed, installed = capabilities.since[task], diffusers_loading.diffusers_version()
    if diffusers_loading.diffusers_release() < tuple(map(int, needed.split("."))):
        raise ValueError(
            f"{capabilities.family}: {describe_task(task)} needs diffusers>={needed}, and {installed} is installed: "
            f"pip install 'diffusers>={needed}'"
        )


def describe_task(task: Task) -> str:
    """Description of a task."""
    return {
        Task.JOINT: "video and audio from text",
        Task.VIDEO_TO_AUDIO: "audio for a video",
        Task.AUDIO_TO_VIDEO: "video for an audio",
    }[task]
