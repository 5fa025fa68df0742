"""What a metric is made of: how files are read, what is extracted from them, and what is computed from that.

An `Extractor` turns a clip into named arrays, which are cached by the file's hash. A metric is a computation on the arrays of two
sets of clips, in one of five kinds, so that intervals, floors and ceilings are made in one place and alike for all:

    Distance      two sets of rows -> one number             FVD, KVD, FAD, ...     floor: two halves of the reference
    ClipDistance  rows of one clip, a set -> number          per-sample FAD         floor: clips of one half, the other half
    SetScore      one set of rows -> one number              inception score
    PairedScore   a clip and its partner by name -> number   KL, beats              floor: another clip's partner
    ClipScore     streams of one clip -> one number          AV-Align, CLAP score   floor: streams of two clips

The ceiling of a SetScore and of a ClipScore is the reference's own value.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal, TypedDict

import numpy as np

from sonovid.core.clip import Clip
from sonovid.media import FrameStream

Arrays = Mapping[str, np.ndarray]
# "zero" and "one": the nearer to it, the better.
Better = Literal["lower", "higher", "zero", "one"]
Stream = Literal["video", "audio", "text"]


class Missing(ValueError):
    """Weights that are not at hand: one line that says which file to fetch and from where."""


class Unfit(ValueError):
    """A clip that a metric cannot be computed for (too short, silent, without pictures): the clip is left out and counted."""


@dataclass(frozen=True)
class Reading:
    """How an extractor wants files read (the arguments of `media.read`); None is the file's own.

    video, audio, text: what it looks at. fps: frames per second. size: (h, w). sample_rate: in Hz. mono: whether channels are
    mixed down on reading. seconds: the most that is read. placed: whether sound lies where its time stamps put it beside the
    pictures; False: its samples from the first on (`media.read_as_decoded`; sound alone), as published programs hear a file.
    streamed: the pictures come one after the other (`Material.stream`), so that memory does not grow with the file; sound is not
    read then. It changes no number, and is not part of the record.
    """

    video: bool = False
    audio: bool = False
    text: bool = False
    fps: Fraction | None = None
    size: tuple[int, int] | None = None
    sample_rate: int | None = None
    mono: bool = True
    seconds: Fraction | None = None
    placed: bool = True
    streamed: bool = False

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "streams": [name for name in ("video", "audio", "text") if getattr(self, name)],
            "fps": None if self.fps is None else str(self.fps),
            "size": None if self.size is None else list(self.size),
            "sample_rate": self.sample_rate,
            "channels": "mixed to one" if self.mono else "as they are",
            "seconds": None if self.seconds is None else str(self.seconds),
            "sound": "by its time stamps" if self.placed else "as decoded",
        }


@dataclass(frozen=True)
class WeightFile:
    """One file or folder of weights that an extractor needs.

    name: the file's usual name, under which it is looked for in the weights folder; or the hub id OWNER/NAME of a transformers
    model, looked for as a folder of that name, then in the hub's cache. source: where it is had, in words. sha256: the published
    checksum, or its first digits, or "" where none is published: the hash of the file used is in every result anyway.
    md5: where that is what is published. revision: the hub model's commit whose files are used, 40 hex digits; in the hub's cache
    no other is taken. licence: of the weights, as far as known.
    """

    name: str
    source: str
    sha256: str = ""
    licence: str = "not stated"
    md5: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Material:
    """One sample as an extractor gets it: its clip as read, and its caption. stream: its pictures, where they are streamed."""

    clip: Clip | None
    caption: str = ""
    stream: FrameStream | None = None


class Extractor(ABC):
    """From clips to named arrays. Constructing one is cheap; `load` reads its weights.

    name: part of the names of the metrics made of it. version: changed whenever its numbers change. reading: how files are read
    for it. weights: what it needs. settings: everything else its numbers depend on, as plain values for the record and the cache.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    what: ClassVar[str] = ""
    reading: ClassVar[Reading]
    weights: ClassVar[tuple[WeightFile, ...]] = ()
    settings: ClassVar[Mapping[str, Any]] = {}
    batch_size: ClassVar[int] = 8

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:  # noqa: B027 (nothing to do where there are no weights)
        """Read the weights, in the order of `weights`, whose checksums are verified already.

        Raises:
            ValueError: weights of another network: keys or shapes differ.
        """

    @abstractmethod
    def prepare(self, material: Material) -> Arrays:
        """What of one sample goes on to `embed`; runs in the decoding processes, so keep it to numpy where that is simple.

        Raises:
            Unfit: the sample cannot be used, and why.
        """

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        """The features of some samples, one mapping of arrays each; the same whatever the batch. Default: what was prepared.

        By convention an array has its rows first: [k d] with k patches, windows or frames of the clip, or [d] for one row.
        """
        return list(prepared)


class SetFacts(TypedDict):
    """What the files of a set are like as they lie on disk, medians over the clips; None where they have no such stream."""

    clips: int
    seconds: float
    fps: float | None
    size: tuple[int, int] | None
    sample_rate: int | None


@dataclass(frozen=True)
class Metric:
    """What all kinds have in common.

    name: with the extractor's name in it. family: what `--metrics` selects several by. what: one line. better: which way is good.
    unit: of the value, "" for none. source: the paper. warn: from what is known of the files of a set (`SetFacts`) to a line
    where the metric is known not to work at that setting, or "".
    """

    name: str
    family: str
    what: str
    better: Better
    source: str = ""
    unit: str = ""
    warn: Callable[[SetFacts], str] = field(default=lambda facts: "", kw_only=True)

    @property
    def extractors(self) -> tuple[type[Extractor], ...]:
        """The extractors whose arrays it is computed from."""
        raise NotImplementedError


@dataclass(frozen=True)
class Distance(Metric):
    """A distance between the rows of two sets.

    key: the array of the extractor that holds the rows. distance: (generated [n d], reference [m d]) -> number, in float64.
    by_size: whether its bias depends on the number of rows, so that it is also given at matched N.
    """

    extractor: type[Extractor] = field(kw_only=True)
    key: str = field(default="features", kw_only=True)
    distance: Callable[[np.ndarray, np.ndarray], float] = field(kw_only=True)
    by_size: bool = field(default=False, kw_only=True)

    @property
    def extractors(self) -> tuple[type[Extractor], ...]:
        return (self.extractor,)


@dataclass(frozen=True)
class ClipDistance(Metric):
    """A distance of each generated clip's own rows from the rows of the whole reference; the set's value is the mean.

    distances: (the rows [k d] of each clip, reference [m d]) -> one number per clip. least: rows that a clip needs.
    """

    extractor: type[Extractor] = field(kw_only=True)
    key: str = field(default="features", kw_only=True)
    distances: Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray] = field(kw_only=True)
    least: int = field(default=2, kw_only=True)

    @property
    def extractors(self) -> tuple[type[Extractor], ...]:
        return (self.extractor,)


@dataclass(frozen=True)
class SetScore(Metric):
    """A number of one set alone: rows [n d] -> number."""

    extractor: type[Extractor] = field(kw_only=True)
    key: str = field(default="logits", kw_only=True)
    score: Callable[[np.ndarray], float] = field(kw_only=True)

    @property
    def extractors(self) -> tuple[type[Extractor], ...]:
        return (self.extractor,)


@dataclass(frozen=True)
class PairedScore(Metric):
    """A number of a generated clip and the reference clip of the same name, from one extractor's arrays of both.

    The set's value is the mean. NaN for a pair for which it is not defined: such pairs are left out of the mean and counted.
    """

    extractor: type[Extractor] = field(kw_only=True)
    score: Callable[[Arrays, Arrays], float] = field(kw_only=True)

    @property
    def extractors(self) -> tuple[type[Extractor], ...]:
        return (self.extractor,)


@dataclass(frozen=True)
class ClipScore(Metric):
    """A number of the streams of one clip: score(arrays of `of`, arrays of `to`), NaN where it is not defined.

    The floor takes `to` from another clip. summary: from the values of all clips to the set's; default: the mean without NaN.
    """

    of: type[Extractor] = field(kw_only=True)
    to: type[Extractor] = field(kw_only=True)
    score: Callable[[Arrays, Arrays], float] = field(kw_only=True)
    summary: Callable[[np.ndarray], float] = field(default=lambda values: float(np.nanmean(values)), kw_only=True)

    @property
    def extractors(self) -> tuple[type[Extractor], ...]:
        return (self.of,) if self.of is self.to else (self.of, self.to)
