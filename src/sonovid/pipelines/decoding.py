"""Decode latents to clips or arrays: windows are decoded in batches and crossfaded; input streams stay as they were passed."""

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
    """The result of a request. `SoundingVideoOutput` has the same fields.

    Args:
        latents: final latents, AV of [b c t h w] and [b c l f], the windows of a long clip concatenated on the time axis; None
            where clips have different numbers of windows.
        seeds: seed of each clip, None where the caller passed a generator.
        sampling_rate: of the audio, in samples per second.
        fps: frames per second, exactly.
        clips: frames and waveform of each clip; an input stream is the one that was passed.
        frames: float [b t h w 3] in [0, 1] as numpy array, [b t 3 h w] as tensor, or a list of PIL images for each clip.
        audio: float [b c n] in [-1, 1].
    """

    latents: AV | None
    seeds: list[int | None]
    sampling_rate: int
    fps: Fraction
    clips: list[Clip] | None = None
    frames: Any = None
    audio: Any = None

    def to_pair(self) -> tuple[Any, Any]:
        """(video, audio), whatever the output type."""
        if self.clips is not None:
            return [clip.frames for clip in self.clips], [clip.waveform for clip in self.clips]
        if self.frames is not None or self.audio is not None:
            return self.frames, self.audio
        assert self.latents is not None
        return self.latents.video, self.latents.audio


def decode_results(pipe: Any, plan: Any, latents: list[list[AV]], batch_size: int) -> GenerationResult:
    """Decode the latents of all clips to the requested output type.

    Args:
        pipe: the pipeline.
        plan: the `Plan` of the request.
        latents: latents [1 ...] of each window of each clip.
        batch_size: windows that the codec decodes at once.

    Raises:
        ValueError: the output type is an array, and the clips differ in length.
    """
    own, output_type = plan.geometry, plan.request.output_type
    result = GenerationResult(_concat_latents(latents), plan.seeds, own.sample_rate, own.fps)
    if output_type == "latent":
        if result.latents is None:
            raise ValueError('output_type="latent": the clips have different numbers of windows; request one clip at a time')
        return result
    decoded = _decode_windows(pipe, own, [window for clip in latents for window in clip], batch_size)
    streams, first = [], 0
    for clip, clip_latents in zip(plan.clips, latents, strict=True):
        timeline = plan.timelines[clip.input_index]
        streams.append(join_windows(timeline, own, decoded[first : first + len(clip_latents)]))
        first += len(clip_latents)
    if output_type == "clip":
        result.clips = [to_clip(pipe, plan, clip, pair) for clip, pair in zip(plan.clips, streams, strict=True)]
        return result
    try:
        frames, audio = (None if pairs[0] is None else torch.stack(pairs) for pairs in zip(*streams, strict=True))
    except RuntimeError:
        raise ValueError(f'output_type="{output_type}": the clips have different lengths; request "clip"') from None
    result.audio = None if audio is None else audio[:, None]
    result.frames = frames
    if output_type == "pt":
        result.frames = None if frames is None else rearrange(frames, "b t h w c -> b t c h w")
        return result
    result.audio = None if audio is None else result.audio.cpu().numpy()
    result.frames = None if frames is None else frames.cpu().numpy()
    if output_type == "pil" and result.frames is not None:
        from PIL import Image

        result.frames = [[Image.fromarray(one) for one in np.rint(clip * 255).astype(np.uint8)] for clip in result.frames]
    return result


def _concat_latents(latents: list[list[AV]]) -> AV | None:
    """Latents of all clips as one pair of tensors; None where clips have different numbers of windows."""
    if len({len(clip) for clip in latents}) > 1:
        return None
    return AV(*(torch.cat([torch.cat([x[i] for x in clip], dim=2) for clip in latents]) for i in range(2)))


def _decode_windows(pipe: Any, own: Geometry, latents: list[AV], batch_size: int) -> list[AV]:
    """Frames [t h w 3] in [0, 1] and waveform [n] in [-1, 1] of each window; None for a stream that is not generated."""
    generated = [one.map(lambda z, keep: z if keep else None, pipe.generated_streams) for one in latents]

    def decode(batch: list[AV]) -> list[AV]:
        decoded = pipe.codec.decode(pipe.codec.unwhiten(batching.cat_pairs(batch)), own.num_samples)
        frames = waveforms = [None] * len(batch)
        if decoded.video is not None:
            cut = decoded.video[:, :, : own.num_frames].float().clamp(-1, 1) * 0.5 + 0.5
            frames = rearrange(cut, "b c t h w -> b t h w c").unbind()
        if decoded.audio is not None:
            waveforms = decoded.audio.float().clamp(-1, 1).unbind()
        return [AV(*pair) for pair in zip(frames, waveforms, strict=True)]

    batches = [generated[first : first + batch_size] for first in range(0, len(generated), batch_size)]
    return [window for batch in batches for window in batching.split_on_oom(decode, batch)]


def join_windows(timeline: Timeline, own: Geometry, decoded: list[AV]) -> AV:
    """Crossfade the decoded windows of one clip and cut the result to the clip's length."""
    frames = waveform = None
    if decoded[0].video is not None:
        frames = windows.crossfade_windows([one.video for one in decoded], timeline.starts, axis=0, equal_power=False)
        frames = frames[: timeline.num_frames]
        frames = torch.cat([frames, frames[-1:].expand(timeline.num_frames - len(frames), -1, -1, -1)])
    if decoded[0].audio is not None:
        starts = [count(duration(start, own.fps), own.sample_rate) for start in timeline.starts]
        waveform = windows.crossfade_windows([one.audio for one in decoded], starts, axis=0, equal_power=True)
        waveform = waveform[: timeline.num_samples(own)].clamp(-1, 1)
        waveform = torch.nn.functional.pad(waveform, (0, timeline.num_samples(own) - len(waveform)))
    return AV(frames, waveform)


def to_clip(pipe: Any, plan: Any, clip: Any, streams: AV) -> Clip:
    """One result as a `Clip`. An input stream replaces its reconstruction.

    Args:
        pipe: the pipeline.
        plan: the `Plan` of the request.
        clip: the `ClipRequest` of this clip.
        streams: frames [t h w 3] in [0, 1] and waveform [n], as `join_windows` returns them.
    """
    own, timeline = plan.geometry, plan.timelines[clip.input_index]
    video: Tensor | None = streams.video
    frames, fps = None if video is None else (video * 255).round().to(torch.uint8).cpu().numpy(), own.fps
    waveform, rate = None if streams.audio is None else streams.audio[None].cpu().numpy().astype(np.float32), own.sample_rate
    source = timeline.source
    if source is not None and plan.task is Task.VIDEO_TO_AUDIO:
        fps = source.fps
        frames = source.frames[: windows.num_frames_for(timeline.seconds or source.seconds, fps)]
    if source is not None and plan.task is Task.AUDIO_TO_VIDEO:
        rate = source.sample_rate
        waveform = source.waveform[:, : count(timeline.seconds or source.seconds, rate)]
    label = "" if clip.label == NO_LABEL else pipe.classes.names[clip.label]
    return Clip(frames, waveform, fps=fps, sample_rate=rate, caption=clip.prompt, label=label)
