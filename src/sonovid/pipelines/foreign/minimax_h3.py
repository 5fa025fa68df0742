"""MiniMax-H3 (MiniMax, 2026): both streams from text. A modular pipeline: diffusers has no `DiffusionPipeline` of it."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from sonovid.core.av import Task
from sonovid.pipelines import loading
from sonovid.pipelines.foreign import diffusers_loading
from sonovid.pipelines.foreign.base import Capabilities, Request, Streams, to_uint8, to_waveform

WORKFLOW = "t2va"
TEXT_TOKEN_TYPE = 0  # Token type of text in Qwen3-VL; images and videos have others.


class TextOnlyProcessor:
    """The part of Qwen3-VL's processor that text alone needs. The processor itself needs torchvision."""

    def create_mm_token_type_ids(self, sequences: Sequence[Sequence[int]]) -> list[list[int]]:
        """The type of each token: text."""
        return [[TEXT_TOKEN_TYPE] * len(tokens) for tokens in sequences]


class MiniMaxH3:
    """MiniMax-H3, workflow t2va. Guidance is distilled into the weights. Each stream has its own schedule (shifts 12 and 3)."""

    classes = ("MiniMaxH3ModularPipeline",)
    capabilities = Capabilities(
        family="MiniMax-H3",
        since={Task.JOINT: "0.40"},
        size=(768, 1344),
        multiple=32,
        num_frames=124,
        stride=17,
        offset=5,
        seconds=(Fraction(5), Fraction(15)),
        sample_rate=32000,
        channels=2,
        num_inference_steps=50,
        guidance="none",
        image=False,
        fixed_fps=True,
        example="MiniMaxAI/MiniMax-H3",
        notes=(
            "Guidance is distilled into the weights: a scale or a negative prompt is refused.",
            "FastH3's weights take 4 or 8 steps.",
        ),
    )

    def load(self, folder: Path, index: Mapping[str, Any], dtype: torch.dtype | None) -> Any:
        """See `Family.load`. All components are loaded from this folder, whatever repositories its index names.

        Raises:
            ValueError: a component is missing or damaged, or comes from an unknown library.
        """
        from diffusers.modular_pipelines import MiniMaxH3Blocks

        named = diffusers_loading.check_components(folder, index)
        pipe = MiniMaxH3Blocks().get_workflow(WORKFLOW).init_pipeline()
        parts: dict[str, Any] = {}
        for name in pipe.null_component_names:
            if name == "processor":
                parts[name] = TextOnlyProcessor()
                continue
            if name not in named:
                raise ValueError(f"model {folder}: {loading.MODULAR_INDEX} lacks {name}")
            parts[name] = self._component(folder, name, named[name][1], dtype)
        pipe.update_components(**parts)
        return pipe

    def _component(self, folder: Path, name: str, kind: str, dtype: torch.dtype | None) -> Any:
        import diffusers
        import transformers

        cls = getattr(diffusers, kind, None) or getattr(transformers, kind, None)
        if cls is None:
            raise ValueError(f"model {folder}: {name} is {kind}, which the installed diffusers and transformers do not have")
        is_network = issubclass(cls, torch.nn.Module)
        options: dict[str, Any] = {**diffusers_loading.dtype_option(dtype), "use_safetensors": True} if is_network else {}
        try:
            part = cls.from_pretrained(str(folder / name), local_files_only=True, **options)
        except Exception as error:
            what = diffusers_loading.find_damage(folder, {name: ["", kind]}) or loading.short_message(error)
            raise ValueError(f"model {folder}: {name} cannot be loaded: {what}") from error
        if is_network:
            part.eval()
            diffusers_loading.check_parameters(part, folder / name)
        return part

    def sample_rate(self, pipe: Any) -> int:
        """See `Family.sample_rate`."""
        return int(pipe.audio_sampling_rate)

    def generate(self, pipe: Any, request: Request) -> Streams:
        """See `Family.generate`."""
        known = {item.name for item in pipe.blocks.inputs}
        if unknown := sorted(set(request.extra) - known):
            takes = ", ".join(sorted(filter(None, known)))
            raise TypeError(f"MiniMax-H3: no argument {', '.join(unknown)}; its own call takes {takes}")
        with torch.no_grad():
            state = pipe(**{**request.common, **request.extra})
        return Streams(to_uint8(state.get("videos")[0]), to_waveform(state.get("audio")[0]), int(state.get("sampling_rate")))
