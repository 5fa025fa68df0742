"""Feature extraction with Ray Data: tasks read and prepare files, actors hold the networks, on one machine or many.

Files, weights and this package must have the same paths on every machine. Features return to the caller's process and cache.
"""

import json
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from sonovid.core.ray_session import open_ray
from sonovid.metrics.base import Arrays, UnavailableError
from sonovid.metrics.lazy_extractor import ExtractorClass, LazyExtractor
from sonovid.metrics.preparation import Job, Prepared, prepare
from sonovid.metrics.protocol import Protocol
from sonovid.metrics.sets import Item

StoreFeatures = Callable[..., None]


def extract_with_ray(
    jobs: Sequence[tuple[Item, Job]], extractors: Sequence[LazyExtractor], store: StoreFeatures, batch_size: int | None = None
) -> None:
    """Read and embed all files with Ray, and pass each result to `store`.

    Raises:
        UnavailableError: Ray is not installed.
    """
    with open_ray(UnavailableError) as ray:
        rows = [
            {
                "index": index,
                "path": job.path,
                "caption": job.caption,
                "extractors": json.dumps([class_path(extractor) for extractor in job.extractors]),
                "protocol": json.dumps(job.protocol.to_record()),
            }
            for index, (_, job) in enumerate(jobs)
        ]
        by_path = {class_path(one.extractor): one for one in extractors}
        gpu = any(one.device.startswith("cuda") for one in extractors)
        done = (
            ray.data.from_items(rows, override_num_blocks=min(len(rows), 4 * max(1, int(ray.cluster_resources().get("CPU", 1)))))
            .map(prepare_row)
            .map_batches(
                Embedder,
                fn_constructor_args=(by_path,),
                concurrency=max(1, int(ray.cluster_resources().get("GPU", 1))) if gpu else 1,
                num_gpus=1 if gpu else 0,
                batch_size=batch_size or max(one.extractor.batch_size for one in extractors),
            )
        )
        for row in done.iter_rows():
            item, _ = jobs[int(row["index"])]
            for path, found in deserialize(row["prepared"]).items():
                store(by_path[path], item, found.error or found.arrays, lasting=not found.error or found.unusable)


def prepare_row(row: dict[str, Any]) -> dict[str, Any]:
    """Read one file and prepare it for its extractors; a Ray task."""
    extractors = tuple(class_from_path(path) for path in json.loads(row["extractors"]))
    found = prepare(Job(row["path"], row["caption"], extractors, Protocol.from_record(json.loads(row["protocol"]))))
    by_path = {class_path(extractor): one for extractor, one in zip(extractors, found, strict=True)}
    return {"index": row["index"], "prepared": serialize(by_path)}


class Embedder:
    """The networks in a Ray actor: prepared arrays to features."""

    def __init__(self, extractors: dict[str, LazyExtractor]):
        self.extractors = {path: LazyExtractor(one.extractor, one.found, one.device) for path, one in extractors.items()}

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        rows = [deserialize(data) for data in batch["prepared"]]
        for path, one in self.extractors.items():
            indices = [i for i, row in enumerate(rows) if path in row and not row[path].error]
            if indices:
                for i, arrays in zip(indices, one.embed([rows[i][path].arrays or {} for i in indices]), strict=True):
                    rows[i][path] = Prepared(arrays)
        return {"index": batch["index"], "prepared": np.array([serialize(row) for row in rows], dtype=object)}


def class_path(extractor: ExtractorClass) -> str:
    """An extractor class as "module:qualified name"."""
    return f"{extractor.__module__}:{extractor.__qualname__}"


def class_from_path(path: str) -> ExtractorClass:
    """The inverse of `class_path`."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def serialize(prepared: dict[str, Prepared]) -> bytes:
    """The results of several extractors for one file, as safetensors bytes."""
    arrays: Arrays = {f"{path}\n{key}": array for path, one in prepared.items() for key, array in (one.arrays or {}).items()}
    errors = {path: [one.error, one.unusable] for path, one in prepared.items()}
    # A caption is an array holding one string, which safetensors cannot store.
    strings = {key: str(array) for key, array in arrays.items() if array.dtype.kind == "U"}
    tensors = {key: np.ascontiguousarray(array) for key, array in arrays.items() if key not in strings}
    return save(tensors, {"errors": json.dumps(errors), "strings": json.dumps(strings)})


def deserialize(data: bytes) -> dict[str, Prepared]:
    """The inverse of `serialize`."""
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    arrays: dict[str, dict[str, np.ndarray]] = {}
    strings = ((key, np.array(text)) for key, text in json.loads(metadata["strings"]).items())
    for key, array in [*load(bytes(data)).items(), *strings]:
        path, _, own = key.partition("\n")
        arrays.setdefault(path, {})[own] = array
    errors = json.loads(metadata["errors"])
    return {
        path: Prepared(None if error else arrays.get(path, {}), error, unusable) for path, (error, unusable) in errors.items()
    }
