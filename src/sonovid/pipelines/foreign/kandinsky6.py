"""Kandinsky 6 Video (Kandinsky Lab, 2026, arXiv 2610.05608): both streams from text, with or without a first frame."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from sonovid.core.av import Task
from sonovid.pipelines.foreign import diffusers_loading
from sonovid.pipelines.foreign.base import Capabilities, Request, Streams, to_uint8, to_waveform


class Kandinsky6:
    """Kandinsky 6 Lite and Pro. Both streams share one timestep, so neither can be an input."""

    classes = ("Kandinsky6TI2VAPipeline",)
    capabilities = Capabilities(
        family="Kandinsky 6",
        since={Task.JOINT: "0.42"},
        size=(512, 768),
        multiple=16,
        num_frames=121,
        stride=4,
        offset=1,
        seconds=(Fraction(5, 24), Fraction(5) + Fraction(1, 24)),
        sample_rate=44100,
        channels=1,
        num_inference_steps=50,
        guidance="one",
        image=True,
        example="kandinskylab/Kandinsky-6.0-Pro-distill-5s-Diffusers",
        notes=("Distilled weights take 16 steps and guidance 1.",),
    )

    def load(self, folder: Path, index: Mapping[str, Any], dtype: torch.dtype | None) -> Any:
        """See `Family.load`. The processor of Qwen2.5-VL needs torchvision; without it, its tokenizer is loaded instead."""
        import diffusers
        from transformers import AutoTokenizer
        from transformers.utils import is_torchvision_available

        parts = {}
        if (
            diffusers_loading.component_entries(index).get("tokenizer", ("", ""))[1].endswith("Processor")
            and not is_torchvision_available()
        ):
            parts["tokenizer"] = AutoTokenizer.from_pretrained(
                str(folder / "tokenizer"), local_files_only=True, trust_remote_code=False
            )
        return diffusers_loading.from_folder(diffusers.Kandinsky6TI2VAPipeline, folder, index, dtype, **parts)

    def sample_rate(self, pipe: Any) -> int:
        """See `Family.sample_rate`."""
        return int(pipe.audio_sample_rate)

    def generate(self, pipe: Any, request: Request) -> Streams:
        """See `Family.generate`."""
        diffusers_loading.check_arguments(pipe.__call__, request.extra, self.capabilities.family)
        call = {**request.guided, "frame_rate": float(request.fps), "sample_audio": True}
        if request.image is not None:
            call["image"] = request.image
        out = pipe(**{**call, **request.extra})
        return Streams(to_uint8(out.frames[0]), to_waveform(out.audio[0]), self.sample_rate(pipe))
