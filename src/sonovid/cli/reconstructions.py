"""Reconstructions of a reference by the codecs of a model, for sonovid evaluate --reconstructions."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


@contextmanager
def reconstruct_clips(
    codec: str, reference: str, *, keep: "str | None" = None, quiet: bool = True
) -> Iterator[tuple[Path, Path]]:
    """Encode and decode the clips of a reference with a model's codecs.

    With a single codec only its stream is reconstructed, and the other is kept. A joint codec with fixed windows (MM-LDM) gets
    the first window of each clip.

    Args:
        codec: A model's folder, "packaged", a Hub repository, or the folder of one codec.
        reference: A folder of clips, a list or a dataset.
        keep: Folder where both sets stay, in subfolders made (reconstructions) and true; None: they are temporary.
        quiet: Whether to show no progress bar.

    Yields:
        Two folders of lossless clips: the reconstructions, and their originals at the model's size and rates.

    Raises:
        ValueError: no codec there, or no clip in the reference that it can take.
    """
    from sonovid import media
    from sonovid.core import progress
    from sonovid.core.av import AV
    from sonovid.metrics.sets import open_set

    codecs, geometry = load_codecs(codec)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(keep) if keep else Path(temporary)
        reconstructed, original = root / "made", root / "true"
        for folder in (reconstructed, original):
            folder.mkdir(parents=True, exist_ok=True)
        found = open_set(reference)
        for item in progress.bar(found.items, desc="reconstructions", unit="clip", quiet=quiet):
            name = item.name.replace("/", "-") + ".mkv"
            video = {"fps": geometry.fps, "size": (geometry.height, geometry.width)} if geometry else {}
            rate = geometry.sample_rate if geometry else getattr(codecs.audio, "sample_rate", None)
            try:
                if not isinstance(codecs, AV):
                    clip = first_window(media.read(item.path, mono=True, sample_rate=rate, **video), geometry)
                    result = reconstruct_jointly(codecs, clip)
                else:
                    clip = media.read(item.path, mono=True, sample_rate=rate, **video)
                    result = reconstruct_streams(codecs, clip)
            except ValueError as error:
                log.warning("skipped: %s", error)
                continue
            media.write(original / name, clip, overwrite=True)
            media.write(reconstructed / name, result, overwrite=True)
            for folder in (reconstructed, original):
                (folder / name).with_suffix(".txt").write_text(item.caption + "\n")
        yield reconstructed, original


def load_codecs(codec: str) -> tuple[Any, Any]:
    """Load the codecs and the geometry of a model or of a single codec.

    Returns:
        The codecs as an AV, with None for a missing stream, and the model's geometry, None for a single codec. For a joint codec:
        that codec and the geometry of its windows.

    Raises:
        ValueError: no such folder, or no codec in it.
    """
    import json

    from sonovid.codecs.base import AudioCodec, PairCodec, VideoCodec
    from sonovid.core.av import AV
    from sonovid.core.geometry import Geometry
    from sonovid.pipelines import loading

    path = loading.locate(codec)
    if (path / loading.INDEX).is_file():
        index = loading.read_index(path)
        if (joint := index.get("joint_codec") or [None])[0]:
            return loading.load_component(path, "joint_codec", joint), Geometry.from_config(index["geometry"])
        parts = [loading.load_component(path, name, index[name]) for name in ("video_codec", "audio_codec")]
        return AV(*parts), Geometry.from_config(index["geometry"])
    if not (path / "config.json").is_file():
        raise ValueError(f"--reconstructions {codec}: neither a model ({loading.INDEX}) nor a codec (config.json) in that folder")
    kind = json.loads((path / "config.json").read_text()).get("_class_name", "")
    part = loading.load_component(path.parent, path.name, (_codec_module(kind, codec), kind))
    if isinstance(part, PairCodec):
        own: Any = part
        return own, own.geometry
    if isinstance(part, AudioCodec):
        return AV(None, part), None
    if isinstance(part, VideoCodec):
        return AV(part, None), None
    raise ValueError(f"--reconstructions {codec}: {kind} is not a codec")


def _codec_module(kind: str, codec: str) -> str:
    """The module of one of this package's codecs by its class name."""
    from importlib import import_module
    from pkgutil import iter_modules

    from sonovid import codecs

    for module in iter_modules(codecs.__path__, "sonovid.codecs."):
        if hasattr(import_module(module.name), kind) and kind:
            return module.name
    raise ValueError(f"--reconstructions {codec}: its class {kind!r} is none of this package's codecs")


def first_window(clip: Any, geometry: Any) -> Any:
    """The first window of a clip at the codec's size and rates.

    Raises:
        ValueError: the clip is shorter, or lacks a stream.
    """
    if clip.frames is None or clip.waveform is None:
        raise ValueError("a clip without frames or without sound, and this codec needs both")
    if len(clip.frames) < geometry.num_frames or clip.waveform.shape[1] < geometry.num_samples:
        raise ValueError(
            f"a clip of {float(clip.seconds):g} s, shorter than this codec's windows of {float(geometry.seconds):g} s"
        )
    return replace(clip, frames=clip.frames[: geometry.num_frames], waveform=clip.waveform[:, : geometry.num_samples])


def reconstruct_jointly(codec: Any, clip: Any) -> Any:
    """A clip of one window encoded and decoded by a joint codec."""
    import numpy as np
    import torch
    from einops import rearrange

    x = rearrange(torch.from_numpy(clip.frames), "t h w c -> 1 c t h w").float() / 127.5 - 1
    with torch.inference_mode():
        reconstructed = codec.decode(codec.encode(x, torch.from_numpy(clip.waveform[:1])), clip.waveform.shape[1])
    reconstructed = reconstructed.map(lambda y: y.float().clamp(-1, 1))
    frames = rearrange(((reconstructed.video + 1) * 127.5).round().to(torch.uint8), "1 c t h w -> t h w c").numpy()
    return replace(clip, frames=frames, waveform=np.ascontiguousarray(reconstructed.audio.numpy(), dtype=np.float32))


def reconstruct_streams(codecs: Any, clip: Any) -> Any:
    """A clip encoded and decoded by separate codecs. A stream without a codec is unchanged.

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
            reconstructed = codecs.audio.decode(codecs.audio.encode(x), x.shape[1]).clamp(-1, 1).numpy()
            waveform = np.ascontiguousarray(reconstructed, dtype=np.float32)
    return replace(clip, frames=frames, waveform=waveform)
