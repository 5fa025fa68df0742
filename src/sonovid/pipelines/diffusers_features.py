"""DiffusersFeaturesMixin: progress bar, slicing and tiling, schedulers and LoRA, as users of diffusers know them."""

import os
from typing import Any

import torch

from sonovid.core import progress
from sonovid.core.av import AV
from sonovid.diffusion import sampler
from sonovid.pipelines import lora
from sonovid.pipelines.components import ComponentsMixin


class DiffusersFeaturesMixin(ComponentsMixin):
    """The methods of `DiffusionPipeline` and its subclasses that this package implements itself."""

    def to(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("silence_dtype_warnings", None)
        return ComponentsMixin.to(self, *args, **kwargs)

    to.__doc__ = ComponentsMixin.to.__doc__

    def progress_bar(self, iterable: Any = None, total: int | None = None) -> Any:
        """The progress bar of diffusers on a terminal, lines of text elsewhere; see `set_progress_bar_config`."""
        config: dict[str, Any] = getattr(self, "_progress_bar_config", {})
        if config.get("disable") or progress.is_interactive():
            return super().progress_bar(iterable, total)
        return progress.bar(iterable, total=total, desc=config.get("desc", "sampling"), unit=config.get("unit", "step"))

    @property
    def device(self) -> torch.device:
        """The device of the denoiser; while its weights are offloaded, the device that it runs on."""
        device = next(iter(self.denoiser.parameters())).device
        return self._execution_device if device.type == "meta" else device

    @property
    def interrupt(self) -> bool:
        """Whether the remaining steps are skipped; set `pipe._interrupt = True` in a callback."""
        return self._interrupt

    # --- slicing and tiling --------------------------------------------------------------------------------------------

    def enable_vae_slicing(self) -> None:
        """Encode and decode one window at a time, which takes the least memory."""
        self._codec_batch = 1
        self._call_autoencoders("enable_slicing")

    def disable_vae_slicing(self) -> None:
        """Encode and decode as many windows at once as fit into memory."""
        self._codec_batch = None
        self._call_autoencoders("disable_slicing")

    def enable_vae_tiling(self) -> None:
        """Encode and decode frames in tiles, with a codec that is a released autoencoder with tiling.

        Raises:
            ValueError: no codec of this pipeline supports tiling.
        """
        if not self._call_autoencoders("enable_tiling"):
            raise ValueError("enable_vae_tiling: no codec of this model supports tiling; enable_vae_slicing saves memory too")

    def disable_vae_tiling(self) -> None:
        """Encode and decode whole frames."""
        self._call_autoencoders("disable_tiling")

    def _call_autoencoders(self, method: str) -> int:
        """Call a method of the released autoencoder of each codec; returns how many have it."""
        codecs = [self.video_codec, self.audio_codec, self.joint_codec]
        methods = [getattr(getattr(codec, "autoencoder", None), method, None) for codec in codecs]
        for call in methods:
            if call is not None:
                call()
        return sum(call is not None for call in methods)

    # --- schedulers ----------------------------------------------------------------------------------------------------

    @property
    def scheduler(self) -> Any:
        """Schedulers of diffusers that replace the model's own solver and times: a pair (video, audio), or None."""
        return self._scheduler

    @scheduler.setter
    def scheduler(self, value: Any) -> None:
        """Set one scheduler for both streams, a pair, or None.

        Raises:
            ValueError: a scheduler that does not fit the noise schedules that the network was trained on.
        """
        if value is None:
            self._scheduler = None
            return
        pair = AV(*value) if isinstance(value, list | tuple) else AV(value, value)
        pair = pair.map(as_sample_scheduler)
        self.schedule.map(lambda schedule, one: sampler.from_diffusers(one, schedule, 2), pair)
        self._scheduler = pair

    # --- LoRA ----------------------------------------------------------------------------------------------------------

    def load_lora_weights(self, source: Any, adapter_name: str = "default", **options: Any) -> None:
        """Load LoRA layers into the denoiser.

        Args:
            source: a folder or file of safetensors, or a state dict, as peft or diffusers writes them.
            adapter_name: name of the adapter.
            options: `weight_name`, the file's name in the folder.

        Raises:
            ValueError: peft is not installed, no LoRA weights in `source`, or layers that the denoiser does not have.
        """
        lora.load(self.denoiser, source, adapter_name, **options)

    def save_lora_weights(self, save_directory: "str | os.PathLike", adapter_name: str = "default") -> None:
        """Save the LoRA layers of the denoiser as `pytorch_lora_weights.safetensors`."""
        lora.save(self.denoiser, save_directory, adapter_name)

    def unload_lora_weights(self) -> None:
        """Remove the LoRA layers from the denoiser."""
        lora.unload(self.denoiser)

    def fuse_lora(self, lora_scale: float = 1.0) -> None:
        """Add the LoRA layers to the weights of the denoiser, so that they cost no time."""
        lora.fuse(self.denoiser, lora_scale)


def as_sample_scheduler(scheduler: Any) -> Any:
    """A scheduler with prediction type "sample": the sampling loop converts every prediction to x_0."""
    if scheduler.config.get("prediction_type", "sample") == "sample" and not scheduler.config.get("clip_sample"):
        return scheduler
    return type(scheduler).from_config(scheduler.config, prediction_type="sample", clip_sample=False)
