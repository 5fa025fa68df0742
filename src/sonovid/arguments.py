"""What a pipeline was given, checked and brought to one form: schedules, prompts, seeds, which task is meant."""

import secrets
from collections.abc import Sequence
from typing import Any

import torch

from sonovid.av import AV, Task
from sonovid.classes import Classes
from sonovid.denoising import AGAINST
from sonovid.diffusion.schedule import Cosine, RectifiedFlow, Schedule, Tabulated

SCHEDULES = {kind.__name__: kind for kind in (RectifiedFlow, Cosine, Tabulated)}
CONDITIONINGS = ("clean", "replaced", "shown")
# A sentence or ten; what is longer is a file that was taken for a prompt.
MAX_PROMPT = 2000
BOTH = AV(True, True)

Generators = int | torch.Generator | Sequence[int | torch.Generator] | None


def read_schedule(given: Any) -> AV:
    """A pair of schedules from one schedule, a pair, or their configs [name, arguments].

    Raises:
        ValueError: a name that is no schedule.
    """

    def one(entry: Any) -> Schedule:
        if not isinstance(entry, list | tuple):
            return entry
        name, arguments = entry
        if name not in SCHEDULES:
            raise ValueError(f"schedule {name!r}: expected one of {', '.join(SCHEDULES)}")
        return SCHEDULES[name](**arguments)

    if given is None:
        given = RectifiedFlow()
    if isinstance(given, AV):
        return given.map(one)
    if isinstance(given, list | tuple) and len(given) == 2 and not isinstance(given[0], str):
        return AV(*map(one, given))
    return AV(one(given), one(given))


def which_task(video: Any, audio: Any, makes: AV = BOTH) -> Task:
    """The task that the given streams ask for, of a model that makes both streams or one.

    Raises:
        ValueError: both are given, or one is to a model of one stream alone.
    """
    if not all(makes) and (video is not None or audio is not None):
        only = "pictures" if makes.video else "sound"
        raise ValueError(f"this model makes {only} alone, from nothing of the other stream: give neither video nor audio")
    if video is not None and audio is not None:
        raise ValueError("video and audio are both given, so there is nothing to generate: give one of them, or none")
    if video is not None:
        return Task.VIDEO_TO_AUDIO
    return Task.JOINT if audio is None else Task.AUDIO_TO_VIDEO


def check_prompts(prompt: "str | Sequence[str] | None", negative: str | None, takes_words: bool = True) -> list[str]:
    """Prompts as a list, without a prompt that holds no words.

    Raises:
        ValueError: one is longer than `MAX_PROMPT` characters, there is none in a list, or the model takes no words.
    """
    prompts = [prompt or ""] if prompt is None or isinstance(prompt, str) else list(prompt)
    if not prompts:
        raise ValueError("prompt is an empty list: expected one prompt at least, or None")
    for words in [*prompts, negative or ""]:
        if not isinstance(words, str):
            raise ValueError(f"prompt {words!r}: expected a string")
        if len(words) > MAX_PROMPT:
            raise ValueError(f"prompt of {len(words)} characters: expected at most {MAX_PROMPT}")
        if words.strip() and not takes_words:
            raise ValueError(f"prompt {words[:40]!r}: this model takes no words: give it a video or a sound, or nothing")
    return [words.strip() for words in prompts]


def check_labels(label: "str | Sequence[str] | None", classes: Classes) -> list[int]:
    """Classes by name as a list of numbers, -1 for none.

    Raises:
        ValueError: one that the model does not know, or there is none in a list.
    """
    labels = [label or ""] if label is None or isinstance(label, str) else list(label)
    if not labels:
        raise ValueError("label is an empty list: expected one class at least, or None")
    return [classes.number(str(one)) for one in labels]


def beside(prompts: Sequence[str], labels: Sequence[int], each: int) -> list[tuple[str, int]]:
    """The prompt and the class of every clip, `each` clips of one pair after another; a single one goes with all of the others.

    Raises:
        ValueError: several of both, and not as many of one as of the other.
    """
    most = max(len(prompts), len(labels))
    if len(prompts) not in (1, most) or len(labels) not in (1, most):
        raise ValueError(f"{len(prompts)} prompts and {len(labels)} labels: give as many of one as of the other, or a single one")
    words, classes = list(prompts) * (most // len(prompts)), list(labels) * (most // len(labels))
    return [pair for pair in zip(words, classes, strict=True) for _ in range(each)]


def check_against(against: str) -> str:
    """What guidance leads away from, or a ValueError."""
    if against not in AGAINST:
        raise ValueError(f"guidance_against={against!r}: expected one of {', '.join(AGAINST)}")
    return against


def check_reconstruction(scale: float | int, conditioning: str) -> None:
    """Whether given streams can enter so, and be reconstructed at this scale.

    Raises:
        ValueError: no such conditioning, a scale that is no number of at least 0, or one above it where nothing is reconstructed.
    """
    if conditioning not in CONDITIONINGS:
        raise ValueError(f"{conditioning=}: expected one of {CONDITIONINGS}")
    if not 0 <= scale < float("inf"):
        raise ValueError(f"reconstruction_scale={scale}: expected a number of at least 0; 0 is none")
    if scale and conditioning == "clean":
        raise ValueError(f"reconstruction_scale={scale}: given streams enter this model clean, so it has to be 0")
    if scale and conditioning == "shown":
        raise ValueError(f"reconstruction_scale={scale}: this model is shown the given stream, so it has to be 0")


def positive(name: str, value: Any) -> int:
    """A whole number above zero, or a ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r}: expected a whole number above zero")
    return value


def generators(given: Generators, number: int) -> tuple[list[torch.Generator], list[int | None]]:
    """One source of randomness for each clip, and the seeds that are known.

    Raises:
        ValueError: a list of another length.
    """

    def seeded(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed % 2**63)

    if given is None:
        given = secrets.randbits(31)
    if isinstance(given, torch.Generator):
        return [given] * number, [None] * number
    if isinstance(given, int):
        return [seeded(given + i) for i in range(number)], [given + i for i in range(number)]
    each = list(given)
    if len(each) != number:
        raise ValueError(f"generator: {len(each)} for {number} clips: give one for each, a single one, or a seed")
    return (
        [seeded(one) if isinstance(one, int) else one for one in each],
        [one if isinstance(one, int) else None for one in each],
    )
