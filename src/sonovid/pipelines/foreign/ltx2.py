"""LTX-2 (Lightricks, 2026), all releases: both streams from text, audio for a video, video for an audio.

Source: arXiv 2601.03233; the pipelines of diffusers.
"""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sonovid.core.av import Task
from sonovid.core.geometry import count, duration
from sonovid.media.audio import pad_or_trim, resample_audio
from sonovid.pipelines.foreign import diffusers_loading
from sonovid.pipelines.foreign.base import Capabilities, Request, Streams, to_uint8, to_waveform
from sonovid.pipelines.foreign.mel import LTX2Mel

# The block whose attention the default spatio-temporal guidance skips; smaller networks do not have it.
GUIDANCE_BLOCK = 28


class LTX2:
    """LTX-2, LTX-2.3 and LTX-2.5.

    Audio for a video uses `LTX2ConditionPipeline` with all frames as one condition of strength 1. Video for an audio uses
    `LTX2DFRPipeline` with frozen audio latents. Both keep the input latents bit-identical.
    """

    classes = (
        "LTX2Pipeline",
        "LTX2ImageToVideoPipeline",
        "LTX2ConditionPipeline",
        "LTX2InContextPipeline",
        "LTX2DFRPipeline",
    )
    capabilities = Capabilities(
        family="LTX-2",
        since={Task.JOINT: "0.37", Task.VIDEO_TO_AUDIO: "0.37", Task.AUDIO_TO_VIDEO: "0.41"},
        size=(512, 768),
        multiple=32,
        num_frames=121,
        stride=8,
        offset=1,
        seconds=(Fraction(9, 24), Fraction(20)),
        sample_rate=24000,
        channels=2,
        num_inference_steps=30,
        guidance="both",
        image=True,
        example="Lightricks/LTX-2",
        notes=(
            "Distilled weights take 8 steps and guidance 1.",
            "Video for an audio runs without guidance and is meant for distilled weights (LTX-2.5).",
            "Audio for a video uses the joint model; Lightricks' Foley LoRA (--lora) was trained for it.",
        ),
    )

    def load(self, folder: Path, index: Mapping[str, Any], dtype: torch.dtype | None) -> Any:
        """See `Family.load`."""
        import diffusers

        return diffusers_loading.from_folder(getattr(diffusers, index["_class_name"]), folder, index, dtype)

    def sample_rate(self, pipe: Any) -> int:
        """See `Family.sample_rate`."""
        return int(pipe.vocoder.config.output_sampling_rate)

    def generate(self, pipe: Any, request: Request) -> Streams:
        """See `Family.generate`."""
        import diffusers

        if request.waveform is not None or (request.frames is None and isinstance(pipe, diffusers.LTX2DFRPipeline)):
            inner, call = diffusers_loading.convert_pipeline(diffusers.LTX2DFRPipeline, pipe), self._distilled_call(pipe, request)
        elif request.frames is not None or request.image is not None:
            inner, call = (
                diffusers_loading.convert_pipeline(diffusers.LTX2ConditionPipeline, pipe),
                self._guided_call(pipe, request),
            )
            call["conditions"] = [video_condition(request.image if request.frames is None else request.frames)]
        else:
            inner, call = diffusers_loading.convert_pipeline(diffusers.LTX2Pipeline, pipe), self._guided_call(pipe, request)
        diffusers_loading.check_arguments(inner.__call__, request.extra, self.capabilities.family)
        out = inner(**{**call, **request.extra})
        return Streams(to_uint8(out.frames[0]), to_waveform(out.audio[0]), self.sample_rate(pipe))

    def _guided_call(self, pipe: Any, request: Request) -> dict[str, Any]:
        call = {**request.guided, "frame_rate": float(request.fps)}
        if request.audio_guidance_scale is not None:
            call["audio_guidance_scale"] = float(request.audio_guidance_scale)
        if pipe.transformer.config.num_layers <= GUIDANCE_BLOCK and "spatio_temporal_guidance_blocks" not in request.extra:
            call |= {"stg_scale": 0.0, "audio_stg_scale": 0.0}
        return call

    def _distilled_call(self, pipe: Any, request: Request) -> dict[str, Any]:
        """Arguments of the pipeline without guidance: its own schedule of eight steps, or evenly spaced steps on request."""
        call = request.guided
        for name in ("negative_prompt", "guidance_scale"):
            call.pop(name, None)
        steps = call.pop("num_inference_steps", None)
        call["frame_rate"] = float(request.fps)
        call["generate_slots"] = bool(pipe.transformer.config.get("use_keyframes_abs_pos_embedding"))
        if steps is not None:
            call["sigmas"] = np.linspace(1, 1 / steps, steps).tolist()
        if request.waveform is not None:
            call |= {"audio_latents": encode_audio(pipe, request), "freeze_audio": True}
        return call


def video_condition(frames: Any) -> Any:
    """A condition of strength 1 from the first frame on.

    Frames must be uint8: `LTX2VideoCondition` silently assumes floats to be in [0, 255].

    Raises:
        ValueError: an array of another dtype.
    """
    from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

    if isinstance(frames, np.ndarray) and frames.dtype != np.uint8:
        raise ValueError(f"frames of {frames.dtype}: expected uint8; the range of floats is ambiguous")
    return LTX2VideoCondition(frames=frames, index=0, strength=1.0)


def encode_audio(pipe: Any, request: Request) -> Float[Tensor, "1 c l m"]:
    """Latents of the input audio for the length of the frames, before whitening."""
    assert request.waveform is not None
    config = pipe.audio_vae.config
    mel = LTX2Mel(config.sample_rate, config.mel_hop_length, config.mel_bins)
    per_second = Fraction(config.sample_rate, config.mel_hop_length * pipe.audio_vae_temporal_compression_ratio)
    length = max(2, count(duration(request.num_frames, request.fps), per_second))
    waveform = request.waveform if len(request.waveform) == 2 else np.repeat(request.waveform[:1], 2, axis=0)
    waveform = resample_audio(waveform, request.sample_rate, config.sample_rate)
    # The causal encoder maps 4 (l - 1) + 1 mel frames to l latents.
    frames = pipe.audio_vae_temporal_compression_ratio * (length - 1) + 1
    spectrogram = mel(torch.from_numpy(pad_or_trim(waveform, (frames - 1) * config.mel_hop_length)))
    spectrogram = spectrogram.to(pipe._execution_device, pipe.audio_vae.dtype)
    return pipe.audio_vae.encode(spectrogram[None]).latent_dist.mode()
