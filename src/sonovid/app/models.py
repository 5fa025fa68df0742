"""The models of a server: their properties, and their pipelines, loaded once per device."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from sonovid.app.errors import RequestError
from sonovid.pipelines import packaged

MAX_LOADED = 2  # Pipelines that stay loaded on each device.


@dataclass(frozen=True)
class ModelCard:
    """The properties of a model.

    Args:
        id: Its name in requests: a folder's name without its path, or a repository.
        system: Its family, such as uniform.
        seconds: Exact duration of one window.
        fps: Frames per second.
        num_frames: Frames of one window.
        width: Frame width in pixels.
        height: Frame height in pixels.
        sample_rate: Sample rate in Hz.
        steps: Default number of sampling steps.
        guidance_scale: Default guidance scale of the video; None: unknown.
        audio_guidance_scale: Default guidance scale of the audio; None: unknown.
        accepts_prompt: Whether it is conditioned on text.
        accepts_sources: Whether it can be conditioned on a video or a sound.
        can_extend: Whether it generates clips of more than one window.
        labels: The classes that it knows.
    """

    id: str
    system: str
    seconds: Fraction
    fps: Fraction
    num_frames: int
    width: int
    height: int
    sample_rate: int
    steps: int
    guidance_scale: float | None
    audio_guidance_scale: float | None
    accepts_prompt: bool = True
    accepts_sources: bool = True
    can_extend: bool = False
    labels: tuple[str, ...] = ()

    @property
    def size(self) -> str:
        """WIDTHxHEIGHT."""
        return f"{self.width}x{self.height}"

    def to_json(self) -> dict[str, Any]:
        """The model in the format of /v1/models, with fractions as text."""
        return {
            "id": self.id,
            "object": "model",
            "created": 0,
            "owned_by": "sonovid",
            "system": self.system,
            "seconds": str(self.seconds),
            "fps": str(self.fps),
            "num_frames": self.num_frames,
            "size": self.size,
            "sample_rate": self.sample_rate,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance_scale,
            "audio_guidance_scale": self.audio_guidance_scale,
            "takes_prompt": self.accepts_prompt,
            "takes_source_video": self.accepts_sources,
            "takes_source_audio": self.accepts_sources,
            "longer_than_seconds": self.can_extend,
            "labels": list(self.labels),
        }


def build_model_card(name: str, pipe: Any) -> ModelCard:
    """The card of a pipeline."""
    own, options = pipe.geometry, pipe.options
    return ModelCard(
        id=name,
        system=pipe.config.system,
        seconds=own.seconds,
        fps=own.fps,
        num_frames=own.num_frames,
        width=own.width,
        height=own.height,
        sample_rate=own.sample_rate,
        steps=options["num_inference_steps"],
        guidance_scale=_optional_float(options.get("guidance_scale")),
        audio_guidance_scale=_optional_float(options.get("audio_guidance_scale")),
        accepts_prompt=bool(pipe.accepts_text),
        accepts_sources=all(pipe.generated_streams),
        can_extend=_can_extend(pipe),
        labels=tuple(pipe.classes.names),
    )


def _optional_float(value: Any) -> float | None:
    """A guidance scale, or None if the pipeline has no default."""
    return None if value is None else float(value)


def _can_extend(pipe: Any) -> bool:
    """Whether the model can generate more than one window."""
    from sonovid.pipelines.continuation.conditioning import select_strategy

    if not hasattr(pipe, "denoiser"):
        return False  # A pipeline of diffusers, which generates single clips.
    try:
        select_strategy(pipe.denoiser, pipe.geometry, latent_frames=pipe.codec.latent_shapes(pipe.geometry).video[1])
    except ValueError:
        return False
    return True


def name_models(models: Sequence[str]) -> dict[str, str]:
    """The models by the names that clients use: a folder's last part, or the repository."""
    found: dict[str, str] = {}
    for model in models:
        base = model if packaged.is_packaged(model) or not Path(model).is_dir() else Path(model).resolve().name
        name, number = base, 2
        while name in found:
            name, number = f"{base}-{number}", number + 1
        found[name] = model
    return found


class Models:
    """The models of a server. All are loaded once at the start, so that a wrong name fails then.

    Args:
        models: Folders or Hub repositories, the default first.
        devices: The devices of the workers.
        dtype: Dtype of the networks.
    """

    def __init__(self, models: Sequence[str], devices: Sequence[str], dtype: str = "float32"):
        self.sources, self.dtype = name_models(models), dtype
        self._loaded: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._lock = threading.Lock()
        # The default is loaded last, so that it stays loaded.
        cards = {name: build_model_card(name, self.pipeline(name, devices[0])) for name in reversed(self.sources)}
        self.cards = {name: cards[name] for name in self.sources}

    @property
    def default(self) -> ModelCard:
        """The card of the first model."""
        return next(iter(self.cards.values()))

    def card(self, name: str | None) -> ModelCard:
        """A model's card by name; None: the default.

        Raises:
            RequestError: no such model.
        """
        if name is None:
            return self.default
        name = name if name in self.cards else packaged.FORMER_NAMES.get(name, name)
        if name not in self.cards:
            raise RequestError(f"model={name!r}: not offered here; expected one of {', '.join(self.cards)}", param="model")
        return self.cards[name]

    def pipeline(self, name: str, device: str) -> Any:
        """The pipeline of a model on a device. `MAX_LOADED` pipelines stay loaded per device."""
        import torch

        from sonovid.pipelines.pipeline import SoundingVideoPipeline

        with self._lock:
            if (name, device) in self._loaded:
                self._loaded.move_to_end((name, device))
                return self._loaded[name, device]
            place = self.sources[name]
            pipe = SoundingVideoPipeline.from_pretrained(place)
            pipe.to(device, getattr(torch, self.dtype))
            pipe.set_progress_bar_config(disable=True)
            self._loaded[name, device] = pipe
            here = [key for key in self._loaded if key[1] == device]
            for key in here[:-MAX_LOADED]:
                del self._loaded[key]
            return pipe
