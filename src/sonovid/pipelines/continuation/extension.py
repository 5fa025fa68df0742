"""A long sounding video window by window, each made from the one before, in memory that does not grow with its length."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from sonovid.core.av import AV, Task
from sonovid.core.clip import Clip
from sonovid.core.geometry import duration
from sonovid.diffusion import sampler
from sonovid.pipelines.arguments import check_guidance_against, check_prompts, labels_to_indices, make_generators, positive_int
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
from sonovid.pipelines.generation import SOLVERS, Generation
from sonovid.pipelines.timeline import MediaInput
from sonovid.pipelines.windows import check_waveform, num_frames_for

HAND_OFFS = ("latents", "decoded")
KEEPS = ("both", "video", "audio")


@dataclass(frozen=True, kw_only=True)
class ContinuationSettings:
    """How a clip is gone on with.

    prompt, negative_prompt, label, num_inference_steps, guidance_scale, audio_guidance_scale, guidance_against: as in a call of
    the pipeline, the same for all windows. hand_off: what goes from window to window: "latents", those that were sampled, or
    "decoded": the last window of what was written, encoded again. overlap, reconstruction_scale: frames that two windows share, and how they are
    given, see `way_of`.
    """

    prompt: str | None = None
    negative_prompt: str | None = None
    label: str | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | int | None = None
    audio_guidance_scale: float | int | None = None
    guidance_against: str | None = None
    hand_off: str = "latents"
    overlap: int | None = None
    reconstruction_scale: float | int | None = DEFAULT_RECONSTRUCTION_SCALE


@dataclass(frozen=True)
class Chunk:
    """What one window brought, in order; put one after another, they are the long video.

    clip: the pictures and the sound that follow those of the window before, at the model's size and rates; both last equally
    long, to the nearest sample of the whole. begin: the first of its pictures, counted from the beginning. latents: final latents
    of the window that was sampled, None where it is a stretch of the given clip. join: how it meets what came before; None at the
    first.
    """

    clip: Clip
    begin: int
    latents: AV | None = None
    crossfade: CrossfadeReport | None = None


@dataclass(frozen=True)
class Segment:
    """Pictures float [t h w 3] in [0, 1] and sound float [n] in [-1, 1] of some frames."""

    frames: Tensor
    sound: Tensor

    def from_frame(self, frame: int, sample: int) -> "Stretch":
        """What follows frame and sample number."""
        return Segment(self.frames[frame:], self.sound[sample:])

    def to_frame(self, frame: int, sample: int) -> "Stretch":
        """What comes before frame and sample number."""
        return Segment(self.frames[:frame], self.sound[:sample])

    def then(self, other: "Stretch") -> "Stretch":
        """Both, one after the other."""
        return Segment(torch.cat([self.frames, other.frames]), torch.cat([self.sound, other.sound]))


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
) -> "Walk":
    """The windows of a video that begins with `clip`, or with nothing, and lasts `seconds` in all, to be iterated over once.

    What does not fit is said at once; windows are made when they are asked for.

    clip: a file or a Clip of at least one window's length; None: the first window is made too. keep: what of the clip is kept;
        with "video" or "audio" the other stream is made anew for it first, as it is where the clip lacks that stream.
    video, audio: one stream given for the whole length, beside which only the other goes on; of the clip that one is read.
    generator: a seed, or a torch.Generator from which all windows draw in turn. after_step: called after each sampling step.

    Raises:
        ValueError: a model that cannot go on, a clip shorter than a window or not shorter than `seconds`, a given stream shorter
            than `seconds`, or options that contradict each other.
    """
    settings = settings or ContinuationSettings()
    own = pipe.geometry
    way = select_strategy(pipe.denoiser, own, settings.overlap, settings.reconstruction_scale)
    if settings.hand_off not in HAND_OFFS or keep not in KEEPS:
        raise ValueError(f"hand_off={settings.hand_off!r}, keep={keep!r}: expected one of {HAND_OFFS}, and one of {KEEPS}")
    if not 0 < seconds < float("inf"):
        raise ValueError(f"seconds={seconds}: expected a length above zero")
    if video is not None and audio is not None:
        raise ValueError("video and audio are both given, so there is nothing to go on with: give one of them, or none")
    if keep != "both" and (clip is None or video is not None or audio is not None):
        raise ValueError(f"keep={keep!r}: it tells what of a clip is kept, whose two streams both go on")
    given = AV(
        None if video is None else SourceClip(video, own, audio=False),
        None if audio is None else SourceClip(audio, own, video=False),
    )
    total = num_frames_for(Fraction(seconds), own.fps)
    for name, source in zip(AV._fields, given, strict=True):
        if source is not None and source.num_frames < total:
            length = float(duration(source.num_frames, own.fps))
            raise ValueError(
                f"{name}: it lasts {length:g} s at {own.fps} frames per second, less than the {float(seconds):g} s asked"
            )
    start = None if clip is None else _starting_clip(pipe, clip, given, keep, settings, generator)
    if start is not None and start.num_frames < own.num_frames:
        length = float(duration(start.num_frames, own.fps))
        raise ValueError(f"a clip of {length:g} s: to go on from it this model needs a window, {float(own.seconds):g} s, or more")
    if start is not None and start.num_frames >= total:
        length = float(duration(start.num_frames, own.fps))
        raise ValueError(
            f"seconds={float(seconds):g}: the clip lasts {length:g} s already; give the length of the whole, clip included"
        )
    return ChunkIterator(pipe, settings, way, given, total, generator, start, after_step)


def _starting_clip(pipe: Any, clip: Any, given: AV, keep: str, settings: ContinuationSettings, generator: Any) -> SourceClip:
    """The clip with both streams: one that it lacks, or that is not kept, is given for the whole or made for the other.

    Raises:
        ValueError: the clip is too short, or lacks what is to be kept.
    """
    own = pipe.geometry
    start = SourceClip(clip, own, video=keep != "audio" and given.video is None, audio=keep != "video" and given.audio is None)
    if start.num_frames < own.num_frames or ((start.has_video or given.video) and (start.has_audio or given.audio)):
        return start
    made = pipe(
        settings.prompt,
        video=Clip(start.frames(0, start.num_frames), None, fps=own.fps) if start.has_video else None,
        audio=None if start.has_video else Clip(None, start.sound(0, start.num_frames)[None], sample_rate=own.sample_rate),
        negative_prompt=settings.negative_prompt,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        audio_guidance_scale=settings.audio_guidance_scale,
        label=settings.label,
        guidance_against=settings.guidance_against,
        generator=generator,
    ).clips[0]
    return SourceClip(replace(made, fps=own.fps), own)


class ChunkIterator:
    """From window to window: an iterator. What is kept of the past is two windows and the latents of the last.

    num_windows: how many are sampled. num_steps: sampling steps of each.
    """

    def __init__(
        self,
        pipe: Generation,
        settings: ContinuationSettings,
        way: ConditioningStrategy,
        given: AV,
        total: int,
        generator: "int | torch.Generator | None",
        start: SourceClip | None,
        after_step: Callable[[], Any] | None = None,
    ):
        self.pipe, self.settings, self.way, self.given, self.total = pipe, settings, way, given, total
        self.own, self.after_step = pipe.geometry, after_step
        (self.draw,), _ = make_generators(generator, 1)
        self.task = Task(given.map(lambda source: source is None))
        (words,) = check_prompts(settings.prompt, settings.negative_prompt, pipe.accepts_text)
        (label,) = labels_to_indices(settings.label, pipe.classes)
        steps = pipe.options["num_inference_steps"] if settings.num_inference_steps is None else settings.num_inference_steps
        self.num_steps = positive_int("num_inference_steps", steps)
        self.times = pipe.sampling_times(self.num_steps, pipe.options["gamma"])
        self.scale = pipe.guidance_scales(settings.guidance_scale, settings.audio_guidance_scale)
        self.against = check_guidance_against(settings.guidance_against or pipe.options["guidance_against"])
        self.told = pipe.guidance_conditions(words, settings.negative_prompt, self.task, label)
        for source in given:
            if source is not None and source.has_audio:
                check_waveform(source.heard[None])
        hop, begun = self.own.num_frames - way.overlap, way.overlap if start is None else start.num_frames
        self.num_windows = -(-max(total - begun, 1) // hop)
        self._windows = self._all(start)

    def __iter__(self) -> Iterator[Chunk]:
        return self._windows

    def _all(self, start: SourceClip | None) -> Iterator[Chunk]:
        """All of them, the given clip's own stretches first."""
        own, overlap = self.own, self.way.overlap
        past: Segment | None = None
        latents, at = None, 0
        if start is not None:
            at = start.num_frames - overlap
            for begin in range(0, at, own.num_frames):
                end = min(begin + own.num_frames, at)
                yield self._window(self._read(start, begin, end), begin)
            # Two windows of the past, as far as there are any: what joins are measured against, and what is encoded again.
            past = self._read(start, max(0, start.num_frames - 2 * own.num_frames), start.num_frames)
        while at < self.total - (overlap if past is not None else 0):
            before = self._before(past, latents, at + overlap)
            latents = self._sampled(at, before)
            now = self._decoded(latents, at)
            here, join = (now, None) if past is None else self._joined(past, now, at)
            end = min(self.total, at + own.num_frames)
            # What the next window fades into is held back.
            handed = end if end == self.total else end - overlap
            yield self._window(here.to_frame(handed - at, self._samples(at, handed)), at, latents, join)
            past = self._past(past, here, at)
            at = at + own.num_frames - overlap

    # --- one window --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _sampled(self, at: int, before: AV | None) -> AV:
        """Final latents of the window that begins at frame `at`."""
        pipe, end = self.pipe, at + self.own.num_frames
        given = AV(
            None if self.given.video is None else self._encoded(self.given.video.frames(at, end), None).video,
            None if self.given.audio is None else self._encoded(None, self.given.audio.sound(at, end)).audio,
        )
        noises = pipe.unit_noise(self.draw)
        with freeze_weights(pipe.denoiser):
            asked = WindowRequest(*self.told, given, self.scale, noises, self.against)
            denoise = self.way.denoise(pipe.guided_denoiser, asked, before)
            return sampler.sample(denoise, noises, pipe.schedule, self.times, SOLVERS[pipe.config.step], self._stepped)

    def _stepped(self, index: int, x: AV, x0: AV) -> None:
        if self.after_step is not None:
            self.after_step()

    @torch.no_grad()
    def _before(self, past: Segment | None, latents: AV | None, end: int) -> AV | None:
        """Latents of the window that ends at frame `end`: as they were sampled, or encoded from what came out."""
        if past is None:
            return None
        if latents is not None and self.settings.hand_off == "latents":
            return latents
        num_samples = self._samples(end - self.own.num_frames, end)
        frames = (past.frames[-self.own.num_frames :] * 255).round().to(torch.uint8).cpu().numpy()
        return self._encoded(frames, past.sound[-num_samples:].cpu().numpy())

    def _encoded(self, frames: np.ndarray | None, sound: np.ndarray | None) -> AV:
        """Final latents of a window's pictures or sound, or of both."""
        return self.pipe.encode_window(frames, None if sound is None else _fit_length(sound, self.own.num_samples))

    @torch.no_grad()
    def _decoded(self, latents: AV, at: int) -> Segment:
        """A window's pictures and sound, the given ones as they were given."""
        own, codec, end = self.own, self.pipe.codec, at + self.own.num_frames
        decoded = codec.decode(codec.unwhiten(latents), own.num_samples)
        frames = rearrange(decoded.video[:, :, : own.num_frames].float().clamp(-1, 1) * 0.5 + 0.5, "1 c t h w -> t h w c").cpu()
        sound = decoded.audio[0].float().clamp(-1, 1).cpu()
        if self.given.video is not None:
            frames = torch.from_numpy(self.given.video.frames(at, end)).float() / 255
        if self.given.audio is not None:
            sound = torch.from_numpy(self.given.audio.sound(at, end))
        return Segment(frames, torch.from_numpy(_fit_length(sound.numpy(), self._samples(at, end))))

    def _joined(self, past: Segment, now: Segment, at: int) -> tuple[Segment, CrossfadeReport]:
        """The window from its first frame on, where what came before goes over into it, and the steps that are left there."""
        own, overlap = self.own, self.way.overlap
        shared = self._samples(at, at + overlap)
        held, rest = past.from_frame(len(past.frames) - overlap, len(past.sound) - shared), now.from_frame(overlap, shared)
        if overlap:
            met = AV(crossfade_frames(held.frames, now.frames[:overlap]), crossfade_audio(held.sound, now.sound[:shared]))
            here = Segment(*self._but_given(met, now.to_frame(overlap, shared))).then(rest)
        else:
            met = AV(ease_in_frames(past.frames, now.frames), ease_in_audio(past.sound, now.sound, own.sample_rate))
            here = Segment(*self._but_given(met, now))
        gone = past.to_frame(len(past.frames) - overlap, len(past.sound) - shared)
        put = gone.then(here)
        first, sample = len(gone.frames), len(gone.sound)
        begin = float(duration(at, own.fps)) - sample / own.sample_rate
        place: Any = {"pictures": (first, first + overlap), "samples": (sample, sample + shared)}
        old, new, joined = ((one.frames, one.sound) for one in (past, now, put))
        return here, measure_crossfade(old, new, joined, own.sample_rate, **place, begin=begin)

    def _but_given(self, made: AV, now: Segment) -> AV:
        """What was made, but of a given stream what was given."""
        return made.map(lambda m, n, source: m if source is None else n, AV(now.frames, now.sound), self.given)

    def _past(self, past: Segment | None, here: Segment, at: int) -> Segment:
        """The last two windows up to now, whole."""
        if past is not None:
            shared = self._samples(at, at + self.way.overlap)
            gone = past.to_frame(len(past.frames) - self.way.overlap, len(past.sound) - shared)
            here = gone.then(here)
        end = at + self.own.num_frames
        begin = max(end - len(here.frames), end - 2 * self.own.num_frames)
        return here.from_frame(len(here.frames) - (end - begin), len(here.sound) - self._samples(begin, end))

    # --- in and out ---------------------------------------------------------------------------------------------------------

    def _read(self, start: SourceClip, begin: int, end: int) -> Segment:
        """A stretch of the given clip; a stream that is given for the whole length is taken from there."""
        video, audio = self.given.map(lambda source: source or start)
        return Segment(torch.from_numpy(video.frames(begin, end)).float() / 255, torch.from_numpy(audio.sound(begin, end)))

    def _window(self, stretch: Segment, begin: int, latents: AV | None = None, join: CrossfadeReport | None = None) -> Chunk:
        pictures = (stretch.frames * 255).round().to(torch.uint8).numpy()
        sound = stretch.sound[None].numpy().clip(-1, 1)
        caption = self.settings.prompt or ""
        clip = Clip(pictures, sound, fps=self.own.fps, sample_rate=self.own.sample_rate, caption=caption)
        return Chunk(clip, begin, latents, join)

    def _samples(self, begin: int, end: int) -> int:
        """Samples of the frames from `begin` to before `end`, so that all stretches together have as many as the whole."""
        return sample_index(end, self.own) - sample_index(begin, self.own)


def _fit_length(sound: np.ndarray, num_samples: int) -> np.ndarray:
    """A sound at most a sample too long or too short, at its length."""
    return np.pad(sound[:num_samples], (0, max(0, num_samples - len(sound))))
