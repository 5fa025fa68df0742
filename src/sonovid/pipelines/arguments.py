"""Check the arguments of a pipeline and convert them to one form: schedules, prompts, labels, seeds, the task."""

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
# A longer text is probably a file that was passed by mistake.
MAX_PROMPT_LENGTH = 2000
BOTH_STREAMS = AV(True, True)

Generators = SupportsIndex | torch.Generator | Sequence[SupportsIndex | torch.Generator] | None


def parse_schedules(value: Any) -> AV:
    """The noise schedules of both streams.

    Args:
        value: one schedule for both, a pair, or their configs [name, arguments]; None: `RectifiedFlow`.

    Raises:
        ValueError: an unknown schedule.
    """

    def parse(entry: Any) -> Schedule:
        if not isinstance(entry, list | tuple):
            return entry
        name, arguments = entry
        if name not in SCHEDULES:
            raise ValueError(f"schedule {name!r}: expected one of {', '.join(SCHEDULES)}")
        return SCHEDULES[name](**arguments)

    if value is None:
        value = RectifiedFlow()
    if isinstance(value, AV):
        return value.map(parse)
    if isinstance(value, list | tuple) and len(value) == 2 and not isinstance(value[0], str):
        return AV(*map(parse, value))
    return AV(parse(value), parse(value))


def infer_task(video: Any, audio: Any, generated_streams: AV = BOTH_STREAMS) -> Task:
    """The task that follows from the inputs of a call.

    Args:
        video: the input video, or None.
        audio: the input audio, or None.
        generated_streams: which streams the model generates.

    Raises:
        ValueError: both inputs are passed, or one is passed to a model that generates one stream alone.
    """
    if not all(generated_streams) and (video is not None or audio is not None):
        only = "video" if generated_streams.video else "audio"
        raise ValueError(f"this model generates {only} alone and takes no input stream: pass neither video nor audio")
    if video is not None and audio is not None:
        raise ValueError("video and audio are both given, so there is nothing to generate: pass one of them, or none")
    if video is not None:
        return Task.VIDEO_TO_AUDIO
    return Task.JOINT if audio is None else Task.AUDIO_TO_VIDEO


def check_prompts(
    prompt: "str | Sequence[str] | None", negative: "str | Sequence[str | None] | None" = None, accepts_text: bool = True
) -> list[str]:
    """Check the prompts of a call.

    Args:
        prompt: one prompt, a list of them, or None.
        negative: the negative prompts, which are only checked.
        accepts_text: whether the model is conditioned on text.

    Returns:
        The prompts as a list, without white space at their ends.

    Raises:
        ValueError: an empty list, a prompt of more than `MAX_PROMPT_LENGTH` characters or with invalid characters, or a model
            without text conditioning.
    """
    prompts = [prompt or ""] if prompt is None or isinstance(prompt, str) else list(prompt)
    if not prompts:
        raise ValueError("prompt is an empty list: expected at least one prompt, or None")
    negatives = [negative or ""] if negative is None or isinstance(negative, str) else list(negative)
    for name, text in [*(("prompt", one) for one in prompts), *(("negative_prompt", one or "") for one in negatives)]:
        check_text(name, text)
        if len(text) > MAX_PROMPT_LENGTH:
            raise ValueError(f"{name} of {len(text)} characters: expected at most {MAX_PROMPT_LENGTH}")
        if text.strip() and not accepts_text:
            raise ValueError(f"{name} {text[:40]!r}: this model is not conditioned on text: pass a video, an audio, or nothing")
    return [text.strip() for text in prompts]


def check_text(name: str, text: Any) -> str:
    """Check that a text can be embedded and written into a file's metadata.

    Args:
        name: name of the argument, for the error message.
        text: the text.

    Raises:
        ValueError: not a string, or a control character or half of a surrogate pair in it.
    """
    if not isinstance(text, str):
        raise ValueError(f"{name} {text!r}: expected a string")
    for place, character in enumerate(text):
        kind = unicodedata.category(character)
        if kind == "Cs" or (kind == "Cc" and character not in "\t\n\r"):
            what = "half of a surrogate pair" if kind == "Cs" else "a control character"
            raise ValueError(f"{name}: character {place + 1} is U+{ord(character):04X}, {what}: expected text; remove it")
    return text


def expand_negative_prompts(
    negative: "str | Sequence[str | None] | None", num_clips: int, outputs_per_prompt: int
) -> list[str | None]:
    """The negative prompt of each clip, from one for all of them or one for each prompt.

    Raises:
        ValueError: a list of another length.
    """
    if negative is None or isinstance(negative, str):
        return [negative] * num_clips
    negatives = list(negative)
    if len(negatives) * outputs_per_prompt != num_clips:
        prompts = num_clips // outputs_per_prompt
        raise ValueError(f"negative_prompt: {len(negatives)} for {prompts} prompts: pass one for each, or a single one")
    return [one for one in negatives for _ in range(outputs_per_prompt)]


def labels_to_indices(label: "str | Sequence[str] | None", classes: ClassLabels) -> list[int]:
    """Convert class names to indices; -1 is no class.

    Raises:
        ValueError: an unknown class, or an empty list.
    """
    labels = [label or ""] if label is None or isinstance(label, str) else list(label)
    if not labels:
        raise ValueError("label is an empty list: expected at least one class, or None")
    return [classes.index(str(one)) for one in labels]


def broadcast_inputs(outputs_per_prompt: int, **lists: Sequence[Any]) -> list[tuple]:
    """Combine prompts, labels and inputs to one tuple for each clip. A list of length one goes with all entries of the others.

    Args:
        outputs_per_prompt: how often each tuple is repeated.
        lists: prompts, labels and so on, under the names that an error message uses.

    Raises:
        ValueError: two lists of different lengths, both longer than one.
    """
    longest = max(map(len, lists.values()))
    if any(len(one) not in (1, longest) for one in lists.values()):
        counts = " and ".join(f"{len(one)} {name}" for name, one in lists.items() if len(one) != 1)
        raise ValueError(f"{counts}: pass as many of one as of the other, or a single one")
    full = [list(one) * (longest // len(one)) for one in lists.values()]
    return [row for row in zip(*full, strict=True) for _ in range(outputs_per_prompt)]


def check_guidance_against(against: str) -> str:
    """Check `guidance_against`.

    Raises:
        ValueError: not one of `GUIDANCE_AGAINST`.
    """
    if against not in GUIDANCE_AGAINST:
        raise ValueError(f"guidance_against={against!r}: expected one of {', '.join(GUIDANCE_AGAINST)}")
    return against


def check_guidance_interval(interval: Sequence[float | int]) -> tuple[float, float]:
    """Check `guidance_interval`.

    Raises:
        ValueError: not two times from 0 to 1 in ascending order.
    """
    if len(interval) != 2 or not 0 <= interval[0] <= interval[1] <= 1:
        raise ValueError(
            f"guidance_interval={tuple(interval)}: expected two times from 0 (clean) to 1 (noise), the smaller one first"
        )
    return float(interval[0]), float(interval[1])


def check_reconstruction_guidance(scale: float | int, conditioning: str) -> None:
    """Check the conditioning mode and the scale of reconstruction guidance.

    Args:
        scale: scale of reconstruction guidance; 0: none.
        conditioning: how a conditioning stream enters the network.

    Raises:
        ValueError: an unknown mode, a negative or infinite scale, or a positive scale for a mode without reconstruction.
    """
    if conditioning not in CONDITIONINGS:
        raise ValueError(f"{conditioning=}: expected one of {CONDITIONINGS}")
    if not 0 <= scale < float("inf"):
        raise ValueError(f"reconstruction_scale={scale}: expected a number of at least 0; 0 is none")
    if scale and conditioning == "clean":
        raise ValueError(f"reconstruction_scale={scale}: conditioning streams enter this model clean, so it must be 0")
    if scale and conditioning == "shown":
        raise ValueError(f"reconstruction_scale={scale}: this model is shown the conditioning stream, so it must be 0")


def positive_int(name: str, value: Any) -> int:
    """A positive integer of Python or NumPy.

    Raises:
        ValueError: anything else.
    """
    if (number := _to_int(value)) is None or number < 1:
        raise ValueError(f"{name}={value!r}: expected a whole number above zero")
    return number


def _to_int(value: Any) -> int | None:
    """An integer of any type as `int`; None for anything else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def make_generators(generator: Generators, num_clips: int) -> tuple[list[torch.Generator], list[int | None]]:
    """One random generator for each clip.

    Args:
        generator: a seed, of which clip i takes seed + i; one generator for all clips; a list with one of either for each clip;
            None: a random seed.
        num_clips: number of clips.

    Returns:
        The generators, and the seed of each where it is known.

    Raises:
        ValueError: a list of another length, or something that is neither a seed nor a generator.
    """
    if generator is None:
        generator = secrets.randbits(31)
    if isinstance(generator, torch.Generator):
        return [generator] * num_clips, [None] * num_clips
    if (seed := _to_int(generator)) is not None:
        return _split_seeds([seed + i for i in range(num_clips)])
    if not isinstance(generator, Iterable):
        raise ValueError(f"generator={generator!r}: expected a seed, a torch.Generator, or one of either for each clip")
    entries: Any = generator
    each = [one if isinstance(one, torch.Generator) else _to_int(one) for one in entries]
    if len(each) != num_clips:
        raise ValueError(f"generator: {len(each)} for {num_clips} clips: pass one for each, a single one, or a seed")
    if None in each:
        raise ValueError("generator: expected a list of seeds and torch.Generators")
    return _split_seeds(each)


def _split_seeds(each: Sequence[Any]) -> tuple[list[torch.Generator], list[int | None]]:
    """Generators from seeds and generators, and the seeds."""
    generators = [torch.Generator().manual_seed(one % 2**63) if isinstance(one, int) else one for one in each]
    return generators, [one if isinstance(one, int) else None for one in each]
