"""The record of how a file was generated, as text in its container and as values of its content credentials."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

WORDS = {(True, True): "pictures and sound", (True, False): "pictures", (False, True): "sound"}
NAME = "sonovid"
BESIDE = " beside the film's own"


@dataclass(frozen=True)
class Record:
    """How a file was generated.

    The field names are those of the values in the content credentials.

    Args:
        video: Whether the video is generated.
        audio: Whether the audio is generated.
        model: Name of the model.
        system: Family of the model, such as uniform.
        version: Version of this package.
        seed: Seed of this clip; None: unknown, as with a given generator.
        steps: Number of sampling steps; None: unknown.
        prompt: The prompt.
        label: The class.
        given: Name of the file of the conditioning stream or of the continued clip, empty without one.
        continued: Whether the generated streams continue the given clip.
        beside_own: Whether the original sound of the given video is mixed in.
    """

    video: bool
    audio: bool
    model: str
    system: str
    version: str
    seed: int | None = None
    steps: int | None = None
    prompt: str = ""
    label: str = ""
    given: str = ""
    continued: bool = False
    beside_own: bool = False

    @property
    def generated(self) -> str:
        """The generated streams in words."""
        return WORDS[self.video, self.audio]

    @property
    def kept(self) -> str:
        """The streams of the given file that are kept, in words; empty without a given file."""
        if not self.given:
            return ""
        return "beginning" if self.continued else WORDS[not self.video, not self.audio]

    def to_metadata(self) -> dict[str, str]:
        """Tags for a container: a comment for people and programs, and the prompt as its title."""
        what = f"AI-generated {self.generated}" + (f" from where {self.given} ends" if self.continued else "")
        what += BESIDE if self.beside_own else ""
        parts = [what]
        parts += [f"given {self.kept}: {self.given}"] if self.given and not self.continued else []
        parts += [f"{NAME} {self.version}", f"model {self.model} ({self.system})"]
        # A prompt may contain anything. It is placed where the text after it marks its end.
        parts += [f"prompt: {' '.join(self.prompt.split())}"] if self.prompt else []
        parts += [f"class: {self.label}"] if self.label else []
        parts += [f"seed {'unknown' if self.seed is None else self.seed}", f"{self.steps or 'unknown'} steps"]
        return {"comment": "; ".join(parts)} | ({"title": self.prompt} if self.prompt else {})

    def to_config(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "Record | None":
        """The record in a container's tags, whose names may be of any case. None if there is none."""
        lower = {name.lower(): value for name, value in metadata.items()}
        return cls.from_comment(lower.get("comment", ""))

    @classmethod
    def from_comment(cls, comment: str) -> "Record | None":
        """The record in a comment, or None."""
        found = re.fullmatch(
            r"AI-generated (?P<generated>pictures and sound|pictures|sound)(?: from where (?P<begun>.*?) ends)?"
            rf"(?P<beside>{BESIDE})?"
            rf"(?:; given (?:pictures|sound): (?P<given>.*?))?; {NAME} (?P<version>\S+); model (?P<model>.*?) \((?P<system>.*?)\)"
            r"(?:; prompt: (?P<prompt>.*?))?(?:; class: (?P<label>.*?))?"
            r"; seed (?P<seed>-?\d+|unknown); (?P<steps>\d+|unknown) steps",
            comment,
            flags=re.DOTALL,
        )
        if found is None:
            return None
        ((video, audio),) = [streams for streams, words in WORDS.items() if words == found["generated"]]
        return cls(
            video=video,
            audio=audio,
            model=found["model"],
            system=found["system"],
            version=found["version"],
            seed=None if found["seed"] == "unknown" else int(found["seed"]),
            steps=None if found["steps"] == "unknown" else int(found["steps"]),
            prompt=found["prompt"] or "",
            label=found["label"] or "",
            given=found["given"] or found["begun"] or "",
            continued=found["begun"] is not None,
            beside_own=found["beside"] is not None,
        )


def read_record(path: Path) -> "Record | None":
    """The record in the container of a media file, or None.

    Raises:
        MediaError: not a media file.
    """
    from sonovid.media.files import open_media

    with open_media(path) as container:
        return Record.from_metadata(container.metadata)
