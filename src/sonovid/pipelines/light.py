"""LightPipeline: the same results as SoundingVideoPipeline without importing diffusers; used by the command line."""

import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from sonovid.core import progress
from sonovid.pipelines import loading
from sonovid.pipelines.components import COMPONENTS, OPTIONAL_COMPONENTS, SETTINGS
from sonovid.pipelines.decoding import GenerationResult
from sonovid.pipelines.generation import Generation
from sonovid.pipelines.request import Request

# Values for folders that were saved before a setting existed.
DEFAULT_SETTINGS = {
    "geometry": None,
    "schedule": None,
    "predict": "v",
    "step": "ddim",
    "options": None,
    "system": "uniform",
    "conditioning": "clean",
    "labels": (),
}


class LightPipeline(Generation):
    """A pipeline for the command line. It generates what `SoundingVideoPipeline` generates and starts in half the time.

    Args:
        settings: one entry for each name in `SETTINGS`.
        components: one entry for each name in `COMPONENTS`.
    """

    def __init__(self, settings: dict[str, Any], **components: Any):
        for name, component in components.items():
            setattr(self, name, component)
        self.config = SimpleNamespace(**self._set_up(components, settings))
        self._bar: dict[str, Any] = {}

    @classmethod
    def from_pretrained(cls, model: "str | os.PathLike | None" = None) -> "LightPipeline":
        """Load a model; see `SoundingVideoPipeline.from_pretrained`, which has the same rules.

        Raises:
            ValueError: see there.
        """
        folder, components, settings = loading.load_components(model, COMPONENTS, OPTIONAL_COMPONENTS, SETTINGS)
        try:
            return cls({**DEFAULT_SETTINGS, **settings}, **components)
        except (TypeError, KeyError) as error:
            raise ValueError(f"model {folder}: {loading.INDEX} does not fit this version: {error}") from error

    @property
    def device(self) -> torch.device:
        """The device of the denoiser."""
        return next(iter(self.denoiser.parameters())).device

    _execution_device = device

    def set_progress_bar_config(self, **options: Any) -> None:
        """Options of the progress bar, as tqdm takes them: disable, desc, unit, leave."""
        self._bar = options

    def progress_bar(self, total: int) -> Any:
        """A progress bar of `total` steps."""
        desc, unit = self._bar.get("desc", "sampling"), self._bar.get("unit", "step")
        return progress.bar(total=total, desc=desc, unit=unit, quiet=bool(self._bar.get("disable")))

    def __call__(self, prompt: "str | Sequence[str] | None" = None, **options: Any) -> GenerationResult:
        """Generate clips; the arguments are those of `SoundingVideoPipeline.__call__`."""
        return self.generate(Request(prompt=prompt, **options))
