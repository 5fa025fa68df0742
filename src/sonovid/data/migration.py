"""Migrates latent caches of version 1, which stored all clips of a training run under one key, to stores."""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from sonovid.core.av import AV
from sonovid.core.geometry import Geometry
from sonovid.data.clips import Window, load_clip
from sonovid.data.latents import META_FILE, LatentStore, WindowEncoder, fingerprint

log = logging.getLogger(__name__)

# Folder names of the training clips and of the held-out clips.
NAMES = ("train", "held_out")


def find_v1_caches(root: "str | Path") -> list[Path]:
    """Finds the version 1 caches in a folder."""
    found = (path for name in NAMES for path in Path(root).glob(f"{name}-*"))
    return sorted(path for path in found if (path / META_FILE).is_file())


def v1_key(windows: Sequence[Window], geometry: Geometry, *parts: Any) -> str:
    """Key of a version 1 cache: a hash of all windows with their files, the geometry and the codecs."""
    digest = hashlib.blake2b(digest_size=16)
    first = {window.entry.scene[0]: window for window in reversed(windows) if window.entry.scene is not None}
    for window in first.values():
        clip = load_clip(window, geometry)
        assert clip.frames is not None
        assert clip.waveform is not None
        digest.update(repr((clip.caption, clip.label, clip.events)).encode() + clip.frames.tobytes() + clip.waveform.tobytes())
    for window in windows:
        state = None
        if window.entry.scene is None:
            status = os.stat(window.entry.path)
            state = (status.st_size, status.st_mtime_ns)
        digest.update(repr((asdict(window.entry), window.start, state)).encode())
    return fingerprint(digest.hexdigest(), geometry.to_config(), *parts, serialize=repr)


def migrate(root: "str | Path", store: LatentStore, windows: Sequence[Window], *parts: Any) -> int:
    """Copies the clips of a version 1 cache of exactly these windows into a store.

    Args:
        root: Folder that is searched for the cache.
        store: The store.
        windows: The windows of the cache, in order.
        parts: What determines the latents, as for `LatentStore`.

    Returns:
        Number of copied clips.
    """
    folders = find_v1_caches(root)
    if not folders:
        return 0
    key = v1_key(windows, store.geometry, *parts)
    folder = next((path for path in folders if json.loads((path / META_FILE).read_text())["key"] == key), None)
    if folder is None:
        return 0
    meta = json.loads((folder / META_FILE).read_text())
    size, count = meta["shard"], 0
    for number in range(-(-meta["windows"] // size)):
        path = folder / f"{number:05d}.safetensors"
        if path.is_file():
            chunk = windows[number * size : (number + 1) * size]
            fresh = {store.clip_key(window) for plan in store.plan(chunk) for window in plan}
            found = {store.clip_key(one[0]): one for one in _read_v1_shard(path, chunk) if store.clip_key(one[0]) in fresh}
            store.write([[window for window, _, _ in found.values()]] if found else [], _replay(found.values()))
            count += len(found)
            store.reload()
    if count:
        log.warning("%d clips migrated from the cache of an earlier version, %s; cache --prune removes it", count, folder)
    return count


def _replay(found: Iterable[tuple[Window, dict[str, Any] | None, AV]]) -> WindowEncoder:
    return lambda windows: ((row, arrays) for _, row, arrays in found)


def _read_v1_shard(path: Path, windows: Sequence[Window]) -> Iterator[tuple[Window, dict[str, Any] | None, AV]]:
    """Yields the windows of a version 1 shard with their info and latents. Windows that the shard left out could not be read."""
    tensors: dict[str, Tensor] = load_file(path)
    rows = [json.loads(line) for line in path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]
    place = 0
    for window in windows:
        row = rows[place] if place < len(rows) else {}
        if (row.get("name"), row.get("start")) != (window.entry.name or window.entry.path, window.start):
            yield window, None, AV(None, None)
            continue
        yield window, row, AV(*(tensors[name][place] if name in tensors else None for name in AV._fields))
        place += 1
