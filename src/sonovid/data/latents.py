"""The latent cache: raw latents of clips in shards, keyed per clip, written once and read in random order.

The key of a clip covers its file (name, size and modification time) and its start, or its scene. The key of a store covers the
codecs, the geometry and the streams. New clips are therefore encoded alone, and removed clips are skipped. Captions and labels
are not part of the key and may change without re-encoding. A cache of frames and waveforms, for training codecs, works the same
with another function in place of a codec.
"""

import hashlib
import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor, nn

from sonovid.core import atomic, progress, renamed
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data import shards
from sonovid.data.clips import BOTH, Window, load_clip, stream_clips, window_events
from sonovid.data.entry import Entry

log = logging.getLogger(__name__)

META_FILE = "cache.json"
# Version of the file layout and of the keys. Caches of another version are left untouched and reported.
VERSION = 2
# Config values that do not affect raw latents: whitening is applied when latents are read.
NOT_IN_KEY = ("latents_mean", "latents_std")

Encode = Callable[[list[Clip]], AV]
# Maps windows to pairs of clip info (None for a clip that cannot be read) and latents, in the same order.
WindowEncoder = Callable[[Sequence[Window]], Iterator[tuple[dict[str, Any] | None, AV]]]


def config_to_json(config: Any) -> str:
    """Serialises a config so that the text is equal before saving and after loading: lists and tuples are not distinguished."""
    return json.dumps(config, default=str)


def fingerprint(*parts: Any, serialize: Callable[[Any], str] = config_to_json) -> str:
    """Hashes networks, by their weights and config, and plain values.

    Args:
        parts: Networks and plain values.
        serialize: Converts the class name and sorted items of a config to text.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, nn.Module):
            config = dict(getattr(part, "config", None) or {})
            # Names with a leading underscore are internal to diffusers, and the order of some changes between runs.
            config = {k: v for k, v in config.items() if k not in NOT_IN_KEY and not k.startswith("_")}
            digest.update(serialize((type(part).__name__, sorted(config.items()))).encode())
            for name, value in sorted(part.state_dict().items()):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        else:
            digest.update(json.dumps(part, sort_keys=True, default=str).encode())
    return digest.hexdigest()


class ClipInfos(Sequence[dict[str, Any]]):
    """The info of each clip: name, start, caption, label and events.

    For files it comes from the current entries. For scenes it comes from the rendered clip and is kept as JSON until it is read.
    """

    def __init__(self, windows: Sequence[Window], geometry: Geometry, stored: Mapping[int, str]) -> None:
        self.windows, self.geometry, self.stored = windows, geometry, stored

    def __len__(self) -> int:
        return len(self.windows)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        return json.loads(self.stored[index]) if index in self.stored else clip_info(self.windows[index], self.geometry)


def clip_info(window: Window, geometry: Geometry, clip: Clip | None = None) -> dict[str, Any]:
    """Info of a clip: name, start, caption, label and events. It comes from the entry, or from the rendered clip of a scene."""
    entry = window.entry
    known = {"name": entry.name or entry.path, "start": window.start}
    if clip is None:
        return {**known, "caption": entry.caption, "label": entry.label, "events": list(window_events(window, geometry))}
    return {**known, "caption": clip.caption, "label": clip.label, "events": list(clip.events)}


class LatentDataset(ABC):
    """Raw latents of clips by index, with the info of each clip: name, start, caption, label and events."""

    rows: Sequence[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[AV, dict[str, Any]]:
        """Returns the raw latents and the info of one clip."""
        return self.batch([index]).map(lambda x: None if x is None else x[0]), self.rows[index]

    @abstractmethod
    def batch(self, indices: Sequence[int]) -> AV:
        """Returns the raw latents of several clips in their stored dtype, video [b c t h w] and audio [b c l f]."""

    @property
    @abstractmethod
    def statistics(self) -> dict[str, dict[str, list[float]]]:
        """Mean and standard deviation of each channel over all clips, per stream with floating-point latents."""


class InMemoryLatents(LatentDataset):
    """Latents in tensors [clips, ...]; None for a stream that is not stored."""

    def __init__(self, rows: Sequence[dict[str, Any]], tensors: AV) -> None:
        self.rows, self.tensors = rows, tensors

    def batch(self, indices: Sequence[int]) -> AV:
        return self.tensors.map(lambda x: None if x is None else x[list(indices)])

    @property
    def statistics(self) -> dict[str, dict[str, list[float]]]:
        found = {}
        for name, x in zip(AV._fields, self.tensors, strict=True):
            if x is not None and x.is_floating_point() and x.ndim >= 3:
                flat = x.double().movedim(1, 0).flatten(1)
                std = flat.std(1, correction=0).clamp(min=1e-6)
                found[name] = {"mean": flat.mean(1).tolist(), "std": std.tolist()}
        return found


@dataclass(frozen=True)
class StoredLatents(LatentDataset):
    """Clips of a store, in the order in which they were selected.

    Files are memory-mapped when first used, or read whole.

    Attributes:
        shard: Index of the shard of each clip.
        place: Index of each clip among the readable clips of its shard.
        offsets: By stream, the byte offset of each clip's array.
        in_memory: Whether shards are read into memory.
    """

    folder: Path
    rows: Sequence[dict[str, Any]]
    paths: Sequence[Path]
    specs: Sequence[dict[str, shards.ArraySpec]]
    shard: np.ndarray
    place: np.ndarray
    offsets: dict[str, np.ndarray]
    in_memory: bool = False
    _data: dict[int, np.ndarray] = field(default_factory=dict)

    def batch(self, indices: Sequence[int]) -> AV:
        found: dict[str, list[np.ndarray]] = {}
        for index in indices:
            number = int(self.shard[index])
            for name, begins in self.offsets.items():
                one = shards.view_array(self._bytes(number), self.specs[number][name], int(begins[index]))
                found.setdefault(name, []).append(one)
        return AV(*(torch.from_numpy(np.stack(found[name])) if name in found else None for name in AV._fields))

    def _bytes(self, number: int) -> np.ndarray:
        if number not in self._data:
            path = self.paths[number]
            self._data[number] = np.fromfile(path, np.uint8) if self.in_memory else np.memmap(path, np.uint8, "r")
        return self._data[number]

    @cached_property
    def statistics(self) -> dict[str, dict[str, list[float]]]:
        order = np.argsort(self.shard, kind="stable")
        edges = np.searchsorted(self.shard[order], np.arange(len(self.paths) + 1))
        sums: dict[str, np.ndarray] = {}
        for number, path in enumerate(self.paths):
            here = order[edges[number] : edges[number + 1]]
            for name, moments in shards.read_moments(path).items() if len(here) else ():
                # Summed in the order of the clips, so that the distribution over shards changes no bit.
                kept = sums.setdefault(name, np.zeros((len(self), *moments.shape[1:])))
                kept[here] = moments[self.place[here]]
        found = {}
        for name, kept in sums.items():
            spec = self.specs[self.shard[0]][name]
            first, second = kept.sum(0) / (len(self) * prod(spec.shape[1:]))
            std = np.sqrt(np.maximum(second - first**2, 1e-12))
            found[name] = {"mean": first.tolist(), "std": std.tolist()}
        return found


@dataclass
class _Index:
    """Locations of all clips of a store: by key, the index of the shard and the index among its readable clips."""

    paths: list[Path] = field(default_factory=list)
    specs: list[dict[str, shards.ArraySpec]] = field(default_factory=list)
    offsets: list[dict[str, np.ndarray]] = field(default_factory=list)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    scenes: dict[str, str] = field(default_factory=dict)
    faulty: set[str] = field(default_factory=set)


class LatentStore:
    """All clips that one codec encoded at one geometry, in a folder below `root` that is named by both.

    Args:
        root: Folder of the cache, which may contain several stores.
        geometry: Geometry of the clips.
        parts: Networks and plain values that determine the latents, see `fingerprint`.
        streams: The streams that are stored.
        shard_size: Number of clips per shard.
    """

    def __init__(self, root: "str | Path", geometry: Geometry, *parts: Any, streams: AV = BOTH, shard_size: int = 256) -> None:
        self.geometry, self.streams, self.shard_size = geometry, streams, shard_size
        self.key = fingerprint(VERSION, geometry.to_config(), list(streams), *parts)
        self.folder = Path(root) / f"store-{self.key[:12]}"
        self._worlds: dict[str, str] = {}
        self.reload()

    def reload(self) -> None:
        """Reads the index of every shard, including those written by other processes."""
        self.index = index = _Index()
        for path in sorted(self.folder.glob("*" + shards.SUFFIX)):
            if path.name.startswith("."):
                continue
            shard, readable = shards.read(path), 0
            begins: dict[str, list[int]] = {name: [] for name in shard.specs}
            for row in shard.rows:
                if not row.offsets:
                    index.faulty.add(row.key)
                    continue
                index.places[row.key] = (len(index.paths), readable)
                if row.info.get("scene"):
                    index.scenes[row.key] = json.dumps({k: v for k, v in row.info.items() if k != "scene"})
                for name in begins:
                    begins[name].append(row.offsets[name])
                readable += 1
            index.paths.append(path)
            index.specs.append(shard.specs)
            index.offsets.append({name: np.array(values, np.int64) for name, values in begins.items()})

    def clip_key(self, window: Window) -> str:
        """Key of a clip: name, size and modification time of its file, or its scene and a hash of its world."""
        entry = window.entry
        known: Any
        if entry.scene is not None:
            known = (*entry.scene, self._world(entry.scene[0]))
        else:
            try:
                status = os.stat(entry.path)
                known = (entry.name or entry.path, status.st_size, status.st_mtime_ns)
            except OSError:
                known = (entry.name or entry.path, "gone")
        return hashlib.blake2b(repr((known, window.start)).encode(errors="surrogateescape"), digest_size=12).hexdigest()

    def _world(self, world: str) -> str:
        """Hash of the first scene of a world, so that keys change when the world changes."""
        if world not in self._worlds:
            clip = load_clip(Window(Entry("", scene=(world, 0))), self.geometry)
            assert clip.frames is not None
            assert clip.waveform is not None
            info = repr((clip.caption, clip.label, clip.events)).encode()
            self._worlds[world] = hashlib.blake2b(info + clip.frames.tobytes() + clip.waveform.tobytes()).hexdigest()
        return self._worlds[world]

    def plan(self, windows: Sequence[Window]) -> list[list[Window]]:
        """Returns the clips that are missing, grouped into the shards that `write` writes."""
        missing: dict[str, Window] = {}
        for window in windows:
            key = self.clip_key(window)
            if key not in self.index.places and key not in self.index.faulty:
                missing.setdefault(key, window)
        todo = list(missing.values())
        return [todo[i : i + self.shard_size] for i in range(0, len(todo), self.shard_size)]

    def write(self, plan: Sequence[Sequence[Window]], encode_windows: WindowEncoder, *, part: tuple[int, int] = (0, 1)) -> None:
        """Encodes and writes the shards of a plan. Each appears when it is complete. Call `reload` afterwards.

        Args:
            plan: Windows by shard, from `plan`.
            encode_windows: Encodes windows, see `local_encoder`.
            part: (i, n): this process writes every n-th shard from the i-th on. All processes must plan before the first one
                writes.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / META_FILE).is_file():
            about = {"version": VERSION, "key": self.key, "geometry": self.geometry.to_config(), "streams": list(self.streams)}
            atomic.write_text(self.folder / META_FILE, json.dumps(about, indent=1))
        mine = plan[part[0] :: part[1]]
        with progress.bar(total=sum(map(len, mine)), desc="latents", unit="clip", quiet=part[0] != 0 or not mine) as bar:
            done = encode_windows([window for chunk in mine for window in chunk])
            for chunk in mine:
                self._write_shard(chunk, done, bar)

    def _write_shard(self, chunk: Sequence[Window], done: Iterator[tuple[dict[str, Any] | None, AV]], bar: Any) -> None:
        info: list[dict[str, Any] | None] = []
        encoded: dict[str, list[Tensor]] = {name: [] for name in AV._fields}
        for window in chunk:
            known, arrays = next(done)
            bar.update()
            info.append(known if known is None or window.entry.scene is None else {**known, "scene": True})
            for name, x in zip(AV._fields, arrays, strict=True):
                if x is not None:
                    encoded[name].append(x)
        tensors = {name: torch.stack(parts) for name, parts in encoded.items() if parts}
        shards.write(self.folder, [self.clip_key(window) for window in chunk], info, tensors)

    def select(self, windows: Sequence[Window], *, memory_gb: float = 8.0) -> StoredLatents:
        """Returns these clips in this order, without those that could not be read.

        Args:
            windows: The clips.
            memory_gb: Shards that are no larger than this in total are read into memory when first used.

        Raises:
            ValueError: A clip is not in the store, or none could be read.
        """
        index, stored = self.index, {}
        chosen: list[Window] = []
        found: list[tuple[int, int]] = []
        for window in windows:
            key = self.clip_key(window)
            if key in index.places:
                if key in index.scenes:
                    stored[len(chosen)] = index.scenes[key]
                chosen.append(window)
                found.append(index.places[key])
            elif key not in index.faulty:
                raise ValueError(
                    f"{self.folder}: {window.entry.name or window.entry.path} is not cached there yet; write it first"
                )
        if not chosen:
            raise ValueError(f"{self.folder}: none of {len(windows)} clips could be read; the log of the first start says why")
        number, place = np.array(found, np.int64).T
        names = [name for name in AV._fields if name in index.specs[number[0]]]
        offsets = {name: np.empty(len(chosen), np.int64) for name in names}
        for one in np.unique(number):
            here = number == one
            for name in names:
                offsets[name][here] = index.offsets[one][name][place[here]]
        size = sum(index.paths[one].stat().st_size for one in np.unique(number))
        # Shards and rows are fewer than 2**31.
        where = number.astype(np.int32), place.astype(np.int32)
        return StoredLatents(
            self.folder,
            ClipInfos(chosen, self.geometry, stored),
            index.paths,
            index.specs,
            *where,
            offsets,
            size <= memory_gb * 1e9,
        )

    def prune(self, windows: Iterable[Window]) -> int:
        """Removes all clips but these. Returns the number of removed clips."""
        wanted = {self.clip_key(window) for window in windows}
        known = self.index.places.keys() | self.index.faulty
        for path in self.index.paths:
            shards.filter_shard(shards.read(path), wanted)
        self.reload()
        return len(known - wanted)


def local_encoder(encode: Encode, geometry: Geometry, *, streams: AV = BOTH, batch: int = 8, workers: int = 0) -> WindowEncoder:
    """Returns an encoder for `LatentStore.write` that runs in this process and loads clips with a process pool.

    Args:
        encode: Encodes clips as an AV of tensors [clips, ...]; None for a stream that is not stored. The dtype is kept.
        geometry: Geometry of the clips.
        streams: The streams that are loaded.
        batch: Number of clips that are encoded at once. Smaller batches are filled up with copies of the last clip, so that the
            latents of a clip do not depend on the other clips in its batch.
        workers: Number of processes that load clips.
    """

    def encode_windows(windows: Sequence[Window]) -> Iterator[tuple[dict[str, Any] | None, AV]]:
        waiting: list[tuple[Window, Clip | None]] = []
        for pair in stream_clips(windows, geometry, streams=streams, workers=workers):
            waiting.append(pair)
            if sum(clip is not None for _, clip in waiting) == batch:
                yield from encode_clips(waiting, geometry, encode, batch)
                waiting = []
        yield from encode_clips(waiting, geometry, encode, batch)

    return encode_windows


def encode_clips(
    pairs: Sequence[tuple[Window, Clip | None]], geometry: Geometry, encode: Encode, batch: int
) -> list[tuple[dict[str, Any] | None, AV]]:
    """Encodes the clips of some windows in one batch.

    Args:
        pairs: Windows with their clips, of which at most `batch` are not None.
        geometry: Geometry of the clips.
        encode: Encodes clips.
        batch: Batch size.

    Returns:
        Info and latents of each window. The info is None where there is no clip.
    """
    readable = [clip for _, clip in pairs if clip is not None]
    if not readable:
        return [(None, AV(None, None)) for _ in pairs]
    with torch.inference_mode():
        arrays = encode([*readable, *[readable[-1]] * (batch - len(readable))]).map(lambda x: None if x is None else x.cpu())
    found: list[tuple[dict[str, Any] | None, AV]] = []
    place = 0
    for window, clip in pairs:
        if clip is None:
            found.append((None, AV(None, None)))
            continue
        found.append((clip_info(window, geometry, clip), AV(*(None if x is None else x[place] for x in arrays))))
        place += 1
    return found


__getattr__ = renamed.attributes(
    __name__,
    {
        "InMemory": "InMemoryLatents",
        "Latents": "LatentDataset",
        "Store": "LatentStore",
        "Stored": "StoredLatents",
        "encoding": "local_encoder",
    },
)
