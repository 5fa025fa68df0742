"""What a pipeline was given, checked and brought to one form: schedules, prompts, seeds, which task is meant."""

import operator
import secrets
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import torch

from sonovid.core.av import AV, Task
from sonovid.core.labels import ClassLabels
from sonovid.diffusion.schedule import Cosine, RectifiedFlow, Schedule, Tabulated
from sonovid.pipelines.denoising import GUIDANCE_AGAINST

SCHEDULES = {kind.__name__: kind for kind in (RectifiedFlow, Cosine, Tabulated)}
CONDITIONINGS = ("clean", "replaced", "shown")
# A sentence or ten; what is longer is a file that was taken for a prompt.
MAX_PROMPT_LENGTH = 2000
BOTH_STREAMS = AV(True, True)

Generators = SupportsIndex | torch.Generator | Sequence[SupportsIndex | torch.Generator] | None


def parse_schedules(given: Any) -> AV:
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


def infer_task(video: Any, audio: Any, makes: AV = BOTH_STREAMS) -> Task:
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


def check_prompts(
    prompt: "str | Sequence[str] | None", negative: "str | Sequence[str | None] | None" = None, accepts_text: bool = True
) -> list[str]:
    """Prompts as a list, without a prompt that holds no words.

    Raises:
        ValueError: one is longer than `MAX_PROMPT` characters or holds characters that are no text, there is none in a list, or
            the model takes no words.
    """
    prompts = [prompt or ""] if prompt is None or isinstance(prompt, str) else list(prompt)
    if not prompts:
        raise ValueError("prompt is an empty list: expected one prompt at least, or None")
    negatives = [negative or ""] if negative is None or isinstance(negative, str) else list(negative)
    for name, words in [*(("prompt", one) for one in prompts), *(("negative_prompt", one or "") for one in negatives)]:
        check_text(name, words)
        if len(words) > MAX_PROMPT_LENGTH:
            raise ValueError(f"{name} of {len(words)} characters: expected at most {MAX_PROMPT_LENGTH}")
        if words.strip() and not accepts_text:
            raise ValueError(f"{name} {words[:40]!r}: this model takes no words: give it a video or a sound, or nothing")
    return [words.strip() for words in prompts]


def check_text(name: str, words: Any) -> str:
    """Words that can be embedded and written into a file's metadata, or a ValueError that names the character that cannot."""
    if not isinstance(words, str):
        raise ValueError(f"{name} {words!r}: expected a string")
    for place, character in enumerate(words):
        kind = unicodedata.category(character)
        if kind == "Cs" or (kind == "Cc" and character not in "\t\n\r"):
            what = "half of a surrogate pair" if kind == "Cs" else "a control character"
            raise ValueError(f"{name}: character {place + 1} is U+{ord(character):04X}, {what}: expected text; take it out")
    return words


def expand_negative_prompts(negative: "str | Sequence[str | None] | None", number: int, each: int) -> list[str | None]:
    """The negative prompt of every clip, one for all of them or one for each prompt.

    Raises:
        ValueError: a list of another length.
    """
    if negative is None or isinstance(negative, str):
        return [negative] * number
    listed = list(negative)
    if len(listed) * each != number:
        raise ValueError(f"negative_prompt: {len(listed)} for {number // each} prompts: give one for each, or a single one")
    return [one for one in listed for _ in range(each)]


def labels_to_indices(label: "str | Sequence[str] | None", classes: ClassLabels) -> list[int]:
    """Classes by name as a list of numbers, -1 for none.

    Raises:
        ValueError: one that the model does not know, or there is none in a list.
    """
    labels = [label or ""] if label is None or isinstance(label, str) else list(label)
    if not labels:
        raise ValueError("label is an empty list: expected one class at least, or None")
    return [classes.index(str(one)) for one in labels]


def broadcast_inputs(each: int, **lists: Sequence[Any]) -> list[tuple]:
    """What every clip is made from, `each` clips after another of the same; a list of one goes with all of the others.

    Args:
        each: clips of one prompt. lists: prompts, labels and so on, by the name that an error gives them.

    Raises:
        ValueError: several of two kinds, and not as many of one as of the other.
    """
    most = max(map(len, lists.values()))
    if any(len(one) not in (1, most) for one in lists.values()):
        counts = " and ".join(f"{len(one)} {name}" for name, one in lists.items() if len(one) != 1)
        raise ValueError(f"{counts}: give as many of one as of the other, or a single one")
    full = [list(one) * (most // len(one)) for one in lists.values()]
    return [row for row in zip(*full, strict=True) for _ in range(each)]


def check_guidance_against(against: str) -> str:
    """What guidance leads away from, or a ValueError."""
    if against not in GUIDANCE_AGAINST:
        raise ValueError(f"guidance_against={against!r}: expected one of {', '.join(GUIDANCE_AGAINST)}")
    return against


def check_reconstruction_guidance(scale: float | int, conditioning: str) -> None:
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


def positive_int(name: str, value: Any) -> int:
    """A whole number above zero, of Python or NumPy, or a ValueError."""
    if (number := _to_int(value)) is None or number < 1:
        raise ValueError(f"{name}={value!r}: expected a whole number above zero")
    return number


def _to_int(value: Any) -> int | None:
    """A whole number of any kind as Python's; None where it is not one."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def make_generators(given: Generators, number: int) -> tuple[list[torch.Generator], list[int | None]]:
    """One source of randomness for each clip, and the seeds that are known.

    Raises:
        ValueError: a list of another length, or something that is neither a seed nor a generator.
    """
    if given is None:
        given = secrets.randbits(31)
    if isinstance(given, torch.Generator):
        return [given] * number, [None] * number
    if (seed := _to_int(given)) is not None:
        return _split_seeds([seed + i for i in range(number)])
    if not isinstance(given, Iterable):
        raise ValueError(f"generator={given!r}: expected a seed, a torch.Generator, or one of either for each clip")
    listed: Any = given
    each = [one if isinstance(one, torch.Generator) else _to_int(one) for one in listed]
    if len(each) != number:
        raise ValueError(f"generator: {len(each)} for {number} clips: give one for each, a single one, or a seed")
    if None in each:
        raise ValueError("generator: a list of something else than seeds and torch.Generators")
    return _split_seeds(each)


def _split_seeds(each: Sequence[Any]) -> tuple[list[torch.Generator], list[int | None]]:
    """A generator for each seed, and the seeds; a generator stays what it is."""
    made = [torch.Generator().manual_seed(one % 2**63) if isinstance(one, int) else one for one in each]
    return made, [one if isinstance(one, int) else None for one in each]
