"""Questionnaires of two papers, by task."""

from dataclasses import dataclass
from difflib import get_close_matches

TASKS = ("joint", "video-to-audio", "audio-to-video")


@dataclass(frozen=True)
class Question:
    """One question. key: its name in answer files; title: what is rated; text: instructions in one or two sentences."""

    key: str
    title: str
    text: str


@dataclass(frozen=True)
class Questionnaire:
    """Ordered questions with a common scale. ends: the meaning of the lowest and the highest rating. source: the paper."""

    name: str
    low: int
    high: int
    ends: tuple[str, str]
    questions: tuple[Question, ...]
    source: str


ACOUSTIC = Question(
    "acoustic_quality",
    "Acoustic quality",
    "How good is the sound as a sound, whatever is seen? Noise, distortion and a thin or muffled tone are bad; a clean, natural "
    "recording is good.",
)
MUSICAL = Question(
    "musical_quality",
    "Musical quality",
    "How good is the music as music? A steady rhythm and a theme are good; a beat that changes by chance is bad.",
)
SEMANTIC = Question(
    "semantic_quality",
    "Semantic relevance",
    "Could these sounds come from the place that is seen, also from outside the picture? Judge what is heard, not when.",
)
VISUAL = Question(
    "video_quality",
    "Video quality",
    "How good are the pictures, whatever is heard? Blur, things that fall apart and movements that cannot be are bad; pictures "
    "that look filmed are good.",
)
TIMING = Question(
    "temporal_synchronisation",
    "Temporal synchronisation",
    "Do the sounds come at the moments at which what makes them is seen?",
)
DANCE_TIMING = Question(
    "temporal_synchronisation",
    "Temporal synchronisation",
    "Do the dancer's movements fit the music and keep time with it?",
)

# CMMD (section 4.2 and appendix C): the questions for EPIC-Sounds, and those for the dances of AIST++.
# Deviation: CMMD does not rate joint generation. Here it gets the questions for both streams, and synchronisation once.
CMMD = {
    "joint": (VISUAL, ACOUSTIC, SEMANTIC, TIMING),
    "video-to-audio": (ACOUSTIC, SEMANTIC, TIMING),
    "audio-to-video": (VISUAL, TIMING),
}
CMMD_DANCE = {
    "joint": (VISUAL, ACOUSTIC, MUSICAL, DANCE_TIMING),
    "video-to-audio": (ACOUSTIC, MUSICAL, DANCE_TIMING),
    "audio-to-video": (VISUAL, DANCE_TIMING),
}
# MM-LDM (section 4.3), following MM-Diffusion: three ratings per clip.
MMLDM = (
    Question("AQ", "Audio quality", "How clear and natural is the sound?"),
    Question("VQ", "Video quality", "How real do the pictures look?"),
    Question("A-V", "Audio-video matching", "How well do sound and pictures belong together, in kind and in time?"),
)
FORMS = ("cmmd", "cmmd-dance", "mmldm")


def questionnaire(name: str, task: str) -> Questionnaire:
    """The questionnaire of a form for a task.

    Raises:
        ValueError: no such form or task.
    """
    for given, known, option in ((name, FORMS, "questions"), (task, TASKS, "task")):
        if given not in known:
            near = get_close_matches(given, known, 1, 0.4)
            raise ValueError(f"{option}={given}: expected {', '.join(known)}" + (f"; did you mean {near[0]}?" if near else ""))
    if name == "mmldm":
        return Questionnaire(name, 0, 5, ("worst", "best"), MMLDM, "MM-LDM, section 4.3")
    chosen = CMMD_DANCE if name == "cmmd-dance" else CMMD
    return Questionnaire(name, 1, 5, ("worst", "best"), chosen[task], "CMMD, section 4.2 and appendix C")
