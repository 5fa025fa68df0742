"""Files to features: read once for all extractors that read alike, prepared by processes, embedded in batches, cached."""

import hashlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from sonovid.core import progress
from sonovid.core.clip import Clip
from sonovid.core.processes import pool
from sonovid.media import MediaError
from sonovid.metrics.base import Arrays, Extractor, Material, Reading, Unfit
from sonovid.metrics.cache import Cache, library_versions
from sonovid.metrics.protocol import WHOLE, Protocol
from sonovid.metrics.sets import Item

log = logging.getLogger(__name__)

Kind = type[Extractor]


@dataclass
class Ready:
    """An extractor whose weights are at hand; they are read when they are first needed.

    found: its weights (`extractors.weights.Found`). device: where it computes.
    """

    kind: Kind
    found: tuple[Any, ...] = ()
    device: str = "cpu"
    _loaded: Extractor | None = field(default=None, repr=False)

    @property
    def record(self) -> dict[str, Any]:
        """Everything that its numbers depend on."""
        kind = self.kind
        return {
            "name": kind.name,
            "version": kind.version,
            "reading": kind.reading.to_record(),
            "settings": dict(kind.settings),
            "weights": {one.file.name: one.sha256 for one in self.found},
        }

    def load(self) -> None:
        """Read the weights, unless they are read already.

        Raises:
            Missing: a library that it needs is not installed.
            ValueError: the weights are of another network.
        """
        if self._loaded is None:
            extractor = self.kind()
            extractor.load([one.path for one in self.found], self.device)
            self._loaded = extractor

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        """Features of some samples; the weights are read before the first."""
        self.load()
        assert self._loaded is not None
        found = self._loaded.embed(prepared)
        assert len(found) == len(prepared), f"{self.kind.name}: {len(found)} features of {len(prepared)} samples"
        return found


def ready(kind: Kind, folder: "str | os.PathLike | None" = None, device: str = "cpu") -> Ready:
    """An extractor with its weights found and verified; one without weights is loaded, so that what it lacks shows at once.

    Raises:
        Missing: weights or a library that are not at hand.
        ValueError: other weights than the published ones.
    """
    if not kind.weights:
        one = Ready(kind, (), device)
        one.load()
        return one
    # Brings torch with it, which the processes that read files do without.
    from sonovid.metrics.extractors import weights

    return Ready(kind, weights.find_all(kind, folder), device)


@dataclass(frozen=True)
class Job:
    """One file to be read and prepared for some extractors, under a protocol."""

    path: str
    caption: str
    kinds: tuple[Kind, ...]
    protocol: Protocol = WHOLE


@dataclass(frozen=True)
class Extraction:
    """How features are had.

    cache: where they are kept. workers: processes that decode; 0 for this one. batch_size: None for each extractor's own. quiet:
    no bar. ray: by Ray Data, on the cluster that RAY_ADDRESS names or on this machine. protocol: what clips are brought to first.
    """

    cache: Cache = field(default_factory=lambda: Cache(None))
    workers: int = 0
    batch_size: int | None = None
    quiet: bool = True
    ray: bool = False
    protocol: Protocol = WHOLE


class Features:
    """Arrays of clips by extractor, and why some clips have none."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[Kind, str, str], Arrays] = {}
        self._reasons: dict[tuple[Kind, str, str], str] = {}
        # Extractors whose weights turned out to be another network's when they were read.
        self.failures: dict[Kind, str] = {}

    def put(self, kind: Kind, item: Item, found: Arrays | str) -> None:
        """Arrays, or the reason why there are none."""
        if isinstance(found, str):
            self._reasons[_key(kind, item)] = found
        else:
            self._arrays[_key(kind, item)] = found

    def drop(self, kind: Kind, item: Item, reason: str) -> None:
        """Take a clip's arrays out again."""
        self._arrays.pop(_key(kind, item), None)
        self._reasons[_key(kind, item)] = reason

    def has(self, kind: Kind, item: Item) -> bool:
        return _key(kind, item) in self._arrays

    def of(self, kind: Kind, item: Item) -> Arrays:
        return self._arrays[_key(kind, item)]

    def reason(self, kind: Kind, item: Item) -> str:
        """Why a clip has no features of this extractor, "" where it has."""
        return self._reasons.get(_key(kind, item), "")


def extract(items: Sequence[Item], extractors: Sequence[Ready], how: Extraction) -> Features:
    """The features of all clips by all extractors. They depend neither on the order of the clips nor on processes and batches."""
    features = Features()
    versions = library_versions()
    jobs: list[tuple[Item, Job]] = []
    planned: set[tuple[Kind, str, str]] = set()
    for item in items:
        # By file: pictures may lie in another than the sound beside them.
        wanted: dict[str, list[Kind]] = {}
        for one in extractors:
            if (place := _key(one.kind, item)) in planned:
                continue
            planned.add(place)
            found = _lacking(one.kind.reading, item) or how.cache.get(cache_key(one, item, versions, how.protocol))
            if found is None:
                wanted.setdefault(item.source(one.kind.reading).path, []).append(one.kind)
            else:
                features.put(one.kind, item, found)
        jobs += [(item, Job(path, item.caption, tuple(kinds), how.protocol)) for path, kinds in wanted.items()]
    jobs = _loadable(jobs, extractors, features)

    def keep(one: Ready, item: Item, found: Arrays | str, *, lasting: bool = True) -> None:
        features.put(one.kind, item, found)
        if lasting:
            how.cache.put(cache_key(one, item, versions, how.protocol), found)

    if jobs and how.ray:
        from sonovid.metrics.cluster import by_ray

        by_ray(jobs, extractors, keep, how.batch_size)
    elif jobs:
        _here(jobs, extractors, keep, how)
    return features


def _loadable(jobs: list[tuple[Item, Job]], extractors: Sequence[Ready], features: Features) -> list[tuple[Item, Job]]:
    """The jobs without those extractors whose weights cannot be put into their network."""
    needed = {kind for _, job in jobs for kind in job.kinds}
    for one in extractors:
        if one.kind in needed:
            try:
                one.load()
            except ValueError as error:
                features.failures[one.kind] = str(error)
    left = ((item, job, tuple(kind for kind in job.kinds if kind not in features.failures)) for item, job in jobs)
    return [(item, replace(job, kinds=kinds)) for item, job, kinds in left if kinds]


def cache_key(one: Ready, item: Item, versions: dict[str, str], protocol: Protocol) -> dict[str, Any]:
    """Everything that the features of one clip depend on."""
    caption = item.caption if one.kind.reading.text else ""
    return {
        "file": item.source(one.kind.reading).sha256,
        "caption": caption,
        "extractor": one.record,
        "protocol": protocol.to_record(one.kind.reading),
        "code": code_sha256(one.kind.__module__),
        "versions": versions,
    }


@cache
def code_sha256(module: str) -> str:
    """A hash of the source of everything that may change a feature: reading files, extractors, and the extractor's own module.

    An extractor's `version` says that its numbers changed on purpose; nothing that was made by other code is taken in any case.
    """
    here = Path(__file__).parent
    folders = (here, here / "extractors", here.parent / "core", here.parent / "media")
    files = {path for folder in folders for path in folder.glob("*.py")}
    own = getattr(sys.modules.get(module), "__file__", None)
    lines = [path.read_bytes() for path in sorted(files | ({Path(own)} if own else set()))]
    return hashlib.sha256(b"\0".join(lines)).hexdigest()


Keep = Callable[..., None]


def _here(jobs: Sequence[tuple[Item, Job]], extractors: Sequence[Ready], keep: Keep, how: Extraction) -> None:
    """By processes of this machine; what they prepare is embedded here, in batches."""
    by_kind = {one.kind: one for one in extractors}
    waiting: dict[Kind, list[tuple[Item, Arrays]]] = {}

    def flush(kind: Kind) -> None:
        batch = waiting.pop(kind, [])
        if batch:
            for (item, _), found in zip(batch, by_kind[kind].embed([arrays for _, arrays in batch]), strict=True):
                keep(by_kind[kind], item, found)

    with pool(how.workers if len(jobs) > 4 else 0) as run:
        done: Iterator[list[Prepared]] = run(prepare, [job for _, job in jobs])
        for (item, job), results in zip(
            jobs, progress.bar(done, desc="features", total=len(jobs), unit="clip", quiet=how.quiet), strict=True
        ):
            for kind, result in zip(job.kinds, results, strict=True):
                if result.fault:
                    # A clip that is unfit stays so; a file that could not be read may be mended in its place.
                    keep(by_kind[kind], item, result.fault, lasting=result.unfit)
                    continue
                assert result.arrays is not None
                waiting.setdefault(kind, []).append((item, result.arrays))
                if len(waiting[kind]) >= (how.batch_size or kind.batch_size):
                    flush(kind)
    for kind in list(waiting):
        flush(kind)


@dataclass(frozen=True)
class Prepared:
    """What one extractor made of one file, or why it made nothing."""

    arrays: Arrays | None = None
    fault: str = ""
    unfit: bool = False


def prepare(job: Job) -> list[Prepared]:
    """Read a file as often as its extractors read differently, and prepare it for each."""
    read: dict[Reading, Clip | str | None] = {}
    results = []
    for kind in job.kinds:
        reading = kind.reading
        if reading.streamed:
            results.append(_prepare_streamed(kind, job))
            continue
        if reading not in read:
            read[reading] = job.protocol.read(job.path, reading)
        clip = read[reading]
        if isinstance(clip, str):
            results.append(Prepared(fault=clip))
            continue
        try:
            results.append(Prepared(_extractor(kind).prepare(Material(clip, job.caption))))
        except Unfit as error:
            results.append(Prepared(fault=str(error), unfit=True))
    return results


def _prepare_streamed(kind: Kind, job: Job) -> Prepared:
    """Prepare a file whose pictures are read while the extractor goes through them, so that a fault may come at any of them."""
    reading = kind.reading
    try:
        return Prepared(_extractor(kind).prepare(Material(None, job.caption, job.protocol.stream(job.path, reading))))
    except MediaError as error:
        return Prepared(fault=str(error).removeprefix(f"{job.path}: "))
    except Unfit as error:
        return Prepared(fault=str(error), unfit=True)


@cache
def _extractor(kind: Kind) -> Extractor:
    """One instance per process, without weights."""
    return kind()


def _lacking(reading: Reading, item: Item) -> str | None:
    """Which stream a clip does not have, known without reading it."""
    info = item.source(reading).info
    if reading.video and not info.has_video:
        return "without pictures"
    if reading.audio and not info.has_audio:
        return "without sound"
    if reading.text and not item.caption:
        return "without a caption"
    return None


def _key(kind: Kind, item: Item) -> tuple[Kind, str, str]:
    """Clips of equal bytes and, where it is read, of equal caption are one to an extractor."""
    return kind, item.source(kind.reading).sha256, item.caption if kind.reading.text else ""
