"""A job to files: the pipeline's call, its steps watched, and a clip with its preview for each result."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import sonovid
from sonovid import media
from sonovid.app.jobs import JobProgress
from sonovid.app.models import ModelCard
from sonovid.app.request import VideoRequest
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import count
from sonovid.media.preview import preview
from sonovid.provenance import Record, signed_file

STRIP_FRAMES, STRIP_HEIGHT = 6, 96
# Drawing emerging frames takes at most this share of the time.
MAX_PREVIEW_SHARE = 0.15


class JobStopped(Exception):
    """A job was deleted, or the server stops, while it was in progress."""


@dataclass
class StepCallback:
    """What happens after each sampling step: progress is noted, a stop is heeded, emerging frames are drawn for who looks."""

    live: JobProgress
    stopping: Callable[[], bool]
    _next: float = field(default=0.0, init=False)

    def check(self) -> None:
        """Raises Stopped where the job is to stop."""
        if self.live.stop.is_set() or self.stopping():
            raise JobStopped

    def step(self) -> None:
        """One step is done."""
        self.check()
        self.live.step += 1

    def __call__(self, pipe: Any, index: int, times: "AV | None", state: dict) -> dict:
        """The pipeline's `callback_on_step_end`."""
        self.step()
        start = time.monotonic()
        # Models of diffusers tell of their steps but not of what is foreseen.
        estimate = state.get("x0")
        if estimate is not None and self.live.is_watched and start >= self._next and estimate.video.shape[1]:
            self.live.frame_strip = frame_strip(decode_estimate(pipe, estimate))
            now = time.monotonic()
            self._next = now + (now - start) / MAX_PREVIEW_SHARE
        return {}


def generate_clips(pipe: Any, card: ModelCard, request: VideoRequest, sources: dict[str, Path], folder: Path, watch: StepCallback) -> list[dict]:
    """Write video-I.mp4 and preview-I.png for each clip I into `folder`; what is said of each.

    Raises:
        ValueError: what the pipeline refuses. Stopped: see `Watch`.
    """
    seconds, seed = request.length, request.seed or 0
    if not sources and seconds is not None and seconds > card.seconds:
        made = [_generate_long(pipe, request, seconds, folder / "video-0.mp4", watch)]
    else:
        made = _generate(pipe, card, request, sources, folder, watch)
    found = []
    for index, clip in enumerate(made):
        onsets = () if clip.waveform is None else _find_onsets(clip)
        preview(clip, events=onsets).save(folder / f"preview-{index}.png")
        found.append(describe_clip(folder / f"video-{index}.mp4") | {"index": index, "seed": seed + index})
        watch.check()
    return found


def _generate(pipe: Any, card: ModelCard, request: VideoRequest, sources: dict[str, Path], folder: Path, watch: StepCallback) -> list[Clip]:
    """Clips of one call of the pipeline, written."""
    video, audio = sources.get("source_video"), sources.get("source_audio")
    watch.live.steps = request.count * _count_windows(card, video or audio) * (request.num_inference_steps or card.steps)
    seed = request.seed or 0
    result = pipe(
        request.prompt,
        video=video,
        audio=audio,
        negative_prompt=request.negative_prompt,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        audio_guidance_scale=request.audio_guidance_scale,
        num_outputs_per_prompt=request.count,
        seconds=request.length,
        generator=seed,
        label=request.label,
        callback_on_step_end=watch,
    )
    for index, clip in enumerate(result.clips):
        out, record = folder / f"video-{index}.mp4", provenance_record(request, pipe, seed + index, sources)
        options: dict[str, Any] = {"overwrite": True, "metadata": record.to_metadata()}
        with signed_file(out, record, ingredient=video or audio, overwrite=True) as path:
            if video is not None:
                media.mux(video, clip.waveform, clip.sample_rate, path, **options)
            elif audio is not None:
                media.replace_video(audio, clip.frames, clip.fps, path, **options)
            else:
                media.write(path, clip, **options)
    return result.clips


def _generate_long(pipe: Any, request: VideoRequest, seconds: Fraction, out: Path, watch: StepCallback) -> Clip:
    """One clip of several windows, each made from the one before, written as it is made."""
    from sonovid.pipelines.continuation import ContinuationSettings, extend

    settings = ContinuationSettings(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        label=request.label,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        audio_guidance_scale=request.audio_guidance_scale,
    )
    walk = extend(pipe, seconds=seconds, settings=settings, generator=request.seed or 0, after_step=watch.step)
    watch.live.steps = walk.num_windows * walk.num_steps
    own = pipe.geometry
    record = provenance_record(request, pipe, request.seed or 0, {})
    rates: dict[str, Any] = {"fps": own.fps, "size": (own.height, own.width), "sample_rate": own.sample_rate, "channels": 1}
    with (
        signed_file(out, record, overwrite=True) as path,
        media.open_writer(path, **rates, overwrite=True, metadata=record.to_metadata()) as pieces,
    ):
        for window in walk:
            pieces.add(window.clip.frames, window.clip.waveform)
            if watch.live.is_watched and window.clip.frames is not None:
                watch.live.frame_strip = frame_strip(window.clip.frames)
    return media.read(out)


def _count_windows(card: ModelCard, given: Path | None) -> int:
    """How many windows of the model a given file takes."""
    from sonovid.pipelines.windows import window_starts

    if given is None:
        return 1
    return len(window_starts(max(1, count(media.probe(given).duration, card.fps)), card.num_frames))


def describe_clip(path: Path) -> dict[str, Any]:
    """What a finished file holds, exactly: rates as fractions in text, pictures and samples counted."""
    clip_info, sound = media.probe(path), media.read(path, video=False)
    assert clip_info.size is not None
    assert sound.waveform is not None
    height, width = clip_info.size
    return {
        "size": f"{width}x{height}",
        "fps": str(clip_info.fps),
        "num_frames": clip_info.num_frames,
        "sample_rate": sound.sample_rate,
        "num_samples": sound.waveform.shape[1],
        "channels": len(sound.waveform),
        "duration_s": float(clip_info.duration),
        "bytes": path.stat().st_size,
    }


def provenance_record(request: VideoRequest, pipe: Any, seed: int, sources: dict[str, Path]) -> Record:
    """What is written into a file: that it is generated, which stream is, by what, and how to make it again.

    Names of uploaded files are the server's own, so a given stream has none.
    """
    return Record(
        video="source_video" not in sources,
        audio="source_audio" not in sources,
        model=request.model or "shipped",
        system=pipe.config.system,
        version=sonovid.__version__,
        seed=seed,
        steps=request.num_inference_steps or pipe.options["num_inference_steps"],
        prompt=request.prompt or "",
        label=request.label or "",
        given="uploaded file" if {"source_video", "source_audio"} & set(sources) else "",
    )


def decode_estimate(pipe: Any, x0: AV) -> np.ndarray:
    """Frames uint8 [t h w 3] of the clean video latents [1 c t h w] that a step foresees."""
    from einops import rearrange

    decoded = pipe.codec.decode(pipe.codec.unwhiten(AV(x0.video, None)), pipe.geometry.num_samples).video
    frames = (decoded[:, :, : pipe.geometry.num_frames].float().clamp(-1, 1) * 127.5 + 127.5).round()
    return rearrange(frames, "1 c t h w -> t h w c").byte().cpu().numpy()


def frame_strip(frames: np.ndarray) -> bytes:
    """Some of the frames uint8 [t h w 3] in a row, as JPEG."""
    chosen = frames[np.linspace(0, len(frames) - 1, min(STRIP_FRAMES, len(frames))).round().astype(int)]
    height, width = frames.shape[1:3]
    wide = max(1, round(width * STRIP_HEIGHT / height))
    row = Image.new("RGB", (wide * len(chosen), STRIP_HEIGHT))
    for place, frame in enumerate(chosen):
        row.paste(Image.fromarray(frame).resize((wide, STRIP_HEIGHT)), (place * wide, 0))
    held = io.BytesIO()
    row.save(held, "JPEG", quality=80)
    return held.getvalue()


def _find_onsets(clip: Clip) -> list[float]:
    """Times at which a sound sets in, in seconds."""
    from sonovid.metrics.alignment import sound_onsets

    assert clip.waveform is not None
    return sound_onsets(clip.waveform.mean(0).astype(float), clip.sample_rate).tolist()
