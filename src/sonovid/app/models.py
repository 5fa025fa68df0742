"""The models that a server offers: what each makes, and its pipeline, loaded once for each device."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from sonovid.app.errors import RequestError
from sonovid.app.settings import PACKAGED_MODEL

MAX_LOADED = 2  # Pipelines that stay loaded on one device.


@dataclass(frozen=True)
class ModelCard:
    """What a model makes and takes.

    id: its name in requests: that of a folder, never where it lies. seconds: of one window, exactly. guidance_scale,
    audio_guidance_scale: its own, None where it does not tell them. continues: whether it makes more than one window.
    takes_sources: whether a video or a sound can be given.
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
        """As /v1/models lists it; fractions as text."""
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
        guidance_scale=_number(options.get("guidance_scale")),
        audio_guidance_scale=_number(options.get("audio_guidance_scale")),
        accepts_prompt=bool(pipe.accepts_text),
        accepts_sources=all(pipe.generated_streams),
        can_extend=_continues(pipe),
        labels=tuple(pipe.classes.names),
    )


def _number(value: Any) -> float | None:
    """A guidance scale, where the pipeline tells its own."""
    return None if value is None else float(value)


def _continues(pipe: Any) -> bool:
    """Whether the model makes what is longer than its window."""
    from sonovid.pipelines.continuation.conditioning import select_strategy

    if not hasattr(pipe, "denoiser"):
        return False  # A model of diffusers, which makes one length at once.
    try:
        select_strategy(pipe.denoiser, pipe.geometry)
    except ValueError:
        return False
    return True


def name_models(models: Sequence[str]) -> dict[str, str]:
    """The models by the names that clients use: the last part of a folder's path, a repository's own name."""
    found: dict[str, str] = {}
    for model in models:
        base = model if model == PACKAGED_MODEL or not Path(model).is_dir() else Path(model).resolve().name
        name, number = base, 2
        while name in found:
            name, number = f"{base}-{number}", number + 1
        found[name] = model
    return found


class Models:
    """The models of a server. Every one is loaded once when the server starts, so that a wrong name is an error then."""

    def __init__(self, models: Sequence[str], devices: Sequence[str], dtype: str = "float32"):
        self.sources, self.dtype = name_models(models), dtype
        self._loaded: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._lock = threading.Lock()
        # The default last, so that it is the one that stays loaded.
        cards = {name: build_model_card(name, self.pipeline(name, devices[0])) for name in reversed(self.sources)}
        self.cards = {name: cards[name] for name in self.sources}

    @property
    def default(self) -> ModelCard:
        """The first model."""
        return next(iter(self.cards.values()))

    def card(self, name: str | None) -> ModelCard:
        """A model's card by its name; None: the default.

        Raises:
            Refused: no such model is offered.
        """
        if name is None:
            return self.default
        if name not in self.cards:
            raise RequestError(f"model={name!r}: not offered here; expected one of {', '.join(self.cards)}", param="model")
        return self.cards[name]

    def pipeline(self, name: str, device: str) -> Any:
        """The pipeline of a model on a device; `KEPT` stay loaded on each."""
        import torch

        from sonovid.pipelines.pipeline import SoundingVideoPipeline

        with self._lock:
            if (name, device) in self._loaded:
                self._loaded.move_to_end((name, device))
                return self._loaded[name, device]
            place = self.sources[name]
            pipe = SoundingVideoPipeline.from_pretrained(None if place == PACKAGED_MODEL else place)
            pipe.to(device, getattr(torch, self.dtype))
            pipe.set_progress_bar_config(disable=True)
            self._loaded[name, device] = pipe
            here = [key for key in self._loaded if key[1] == device]
            for key in here[:-MAX_LOADED]:
                del self._loaded[key]
            return pipe
