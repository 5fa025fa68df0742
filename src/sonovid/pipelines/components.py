"""ComponentsMixin: the networks, codecs and settings of a pipeline."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from sonovid.codecs.base import PairCodec
from sonovid.codecs.separate import SeparateCodecs
from sonovid.core import renamed
from sonovid.core.av import AV
from sonovid.core.geometry import Geometry
from sonovid.core.labels import ClassLabels
from sonovid.diffusion import sampler
from sonovid.diffusion import schedule as schedules
from sonovid.pipelines.arguments import (
    check_guidance_against,
    check_guidance_interval,
    check_reconstruction_guidance,
    parse_schedules,
)
from sonovid.pipelines.denoising import EVERYWHERE, DenoiserBuilder

COMPONENTS = ("denoiser", "video_codec", "audio_codec", "text_encoder", "joint_codec")
OPTIONAL_COMPONENTS = COMPONENTS[1:]
SETTINGS = ("geometry", "schedule", "predict", "step", "options", "system", "conditioning", "labels")
SOLVERS: dict[str, Any] = {"ddim": sampler.ddim, "dpm_solver": sampler.dpm_solver, "ddpm": sampler.Ancestral}
DEFAULT_OPTIONS = {
    "num_inference_steps": 25,
    "guidance_scale": 3.0,
    "audio_guidance_scale": 3.0,
    "shift": 1.0,
    "reconstruction_scale": 0.0,
    "gamma": 1.0,
    "guidance_against": "modality",
    "guidance_interval": EVERYWHERE,
    "spacing": None,
    "negative_prompt": None,
}


class DeprecatedNames:
    """Former names of a pipeline's properties."""

    @property
    def takes_words(self) -> bool:
        """Deprecated name of `accepts_text`."""
        renamed.warn_renamed("takes_words", "accepts_text")
        return self.accepts_text  # type: ignore[attr-defined]

    @property
    def makes(self) -> AV:
        """Deprecated name of `generated_streams`."""
        renamed.warn_renamed("makes", "generated_streams")
        return self.generated_streams  # type: ignore[attr-defined]


class ComponentsMixin(DeprecatedNames):
    """Holds the components and settings of a pipeline. `SoundingVideoPipeline` documents the arguments.

    A subclass stores the components as attributes and provides `config`, `progress_bar` and `_execution_device`.
    """

    denoiser: Any
    video_codec: Any
    audio_codec: Any
    text_encoder: Any
    joint_codec: Any
    config: Any
    _execution_device: torch.device
    progress_bar: Callable[..., Any]
    _interrupt = False
    _scheduler: Any = None
    # Windows that a codec processes at once; None: as many as fit into memory.
    _codec_batch: int | None = None

    def _set_up(self, components: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        """Check the components and settings and store what is derived from them.

        Args:
            components: one entry for each name in `COMPONENTS`.
            settings: one entry for each name in `SETTINGS`.

        Returns:
            The settings as plain values, for model_index.json.

        Raises:
            ValueError: an unknown setting, settings that do not fit the network, or missing codecs.
        """
        geometry, predict, step = settings["geometry"], settings["predict"], settings["step"]
        if geometry is None:
            raise ValueError("SoundingVideoPipeline: geometry is required: size, length and rates of the training clips")
        self.geometry = geometry if isinstance(geometry, Geometry) else Geometry.from_config(dict(geometry))
        self.schedule = parse_schedules(settings["schedule"])
        if predict not in schedules.PREDICTION_TYPES or step not in SOLVERS:
            raise ValueError(f"{predict=} {step=}: expected one of {schedules.PREDICTION_TYPES} and of {tuple(SOLVERS)}")
        self.options = {**DEFAULT_OPTIONS, **(settings["options"] or {})}
        if unknown := set(self.options) - set(DEFAULT_OPTIONS):
            raise ValueError(f"options {sorted(unknown)}: expected {sorted(DEFAULT_OPTIONS)}")
        check_reconstruction_guidance(self.options["reconstruction_scale"], settings["conditioning"])
        check_guidance_against(self.options["guidance_against"])
        # A list, as model_index.json gives it back.
        self.options["guidance_interval"] = list(check_guidance_interval(self.options["guidance_interval"]))
        labels, num_classes = settings["labels"], getattr(components["denoiser"].config, "num_classes", 0)
        self.classes = ClassLabels(tuple(labels or map(str, range(num_classes))))
        if len(self.classes) != num_classes:
            raise ValueError(f"SoundingVideoPipeline: {len(labels)} labels for a network of {num_classes} classes")
        stream_codecs = (components["video_codec"], components["audio_codec"])
        if (None in stream_codecs) if components["joint_codec"] is None else stream_codecs != (None, None):
            raise ValueError("SoundingVideoPipeline: expected video_codec and audio_codec, or joint_codec alone")
        for component in components.values():
            if isinstance(component, torch.nn.Module):
                component.eval()
        return {
            **settings,
            "geometry": self.geometry.to_config(),
            "schedule": [[type(one).__name__, dataclasses.asdict(one)] for one in self.schedule],
            "options": self.options,
            "labels": list(labels),
        }

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move to a device, a dtype, or both, as in diffusers.

        The dtype applies to the denoiser and the text encoder. Codecs stay in float32: half precision is audible in the phases
        of a vocoder, and codecs take little of the time.
        """
        dtype = kwargs.pop("dtype", None) or next((a for a in args if isinstance(a, torch.dtype)), None)
        device = kwargs.pop("device", None) or next((a for a in args if a is not None and not isinstance(a, torch.dtype)), None)
        for name in COMPONENTS:
            component = getattr(self, name)
            if not isinstance(component, torch.nn.Module):
                continue
            if device is not None:
                component.to(device)
            if (
                dtype is not None
                and name in ("denoiser", "text_encoder")
                and any(w.dtype != dtype for w in component.parameters())
            ):
                # Not the `to` of diffusers, which warns about float32 layers where there are none.
                torch.nn.Module.to(component, dtype=dtype)
        return self

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the denoiser."""
        return next(iter(self.denoiser.parameters())).dtype

    @property
    def codec(self) -> PairCodec:
        """The codec of both streams: the joint codec, or the two separate codecs as one."""
        return self.joint_codec if self.joint_codec is not None else SeparateCodecs(self.video_codec, self.audio_codec)

    @property
    def denoiser_builder(self) -> DenoiserBuilder:
        """Builds the denoising functions that the samplers call."""
        return DenoiserBuilder(
            self.denoiser,
            self.schedule,
            self.config.predict,
            self.config.conditioning,
            self.dtype,
            check_guidance_interval(self.options["guidance_interval"]),
        )

    @property
    def accepts_text(self) -> bool:
        """Whether the model is conditioned on text."""
        return self.text_encoder is not None

    @property
    def generated_streams(self) -> AV:
        """Which streams the model generates: both, unless it was trained on one alone (MM-LDM-v, MM-LDM-a)."""
        return getattr(self.denoiser, "generated_streams", AV(True, True))
