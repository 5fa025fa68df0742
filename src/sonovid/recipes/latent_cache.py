"""Latent caches of a training: find the recipe's clips and encode those that are not cached yet."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sonovid.core import atomic, text_files
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data import clips, latents, manifest, migration, probes, ray_encoding
from sonovid.recipes.configs import DataConfig
from sonovid.training.distributed import ProcessGroup

log = logging.getLogger(__name__)

# File in the folder of a run with the names of the clips that it last started with.
CLIP_LIST = "clips.txt"


class CachingFinished(Exception):
    """Ends a training that runs within `caching_only`, once its clips are cached."""


@dataclass
class CachingRun:
    """Options and results of encoding without training.

    Attributes:
        ray: whether to encode with Ray Data.
        prune: whether to remove cached clips that are not in the data.
        clips: number of cached clips.
        encoded: number of clips that were encoded now.
        pruned: number of clips and probe results that were removed.
        stores: folders of the latent stores that were used.
    """

    ray: bool = False
    prune: bool = False
    clips: int = 0
    encoded: int = 0
    pruned: int = 0
    stores: set[Path] = field(default_factory=set)


_caching_run: ContextVar[CachingRun | None] = ContextVar("caching_run", default=None)


@contextmanager
def caching_only(*, ray: bool = False, prune: bool = False) -> Iterator[CachingRun]:
    """A context in which trainings end with `CachingFinished` once their clips are cached.

    Args:
        ray: encode with Ray Data.
        prune: remove cached clips that are not in the data.

    Yields:
        The counts, filled in by the training.
    """
    caching = CachingRun(ray, prune)
    token = _caching_run.set(caching)
    try:
        yield caching
    finally:
        _caching_run.reset(token)


def warn_of_changed_clips(path: Path, names: Sequence[str]) -> None:
    """Warn if clips were added or removed since the run last started, and write the present list.

    Args:
        path: the file with the list of the last start; it need not exist.
        names: names of the present clips.
    """
    if path.is_file():
        before, now = {line for _, line in text_files.read_lines(path)}, set(map(text_files.to_one_line, names))
        removed, added = sorted(before - now), len(now - before)
        if removed or added:
            example = f", such as {removed[0]}" if removed else ""
            log.warning(
                "since the last start %d of %d clips were removed%s, and %d were added: the order of the samples changes",
                len(removed), len(before), example, added,
            )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, "".join(f"{text_files.to_one_line(name)}\n" for name in names))


def cache_root(data: DataConfig, out: "str | Path") -> Path:
    """The folder of a recipe's caches."""
    return Path(data.cache) if data.cache else Path(out) / "latents"


def open_latents(
    data: DataConfig,
    geometry: Geometry,
    out: Path,
    encode: Callable[[list[Clip]], AV],
    *key: Any,
    streams: AV = clips.BOTH,
    last: bool = True,
) -> tuple[latents.LatentDataset, latents.LatentDataset | None, list[clips.Window]]:
    """Open the latents of a recipe's clips; encode the clips that are not cached yet.

    The processes of one run share the encoding.

    Args:
        data: the clips.
        geometry: geometry of the windows that are cut from them.
        out: folder of the run.
        encode: encodes clips to raw latents.
        key: identifies the encoder: latents with another key are not used.
        streams: the streams to read, a pair of booleans.
        last: whether this is the last call of the training. Within `caching_only`, the training ends after the last call.

    Returns:
        The latents of the training clips; those of the held-out clips, or None without any; and the held-out windows.

    Raises:
        ValueError: something is wrong with the data, or with the folder of the cache.
        CachingFinished: within `caching_only`, after the last call.
    """
    processes, caching = ProcessGroup.current(), _caching_run.get()
    share = (processes.rank, processes.size)
    root = cache_root(data, out)
    if (root / latents.META_FILE).is_file():
        raise ValueError(
            f"data.cache={data.cache}: is one cache, written by one codec for some clips; name the folder that contains it, "
            f"{root.parent}: it is found there if it fits this recipe"
        )
    with probes.cached_in(root / "probes") as known:
        entries = manifest.read(data.path, include_audio=not streams.video)
        known.find([entry.path for entry in entries if entry.scene is None], workers=data.workers, part=share)
        processes.barrier()
        known.reload()
        splits = [split for split in manifest.split(entries, data.held_out) if split]
        windows = [
            clips.find_windows(split, geometry, streams=streams, max_per_entry=data.most, workers=data.workers)
            for split in splits
        ]
    if processes.is_main and caching is None:
        warn_of_changed_clips(out / CLIP_LIST, [entry.name for entry in entries])
    store = latents.LatentStore(root, geometry, *key, streams=streams, shard_size=data.shard)
    if processes.is_main and any(store.plan(split) for split in windows):
        migrated = sum(migration.migrate(root, store, split, *key) for split in windows)
        if not migrated and (earlier := migration.find_v1_caches(root)):
            log.warning("%s is a cache of an earlier version, of other clips or codecs: all clips are encoded again", earlier[0])
    processes.barrier()
    store.reload()
    # All processes plan before the first of them writes.
    plan = [chunk for split in windows for chunk in store.plan(split)]
    processes.barrier()
    if caching is not None and caching.ray:
        encoder = ray_encoding.ray_encoder(encode, geometry, streams=streams)
    else:
        encoder = latents.local_encoder(encode, geometry, streams=streams, workers=data.workers)
    store.write(plan, encoder, part=share)
    processes.barrier()
    store.reload()
    opened = [store.select(split) for split in windows]
    if caching is not None:
        caching.clips, caching.encoded = caching.clips + sum(map(len, opened)), caching.encoded + sum(map(len, plan))
        caching.stores.add(store.folder)
        if caching.prune and processes.is_main:
            caching.pruned += store.prune(window for split in windows for window in split) + known.prune()
        if last:
            raise CachingFinished
    held_out = opened[1] if len(opened) > 1 else None
    return opened[0], held_out, windows[1] if held_out is not None else []
