"""Feature extraction for sets of clips: files are read once per input specification, embedded in batches, and cached."""

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from sonovid.core import progress
from sonovid.core.processes import process_pool
from sonovid.metrics.base import Arrays, InputSpec
from sonovid.metrics.cache import Cache, library_versions
from sonovid.metrics.lazy_extractor import ExtractorClass, LazyExtractor
from sonovid.metrics.preparation import Job, Prepared, prepare
from sonovid.metrics.protocol import NO_PROTOCOL, Protocol
from sonovid.metrics.ray_extraction import extract_with_ray
from sonovid.metrics.sets import Item

StoreFeatures = Callable[..., None]


@dataclass(frozen=True)
class Extraction:
    """How features are extracted. None of these settings changes a feature, except `protocol`.

    Args:
        cache: where features are stored.
        workers: processes that decode; 0: decode in this process.
        batch_size: samples per batch; None: each extractor's own.
        quiet: show no progress bar.
        ray: use Ray Data, on the cluster that RAY_ADDRESS names or on this machine.
        protocol: what is applied to every clip before an extractor reads it.
    """

    cache: Cache = field(default_factory=lambda: Cache(None))
    workers: int = 0
    batch_size: int | None = None
    quiet: bool = True
    ray: bool = False
    protocol: Protocol = NO_PROTOCOL


class Features:
    """Arrays by extractor and clip, and the reasons why clips have none.

    Attributes:
        failures: extractors whose weights turned out to belong to another network, and the error.
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[ExtractorClass, str, str], Arrays] = {}
        self._reasons: dict[tuple[ExtractorClass, str, str], str] = {}
        self.failures: dict[ExtractorClass, str] = {}

    def put(self, extractor: ExtractorClass, item: Item, found: Arrays | str) -> None:
        """Store a clip's arrays, or the reason why it has none."""
        if isinstance(found, str):
            self._reasons[_key(extractor, item)] = found
        else:
            self._arrays[_key(extractor, item)] = found

    def drop(self, extractor: ExtractorClass, item: Item, reason: str) -> None:
        """Remove a clip's arrays and store the reason."""
        self._arrays.pop(_key(extractor, item), None)
        self._reasons[_key(extractor, item)] = reason

    def has(self, extractor: ExtractorClass, item: Item) -> bool:
        return _key(extractor, item) in self._arrays

    def get(self, extractor: ExtractorClass, item: Item) -> Arrays:
        return self._arrays[_key(extractor, item)]

    def reason(self, extractor: ExtractorClass, item: Item) -> str:
        """Why a clip has no features of this extractor; "" if it has some."""
        return self._reasons.get(_key(extractor, item), "")


def extract(items: Sequence[Item], extractors: Sequence[LazyExtractor], extraction: Extraction) -> Features:
    """Extract the features of all clips with all extractors.

    The features depend neither on the order of the clips nor on the number of processes nor on the batch size.
    """
    features = Features()
    versions = library_versions()
    jobs: list[tuple[Item, Job]] = []
    planned: set[tuple[ExtractorClass, str, str]] = set()
    for item in items:
        # Grouped by file: a clip's video and its audio may come from two files (`Item.source`).
        wanted: dict[str, list[ExtractorClass]] = {}
        for one in extractors:
            if (key := _key(one.extractor, item)) in planned:
                continue
            planned.add(key)
            found = _missing_stream(one.extractor.input_spec, item) or extraction.cache.get(
                cache_key(one, item, versions, extraction.protocol)
            )
            if found is None:
                wanted.setdefault(item.source(one.extractor.input_spec).path, []).append(one.extractor)
            else:
                features.put(one.extractor, item, found)
        jobs += [(item, Job(path, item.caption, tuple(own), extraction.protocol)) for path, own in wanted.items()]
    jobs = _without_failing_extractors(jobs, extractors, features)

    def store(one: LazyExtractor, item: Item, found: Arrays | str, *, lasting: bool = True) -> None:
        features.put(one.extractor, item, found)
        if lasting:
            extraction.cache.put(cache_key(one, item, versions, extraction.protocol), found)

    if jobs and extraction.ray:
        extract_with_ray(jobs, extractors, store, extraction.batch_size)
    elif jobs:
        _extract_locally(jobs, extractors, store, extraction)
    return features


def _without_failing_extractors(
    jobs: list[tuple[Item, Job]], extractors: Sequence[LazyExtractor], features: Features
) -> list[tuple[Item, Job]]:
    """Load all needed extractors, note those that fail, and remove them from the jobs."""
    needed = {extractor for _, job in jobs for extractor in job.extractors}
    for one in extractors:
        if one.extractor in needed:
            try:
                one.load()
            except ValueError as error:
                features.failures[one.extractor] = str(error)
    left = (
        (item, job, tuple(extractor for extractor in job.extractors if extractor not in features.failures)) for item, job in jobs
    )
    return [(item, replace(job, extractors=remaining)) for item, job, remaining in left if remaining]


def cache_key(one: LazyExtractor, item: Item, versions: dict[str, str], protocol: Protocol) -> dict[str, Any]:
    """Everything that the features of one clip depend on."""
    caption = item.caption if one.extractor.input_spec.text else ""
    return {
        "file": item.source(one.extractor.input_spec).sha256,
        "caption": caption,
        "extractor": one.record,
        "protocol": protocol.to_record(one.extractor.input_spec),
        "code": code_sha256(one.extractor.__module__),
        "versions": versions,
    }


@cache
def code_sha256(module: str) -> str:
    """Hash the source of all code that may change a feature: file reading, all extractors, and the extractor's own module.

    An extractor's `version` marks intended changes. Independent of it, no feature computed by other code is reused.
    """
    here = Path(__file__).parent
    folders = (here, here / "extractors", here.parent / "core", here.parent / "media")
    files = {path for folder in folders for path in folder.glob("*.py")}
    own = getattr(sys.modules.get(module), "__file__", None)
    lines = [path.read_bytes() for path in sorted(files | ({Path(own)} if own else set()))]
    return hashlib.sha256(b"\0".join(lines)).hexdigest()


def _extract_locally(
    jobs: Sequence[tuple[Item, Job]], extractors: Sequence[LazyExtractor], store: StoreFeatures, extraction: Extraction
) -> None:
    """Prepare files in processes of this machine and embed the results here, in batches."""
    by_class = {one.extractor: one for one in extractors}
    waiting: dict[ExtractorClass, list[tuple[Item, Arrays]]] = {}

    def flush(extractor: ExtractorClass) -> None:
        batch = waiting.pop(extractor, [])
        if batch:
            for (item, _), found in zip(batch, by_class[extractor].embed([arrays for _, arrays in batch]), strict=True):
                store(by_class[extractor], item, found)

    with process_pool(extraction.workers if len(jobs) > 4 else 0) as run:
        done: Iterator[list[Prepared]] = run(prepare, [job for _, job in jobs])
        for (item, job), results in zip(
            jobs, progress.bar(done, desc="features", total=len(jobs), unit="clip", quiet=extraction.quiet), strict=True
        ):
            for extractor, result in zip(job.extractors, results, strict=True):
                if result.error:
                    # An unusable clip stays unusable; an unreadable file may be repaired in place.
                    store(by_class[extractor], item, result.error, lasting=result.unusable)
                    continue
                assert result.arrays is not None
                waiting.setdefault(extractor, []).append((item, result.arrays))
                if len(waiting[extractor]) >= (extraction.batch_size or extractor.batch_size):
                    flush(extractor)
    for extractor in list(waiting):
        flush(extractor)


def _missing_stream(input_spec: InputSpec, item: Item) -> str | None:
    """Which stream a clip lacks, known from its header."""
    info = item.source(input_spec).info
    if input_spec.video and not info.has_video:
        return "without video"
    if input_spec.audio and not info.has_audio:
        return "without audio"
    if input_spec.text and not item.caption:
        return "without a caption"
    return None


def _key(extractor: ExtractorClass, item: Item) -> tuple[ExtractorClass, str, str]:
    """Clips with equal bytes (and equal captions, if the extractor reads text) share one entry."""
    return extractor, item.source(extractor.input_spec).sha256, item.caption if extractor.input_spec.text else ""
