"""Shards of a latent cache: tar files in WebDataset layout, each with an index for random access.

A clip has three members with one base name: KEY.json with its info, KEY.video.npy and KEY.audio.npy. `webdataset` and
`datasets.load_dataset("webdataset", ...)` read a shard sequentially, and this module reads any clip of it.
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
class ArraySpec:
    """Dtype and shape of the arrays of one stream, equal for all clips of a shard."""

    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return self.dtype.itemsize * prod(self.shape)


@dataclass(frozen=True)
class Row:
    """One clip of a shard.

    Attributes:
        key: Key of the clip.
        info: Name, start, caption, label and events.
        offsets: By stream, the byte offset of the array in the tar file; empty for a clip that could not be read.
    """

    key: str
    info: dict[str, Any]
    offsets: dict[str, int]


@dataclass(frozen=True)
class Shard:
    """A complete shard: its tar file, the specs of its arrays by stream, and its clips in order."""

    path: Path
    specs: dict[str, ArraySpec]
    rows: list[Row]


def shard_name(keys: Sequence[str]) -> str:
    """Name of the shard that contains these clips in this order. It depends on the keys alone."""
    return blake2b("\n".join(keys).encode(), digest_size=8).hexdigest()


def write(folder: Path, keys: Sequence[str], info: Sequence[Mapping[str, Any] | None], tensors: Mapping[str, Tensor]) -> Path:
    """Writes a shard. The tar file appears last, so that a visible tar file is complete and has its index.

    Args:
        folder: Folder of the store.
        keys: Keys of all clips.
        info: Info of each clip. None for a clip that could not be read, which is recorded as such.
        tensors: By stream, [readable clips, ...]. NumPy lacks bfloat16, which is stored as float32.
    """
    path = folder / (shard_name(keys) + SUFFIX)
    arrays = {name: (x.float() if x.dtype == torch.bfloat16 else x).cpu().numpy() for name, x in tensors.items()}
    lines = [json.dumps({name: [x.dtype.str, list(x.shape[1:])] for name, x in arrays.items()})]
    with atomic.atomic_file(path) as temp_path:
        with tarfile.open(temp_path, "w", format=tarfile.USTAR_FORMAT) as tar:
            readable = 0
            for key, known in zip(keys, info, strict=True):
                if known is None:
                    lines.append(json.dumps({"key": key}))
                    continue
                _add_member(tar, f"{key}.json", json.dumps(dict(known), ensure_ascii=False).encode())
                offsets = {name: _add_array(tar, f"{key}.{name}.npy", x[readable]) for name, x in arrays.items()}
                lines.append(json.dumps({"key": key, "facts": dict(known), "at": offsets}))
                readable += 1
        save_moments(path, tensors)
        atomic.write_text(path.with_suffix(INDEX), "".join(line + "\n" for line in lines))
    return path


def _add_member(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    """Adds a member and returns the offset of its data. The modification time is zero, so that equal clips give equal files."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    # In USTAR format, unlike the default, the header is one block for names of up to 100 characters.
    begin = tar.offset + BLOCK
    tar.addfile(info, io.BytesIO(data))
    return begin


def _add_array(tar: tarfile.TarFile, name: str, array: np.ndarray) -> int:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    data = buffer.getvalue()
    return _add_member(tar, name, data) + len(data) - array.nbytes


def save_moments(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Saves the first two moments of every clip, from which the statistics of any selection follow without reading arrays."""
    found = {}
    for name, x in tensors.items():
        if x.is_floating_point() and x.ndim >= 3:
            flat = x.cpu().double().flatten(2)
            found[name] = torch.stack([flat.sum(2), flat.square().sum(2)], 1).numpy()
    if found:
        with atomic.atomic_file(path.with_suffix(MOMENTS)) as temp_path:
            save_file(found, temp_path)


def read_moments(path: Path) -> dict[str, np.ndarray]:
    """Moments by stream, float64 [readable clips, 2, channels]: sums of values and of squares over all other axes."""
    own = path.with_suffix(MOMENTS)
    return load_file(own) if own.is_file() else {}


def read(path: Path) -> Shard:
    """Reads the index of a shard."""
    with open(path.with_suffix(INDEX), encoding="utf-8") as file:
        first = json.loads(file.readline())
        rows = [json.loads(line) for line in file]
    specs = {name: ArraySpec(np.dtype(dtype), tuple(shape)) for name, (dtype, shape) in first.items()}
    return Shard(path, specs, [Row(row["key"], row.get("facts", {}), row.get("at", {})) for row in rows])


def view_array(data: np.ndarray, spec: ArraySpec, begin: int) -> np.ndarray:
    """Returns one array as a view of the bytes of a shard."""
    return data[begin : begin + spec.size].view(spec.dtype).reshape(spec.shape)


def read_arrays(specs: Mapping[str, ArraySpec], offsets: Mapping[str, Sequence[int]], data: np.ndarray) -> AV:
    """Stacks the arrays of some clips from the bytes of a shard; None for a stream that is not stored.

    Args:
        specs: Array specs by stream.
        offsets: By stream, the byte offset of each clip's array.
        data: The bytes of the shard.
    """
    found: list[Tensor | None] = []
    for name in AV._fields:
        spec = specs.get(name)
        if spec is None:
            found.append(None)
            continue
        found.append(torch.from_numpy(np.stack([view_array(data, spec, begin) for begin in offsets[name]])))
    return AV(*found)


def remove(path: Path) -> None:
    """Removes a shard. The tar file goes first, so that no shard is visible without its index."""
    for one in (path, path.with_suffix(INDEX), path.with_suffix(MOMENTS)):
        one.unlink(missing_ok=True)


def filter_shard(shard: Shard, wanted: "set[str] | frozenset[str]") -> Path | None:
    """Replaces a shard by one with only the wanted clips. Returns its path, or None if no clip is left."""
    chosen = [i for i, row in enumerate(shard.rows) if row.key in wanted]
    if len(chosen) == len(shard.rows):
        return shard.path
    written = None
    if chosen:
        readable = [i for i in chosen if shard.rows[i].offsets]
        data = np.memmap(shard.path, mode="r", dtype=np.uint8)
        offsets = {name: [shard.rows[i].offsets[name] for i in readable] for name in shard.specs}
        kept = read_arrays(shard.specs, offsets, data) if readable else AV(None, None)
        tensors = {name: x for name, x in zip(AV._fields, kept, strict=True) if x is not None}
        info = [shard.rows[i].info if shard.rows[i].offsets else None for i in chosen]
        written = write(shard.path.parent, [shard.rows[i].key for i in chosen], info, tensors)
    remove(shard.path)
    return written
