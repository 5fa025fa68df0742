"""The same extraction through Ray Data: files are read and prepared by tasks, networks live in actors, on one machine or many.

Files, weights and this package must lie under the same paths on every machine; features come back here and into this cache.
"""

import json
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from sonovid.core.ray_session import started
from sonovid.metrics.base import Arrays, Missing
from sonovid.metrics.extraction import Job, Kind, Prepared, Ready, prepare
from sonovid.metrics.protocol import Protocol
from sonovid.metrics.sets import Item

Keep = Callable[..., None]


def by_ray(jobs: Sequence[tuple[Item, Job]], extractors: Sequence[Ready], keep: Keep, batch_size: int | None = None) -> None:
    """Read and embed all files by Ray, and hand everything to `keep`.

    Raises:
        Missing: Ray is not installed.
    """
    with started(Missing) as ray:
        rows = [
            {
                "index": index,
                "path": job.path,
                "caption": job.caption,
                "kinds": json.dumps([named(kind) for kind in job.kinds]),
                "protocol": json.dumps(job.protocol.to_record()),
            }
            for index, (_, job) in enumerate(jobs)
        ]
        own = {named(one.kind): one for one in extractors}
        gpu = any(one.device.startswith("cuda") for one in extractors)
        done = (
            ray.data.from_items(rows, override_num_blocks=min(len(rows), 4 * max(1, int(ray.cluster_resources().get("CPU", 1)))))
            .map(prepared_row)
            .map_batches(
                Embedder,
                fn_constructor_args=(own,),
                concurrency=max(1, int(ray.cluster_resources().get("GPU", 1))) if gpu else 1,
                num_gpus=1 if gpu else 0,
                batch_size=batch_size or max(one.kind.batch_size for one in extractors),
            )
        )
        for row in done.iter_rows():
            item, job = jobs[int(row["index"])]
            by_name = {named(kind): kind for kind in job.kinds}
            for name, found in unpacked(row["held"]).items():
                one = own[named(by_name[name])]
                keep(one, item, found.fault or found.arrays, lasting=not found.fault or found.unfit)


def prepared_row(row: dict[str, Any]) -> dict[str, Any]:
    """One file, read and prepared for its extractors; runs in Ray's tasks."""
    kinds = tuple(kind_of(name) for name in json.loads(row["kinds"]))
    found = prepare(Job(row["path"], row["caption"], kinds, Protocol.from_record(json.loads(row["protocol"]))))
    return {"index": row["index"], "held": packed({named(kind): one for kind, one in zip(kinds, found, strict=True)})}


class Embedder:
    """Networks in a Ray actor: prepared arrays to features."""

    def __init__(self, extractors: dict[str, Ready]):
        self.extractors = {name: Ready(one.kind, one.found, one.device) for name, one in extractors.items()}

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        rows = [unpacked(held) for held in batch["held"]]
        for name, one in self.extractors.items():
            places = [i for i, row in enumerate(rows) if name in row and not row[name].fault]
            if places:
                for i, arrays in zip(places, one.embed([rows[i][name].arrays or {} for i in places]), strict=True):
                    rows[i][name] = Prepared(arrays)
        return {"index": batch["index"], "held": np.array([packed(row) for row in rows], dtype=object)}


def named(kind: Kind) -> str:
    """An extractor's class by its place."""
    return f"{kind.__module__}:{kind.__qualname__}"


def kind_of(name: str) -> Kind:
    """The class at a place."""
    module, _, place = name.partition(":")
    return getattr(import_module(module), place)


def packed(found: dict[str, Prepared]) -> bytes:
    """What extractors made of one file, as bytes."""
    arrays: Arrays = {f"{name}\n{key}": array for name, one in found.items() for key, array in (one.arrays or {}).items()}
    faults = {name: [one.fault, one.unfit] for name, one in found.items()}
    # A caption is an array of one string, which is no tensor.
    words = {key: str(array) for key, array in arrays.items() if array.dtype.kind == "U"}
    tensors = {key: np.ascontiguousarray(array) for key, array in arrays.items() if key not in words}
    return save(tensors, {"faults": json.dumps(faults), "words": json.dumps(words)})


def unpacked(held: bytes) -> dict[str, Prepared]:
    """The opposite of `packed`."""
    size = int.from_bytes(held[:8], "little")
    about = json.loads(held[8 : 8 + size])["__metadata__"]
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for key, array in [*load(bytes(held)).items(), *((k, np.array(v)) for k, v in json.loads(about["words"]).items())]:
        name, _, own = key.partition("\n")
        arrays.setdefault(name, {})[own] = array
    faults = json.loads(about["faults"])
    return {name: Prepared(None if fault else arrays.get(name, {}), fault, unfit) for name, (fault, unfit) in faults.items()}
