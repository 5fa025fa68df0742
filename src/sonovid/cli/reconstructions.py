"""A model's codecs put to the test: clips of a reference as the model sees them, and what is left of them after its codecs."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


@contextmanager
def reconstructed(codec: str, reference: str, *, keep: "str | None" = None, quiet: bool = True) -> Iterator[tuple[Path, Path]]:
    """Two folders of lossless clips: reconstructions, and what was reconstructed: the reference at the model's size and rates.

    codec: a model's folder, "shipped", a repository of the Hub, or the folder of one codec. With one codec only its stream is
    reconstructed and the other is kept. A codec of the pair that knows windows of one length alone (MM-LDM) gets the first one of
    each clip. keep: where both folders stay, as made and true.

    Raises:
        ValueError: no codec there, or nothing in the reference that it can take.
    """
    from sonovid import media
    from sonovid.core import progress
    from sonovid.core.av import AV
    from sonovid.metrics.sets import open_set

    codecs, geometry = load(codec)
    with tempfile.TemporaryDirectory() as aside:
        root = Path(keep) if keep else Path(aside)
        made, true = root / "made", root / "true"
        for folder in (made, true):
            folder.mkdir(parents=True, exist_ok=True)
        found = open_set(reference)
        for item in progress.bar(found.items, desc="reconstructions", unit="clip", quiet=quiet):
            name = item.name.replace("/", "-") + ".mkv"
            video = {"fps": geometry.fps, "size": (geometry.height, geometry.width)} if geometry else {}
            rate = geometry.sample_rate if geometry else getattr(codecs.audio, "sample_rate", None)
            try:
                if not isinstance(codecs, AV):
                    clip = first_window(media.read(item.path, mono=True, sample_rate=rate, **video), geometry)
                    result = through_pair(codecs, clip)
                else:
                    clip = media.read(item.path, mono=True, sample_rate=rate, **video)
                    result = through(codecs, clip)
            except ValueError as error:
                log.warning("left out: %s", error)
                continue
            media.write(true / name, clip, overwrite=True)
            media.write(made / name, result, overwrite=True)
            for folder in (made, true):
                (folder / name).with_suffix(".txt").write_text(item.caption + "\n")
        yield made, true


def load(codec: str) -> tuple[Any, Any]:
    """The codecs of a model as an AV, None where there is none of a stream, and the model's geometry, None for a single codec.

    Of a model with a joint codec, or of such a codec's own folder, that one and the geometry of its windows.

    Raises:
        ValueError: no such folder, or no codec in it.
    """
    import json

    from sonovid.codecs.base import AudioCodec, PairCodec, VideoCodec
    from sonovid.core.av import AV
    from sonovid.core.geometry import Geometry
    from sonovid.pipelines import loading as folders

    path = folders.locate(codec)
    if (path / folders.INDEX).is_file():
        index = folders.read_index(path)
        if (joint := index.get("joint_codec") or [None])[0]:
            return folders.load_component(path, "joint_codec", joint), Geometry.from_config(index["geometry"])
        parts = [folders.load_component(path, name, index[name]) for name in ("video_codec", "audio_codec")]
        return AV(*parts), Geometry.from_config(index["geometry"])
    if not (path / "config.json").is_file():
        raise ValueError(f"--reconstructions {codec}: neither a model ({folders.INDEX}) nor a codec (config.json) in that folder")
    kind = json.loads((path / "config.json").read_text()).get("_class_name", "")
    part = folders.load_component(path.parent, path.name, (_home(kind, codec), kind))
    if isinstance(part, PairCodec):
        own: Any = part
        return own, own.geometry
    if isinstance(part, AudioCodec):
        return AV(None, part), None
    if isinstance(part, VideoCodec):
        return AV(part, None), None
    raise ValueError(f"--reconstructions {codec}: {kind} is no codec")


def _home(kind: str, codec: str) -> str:
    """The module of one of this package's codecs, by the class's name."""
    from importlib import import_module
    from pkgutil import iter_modules

    from sonovid import codecs

    for module in iter_modules(codecs.__path__, "sonovid.codecs."):
        if hasattr(import_module(module.name), kind) and kind:
            return module.name
    raise ValueError(f"--reconstructions {codec}: its class {kind!r} is none of this package's codecs")


def first_window(clip: Any, geometry: Any) -> Any:
    """The first window of a clip at its size and rates.

    Raises:
        ValueError: the clip is shorter, or lacks a stream.
    """
    if clip.frames is None or clip.waveform is None:
        raise ValueError("a clip without pictures or without sound, and this codec takes both")
    if len(clip.frames) < geometry.num_frames or clip.waveform.shape[1] < geometry.num_samples:
        raise ValueError(
            f"a clip of {float(clip.seconds):g} s, shorter than this codec's windows of {float(geometry.seconds):g} s"
        )
    return replace(clip, frames=clip.frames[: geometry.num_frames], waveform=clip.waveform[:, : geometry.num_samples])


def through_pair(codec: Any, clip: Any) -> Any:
    """A clip of one window encoded and decoded by a codec of the pair."""
    import numpy as np
    import torch
    from einops import rearrange

    x = rearrange(torch.from_numpy(clip.frames), "t h w c -> 1 c t h w").float() / 127.5 - 1
    with torch.inference_mode():
        made = codec.decode(codec.encode(x, torch.from_numpy(clip.waveform[:1])), clip.waveform.shape[1])
    made = made.map(lambda y: y.float().clamp(-1, 1))
    frames = rearrange(((made.video + 1) * 127.5).round().to(torch.uint8), "1 c t h w -> t h w c").numpy()
    return replace(clip, frames=frames, waveform=np.ascontiguousarray(made.audio.numpy(), dtype=np.float32))


def through(codecs: Any, clip: Any) -> Any:
    """A clip encoded and decoded; a stream without a codec stays.

    Raises:
        ValueError: a clip that a codec cannot take.
    """
    import numpy as np
    import torch
    from einops import rearrange

    frames, waveform = clip.frames, clip.waveform
    with torch.inference_mode():
        if codecs.video is not None and frames is not None:
            x = rearrange(torch.from_numpy(frames), "t h w c -> 1 c t h w").float() / 127.5 - 1
            y = codecs.video.decode(codecs.video.encode(x)).clamp(-1, 1)
            frames = rearrange(((y + 1) * 127.5).round().to(torch.uint8), "1 c t h w -> t h w c").numpy()
            if frames.shape != clip.frames.shape:
                raise ValueError(f"frames of shape {clip.frames.shape} come back as {frames.shape}")
        if codecs.audio is not None and waveform is not None:
            x = torch.from_numpy(waveform[:1])
            made = codecs.audio.decode(codecs.audio.encode(x), x.shape[1]).clamp(-1, 1).numpy()
            waveform = np.ascontiguousarray(made, dtype=np.float32)
    return replace(clip, frames=frames, waveform=waveform)
