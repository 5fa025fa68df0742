"""From latents to what was asked for: decoded in batches, windows joined, given streams put back as they were given."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from sonovid.core.av import AV, Task
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry, count, duration
from sonovid.core.labels import NO_LABEL
from sonovid.pipelines import batching, windows
from sonovid.pipelines.timeline import Timeline


@dataclass
class GenerationResult:
    """What a request leads to.

    clips: pictures and sound of each clip; what was given is in them as it was given. frames: float [b t h w 3] in [0, 1] as
    numpy array, [b t 3 h w] as tensor, or a list of PIL images for each clip. audio: float [b c n] in [-1, 1]. latents: final
    latents, AV of [b c t h w] and [b c l f], the windows of a long clip one after another on the time axis; None where clips have
    different numbers of windows. seeds: of each clip, None where a generator was given. sampling_rate: of the sound, in samples
    per second. fps: frames per second, exactly.
    """

    latents: AV | None
    seeds: list[int | None]
    sampling_rate: int
    fps: Fraction
    clips: list[Clip] | None = None
    frames: Any = None
    audio: Any = None

    def pair(self) -> tuple[Any, Any]:
        """(video, audio), whatever the output type."""
        if self.clips is not None:
            return [clip.frames for clip in self.clips], [clip.waveform for clip in self.clips]
        if self.frames is not None or self.audio is not None:
            return self.frames, self.audio
        assert self.latents is not None
        return self.latents.video, self.latents.audio


def decode_results(pipe: Any, plan: Any, latents: list[list[AV]], size: int) -> GenerationResult:
    """Latents of each window of each clip to what was asked for. size: windows that a codec takes at once.

    Raises:
        ValueError: arrays are asked for, and clips are of different lengths.
    """
    own, kind = plan.geometry, plan.request.output_type
    result = GenerationResult(_concat_latents(latents), plan.seeds, own.sample_rate, own.fps)
    if kind == "latent":
        if result.latents is None:
            raise ValueError('output_type="latent": the clips have different numbers of windows; ask for one of them at a time')
        return result
    pieces = _decode_windows(pipe, own, [window for clip in latents for window in clip], size)
    made, first = [], 0
    for one, clip in zip(plan.asked, latents, strict=True):
        extent = plan.extents[one.given]
        made.append(join_windows(extent, own, pieces[first : first + len(clip)]))
        first += len(clip)
    if kind == "clip":
        result.clips = [to_clip(pipe, plan, one, pair) for one, pair in zip(plan.asked, made, strict=True)]
        return result
    try:
        frames, audio = (None if streams[0] is None else torch.stack(streams) for streams in zip(*made, strict=True))
    except RuntimeError:
        raise ValueError(f'output_type="{kind}": the clips have different lengths; ask for "clip"') from None
    result.audio = None if audio is None else audio[:, None]
    result.frames = frames
    if kind == "pt":
        result.frames = None if frames is None else rearrange(frames, "b t h w c -> b t c h w")
        return result
    result.audio = None if audio is None else result.audio.cpu().numpy()
    result.frames = None if frames is None else frames.cpu().numpy()
    if kind == "pil" and result.frames is not None:
        from PIL import Image

        result.frames = [[Image.fromarray(one) for one in np.rint(clip * 255).astype(np.uint8)] for clip in result.frames]
    return result


def _concat_latents(latents: list[list[AV]]) -> AV | None:
    """Latents of all clips as one pair of tensors; None where they do not have one shape."""
    if len({len(clip) for clip in latents}) > 1:
        return None
    return AV(*(torch.cat([torch.cat([x[i] for x in clip], dim=2) for clip in latents]) for i in range(2)))


def _decode_windows(pipe: Any, own: Geometry, latents: list[AV], size: int) -> list[AV]:
    """Pictures [t h w 3] in [0, 1] and sound [n] in [-1, 1] of each window; None for a stream that the model does not make."""
    there = [one.map(lambda z, made: z if made else None, pipe.generated_streams) for one in latents]

    def run(part: list[AV]) -> list[AV]:
        found = pipe.codec.decode(pipe.codec.unwhiten(batching.cat_pairs(part)), own.num_samples)
        frames = sound = [None] * len(part)
        if found.video is not None:
            cut = found.video[:, :, : own.num_frames].float().clamp(-1, 1) * 0.5 + 0.5
            frames = rearrange(cut, "b c t h w -> b t h w c").unbind()
        if found.audio is not None:
            sound = found.audio.float().clamp(-1, 1).unbind()
        return [AV(*pair) for pair in zip(frames, sound, strict=True)]

    parts = [there[first : first + size] for first in range(0, len(there), size)]
    return [piece for part in parts for piece in batching.split_on_oom(run, part)]


def join_windows(extent: Timeline, own: Geometry, pieces: list[AV]) -> AV:
    """The windows of one clip joined and cut to its length."""
    frames = sound = None
    if pieces[0].video is not None:
        frames = windows.crossfade_windows([one.video for one in pieces], extent.starts, axis=0, equal_power=False)[
            : extent.num_frames
        ]
        frames = torch.cat([frames, frames[-1:].expand(extent.num_frames - len(frames), -1, -1, -1)])
    if pieces[0].audio is not None:
        at = [count(duration(begin, own.fps), own.sample_rate) for begin in extent.starts]
        sound = windows.crossfade_windows([one.audio for one in pieces], at, axis=0, equal_power=True)
        sound = sound[: extent.num_samples(own)].clamp(-1, 1)
        sound = torch.nn.functional.pad(sound, (0, extent.num_samples(own) - len(sound)))
    return AV(frames, sound)


def to_clip(pipe: Any, plan: Any, asked: Any, made: AV) -> Clip:
    """One result as a Clip, with the given stream as it was given."""
    own, extent = plan.geometry, plan.extents[asked.given]
    frames: Tensor | None = made.video
    pictures, fps = None if frames is None else (frames * 255).round().to(torch.uint8).cpu().numpy(), own.fps
    waveform, rate = None if made.audio is None else made.audio[None].cpu().numpy().astype(np.float32), own.sample_rate
    source = extent.source
    if source is not None and plan.task is Task.VIDEO_TO_AUDIO:
        fps = source.fps
        pictures = source.frames[: windows.num_frames_for(extent.seconds or source.seconds, fps)]
    if source is not None and plan.task is Task.AUDIO_TO_VIDEO:
        rate = source.sample_rate
        waveform = source.waveform[:, : count(extent.seconds or source.seconds, rate)]
    label = "" if asked.label == NO_LABEL else pipe.classes.names[asked.label]
    return Clip(pictures, waveform, fps=fps, sample_rate=rate, caption=asked.prompt, label=label)
