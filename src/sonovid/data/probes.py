"""How long files are and what they hold, found once and kept with each file's size and time of change.

A data set of a million files is probed in hours; a start that finds the results of an earlier one reads them in seconds.
"""

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from sonovid import media
from sonovid.core import atomic, progress
from sonovid.core.processes import process_pool

# So many new results are written at once: what a killed process had found beyond that is found again.
BATCH = 4096


class ProbeResult(NamedTuple):
    """What of a file decides which clips it gives. seconds: its length. video, audio: whether it has pictures, a sound."""

    seconds: float
    video: bool
    audio: bool


class _Record(NamedTuple):
    size: int
    mtime_ns: int
    result: ProbeResult


class ProbeCache:
    """Results of probing, in memory and in a folder of JSON-lines files; several processes may add to one folder.

    folder: None keeps them in memory alone. A file that cannot be read is not kept: it is tried again at the next start.
    """

    def __init__(self, folder: "str | os.PathLike | None" = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.results: dict[str, _Record] = {}
        self.unsaved: dict[str, _Record] = {}
        self.reload()

    def reload(self) -> None:
        """Read what lies in the folder, other processes' results included."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob("*.jsonl")):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    name, size, mtime_ns, seconds, video, audio = json.loads(line)
                    self.results[name] = _Record(size, mtime_ns, ProbeResult(seconds, video, audio))

    def get(self, path: str) -> ProbeResult | None:
        """What was found of a file, unless it has changed since."""
        record = self.results.get(path)
        if record is None:
            return None
        try:
            status = os.stat(path)
        except OSError:
            return None
        return record.result if (record.size, record.mtime_ns) == (status.st_size, status.st_mtime_ns) else None

    def find(self, paths: Iterable[str], *, workers: int = 0, part: tuple[int, int] = (0, 1)) -> None:
        """Probe those files that are not known, by a pool of processes.

        part: (i, n): the i-th share of the files, where n processes share the work; `reload` brings in the others'.
        """
        index, count = part
        unknown = [path for path in dict.fromkeys(paths) if _share(path, count) == index and self.get(path) is None]
        bar = progress.bar(total=len(unknown), desc="files", quiet=len(unknown) < 200 or index != 0, unit="file")
        with bar, process_pool(workers if len(unknown) > workers else 0) as run:
            for path, found in zip(unknown, run(_probe, unknown), strict=True):
                bar.update()
                if found is not None:
                    self.results[path] = self.unsaved[path] = _Record(*found)
                    if len(self.unsaved) >= BATCH:
                        self.save()
        self.save()

    def save(self) -> None:
        """Write what was found since the last time."""
        if self.folder is None or not self.unsaved:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps([path, record.size, record.mtime_ns, *record.result]) + "\n" for path, record in self.unsaved.items())
        atomic.write_text(self.folder / f"{secrets.token_hex(8)}.jsonl", "".join(lines))
        self.unsaved = {}

    def prune(self) -> int:
        """Forget files that are gone or have changed, leave one file of results, and return how many were forgotten."""
        if self.folder is None or not self.folder.is_dir():
            return 0
        self.save()
        before, files = len(self.results), sorted(self.folder.glob("*.jsonl"))
        self.results = {path: record for path, record in self.results.items() if self.get(path) is not None}
        self.unsaved = dict(self.results)
        self.save()
        for path in files:
            path.unlink(missing_ok=True)
        return before - len(self.results)


def _share(path: str, count: int) -> int:
    """The process among `count` that probes a file: by its name, so that no process needs to know what others have found."""
    return 0 if count == 1 else int.from_bytes(blake2b(os.fsencode(path), digest_size=4).digest(), "big") % count


def _probe(path: str) -> tuple[int, int, ProbeResult] | None:
    try:
        status = os.stat(path)
        info = media.probe(path)
    except (ValueError, OSError):
        return None
    return status.st_size, status.st_mtime_ns, ProbeResult(float(info.duration), info.has_video, info.has_audio)


_current: ContextVar[ProbeCache | None] = ContextVar("probes", default=None)


@contextmanager
def cached_in(folder: "str | os.PathLike") -> Iterator[ProbeCache]:
    """Within, whatever asks for extents uses what is kept in this folder, and adds to it."""
    probes = ProbeCache(folder)
    token = _current.set(probes)
    try:
        yield probes
    finally:
        _current.reset(token)
        probes.save()


def probe_files(paths: Iterable[str], *, workers: int = 0) -> dict[str, ProbeResult]:
    """The extent of each file that can be read; each is probed once, and not at all where it is kept."""
    probes = _current.get() or ProbeCache()
    paths = list(dict.fromkeys(paths))
    probes.find(paths, workers=workers)
    found: dict[str, Any] = {path: probes.results[path].result for path in paths if path in probes.results}
    # A file that has changed and cannot be read any more is known by what it was.
    return {path: result for path, result in found.items() if probes.folder is None or probes.get(path) is not None}
