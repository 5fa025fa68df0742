"""Extend a clip window by window, each conditioned on the one before, with constant memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from sonovid.core import renamed
from sonovid.core.av import AV, Task
from sonovid.core.clip import Clip
from sonovid.core.geometry import duration
from sonovid.diffusion import sampler
from sonovid.pipelines.arguments import (
    check_guidance_against,
    check_prompts,
    labels_to_indices,
    make_generators,
    positive_int,
)
from sonovid.pipelines.components import SOLVERS
from sonovid.pipelines.continuation.conditioning import (
    DEFAULT_RECONSTRUCTION_SCALE,
    ConditioningStrategy,
    WindowRequest,
    select_strategy,
)
from sonovid.pipelines.continuation.crossfade import (
    CrossfadeReport,
    crossfade_audio,
    crossfade_frames,
    ease_in_audio,
    ease_in_frames,
    measure_crossfade,
)
from sonovid.pipelines.continuation.source import SourceClip, sample_index
from sonovid.pipelines.denoising import freeze_weights
from sonovid.pipelines.generation import Generation
from sonovid.pipelines.inputs import MediaInput
from sonovid.pipelines.windows import check_waveform, num_frames_for

HAND_OFFS = ("latents", "decoded")
KEEPS = ("both", "video", "audio")


@dataclass(frozen=True, kw_only=True)
class ContinuationSettings:
    """How a clip is extended.

    Args:
        prompt, negative_prompt, label, num_inference_steps, guidance_scale, audio_guidance_scale, guidance_against,
            guidance_interval: as in a call of the pipeline; the same for all windows.
        hand_off: what a window is conditioned on: "latents", the sampled latents of the previous window, or "decoded", the
            previous window of the output, encoded again.
        overlap: frames that two windows share, see `select_strategy`.
        reconstruction_scale: how the shared frames enter, see `OverlapConditioning`.
    """

    prompt: str | None = None
    negative_prompt: str | None = None
    label: str | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | int | None = None
    audio_guidance_scale: float | int | None = None
    guidance_against: str | None = None
    guidance_interval: Sequence[float | int] | None = None
    hand_off: str = "latents"
    overlap: int | None = None
    reconstruction_scale: float | int | None = DEFAULT_RECONSTRUCTION_SCALE


@dataclass(frozen=True)
class Chunk:
    """What one window adds to the video. The chunks, concatenated, are the whole video.

    Args:
        clip: frames and audio at the model's size and rates. The streams end together, to the nearest sample of the whole.
        begin: index of the first frame in the whole video.
        latents: final latents of the window; None for a part of the input clip.
        crossfade: discontinuities at the join with what came before; None for the first window and for the input clip.
    """

    clip: Clip
    begin: int
    latents: AV | None = None
    crossfade: CrossfadeReport | None = None

    @property
    def join(self) -> CrossfadeReport | None:
        """Deprecated name of `crossfade`."""
        renamed.warn_renamed("Chunk.join", "crossfade")
        return self.crossfade


@dataclass(frozen=True)
class Segment:
    """Frames float [t h w 3] in [0, 1] and the waveform float [n] in [-1, 1] that goes with them."""

    frames: Tensor
    waveform: Tensor

    def after(self, frame: int, sample: int) -> "Segment":
        """The part from frame `frame` and sample `sample` on."""
        return Segment(self.frames[frame:], self.waveform[sample:])

    def before(self, frame: int, sample: int) -> "Segment":
        """The part before frame `frame` and sample `sample`."""
        return Segment(self.frames[:frame], self.waveform[:sample])

    def concat(self, other: "Segment") -> "Segment":
        """This segment followed by `other`."""
        return Segment(torch.cat([self.frames, other.frames]), torch.cat([self.waveform, other.waveform]))


def extend(
    pipe: Generation,
    clip: MediaInput = None,
    *,
    seconds: "Fraction | float | int",
    video: MediaInput = None,
    audio: MediaInput = None,
    keep: str = "both",
    settings: ContinuationSettings | None = None,
    generator: "int | torch.Generator | None" = None,
    after_step: Callable[[], Any] | None = None,
) -> "ChunkIterator":
    """Extend a clip, or generate a long one, chunk by chunk.

    Arguments are checked at once; windows are sampled when the iterator reaches them.

    Args:
        pipe: a pipeline whose model supports continuation.
        clip: the clip to extend, a file or a `Clip` of at least one window; None: the first window is generated too.
        seconds: length of the whole video, including `clip`.
        video: a conditioning stream for the whole length; only the audio is generated, and of `clip` only the audio is read.
        audio: likewise; only the video is generated.
        keep: which streams of `clip` are kept. With "video" or "audio" the other stream is first generated for it, as it is where
            `clip` lacks that stream.
        settings: see `ContinuationSettings`.
        generator: a seed, or a torch.Generator from which all windows draw in turn.
        after_step: called after each sampling step.

    Returns:
        An iterator over `Chunk`s, which can be iterated over once.

    Raises:
        ValueError: a model without continuation, a clip shorter than a window or not shorter than `seconds`, a conditioning
            stream shorter than `seconds`, or options that contradict each other.
    """
    settings = settings or ContinuationSettings()
    own = pipe.geometry
    latent_frames = pipe.codec.latent_shapes(own).video[1]
    strategy = select_strategy(pipe.denoiser, own, settings.overlap, settings.reconstruction_scale, latent_frames)
    if settings.hand_off not in HAND_OFFS or keep not in KEEPS:
        raise ValueError(f"hand_off={settings.hand_off!r}, keep={keep!r}: expected one of {HAND_OFFS}, and one of {KEEPS}")
    if not 0 < seconds < float("inf"):
        raise ValueError(f"seconds={seconds}: expected a length above zero")
    if video is not None and audio is not None:
        raise ValueError("video and audio are both given, so there is nothing to generate: pass one of them, or none")
    if keep != "both" and (clip is None or video is not None or audio is not None):
        raise ValueError(f"keep={keep!r} applies only to an input clip without a conditioning stream (video or audio)")
    conditioning = AV(
        None if video is None else SourceClip(video, own, audio=False),
        None if audio is None else SourceClip(audio, own, video=False),
    )
    total = num_frames_for(Fraction(seconds), own.fps)
    for name, source in zip(AV._fields, conditioning, strict=True):
        if source is not None and source.num_frames < total:
            length = float(duration(source.num_frames, own.fps))
            raise ValueError(
                f"{name}: it lasts {length:g} s at {own.fps} frames per second, less than the {float(seconds):g} s requested"
            )
    start = None if clip is None else _starting_clip(pipe, clip, conditioning, keep, settings, generator)
    if start is not None and start.num_frames < own.num_frames:
        length = float(duration(start.num_frames, own.fps))
        raise ValueError(f"a clip of {length:g} s: to extend it, this model needs a window, {float(own.seconds):g} s, or more")
    if start is not None and start.num_frames >= total:
        length = float(duration(start.num_frames, own.fps))
        raise ValueError(
            f"seconds={float(seconds):g}: the clip lasts {length:g} s already; pass the length of the whole, clip included"
        )
    return ChunkIterator(pipe, settings, strategy, conditioning, total, generator, start, after_step)


def _starting_clip(
    pipe: Any, clip: Any, conditioning: AV, keep: str, settings: ContinuationSettings, generator: Any
) -> SourceClip:
    """The input clip with both streams: a stream that it lacks, or that is not kept, is generated for it.

    Raises:
        ValueError: the clip is too short, or lacks the stream to keep.
    """
    own = pipe.geometry
    use_video, use_audio = keep != "audio" and conditioning.video is None, keep != "video" and conditioning.audio is None
    start = SourceClip(clip, own, video=use_video, audio=use_audio)
    has_both = (start.has_video or conditioning.video) and (start.has_audio or conditioning.audio)
    if start.num_frames < own.num_frames or has_both:
        return start
    completed = pipe(
        settings.prompt,
        video=Clip(start.frames(0, start.num_frames), None, fps=own.fps) if start.has_video else None,
        audio=None if start.has_video else Clip(None, start.audio(0, start.num_frames)[None], sample_rate=own.sample_rate),
        negative_prompt=settings.negative_prompt,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        audio_guidance_scale=settings.audio_guidance_scale,
        label=settings.label,
        guidance_against=settings.guidance_against,
        guidance_interval=settings.guidance_interval,
        generator=generator,
    ).clips[0]
    return SourceClip(replace(completed, fps=own.fps), own)


class ChunkIterator:
    """Iterates over the chunks of a video. It keeps two windows of the past and the latents of the last one.

    `extend` documents the arguments.

    Attributes:
        num_windows: number of windows that are sampled.
        num_steps: sampling steps of each window.
    """

    def __init__(
        self,
        pipe: Generation,
        settings: ContinuationSettings,
        strategy: ConditioningStrategy,
        conditioning: AV,
        total: int,
        generator: "int | torch.Generator | None",
        start: SourceClip | None,
        after_step: Callable[[], Any] | None = None,
    ):
        self.pipe, self.settings, self.strategy, self.conditioning, self.total = pipe, settings, strategy, conditioning, total
        self.own, self.after_step = pipe.geometry, after_step
        (self.generator,), _ = make_generators(generator, 1)
        self.task = Task(conditioning.map(lambda source: source is None))
        (prompt,) = check_prompts(settings.prompt, settings.negative_prompt, pipe.accepts_text)
        (label,) = labels_to_indices(settings.label, pipe.classes)
        steps = pipe.options["num_inference_steps"] if settings.num_inference_steps is None else settings.num_inference_steps
        self.num_steps = positive_int("num_inference_steps", steps)
        self.times = pipe.sampling_times(self.num_steps, pipe.options["gamma"])
        self.guidance_scale = pipe.guidance_scales(settings.guidance_scale, settings.audio_guidance_scale)
        self.guidance_against = check_guidance_against(settings.guidance_against or pipe.options["guidance_against"])
        self.guidance_interval = pipe.guidance_interval(settings.guidance_interval)
        self.conditions = pipe.guidance_conditions(prompt, settings.negative_prompt, self.task, label)
        for source in conditioning:
            if source is not None and source.has_audio:
                check_waveform(source.waveform[None])
        hop, first = self.own.num_frames - strategy.overlap, strategy.overlap if start is None else start.num_frames
        self.num_windows = -(-max(total - first, 1) // hop)
        self._chunks = self._generate_chunks(start)

    def __iter__(self) -> Iterator[Chunk]:
        return self._chunks

    def _generate_chunks(self, start: SourceClip | None) -> Iterator[Chunk]:
        """All chunks: first those of the input clip, then one for each sampled window."""
        own, overlap = self.own, self.strategy.overlap
        past: Segment | None = None
        latents, at = None, 0
        if start is not None:
            at = start.num_frames - overlap
            for begin in range(0, at, own.num_frames):
                end = min(begin + own.num_frames, at)
                yield self._to_chunk(self._read(start, begin, end), begin)
            # At most two windows of the past: the reference for the join, and the window that is encoded again.
            past = self._read(start, max(0, start.num_frames - 2 * own.num_frames), start.num_frames)
        while at < self.total - (overlap if past is not None else 0):
            previous = self._previous_latents(past, latents, at + overlap)
            latents = self._sample_window(at, previous)
            window = self._decode_window(latents, at)
            segment, crossfade = (window, None) if past is None else self._join(past, window, at)
            end = min(self.total, at + own.num_frames)
            # The overlap with the next window is held back until it has been crossfaded.
            complete = end if end == self.total else end - overlap
            yield self._to_chunk(segment.before(complete - at, self._num_samples(at, complete)), at, latents, crossfade)
            past = self._last_two_windows(past, segment, at)
            at = at + own.num_frames - overlap

    # --- sampling one window -----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _sample_window(self, at: int, previous: AV | None) -> AV:
        """Final latents of the window that begins at frame `at`.

        Args:
            at: first frame of the window.
            previous: latents of the previous window, or None.
        """
        pipe, end = self.pipe, at + self.own.num_frames
        conditioning = AV(
            None if self.conditioning.video is None else self._encode(self.conditioning.video.frames(at, end), None).video,
            None if self.conditioning.audio is None else self._encode(None, self.conditioning.audio.audio(at, end)).audio,
        )
        noise = pipe.unit_noise(self.generator)
        with freeze_weights(pipe.denoiser):
            request = WindowRequest(*self.conditions, conditioning, self.guidance_scale, noise, self.guidance_against)
            step, observe = sampler.resolve_step(SOLVERS[pipe.config.step], noise)
            builder = replace(pipe.denoiser_builder, guidance_interval=self.guidance_interval, observe=observe)
            denoise = self.strategy.build_denoiser(builder, request, previous)
            return sampler.sample(denoise, noise, pipe.schedule, self.times, step, self._on_step)

    def _on_step(self, index: int, x: AV, x0: AV) -> None:
        if self.after_step is not None:
            self.after_step()

    @torch.no_grad()
    def _previous_latents(self, past: Segment | None, latents: AV | None, end: int) -> AV | None:
        """Latents of the window that ends at frame `end`: as they were sampled, or encoded from the output."""
        if past is None:
            return None
        if latents is not None and self.settings.hand_off == "latents":
            return latents
        num_samples = self._num_samples(end - self.own.num_frames, end)
        frames = (past.frames[-self.own.num_frames :] * 255).round().to(torch.uint8).cpu().numpy()
        return self._encode(frames, past.waveform[-num_samples:].cpu().numpy())

    def _encode(self, frames: np.ndarray | None, waveform: np.ndarray | None) -> AV:
        """Latents of a window's frames, audio, or both."""
        return self.pipe.encode_window(frames, None if waveform is None else _fit_length(waveform, self.own.num_samples))

    @torch.no_grad()
    def _decode_window(self, latents: AV, at: int) -> Segment:
        """The decoded window; a conditioning stream is the one that was passed."""
        own, codec, end = self.own, self.pipe.codec, at + self.own.num_frames
        decoded = codec.decode(codec.unwhiten(latents), own.num_samples)
        frames = rearrange(decoded.video[:, :, : own.num_frames].float().clamp(-1, 1) * 0.5 + 0.5, "1 c t h w -> t h w c").cpu()
        waveform = decoded.audio[0].float().clamp(-1, 1).cpu()
        if self.conditioning.video is not None:
            frames = torch.from_numpy(self.conditioning.video.frames(at, end)).float() / 255
        if self.conditioning.audio is not None:
            waveform = torch.from_numpy(self.conditioning.audio.audio(at, end))
        return Segment(frames, torch.from_numpy(_fit_length(waveform.numpy(), self._num_samples(at, end))))

    # --- joining windows ---------------------------------------------------------------------------------------------------

    def _join(self, past: Segment, window: Segment, at: int) -> tuple[Segment, CrossfadeReport]:
        """Crossfade the past into a window, or ease the window in; returns the window's part and the discontinuities."""
        own, overlap = self.own, self.strategy.overlap
        shared = self._num_samples(at, at + overlap)
        split = (len(past.frames) - overlap, len(past.waveform) - shared)
        if overlap:
            old, new = past.after(*split), window.before(overlap, shared)
            mixed = AV(crossfade_frames(old.frames, new.frames), crossfade_audio(old.waveform, new.waveform))
            segment = self._restore_conditioning(mixed, new).concat(window.after(overlap, shared))
        else:
            eased = AV(ease_in_frames(past.frames, window.frames), ease_in_audio(past.waveform, window.waveform, own.sample_rate))
            segment = self._restore_conditioning(eased, window)
        kept = past.before(*split)
        first, sample = len(kept.frames), len(kept.waveform)
        old_pair, new_pair, joined = ((one.frames, one.waveform) for one in (past, window, kept.concat(segment)))
        return segment, measure_crossfade(
            old_pair,
            new_pair,
            joined,
            own.sample_rate,
            frames=(first, first + overlap),
            samples=(sample, sample + shared),
            begin=float(duration(at, own.fps)) - sample / own.sample_rate,
        )

    def _restore_conditioning(self, mixed: AV, window: Segment) -> Segment:
        """The mixed streams, with a conditioning stream replaced by the one that was passed."""
        passed = AV(window.frames, window.waveform)
        return Segment(*mixed.map(lambda m, w, source: m if source is None else w, passed, self.conditioning))

    def _last_two_windows(self, past: Segment | None, segment: Segment, at: int) -> Segment:
        """The last two windows of the output up to the end of `segment`."""
        if past is not None:
            shared = self._num_samples(at, at + self.strategy.overlap)
            segment = past.before(len(past.frames) - self.strategy.overlap, len(past.waveform) - shared).concat(segment)
        end = at + self.own.num_frames
        begin = max(end - len(segment.frames), end - 2 * self.own.num_frames)
        return segment.after(len(segment.frames) - (end - begin), len(segment.waveform) - self._num_samples(begin, end))

    # --- input and output --------------------------------------------------------------------------------------------------

    def _read(self, start: SourceClip, begin: int, end: int) -> Segment:
        """A part of the input clip, with the conditioning stream in place of its own."""
        video, audio = self.conditioning.map(lambda source: source or start)
        return Segment(torch.from_numpy(video.frames(begin, end)).float() / 255, torch.from_numpy(audio.audio(begin, end)))

    def _to_chunk(
        self, segment: Segment, begin: int, latents: AV | None = None, crossfade: CrossfadeReport | None = None
    ) -> Chunk:
        frames = (segment.frames * 255).round().to(torch.uint8).numpy()
        waveform = segment.waveform[None].numpy().clip(-1, 1)
        caption = self.settings.prompt or ""
        clip = Clip(frames, waveform, fps=self.own.fps, sample_rate=self.own.sample_rate, caption=caption)
        return Chunk(clip, begin, latents, crossfade)

    def _num_samples(self, begin: int, end: int) -> int:
        """Samples of frames `begin` to `end`. These numbers add up to the samples of the whole video."""
        return sample_index(end, self.own) - sample_index(begin, self.own)


def _fit_length(waveform: np.ndarray, num_samples: int) -> np.ndarray:
    """Trim or zero-pad a waveform whose length differs by at most one sample."""
    return np.pad(waveform[:num_samples], (0, max(0, num_samples - len(waveform))))
