"""Base classes of metrics and of feature extractors.

An `Extractor` turns a clip into named arrays, which are cached under the hash of the file. A metric is a computation on the
arrays of two sets of clips, of one of five kinds. Each kind defines how its confidence interval, its random baseline (floor) and
its upper bound (ceiling) are computed:

    Distance      two sets of rows -> one number             FVD, KVD, FAD, ...     floor: two halves of the reference
    ClipDistance  rows of one clip, a set -> number          per-sample FAD         floor: clips of one half, the other half
    SetScore      one set of rows -> one number              inception score
    PairedScore   a clip and its partner by name -> number   KL, beats              floor: the partner of another clip
    ClipScore     streams of one clip -> one number          AV-Align, CLAP score   floor: streams of two clips

The ceiling of a SetScore and of a ClipScore is the value of the reference itself.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal, TypedDict

import numpy as np

from sonovid.core import renamed
from sonovid.core.clip import Clip
from sonovid.media import FrameStream

Arrays = Mapping[str, np.ndarray]
# "zero" and "one": values closer to it are better.
Better = Literal["lower", "higher", "zero", "one"]
Stream = Literal["video", "audio", "text"]


class UnavailableError(ValueError):
    """Weights or a library that a metric needs are missing. The message says which file to fetch and from where."""


class UnusableClipError(ValueError):
    """A clip for which a metric cannot be computed: too short, silent or without video. It is left out and counted."""


@dataclass(frozen=True)
class InputSpec:
    """How an extractor wants files to be read (the arguments of `media.read`). None keeps the file's own value.

    Args:
        video: read the video.
        audio: read the audio.
        text: use the caption.
        fps: frames per second.
        size: (height, width) in pixels.
        sample_rate: in Hz.
        mono: mix the channels down.
        seconds: read at most this much.
        placed: place the audio by its time stamps relative to the video. False: all samples from the first one on
            (`media.read_as_decoded`, audio only), as published evaluation programs read a file.
        streamed: pass the frames one by one (`Sample.stream`), so that memory does not grow with the file. The audio is not read
            then. This changes no number and is not part of the record.
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
    """A file or folder of weights that an extractor needs.

    Args:
        name: the usual file name, looked for in the weights folder; or the Hub id OWNER/NAME of a transformers model, looked for
            as a folder of that name and then in the Hub's cache.
        source: where to get it, in words.
        sha256: the published checksum or its first digits; "" if none is published. The hash of the file used is in every result.
        licence: of the weights, as far as known.
        md5: the published MD5, if no SHA-256 is published.
        revision: the commit of the Hub model, 40 hex digits. No other commit is taken from the Hub's cache.
    """

    name: str
    source: str
    sha256: str = ""
    licence: str = "not stated"
    md5: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Sample:
    """The input of `Extractor.prepare`.

    Attributes:
        clip: the clip as read; None if the extractor reads neither stream or streams the frames.
        caption: the clip's caption.
        stream: the frames, if they are streamed.
    """

    clip: Clip | None
    caption: str = ""
    stream: FrameStream | None = None


class Extractor(ABC):
    """Turns clips into named arrays. The constructor is cheap; `load` loads the weights.

    Attributes:
        name: part of the names of the metrics that use it.
        version: changed whenever its numbers change.
        what: one line of description.
        input_spec: how files are read for it.
        weights: the files that it needs.
        settings: everything else that its numbers depend on, as plain values, for the record and the cache.
        batch_size: samples per call of `embed`.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    what: ClassVar[str] = ""
    input_spec: ClassVar[InputSpec]
    weights: ClassVar[tuple[WeightFile, ...]] = ()
    settings: ClassVar[Mapping[str, Any]] = {}
    batch_size: ClassVar[int] = 8

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "reading" in vars(cls) and "input_spec" not in vars(cls):
            warnings.warn(
                f"{cls.__name__}.reading is now input_spec; the old name will be removed", DeprecationWarning, stacklevel=2
            )
            cls.input_spec = vars(cls)["reading"]

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:  # noqa: B027 (nothing to do without weights)
        """Load the weights.

        Args:
            files: in the order of `weights`; their checksums are verified already.
            device: where the network runs.

        Raises:
            ValueError: the weights belong to another network: keys or shapes differ.
        """

    @abstractmethod
    def prepare(self, sample: Sample) -> Arrays:
        """Compute the input of `embed` for one sample.

        This runs in the decoding processes; prefer numpy to torch here.

        Raises:
            UnusableClipError: the sample cannot be used, and why.
        """

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        """Compute the features of some samples. They do not depend on the batch. Default: the prepared arrays.

        By convention the first axis of an array counts rows: [k d] with k patches, windows or frames of the clip, or [d] for one
        row.
        """
        return list(prepared)


class SetInfo(TypedDict):
    """Properties of the files of a set: medians over the clips, None for a stream that they lack."""

    clips: int
    seconds: float
    fps: float | None
    size: tuple[int, int] | None
    sample_rate: int | None


@dataclass(frozen=True)
class Metric:
    """What all kinds of metrics have in common.

    Args:
        name: unique; contains the name of the extractor.
        family: a name under which `--metrics` selects several metrics.
        what: one line of description.
        better: which values are better.
        source: the paper.
        unit: of the value; "" for none.
        warn: returns a warning if the metric is known not to work for a set with these properties (`SetInfo`), else "".
    """

    name: str
    family: str
    what: str
    better: Better
    source: str = ""
    unit: str = ""
    warn: Callable[[SetInfo], str] = field(default=lambda info: "", kw_only=True)

    @property
    def extractors(self) -> tuple[type[Extractor], ...]:
        """The extractors whose arrays the metric is computed from."""
        raise NotImplementedError


@dataclass(frozen=True)
class Distance(Metric):
    """A distance between the rows of two sets.

    Args:
        extractor: the extractor of the rows.
        key: the extractor's array that holds the rows.
        distance: (generated [n d], reference [m d]) -> number, in float64.
        by_size: whether the bias depends on the number of rows. If so, the value at matched N is reported too.
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
    """The distance of each generated clip's rows from the rows of the whole reference. The value of a set is the mean.

    Args:
        extractor: the extractor of the rows.
        key: the extractor's array that holds the rows.
        distances: (the rows [k d] of each clip, reference [m d]) -> one number per clip.
        least: the number of rows that a clip needs.
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
    """A score of one set alone: rows [n d] -> number."""

    extractor: type[Extractor] = field(kw_only=True)
    key: str = field(default="logits", kw_only=True)
    score: Callable[[np.ndarray], float] = field(kw_only=True)

    @property
    def extractors(self) -> tuple[type[Extractor], ...]:
        return (self.extractor,)


@dataclass(frozen=True)
class PairedScore(Metric):
    """A score of a generated clip and the reference clip of the same name, from one extractor's arrays of both.

    The value of a set is the mean. NaN means that the score is undefined for a pair; such pairs are excluded from the mean and
    counted.
    """

    extractor: type[Extractor] = field(kw_only=True)
    score: Callable[[Arrays, Arrays], float] = field(kw_only=True)

    @property
    def extractors(self) -> tuple[type[Extractor], ...]:
        return (self.extractor,)


@dataclass(frozen=True)
class ClipScore(Metric):
    """A score of the streams of one clip.

    Args:
        of: the first extractor.
        to: the second extractor. For the floor, its arrays are taken from another clip.
        score: (arrays of `of`, arrays of `to`) -> number; NaN where it is undefined.
        summary: from the values of all clips to the value of the set; default: the mean without NaN.
    """

    of: type[Extractor] = field(kw_only=True)
    to: type[Extractor] = field(kw_only=True)
    score: Callable[[Arrays, Arrays], float] = field(kw_only=True)
    summary: Callable[[np.ndarray], float] = field(default=lambda values: float(np.nanmean(values)), kw_only=True)

    @property
    def extractors(self) -> tuple[type[Extractor], ...]:
        return (self.of,) if self.of is self.to else (self.of, self.to)


__getattr__ = renamed.attributes(
    __name__,
    {
        "Material": "Sample",
        "Missing": "UnavailableError",
        "Reading": "InputSpec",
        "SetFacts": "SetInfo",
        "Unfit": "UnusableClipError",
    },
)
