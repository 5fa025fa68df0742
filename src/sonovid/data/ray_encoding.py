"""Encodes clips with Ray Data, on one machine or a cluster: tasks read files, and actors hold the codecs.

Files, weights and this package must have the same paths on every machine. Latents are returned to the caller, which writes them
shard by shard, so that an interruption loses only the clips in flight. Ray reassigns the work of a lost worker.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.core.ray_session import open_ray
from sonovid.data import latents
from sonovid.data.clips import BOTH, Window, try_load_clip
from sonovid.data.entry import Entry

EncodedClip = tuple[dict[str, Any] | None, AV]


def ray_encoder(encode: latents.Encode, geometry: Geometry, *, streams: AV = BOTH, batch: int = 8) -> latents.WindowEncoder:
    """Returns an encoder for `LatentStore.write` that runs on Ray.

    On equal machines the latents equal those of `latents.local_encoder` bit for bit.

    Args:
        encode: Encodes clips. It is sent with its codecs to every actor, each of which uses a GPU if there are any.
        geometry: Geometry of the clips.
        streams: The streams that are loaded.
        batch: Number of clips that are encoded at once.
    """

    def run(windows: Sequence[Window]) -> Iterator[EncodedClip]:
        if not windows:
            return
        with open_ray() as ray:
            rows = [{"index": i, "window": window_to_json(window)} for i, window in enumerate(windows)]
            cpus, gpus = (int(ray.cluster_resources().get(name, 0)) for name in ("CPU", "GPU"))
            # A task reads one block. Small blocks take little memory, and little is lost with a worker.
            blocks = max(1, min(len(rows), max(4 * cpus, len(rows) // (4 * batch))))
            encoded = (
                ray.data.from_items(rows, override_num_blocks=blocks)
                .map(Reader(geometry, streams))
                .map_batches(
                    Encoder,
                    fn_constructor_args=(encode, geometry, batch),
                    compute=ray.data.ActorPoolStrategy(size=max(1, gpus or cpus // 4)),
                    num_gpus=1 if gpus else 0,
                    batch_size=batch,
                )
            )
            yield from in_order(iter(encoded.iter_rows()), len(rows))

    return run


def in_order(rows: Iterator[dict[str, Any]], count: int) -> Iterator[EncodedClip]:
    """Yields the encoded clips in the order of their indices, although Ray returns them as they are done.

    Args:
        rows: Rows with `index` and `encoded`.
        count: Number of rows.
    """
    waiting: dict[int, bytes] = {}
    for number in range(count):
        while number not in waiting:
            row = next(rows)
            waiting[int(row["index"])] = row["encoded"]
        yield encoded_from_bytes(waiting.pop(number))


class Reader:
    """Loads windows as clips, in Ray tasks."""

    def __init__(self, geometry: Geometry, streams: AV) -> None:
        self.geometry, self.streams = geometry, streams

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {
            **row,
            "clip": clip_to_bytes(try_load_clip(window_from_json(row["window"]), geometry=self.geometry, streams=self.streams)),
        }


class Encoder:
    """Encodes clips, in a Ray actor that holds the codecs."""

    def __init__(self, encode: latents.Encode, geometry: Geometry, batch: int) -> None:
        self.encode, self.geometry, self.batch = encode, geometry, batch

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        pairs: list[tuple[Window, Clip | None]] = [
            (window_from_json(window), clip_from_bytes(clip)) for window, clip in zip(rows["window"], rows["clip"], strict=True)
        ]
        encoded = latents.encode_clips(pairs, self.geometry, self.encode, self.batch)
        return {"index": rows["index"], "encoded": np.array([encoded_to_bytes(one) for one in encoded], dtype=object)}


def window_to_json(window: Window) -> str:
    """Serialises a window as JSON."""
    return json.dumps({"entry": asdict(window.entry), "start": window.start})


def window_from_json(text: str) -> Window:
    """Inverse of `window_to_json`."""
    known = json.loads(text)
    entry = known["entry"]
    scene = None if entry["scene"] is None else tuple(entry["scene"])
    return Window(Entry(**{**entry, "events": tuple(entry["events"]), "scene": scene}), known["start"])


def clip_to_bytes(clip: Clip | None) -> bytes:
    """Serialises a clip with safetensors. A clip that could not be read gives no bytes."""
    if clip is None:
        return b""
    arrays = {"frames": clip.frames, "waveform": clip.waveform}
    known = {"fps": str(clip.fps), "sample_rate": clip.sample_rate, "caption": clip.caption, "label": clip.label}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in arrays.items() if x is not None}
    return save(tensors, {"known": json.dumps({**known, "events": list(clip.events)})})


def clip_from_bytes(data: bytes) -> Clip | None:
    """Inverse of `clip_to_bytes`."""
    if not data:
        return None
    known, tensors = read_metadata(data, "known"), load(bytes(data))
    frames, waveform = (tensors[name].numpy() if name in tensors else None for name in ("frames", "waveform"))
    return Clip(frames, waveform, **{**known, "fps": Fraction(known["fps"]), "events": tuple(known["events"])})


def encoded_to_bytes(encoded: EncodedClip) -> bytes:
    """Serialises the info and the latents of one clip with safetensors."""
    info, arrays = encoded
    # Clips of one batch share memory, which safetensors rejects.
    tensors = {name: x.clone().contiguous() for name, x in zip(AV._fields, arrays, strict=True) if x is not None}
    return save(tensors, {"facts": json.dumps(info)})


def encoded_from_bytes(data: bytes) -> EncodedClip:
    """Inverse of `encoded_to_bytes`."""
    tensors = load(bytes(data))
    return read_metadata(data, "facts"), AV(*(tensors.get(name) for name in AV._fields))


def read_metadata(data: bytes, key: str) -> Any:
    """Reads a JSON value from the metadata in the header of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8 : 8 + size])["__metadata__"][key])
