"""Probes media files for duration and streams, and caches the results by file size and modification time.

Probing a million files takes hours. A later run reads the cached results in seconds.
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
from sonovid.core import atomic, progress, renamed
from sonovid.core.processes import process_pool

# Results are saved in groups of this size. A killed process loses at most one group.
BATCH = 4096


class ProbeResult(NamedTuple):
    """The properties of a file that determine its windows.

    Attributes:
        seconds: Duration.
        video: Whether there is a video stream.
        audio: Whether there is an audio stream.
    """

    seconds: float
    video: bool
    audio: bool


class _Record(NamedTuple):
    size: int
    mtime_ns: int
    result: ProbeResult


class ProbeCache:
    """Probe results, in memory and in a folder of JSON-lines files. Several processes may write to one folder.

    Args:
        folder: The folder. None: memory only. Files that cannot be read are not cached and are probed again in the next run.
    """

    def __init__(self, folder: "str | os.PathLike | None" = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.results: dict[str, _Record] = {}
        self.unsaved: dict[str, _Record] = {}
        self.reload()

    def reload(self) -> None:
        """Reads all results in the folder, including those of other processes."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob("*.jsonl")):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    name, size, mtime_ns, seconds, video, audio = json.loads(line)
                    self.results[name] = _Record(size, mtime_ns, ProbeResult(seconds, video, audio))

    def get(self, path: str) -> ProbeResult | None:
        """Returns the cached result of a file, unless the file has changed."""
        record = self.results.get(path)
        if record is None:
            return None
        try:
            status = os.stat(path)
        except OSError:
            return None
        return record.result if (record.size, record.mtime_ns) == (status.st_size, status.st_mtime_ns) else None

    def find(self, paths: Iterable[str], *, workers: int = 0, part: tuple[int, int] = (0, 1)) -> None:
        """Probes the files that are not cached, with a process pool.

        Args:
            paths: The files.
            workers: Number of processes.
            part: (i, n): the share of this process where n processes divide the work. `reload` reads the results of the others.
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
        """Writes the results since the last call."""
        if self.folder is None or not self.unsaved:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps([path, record.size, record.mtime_ns, *record.result]) + "\n" for path, record in self.unsaved.items())
        atomic.write_text(self.folder / f"{secrets.token_hex(8)}.jsonl", "".join(lines))
        self.unsaved = {}

    def prune(self) -> int:
        """Forgets files that are gone or changed, and merges the results into one file. Returns the number of forgotten files."""
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
    """Index of the process that probes a file, by a hash of its name, so that the processes need not communicate."""
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
    """Within the block, `probe_files` uses the results cached in this folder and adds to them."""
    probes = ProbeCache(folder)
    token = _current.set(probes)
    try:
        yield probes
    finally:
        _current.reset(token)
        probes.save()


def probe_files(paths: Iterable[str], *, workers: int = 0) -> dict[str, ProbeResult]:
    """Probes files, each once; cached results are reused. Files that cannot be read are left out."""
    probes = _current.get() or ProbeCache()
    paths = list(dict.fromkeys(paths))
    probes.find(paths, workers=workers)
    found: dict[str, Any] = {path: probes.results[path].result for path in paths if path in probes.results}
    # Without this, a file that has changed and can no longer be read would keep its outdated result.
    return {path: result for path, result in found.items() if probes.folder is None or probes.get(path) is not None}


__getattr__ = renamed.attributes(
    __name__, {"Extent": "ProbeResult", "Probes": "ProbeCache", "extents": "probe_files", "kept_in": "cached_in"}
)
