"""The latent cache: raw latents of all clips in sharded safetensors, written once and read at random.

Codecs come in as a function; what lies on disk is keyed by all that decides its contents, so nothing stale is ever read. A cache
of frames and waveforms themselves, to train codecs from, is the same with another function.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from sonovid import atomic
from sonovid.av import AV
from sonovid.clip import Clip
from sonovid.data.clips import BOTH, Window, load, stream
from sonovid.geometry import Geometry

log = logging.getLogger(__name__)

META, INDEX = "cache.json", "index.jsonl"
# Whitening is applied when latents are read, and decoding does not matter to them.
NOT_IN_KEY = ("latents_mean", "latents_std")


def fingerprint(*parts: Any) -> str:
    """A hash of networks, by their weights and configuration, and of plain values."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, nn.Module):
            config = dict(getattr(part, "config", None) or {})
            # What begins with an underline is diffusers' own book-keeping, some of it in an order that changes from run to run.
            config = {k: v for k, v in config.items() if k not in NOT_IN_KEY and not k.startswith("_")}
            digest.update(repr((type(part).__name__, sorted(config.items()))).encode())
            for name, value in sorted(part.state_dict().items()):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        else:
            digest.update(json.dumps(part, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def key_of(sought: Sequence[Window], geometry: Geometry, *parts: Any) -> str:
    """The key of a cache: the windows with their files' sizes and times of change, the geometry, and what encodes them.

    Of scenes, the first of each world is rendered into it, so that it follows a change of the worlds themselves.
    """
    digest = hashlib.blake2b(digest_size=16)
    first = {window.entry.scene[0]: window for window in reversed(sought) if window.entry.scene is not None}
    for window in first.values():
        clip = load(window, geometry)
        assert clip.frames is not None
        assert clip.waveform is not None
        digest.update(repr((clip.caption, clip.label, clip.events)).encode() + clip.frames.tobytes() + clip.waveform.tobytes())
    for window in sought:
        entry = asdict(window.entry)
        state = None
        if window.entry.scene is None:
            status = os.stat(window.entry.path)
            state = (status.st_size, status.st_mtime_ns)
        digest.update(repr((entry, window.start, state)).encode())
    return fingerprint(digest.hexdigest(), geometry.to_config(), *parts)


def write(
    folder: "str | Path",
    sought: Sequence[Window],
    geometry: Geometry,
    encode: Callable[[list[Clip]], AV],
    *,
    key: str,
    streams: AV = BOTH,
    batch: int = 8,
    shard: int = 256,
    workers: int = 0,
    part: tuple[int, int] = (0, 1),
) -> None:
    """Write what of a cache is not there yet, shard by shard, each renamed into place when it is whole.

    encode: clips to an AV of tensors, the first axis being the clips'; None for a stream that is not kept. They are kept in the
    dtype they come in. part: (i, n): every n-th shard from the i-th on, where n processes share the work. `finish` must follow.

    Raises:
        ValueError: the folder holds another cache.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    meta = {"key": key, "windows": len(sought), "shard": shard, "geometry": geometry.to_config()}
    if (folder / META).is_file() and (found := json.loads((folder / META).read_text())) != meta:
        raise ValueError(f"{folder}: holds a cache with the key {found.get('key')}, not {key}; take another folder")
    atomic.write_text(folder / META, json.dumps(meta, indent=1))
    numbers = range(part[0], _shards(len(sought), shard), part[1])
    todo = [i for i in numbers if not _path(folder, i).is_file()]
    if not todo:
        return
    chosen = [window for i in todo for window in sought[i * shard : (i + 1) * shard]]
    bar = tqdm(total=len(chosen), desc="latents", unit="clip", disable=part[0] != 0)
    clips = stream(chosen, geometry, streams=streams, workers=workers)
    for i in todo:
        count = len(sought[i * shard : (i + 1) * shard])
        tensors, rows = _encode(((next(clips)) for _ in range(count)), encode, batch, bar)
        # The rows go first: a shard that is seen has its rows.
        atomic.write_text(_path(folder, i).with_suffix(".jsonl"), "".join(json.dumps(row) + "\n" for row in rows))
        with atomic.new_file(_path(folder, i)) as aside:
            save_file(tensors, aside)
    bar.close()


def _encode(
    pairs: Iterator[tuple[Window, Clip | None]], encode: Callable[[list[Clip]], AV], batch: int, bar: Any
) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    made: dict[str, list[Tensor]] = {name: [] for name in AV._fields}
    waiting: list[Clip] = []

    def flush() -> None:
        if waiting:
            with torch.inference_mode():
                encoded = encode(waiting)
            for name, value in zip(AV._fields, encoded, strict=True):
                if value is not None:
                    made[name].append(value.cpu())
            waiting.clear()

    for window, clip in pairs:
        bar.update()
        if clip is None:
            continue
        waiting.append(clip)
        name = window.entry.name or window.entry.path
        facts = {"caption": clip.caption, "label": clip.label, "events": list(clip.events)}
        rows.append({"name": name, "start": window.start, **facts})
        if len(waiting) == batch:
            flush()
    flush()
    # Cloned: tensors made in inference mode refuse to be saved together with views of others.
    return {name: torch.cat(parts).clone().contiguous() for name, parts in made.items() if parts}, rows


def finish(folder: "str | Path") -> Path:
    """Join the rows of all shards into `index.jsonl` and compute the statistics, where that is not done yet.

    Raises:
        ValueError: shards are missing.
    """
    folder = Path(folder)
    meta = json.loads((folder / META).read_text())
    paths = [_path(folder, i) for i in range(_shards(meta["windows"], meta["shard"]))]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ValueError(f"{folder}: {len(missing)} of {len(paths)} shards are not written yet; call write again")
    if not (folder / INDEX).is_file():
        atomic.write_text(folder / "statistics.json", json.dumps(_statistics(paths), indent=1))
        atomic.write_text(folder / INDEX, "".join(path.with_suffix(".jsonl").read_text() for path in paths))
    return folder


def _statistics(paths: Sequence[Path]) -> dict[str, dict[str, list[float]]]:
    """Mean and standard deviation of each channel, in float64, for tensors of floating point."""
    sums: dict[str, list[Any]] = {}
    for path in paths:
        for name, x in load_file(path).items():
            if not x.is_floating_point() or x.ndim < 3:
                continue
            flat = x.double().movedim(1, 0).flatten(1)
            count, first, second = sums.setdefault(name, [0, 0.0, 0.0])
            sums[name] = [count + flat.shape[1], first + flat.sum(1), second + flat.square().sum(1)]
    found = {}
    for name, (count, first, second) in sums.items():
        mean = first / count
        std = (second / count - mean**2).clamp(min=1e-12).sqrt()
        found[name] = {"mean": mean.tolist(), "std": std.tolist()}
    return found


@dataclass(frozen=True)
class Latents:
    """A finished cache.

    rows: for each clip its name, start, caption, label and events. statistics: by stream, mean and std of each channel. Its
    tensors are in memory where they fit, else they are read from the files, clip by clip.
    """

    folder: Path
    rows: list[dict[str, Any]]
    statistics: dict[str, dict[str, list[float]]]
    places: list[tuple[int, int]]
    shards: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[AV, dict[str, Any]]:
        """The raw latents of one clip, and its row."""
        return self.batch([index]).map(lambda x: None if x is None else x[0]), self.rows[index]

    def batch(self, indices: Sequence[int]) -> AV:
        """The raw latents of some clips, video [b c t h w] and audio [b c l f], in the cache's own dtype."""
        found: list[Tensor | None] = []
        for name in AV._fields:
            if name not in self.shards[0]:
                found.append(None)
                continue
            # Autocast of a CPU, in which a training may validate, refuses to stack half precision.
            with torch.autocast("cpu", enabled=False):
                found.append(torch.stack([self._one(name, *self.places[index]) for index in indices]))
        return AV(*found)

    def _one(self, name: str, shard: int, row: int) -> Tensor:
        return self.shards[shard][name][row]


class _OnDisk:
    """One tensor of a safetensors file, read row by row."""

    def __init__(self, file: Any, name: str) -> None:
        self.slice = file.get_slice(name)

    def __getitem__(self, row: int) -> Tensor:
        return self.slice[row : row + 1][0]


def open_latents(folder: "str | Path", *, memory_gb: float = 8.0) -> Latents:
    """Open a finished cache.

    memory_gb: up to this size it is read into memory.

    Raises:
        ValueError: there is none, or it is not finished.
    """
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        raise ValueError(f"{folder}: no finished latent cache there; write one first")
    meta = json.loads((folder / META).read_text())
    paths = [_path(folder, i) for i in range(_shards(meta["windows"], meta["shard"]))]
    rows = [json.loads(line) for line in (folder / INDEX).read_text().splitlines()]
    in_memory = sum(path.stat().st_size for path in paths) <= memory_gb * 1e9
    shards: list[dict[str, Any]] = []
    places = []
    for path in paths:
        count = len(path.with_suffix(".jsonl").read_text().splitlines())
        places += [(len(shards), row) for row in range(count)]
        if count == 0:
            continue
        if in_memory:
            shards.append(dict(load_file(path)))
        else:
            file = safe_open(path, "pt")
            shards.append({name: _OnDisk(file, name) for name in file.keys()})  # noqa: SIM118
    if not rows:
        raise ValueError(f"{folder}: the cache holds no clips; none of the files could be read")
    statistics = json.loads((folder / "statistics.json").read_text())
    return Latents(folder, rows, statistics, places, shards)


def _shards(count: int, shard: int) -> int:
    return -(-count // shard)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.safetensors"
