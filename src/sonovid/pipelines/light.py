"""LightPipeline: what SoundingVideoPipeline makes, made alike, without importing diffusers: for the command line."""

import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from sonovid.core import progress
from sonovid.pipelines import loading
from sonovid.pipelines.decoding import GenerationResult
from sonovid.pipelines.generation import COMPONENTS, OPTIONAL_COMPONENTS, SETTINGS, Generation
from sonovid.pipelines.request import Request

# What a folder of before these settings existed stands for.
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
    """A pipeline for the command line: what `SoundingVideoPipeline` makes, made alike, in half of the time to start."""

    def __init__(self, settings: dict[str, Any], **components: Any):
        for name, component in components.items():
            setattr(self, name, component)
        self.config = SimpleNamespace(**self._set_up(components, settings))
        self._bar: dict[str, Any] = {}

    @classmethod
    def from_pretrained(cls, model: "str | os.PathLike | None" = None) -> "LightPipeline":
        """As `SoundingVideoPipeline.from_pretrained`, by the same rules.

        Raises:
            ValueError: as there.
        """
        folder, parts, settings = loading.load_components(model, COMPONENTS, OPTIONAL_COMPONENTS, SETTINGS)
        try:
            return cls({**DEFAULT_SETTINGS, **settings}, **parts)
        except (TypeError, KeyError) as error:
            raise ValueError(f"model {folder}: {loading.INDEX} does not fit this version: {error}") from error

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(iter(self.denoiser.parameters())).device

    _execution_device = device

    def set_progress_bar_config(self, **options: Any) -> None:
        """What tqdm takes: disable, desc, unit, leave."""
        self._bar = options

    def progress_bar(self, total: int) -> Any:
        """A bar of `total` steps."""
        desc, unit = self._bar.get("desc", "sampling"), self._bar.get("unit", "step")
        return progress.bar(total=total, desc=desc, unit=unit, quiet=bool(self._bar.get("disable")))

    def __call__(self, prompt: "str | Sequence[str] | None" = None, **options: Any) -> GenerationResult:
        """As a call of `SoundingVideoPipeline`."""
        return self.generate(Request(prompt=prompt, **options))
