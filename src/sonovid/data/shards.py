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
class ArraySpec:
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
    info: dict[str, Any]
    offsets: dict[str, int]


@dataclass(frozen=True)
class Shard:
    """A shard that is whole: its tar file, what its arrays are, and its rows in order."""

    path: Path
    specs: dict[str, ArraySpec]
    rows: list[Row]


def shard_name(keys: Sequence[str]) -> str:
    """The name of the shard that holds these clips in this order: whoever writes it gives it the same name."""
    return blake2b("\n".join(keys).encode(), digest_size=8).hexdigest()


def write(folder: Path, keys: Sequence[str], info: Sequence[Mapping[str, Any] | None], tensors: Mapping[str, Tensor]) -> Path:
    """Write a shard: its index first and its tar file last, so that a tar file that is seen is whole and has its index.

    keys: of all clips. facts: of each, None for one that could not be read, which is remembered as such. tensors: by stream,
    [clips that could be read, ...]; bfloat16, which NumPy lacks, becomes float32.
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
    return _add_member(tar, name, data) + len(data) - array.nbytes


def save_moments(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """What the statistics of any choice of a shard's clips are computed from, without reading their arrays."""
    found = {}
    for name, x in tensors.items():
        if x.is_floating_point() and x.ndim >= 3:
            flat = x.cpu().double().flatten(2)
            found[name] = torch.stack([flat.sum(2), flat.square().sum(2)], 1).numpy()
    if found:
        with atomic.atomic_file(path.with_suffix(MOMENTS)) as temp_path:
            save_file(found, temp_path)


def read_moments(path: Path) -> dict[str, np.ndarray]:
    """By stream, float64 [clips that could be read, 2, channels]: sums of values and of squares over all but the channels."""
    own = path.with_suffix(MOMENTS)
    return load_file(own) if own.is_file() else {}


def read(path: Path) -> Shard:
    """The index of a shard."""
    with open(path.with_suffix(INDEX), encoding="utf-8") as file:
        first = json.loads(file.readline())
        rows = [json.loads(line) for line in file]
    specs = {name: ArraySpec(np.dtype(dtype), tuple(shape)) for name, (dtype, shape) in first.items()}
    return Shard(path, specs, [Row(row["key"], row.get("facts", {}), row.get("at", {})) for row in rows])


def view_array(data: np.ndarray, spec: ArraySpec, begin: int) -> np.ndarray:
    """One array, as a view of the bytes of a shard's file."""
    return data[begin : begin + spec.size].view(spec.dtype).reshape(spec.shape)


def read_arrays(specs: Mapping[str, ArraySpec], offsets: Mapping[str, Sequence[int]], data: np.ndarray) -> AV:
    """Arrays of some clips, stacked, from the bytes of a shard's file; None for a stream that it does not keep.

    at: by stream, where each clip's array begins.
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
    """Remove a shard: the tar file first, so that no shard is seen without its index."""
    for one in (path, path.with_suffix(INDEX), path.with_suffix(MOMENTS)):
        one.unlink(missing_ok=True)


def filter_shard(shard: Shard, wanted: "set[str] | frozenset[str]") -> Path | None:
    """Write the wanted clips of a shard as one of their own, remove the whole one, and return the new path, if any is left."""
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
