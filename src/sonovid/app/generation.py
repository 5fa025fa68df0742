"""Generates the files of a job: calls the pipeline, reports its steps, and writes clips and previews."""

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
from sonovid.app.settings import PACKAGED_MODEL
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import count
from sonovid.media.preview import preview
from sonovid.provenance import Record, signed_file

STRIP_FRAMES, STRIP_HEIGHT = 6, 96
# The largest share of the time that drawing intermediate frames takes.
MAX_PREVIEW_SHARE = 0.15


class JobStopped(Exception):
    """Raised in a job that was deleted or whose server stops."""


@dataclass
class StepCallback:
    """The pipeline's step callback: counts steps, stops the job on request, and draws intermediate frames while someone watches.

    Args:
        live: The progress of the job.
        stopping: Whether the server stops.
    """

    live: JobProgress
    stopping: Callable[[], bool]
    _next: float = field(default=0.0, init=False)

    def check(self) -> None:
        """Check for a request to stop.

        Raises:
            JobStopped: the job was deleted, or the server stops.
        """
        if self.live.stop.is_set() or self.stopping():
            raise JobStopped

    def step(self) -> None:
        """Count one sampling step."""
        self.check()
        self.live.step += 1

    def __call__(self, pipe: Any, index: int, times: "AV | None", state: dict) -> dict:
        """Called by the pipeline as `callback_on_step_end`."""
        self.step()
        start = time.monotonic()
        # Pipelines of diffusers report their steps without x0.
        estimate = state.get("x0")
        if estimate is not None and self.live.is_watched and start >= self._next and estimate.video.shape[1]:
            self.live.frame_strip = frame_strip(decode_estimate(pipe, estimate))
            now = time.monotonic()
            self._next = now + (now - start) / MAX_PREVIEW_SHARE
        return {}


def generate_clips(
    pipe: Any, card: ModelCard, request: VideoRequest, sources: dict[str, Path], folder: Path, callback: StepCallback
) -> list[dict]:
    """Generate the clips of a job and write video-I.mp4 and preview-I.png for each clip I.

    Args:
        pipe: The pipeline.
        card: The model's card.
        request: A validated request.
        sources: The uploaded conditioning file by field name, or nothing.
        folder: The job's folder.
        callback: Called after each sampling step.

    Returns:
        A description of each clip, see `describe_clip`.

    Raises:
        ValueError: what the pipeline refuses.
        JobStopped: see `StepCallback`.
    """
    seconds, seed = request.length, request.seed or 0
    if not sources and seconds is not None and seconds > card.seconds:
        clips = [_generate_long(pipe, request, seconds, folder / "video-0.mp4", callback)]
    else:
        clips = _generate(pipe, card, request, sources, folder, callback)
    found = []
    for index, clip in enumerate(clips):
        onsets = () if clip.waveform is None else _find_onsets(clip)
        preview(clip, events=onsets).save(folder / f"preview-{index}.png")
        found.append(describe_clip(folder / f"video-{index}.mp4") | {"index": index, "seed": seed + index})
        callback.check()
    return found


def _generate(
    pipe: Any, card: ModelCard, request: VideoRequest, sources: dict[str, Path], folder: Path, callback: StepCallback
) -> list[Clip]:
    """Generate and write clips with one call of the pipeline."""
    video, audio = sources.get("source_video"), sources.get("source_audio")
    callback.live.steps = request.count * _count_windows(card, video or audio) * (request.num_inference_steps or card.steps)
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
        callback_on_step_end=callback,
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


def _generate_long(pipe: Any, request: VideoRequest, seconds: Fraction, out: Path, callback: StepCallback) -> Clip:
    """Generate one clip of several windows and write it window by window."""
    from sonovid.pipelines.continuation import ContinuationSettings, extend

    settings = ContinuationSettings(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        label=request.label,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        audio_guidance_scale=request.audio_guidance_scale,
    )
    windows = extend(pipe, seconds=seconds, settings=settings, generator=request.seed or 0, after_step=callback.step)
    callback.live.steps = windows.num_windows * windows.num_steps
    geometry = pipe.geometry
    record = provenance_record(request, pipe, request.seed or 0, {})
    options: dict[str, Any] = {
        "fps": geometry.fps,
        "size": (geometry.height, geometry.width),
        "sample_rate": geometry.sample_rate,
        "channels": 1,
    }
    with (
        signed_file(out, record, overwrite=True) as path,
        media.open_writer(path, **options, overwrite=True, metadata=record.to_metadata()) as writer,
    ):
        for window in windows:
            writer.add(window.clip.frames, window.clip.waveform)
            if callback.live.is_watched and window.clip.frames is not None:
                callback.live.frame_strip = frame_strip(window.clip.frames)
    return media.read(out)


def _count_windows(card: ModelCard, source: Path | None) -> int:
    """The number of model windows that a conditioning file takes, 1 without one."""
    from sonovid.pipelines.windows import window_starts

    if source is None:
        return 1
    return len(window_starts(max(1, count(media.probe(source).duration, card.fps)), card.num_frames))


def describe_clip(path: Path) -> dict[str, Any]:
    """Exact properties of a finished file: rates as fractions in text, numbers of frames and samples."""
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
    """The `provenance.Record` that is written into a file.

    Uploads are stored under names of the server's own, so that their original names are not recorded.
    """
    return Record(
        video="source_video" not in sources,
        audio="source_audio" not in sources,
        model=request.model or PACKAGED_MODEL,
        system=pipe.config.system,
        version=sonovid.__version__,
        seed=seed,
        steps=request.num_inference_steps or pipe.options["num_inference_steps"],
        prompt=request.prompt or "",
        label=request.label or "",
        given="uploaded file" if {"source_video", "source_audio"} & set(sources) else "",
    )


def decode_estimate(pipe: Any, x0: AV) -> np.ndarray:
    """Decode the video of a step's prediction of the clean latents.

    Args:
        pipe: The pipeline.
        x0: Predicted latents, video [1 c t h w].

    Returns:
        Frames uint8 [t h w 3].
    """
    from einops import rearrange

    decoded = pipe.codec.decode(pipe.codec.unwhiten(AV(x0.video, None)), pipe.geometry.num_samples).video
    frames = (decoded[:, :, : pipe.geometry.num_frames].float().clamp(-1, 1) * 127.5 + 127.5).round()
    return rearrange(frames, "1 c t h w -> t h w c").byte().cpu().numpy()


def frame_strip(frames: np.ndarray) -> bytes:
    """Up to `STRIP_FRAMES` of the frames uint8 [t h w 3] in a row, as JPEG bytes."""
    chosen = frames[np.linspace(0, len(frames) - 1, min(STRIP_FRAMES, len(frames))).round().astype(int)]
    height, width = frames.shape[1:3]
    tile_width = max(1, round(width * STRIP_HEIGHT / height))
    row = Image.new("RGB", (tile_width * len(chosen), STRIP_HEIGHT))
    for index, frame in enumerate(chosen):
        row.paste(Image.fromarray(frame).resize((tile_width, STRIP_HEIGHT)), (index * tile_width, 0))
    buffer = io.BytesIO()
    row.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _find_onsets(clip: Clip) -> list[float]:
    """Onset times of the sound, in seconds."""
    from sonovid.metrics.alignment import sound_onsets

    assert clip.waveform is not None
    return sound_onsets(clip.waveform.mean(0).astype(float), clip.sample_rate).tolist()
