"""The families that are known, and which of them a model folder is of."""

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
    """The family of a model by its index.

    Raises:
        ValueError: of none of them.
    """
    name = index.get("_class_name")
    for family in FAMILIES:
        if name in family.classes:
            return family
    known = ", ".join(family.capabilities.family for family in FAMILIES)
    raise ValueError(f"{name}: no joint audio-video pipeline that is known here; known are those of {known}")


def check_version(family: Family, task: Task) -> None:
    """Whether the installed diffusers has what a task of this family needs.

    Raises:
        ValueError: it is older, or the family cannot do the task at all.
    """
    made = family.capabilities
    if task not in made.since:
        raise ValueError(f"{made.family} cannot make {describe_task(task)}; it makes {'; '.join(map(describe_task, made.tasks))}")
    if diffusers_loading.diffusers_release() < tuple(map(int, made.since[task].split("."))):
        raise ValueError(
            f"{made.family}: {describe_task(task)} needs diffusers>={made.since[task]}, and {diffusers_loading.diffusers_version()} is installed: "
            f"pip install 'diffusers>={made.since[task]}'"
        )


def describe_task(task: Task) -> str:
    """A task in words."""
    return {
        Task.JOINT: "pictures and sound for words",
        Task.VIDEO_TO_AUDIO: "sound for given pictures",
        Task.AUDIO_TO_VIDEO: "pictures for a given sound",
    }[task]
