"""Cosmos 3 (NVIDIA, 2026), checkpoints with audio: both streams from text, and audio for a video."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sonovid.core.av import Task
from sonovid.pipelines.foreign import diffusers_loading
from sonovid.pipelines.foreign.base import Capabilities, Request, Streams, to_uint8, to_waveform


class Cosmos3:
    """Cosmos 3. An input video conditions every latent frame."""

    classes = ("Cosmos3OmniPipeline",)
    capabilities = Capabilities(
        family="Cosmos 3",
        since={Task.JOINT: "0.39", Task.VIDEO_TO_AUDIO: "0.39"},
        size=(720, 1280),
        multiple=16,
        num_frames=189,
        stride=4,
        offset=1,
        seconds=(Fraction(5, 24), Fraction(15)),
        sample_rate=48000,
        channels=2,
        num_inference_steps=35,
        guidance="one",
        image=True,
        example="nvidia/Cosmos3-Nano",
        notes=("Its guardrail (pip install cosmos_guardrail) is part of the model's licence.",),
    )

    def load(self, folder: Path, index: Mapping[str, Any], dtype: torch.dtype | None) -> Any:
        """See `Family.load`.

        Raises:
            ValueError: the checkpoint generates no audio.
        """
        import diffusers

        if "sound_tokenizer" not in diffusers_loading.component_entries(index):
            raise ValueError(f"model {folder}: this Cosmos 3 checkpoint generates no audio; use one with a sound_tokenizer")
        return diffusers_loading.from_folder(diffusers.Cosmos3OmniPipeline, folder, index, dtype)

    def sample_rate(self, pipe: Any) -> int:
        """See `Family.sample_rate`."""
        return int(pipe.sound_tokenizer.config.sampling_rate)

    def generate(self, pipe: Any, request: Request) -> Streams:
        """See `Family.generate`."""
        diffusers_loading.check_arguments(pipe.__call__, request.extra, self.capabilities.family)
        call = {**request.guided, "fps": float(request.fps), "enable_sound": True}
        if request.image is not None:
            call["image"] = request.image
        if request.frames is not None:
            latent_frames = (request.num_frames - 1) // pipe.vae_scale_factor_temporal + 1
            call["video"] = [Image.fromarray(frame) for frame in request.frames]
            call["condition_frame_indexes_vision"] = range(latent_frames)
        out = pipe(**{**call, **request.extra})
        return Streams(to_uint8(out.video), to_waveform(out.sound), self.sample_rate(pipe))
