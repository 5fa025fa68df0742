"""Reading one media file and preparing it for extractors: the work of one process or one Ray task."""

from dataclasses import dataclass
from functools import cache

from sonovid.core.clip import Clip
from sonovid.media import MediaError
from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, UnusableClipError
from sonovid.metrics.lazy_extractor import ExtractorClass
from sonovid.metrics.protocol import NO_PROTOCOL, Protocol


@dataclass(frozen=True)
class Job:
    """One file to be read and prepared for some extractors under a protocol."""

    path: str
    caption: str
    extractors: tuple[ExtractorClass, ...]
    protocol: Protocol = NO_PROTOCOL


@dataclass(frozen=True)
class Prepared:
    """What one extractor prepared from one file.

    Attributes:
        arrays: the input of `Extractor.embed`, or None after an error.
        error: why there are no arrays, or "".
        unusable: whether the error is a property of the clip (`UnusableClipError`). Such results are cached; a file that could
            not be read is tried again next time.
    """

    arrays: Arrays | None = None
    error: str = ""
    unusable: bool = False


def prepare(job: Job) -> list[Prepared]:
    """Read a file once for each distinct input specification, and prepare it for each extractor."""
    read: dict[InputSpec, Clip | str | None] = {}
    results = []
    for extractor in job.extractors:
        input_spec = extractor.input_spec
        if input_spec.streamed:
            results.append(_prepare_streamed(extractor, job))
            continue
        if input_spec not in read:
            read[input_spec] = job.protocol.read(job.path, input_spec)
        clip = read[input_spec]
        if isinstance(clip, str):
            results.append(Prepared(error=clip))
            continue
        try:
            results.append(Prepared(_instance(extractor).prepare(Sample(clip, job.caption))))
        except UnusableClipError as error:
            results.append(Prepared(error=str(error), unusable=True))
    return results


def _prepare_streamed(extractor: ExtractorClass, job: Job) -> Prepared:
    """Prepare a file whose frames are decoded while the extractor iterates over them; any frame may raise."""
    input_spec = extractor.input_spec
    try:
        return Prepared(_instance(extractor).prepare(Sample(None, job.caption, job.protocol.stream(job.path, input_spec))))
    except MediaError as error:
        return Prepared(error=str(error).removeprefix(f"{job.path}: "))
    except UnusableClipError as error:
        return Prepared(error=str(error), unusable=True)


@cache
def _instance(extractor: ExtractorClass) -> Extractor:
    """One instance per process, without weights."""
    return extractor()
