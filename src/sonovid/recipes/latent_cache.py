"""The latent caches of a training: what its clips are, which of them are encoded already, and the rest encoded."""

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
from sonovid.recipes.uniform import Data
from sonovid.training.distributed import World

log = logging.getLogger(__name__)

# The names of the clips of the last start, in the folder of a run.
CLIPS = "clips.txt"


class Cached(Exception):
    """Raised in place of going on, where a recipe's clips were only to be cached."""


@dataclass
class Caching:
    """How `caches` works where no training follows, and what it did.

    ray: encode by Ray Data. prune: drop clips that are not used. clips: how many are cached; encoded: of them now; pruned: clips
    and results of probing that were removed. stores: the folders that were used.
    """

    ray: bool = False
    prune: bool = False
    clips: int = 0
    encoded: int = 0
    pruned: int = 0
    stores: set[Path] = field(default_factory=set)


_caching: ContextVar[Caching | None] = ContextVar("caching", default=None)


@contextmanager
def caching_only(*, ray: bool = False, prune: bool = False) -> Iterator[Caching]:
    """Within, a recipe's training ends where its clips are cached; what was done is in the value."""
    how = Caching(ray, prune)
    token = _caching.set(how)
    try:
        yield how
    finally:
        _caching.reset(token)


def told_of_changes(path: Path, names: Sequence[str]) -> None:
    """Say which clips have gone since a run began, and how many have come; the clips of the last start are kept in a file."""
    if path.is_file():
        before, now = {line for _, line in text_files.lines(path)}, set(map(text_files.one_line, names))
        gone, come = sorted(before - now), len(now - before)
        if gone or come:
            shown = f", such as {gone[0]}" if gone else ""
            log.warning(
                "since the last start %d of %d clips have gone%s, and %d have come: samples come in another order from here on",
                len(gone), len(before), shown, come,
            )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, "".join(f"{text_files.one_line(name)}\n" for name in names))


def root_of(data: Data, out: "str | Path") -> Path:
    """The folder of a recipe's caches."""
    return Path(data.cache) if data.cache else Path(out) / "latents"


def caches(
    data: Data,
    geometry: Geometry,
    out: Path,
    encode: Callable[[list[Clip]], AV],
    *key: Any,
    streams: AV = clips.BOTH,
    last: bool = True,
) -> tuple[latents.Latents, latents.Latents | None, list[clips.Window]]:
    """The caches of the training and the held-out clips, encoded where they are not there yet, and the held-out windows.

    Processes of one run share the work. last: whether the training has all of its caches with this one.

    Raises:
        ValueError: what is wrong with the data, or with the folder of the cache.
        Cached: within `caching_only`, after the last.
    """
    ranks, how = World.of_this_run(), _caching.get()
    share = (ranks.index, ranks.count)
    root = root_of(data, out)
    if (root / latents.META).is_file():
        raise ValueError(
            f"data.cache={data.cache}: is one cache, made of some clips by some codec; name the folder in which it lies, "
            f"{root.parent}, where it is found if both are this recipe's"
        )
    with probes.kept_in(root / "probes") as known:
        entries = manifest.read(data.path, sound_only=not streams.video)
        known.find([entry.path for entry in entries if entry.scene is None], workers=data.workers, part=share)
        ranks.wait()
        known.reload()
        divided = [part for part in manifest.split(entries, data.held_out) if part]
        sought = [clips.windows(part, geometry, streams=streams, most=data.most, workers=data.workers) for part in divided]
    if ranks.main and how is None:
        told_of_changes(out / CLIPS, [entry.name for entry in entries])
    store = latents.Store(root, geometry, *key, streams=streams, shard=data.shard)
    if ranks.main and any(store.plan(part) for part in sought):
        taken = sum(migration.take_over(root, store, part, *key) for part in sought)
        if not taken and (earlier := migration.earlier(root)):
            log.warning("%s is a cache of an earlier version, of other clips or codecs: latents are made anew", earlier[0])
    ranks.wait()
    store.reload()
    # All plans are made before the first process writes.
    plan = [chunk for part in sought for chunk in store.plan(part)]
    ranks.wait()
    if how is not None and how.ray:
        run = ray_encoding.encoding(encode, geometry, streams=streams)
    else:
        run = latents.encoding(encode, geometry, streams=streams, workers=data.workers)
    store.write(plan, run, part=share)
    ranks.wait()
    store.reload()
    opened = [store.select(part) for part in sought]
    if how is not None:
        how.clips, how.encoded = how.clips + sum(map(len, opened)), how.encoded + sum(map(len, plan))
        how.stores.add(store.folder)
        if how.prune and ranks.main:
            how.pruned += store.prune(window for part in sought for window in part) + known.prune()
        if last:
            raise Cached
    held_out = opened[1] if len(opened) > 1 else None
    return opened[0], held_out, sought[1] if held_out is not None else []
