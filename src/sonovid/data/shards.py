"""Shards of a latent cache: tar files in the layout of WebDataset, with an index beside each that finds every clip in them.

A clip is three members of one name: KEY.json with what is known of it, KEY.video.npy and KEY.audio.npy. So `webdataset` and
`datasets.load_dataset("webdataset", ...)` read a shard from beginning to end, and this module reads any clip of it at random.
"""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from sonovid.core import atomic
from sonovid.core.av import AV

SUFFIX, INDEX, MOMENTS = ".tar", ".jsonl", ".moments.safetensors"
BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class Kind:
    """Of what dtype and shape the arrays of one stream are, the same for all clips of a shard."""

    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return self.dtype.itemsize * prod(self.shape)


@dataclass(frozen=True)
class Row:
    """One clip of a shard. at: where its arrays begin in the tar file, in bytes, by stream; empty for a faulty clip.

    facts: name, start, caption, label and events.
    """

    key: str
    facts: dict[str, Any]
    at: dict[str, int]


@dataclass(frozen=True)
class Shard:
    """A shard that is whole: its tar file, what its arrays are, and its rows in order."""

    path: Path
    kinds: dict[str, Kind]
    rows: list[Row]


def name_of(keys: Sequence[str]) -> str:
    """The name of the shard that holds these clips in this order: whoever writes it gives it the same name."""
    return blake2b("\n".join(keys).encode(), digest_size=8).hexdigest()


def write(folder: Path, keys: Sequence[str], facts: Sequence[Mapping[str, Any] | None], tensors: Mapping[str, Tensor]) -> Path:
    """Write a shard: its index first and its tar file last, so that a tar file that is seen is whole and has its index.

    keys: of all clips. facts: of each, None for one that could not be read, which is remembered as such. tensors: by stream,
    [clips that could be read, ...]; bfloat16, which NumPy lacks, becomes float32.
    """
    path = folder / (name_of(keys) + SUFFIX)
    arrays = {name: (x.float() if x.dtype == torch.bfloat16 else x).cpu().numpy() for name, x in tensors.items()}
    lines = [json.dumps({name: [x.dtype.str, list(x.shape[1:])] for name, x in arrays.items()})]
    with atomic.new_file(path) as aside:
        with tarfile.open(aside, "w", format=tarfile.USTAR_FORMAT) as tar:
            readable = 0
            for key, known in zip(keys, facts, strict=True):
                if known is None:
                    lines.append(json.dumps({"key": key}))
                    continue
                _add(tar, f"{key}.json", json.dumps(dict(known), ensure_ascii=False).encode())
                at = {name: _add_array(tar, f"{key}.{name}.npy", x[readable]) for name, x in arrays.items()}
                lines.append(json.dumps({"key": key, "facts": dict(known), "at": at}))
                readable += 1
        save_moments(path, tensors)
        atomic.write_text(path.with_suffix(INDEX), "".join(line + "\n" for line in lines))
    return path


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    """Add a member, and return where its data begin. Its time is nil, so that equal clips give equal files."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    # Unlike the default formats', a USTAR header is one block for names of up to a hundred characters.
    begin = tar.offset + BLOCK
    tar.addfile(info, io.BytesIO(data))
    return begin


def _add_array(tar: tarfile.TarFile, name: str, array: np.ndarray) -> int:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    data = buffer.getvalue()
    return _add(tar, name, data) + len(data) - array.nbytes


def save_moments(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """What the statistics of any choice of a shard's clips are computed from, without reading their arrays."""
    found = {}
    for name, x in tensors.items():
        if x.is_floating_point() and x.ndim >= 3:
            flat = x.cpu().double().flatten(2)
            found[name] = torch.stack([flat.sum(2), flat.square().sum(2)], 1).numpy()
    if found:
        with atomic.new_file(path.with_suffix(MOMENTS)) as aside:
            save_file(found, aside)


def moments(path: Path) -> dict[str, np.ndarray]:
    """By stream, float64 [clips that could be read, 2, channels]: sums of values and of squares over all but the channels."""
    own = path.with_suffix(MOMENTS)
    return load_file(own) if own.is_file() else {}


def read(path: Path) -> Shard:
    """The index of a shard."""
    with open(path.with_suffix(INDEX), encoding="utf-8") as file:
        first = json.loads(file.readline())
        rows = [json.loads(line) for line in file]
    kinds = {name: Kind(np.dtype(dtype), tuple(shape)) for name, (dtype, shape) in first.items()}
    return Shard(path, kinds, [Row(row["key"], row.get("facts", {}), row.get("at", {})) for row in rows])


def array_at(data: np.ndarray, kind: Kind, begin: int) -> np.ndarray:
    """One array, as a view of the bytes of a shard's file."""
    return data[begin : begin + kind.size].view(kind.dtype).reshape(kind.shape)


def arrays_of(kinds: Mapping[str, Kind], at: Mapping[str, Sequence[int]], data: np.ndarray) -> AV:
    """Arrays of some clips, stacked, from the bytes of a shard's file; None for a stream that it does not keep.

    at: by stream, where each clip's array begins.
    """
    found: list[Tensor | None] = []
    for name in AV._fields:
        kind = kinds.get(name)
        if kind is None:
            found.append(None)
            continue
        found.append(torch.from_numpy(np.stack([array_at(data, kind, begin) for begin in at[name]])))
    return AV(*found)


def remove(path: Path) -> None:
    """Remove a shard: the tar file first, so that no shard is seen without its index."""
    for one in (path, path.with_suffix(INDEX), path.with_suffix(MOMENTS)):
        one.unlink(missing_ok=True)


def keep(shard: Shard, wanted: "set[str] | frozenset[str]") -> Path | None:
    """Write the wanted clips of a shard as one of their own, remove the whole one, and return the new path, if any is left."""
    chosen = [i for i, row in enumerate(shard.rows) if row.key in wanted]
    if len(chosen) == len(shard.rows):
        return shard.path
    written = None
    if chosen:
        readable = [i for i in chosen if shard.rows[i].at]
        data = np.memmap(shard.path, mode="r", dtype=np.uint8)
        at = {name: [shard.rows[i].at[name] for i in readable] for name in shard.kinds}
        kept = arrays_of(shard.kinds, at, data) if readable else AV(None, None)
        tensors = {name: x for name, x in zip(AV._fields, kept, strict=True) if x is not None}
        facts = [shard.rows[i].facts if shard.rows[i].at else None for i in chosen]
        written = write(shard.path.parent, [shard.rows[i].key for i in chosen], facts, tensors)
    remove(shard.path)
    return written
