"""ForeignPipeline: a joint audio-video pipeline of diffusers with the call of `SoundingVideoPipeline`."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from sonovid.core.av import AV, Task
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry, as_rate, count, duration
from sonovid.core.labels import ClassLabels
from sonovid.media.audio import pad_or_trim
from sonovid.pipelines import arguments, windows
from sonovid.pipelines.arguments import Generators, make_generators, positive_int
from sonovid.pipelines.components import DeprecatedNames
from sonovid.pipelines.foreign.base import Family, Request
from sonovid.pipelines.foreign.diffusers_loading import stored_dtype
from sonovid.pipelines.foreign.families import check_version, find_family
from sonovid.pipelines.inputs import MediaInput
from sonovid.pipelines.output import SoundingVideoOutput
from sonovid.pipelines.timeline import Timeline, plan_timeline

OUTPUT_TYPES = ("clip", "np", "pt")


class ForeignPipeline(DeprecatedNames):
    """Generates video, audio, or both with a model of LTX-2, Kandinsky 6, Cosmos 3 or MiniMax-H3.

        pipe = SoundingVideoPipeline.from_pretrained("Lightricks/LTX-2", dtype=torch.bfloat16)  # a ForeignPipeline
        pipe.enable_model_cpu_offload()
        clip = pipe("a glass ball bounces on a stone floor", generator=0).clips[0]

    Attributes that this class does not define are those of the diffusers pipeline, `pipe.inner`: `vae`, `scheduler` and so on.

    Args:
        inner: the pipeline of diffusers.
        family: its family.
        name: name of the model, for files and messages.
    """

    def __init__(self, inner: Any, family: Family, name: str = ""):
        self.inner, self.family, self.name = inner, family, name
        capabilities = family.capabilities
        self.config = SimpleNamespace(system=capabilities.family, _name_or_path=name)
        self.geometry = Geometry(capabilities.num_frames, capabilities.fps, *capabilities.size, family.sample_rate(inner))
        self.options = {"num_inference_steps": capabilities.num_inference_steps}
        self._hooks: list[Any] = []
        self.accepts_text, self.generated_streams, self.classes = True, AV(True, True), ClassLabels(())

    @classmethod
    def from_folder(cls, folder: Path, index: Mapping[str, Any], *, dtype: torch.dtype | None = None) -> "ForeignPipeline":
        """Load a pipeline of a supported family.

        Args:
            folder: the model folder.
            index: its index, see `loading.read_index`.
            dtype: dtype of all networks; None: that of the denoiser's files.

        Raises:
            ValueError: an unknown family, a diffusers that is too old for it, or a folder that cannot be loaded.
        """
        family = find_family(index)
        check_version(family, Task.JOINT)
        return cls(family.load(folder, index, dtype or stored_dtype(folder)), family, folder.name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "inner" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.inner, name)

    def to(self, *args: Any, **kwargs: Any) -> "ForeignPipeline":
        """Move to a device, a dtype, or both, as in diffusers."""
        self.inner.to(*args, **kwargs)
        return self

    def enable_model_cpu_offload(self, device: "str | torch.device | None" = None) -> None:
        """Keep only the running network on the device, as in diffusers; works for modular pipelines too."""
        if hasattr(self.inner, "enable_model_cpu_offload"):
            self.inner.enable_model_cpu_offload(device=device)
            return
        from accelerate import cpu_offload_with_hook

        for name in ("text_encoder", "transformer", "vae", "audio_vae"):
            _, hook = cpu_offload_with_hook(getattr(self.inner, name), device or "cuda", self._hooks[-1] if self._hooks else None)
            self._hooks.append(hook)

    def enable_sequential_cpu_offload(self, device: "str | torch.device | None" = None) -> None:
        """Keep only the running layer on the device: slow, but needs little memory.

        Raises:
            ValueError: not supported for this family.
        """
        if not hasattr(self.inner, "enable_sequential_cpu_offload"):
            raise ValueError(f"{self.config.system}: diffusers cannot offload it layer by layer; offload whole networks instead")
        self.inner.enable_sequential_cpu_offload(device=device)

    def enable_vae_tiling(self, **options: Any) -> None:
        """Decode frames in tiles, which takes less memory.

        Raises:
            ValueError: the VAE of this family does not support tiling.
        """
        if not hasattr(self.inner.vae, "enable_tiling"):
            raise ValueError(f"{self.config.system}: its VAE cannot decode in tiles")
        self.inner.vae.enable_tiling(**options)

    def load_lora_weights(self, source: "str | os.PathLike", **options: Any) -> None:
        """Load a LoRA from a folder, a safetensors file or a repository of the Hub.

        Raises:
            ValueError: diffusers has no LoRA loader for this family, or the file is not safetensors.
        """
        if not hasattr(self.inner, "load_lora_weights"):
            raise ValueError(f"{self.config.system}: diffusers loads no LoRA into this family")
        path = Path(source)
        if path.is_file():
            if path.suffix != ".safetensors":
                raise ValueError(f"LoRA {path}: expected a .safetensors file; others can run code when they are read")
            source, options = path.parent, {"weight_name": path.name, **options}
        self.inner.load_lora_weights(str(source), **{"use_safetensors": True, **options})

    # --- generating ----------------------------------------------------------------------------------------------------

    def __call__(
        self,
        prompt: "str | Sequence[str] | None" = None,
        video: MediaInput = None,
        audio: MediaInput = None,
        negative_prompt: str | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | int | None = None,
        audio_guidance_scale: float | int | None = None,
        num_outputs_per_prompt: int = 1,
        seconds: "Fraction | float | int | None" = None,
        generator: Generators = None,
        output_type: str = "clip",
        callback_on_step_end: "Callable[[Any, int, AV, dict], dict] | None" = None,
        return_dict: bool = True,
        size: tuple[int, int] | None = None,
        fps: "Fraction | float | int | str | None" = None,
        image: Any = None,
        **extra: Any,
    ) -> "SoundingVideoOutput | tuple":
        """Generate video and audio from text, audio for a video, or video for an audio, as far as the family supports it.

        Args:
            prompt, video, audio, negative_prompt, num_outputs_per_prompt, generator, return_dict: as for
                `SoundingVideoPipeline`. There are no windows: an input may be no longer than the family supports.
            num_inference_steps, guidance_scale, audio_guidance_scale: default: those of the call in diffusers.
            seconds: length of the result; default: that of the family, or of the input.
            output_type: "clip", "np" or "pt"; latents are not available.
            callback_on_step_end: called with the pipeline, the index of the step, None, and a dictionary of clip and window. Its
                return value is ignored. MiniMax-H3 does not call it.
            size: (height, width) of the frames.
            fps: frames per second, exactly.
            image: a first frame, as a PIL image, where the family supports one.
            extra: further arguments of the call in diffusers, by name.

        Returns:
            Clips with video and audio of equal length. An input stream is the one that was passed.

        Raises:
            ValueError: options that contradict each other or that the family does not support.
            TypeError: an argument that the family's own call does not take.
        """
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"{output_type=}: {self.config.system} returns one of {OUTPUT_TYPES}")
        task = arguments.infer_task(video, audio)
        check_version(self.family, task)
        for name in ("label", "guidance_against", "guidance_interval"):
            if extra.pop(name, None):
                raise ValueError(f"{name}: {self.config.system} does not support it; leave it out")
        self._check_guidance(negative_prompt, guidance_scale, audio_guidance_scale)
        self._check_image(image, task)
        prompts = arguments.check_prompts(prompt, negative_prompt)
        if task is Task.JOINT and not all(prompts):
            raise ValueError(f"{self.config.system} needs text: pass a prompt")
        own = self._geometry(size, fps)
        timeline = self._plan_timeline(task, video, audio, seconds, own)
        options = {"negative_prompt": negative_prompt, "image": image, "extra": extra, "guidance_scale": guidance_scale}
        options["audio_guidance_scale"] = guidance_scale if audio_guidance_scale is None else audio_guidance_scale
        if num_inference_steps is not None:
            options["num_inference_steps"] = positive_int("num_inference_steps", num_inference_steps)
        request = self._request(task, timeline, own, options)
        repeated = [text for text in prompts for _ in range(positive_int("num_outputs_per_prompt", num_outputs_per_prompt))]
        generators, seeds = make_generators(generator, len(repeated))
        clips = []
        for number, (text, draw) in enumerate(zip(repeated, generators, strict=True)):
            after_step = self._after_step(callback_on_step_end, number)
            one = dataclasses.replace(request, prompt=text, generator=draw, after_step=after_step)
            clips.append(self._generate_clip(one, task, timeline))
        output = self._output(clips, output_type)
        output.seeds = seeds
        if return_dict:
            return output
        return (output.clips,) if output_type == "clip" else (output.frames, output.audio)

    def _check_image(self, image: Any, task: Task) -> None:
        capabilities = self.family.capabilities
        if image is not None and not capabilities.image:
            raise ValueError(f"image: {capabilities.family} does not support a first frame here")
        if image is not None and task is not Task.JOINT:
            raise ValueError(f"image: {capabilities.family} does not support a first frame together with an input stream")

    def _check_guidance(self, negative: str | None, video: float | int | None, audio: float | int | None) -> None:
        capabilities = self.family.capabilities
        if capabilities.guidance == "none" and (negative is not None or any(s not in (None, 1) for s in (video, audio))):
            raise ValueError(f"{capabilities.family}: guidance is distilled, so it takes neither a scale nor a negative prompt")
        if capabilities.guidance == "one" and audio is not None and audio != video:
            raise ValueError(f"{capabilities.family} has one guidance scale for both streams: leave audio_guidance_scale out")
        for name, value in (("guidance_scale", video), ("audio_guidance_scale", audio)):
            if value is not None and not 0 <= value <= 100:
                raise ValueError(f"{name}={value}: expected a number from 0 to 100; 1 is no guidance")

    def _geometry(self, size: tuple[int, int] | None, fps: Any) -> Geometry:
        """Rate, size and sample rate of the result, and the length of the longest clip that the family generates."""
        capabilities = self.family.capabilities
        rate = capabilities.fps if fps is None else as_rate(fps)
        if capabilities.fixed_fps and rate != capabilities.fps:
            raise ValueError(f"fps={fps}: {capabilities.family} generates {capabilities.fps} frames per second and no other rate")
        height, width = capabilities.size if size is None else size
        for name, value in (("height", height), ("width", width)):
            if value < capabilities.multiple or value % capabilities.multiple:
                raise ValueError(f"{name} {value}: {capabilities.family} needs multiples of {capabilities.multiple}")
        longest = max(1, int(capabilities.seconds[1] * rate))
        return Geometry(longest, rate, height, width, self.family.sample_rate(self.inner))

    def _plan_timeline(self, task: Task, video: MediaInput, audio: MediaInput, seconds: Any, own: Geometry) -> Timeline:
        """The timeline of the result; an input is read.

        Raises:
            ValueError: longer than the family supports.
        """
        capabilities = self.family.capabilities
        if task is Task.JOINT and seconds is None:
            seconds = min(capabilities.default_seconds(own.fps), own.seconds)
        timeline = plan_timeline(task, video, audio, seconds, own)
        if len(timeline.starts) > 1 or timeline.num_frames > own.num_frames:
            raise ValueError(
                f"the input clip lasts {float(duration(timeline.num_frames, own.fps)):.2f} s, and {capabilities.family} "
                f"generates {float(own.seconds):.2f} s at once: cut it, or use only its beginning with seconds"
            )
        return timeline

    def _request(self, task: Task, timeline: Timeline, own: Geometry, options: dict[str, Any]) -> Request:
        """The request without prompt and generator.

        An input is converted to the model's rate, size and length: the last frame repeats, and audio is zero-padded.
        """
        num_frames = self.family.capabilities.valid_num_frames(timeline.num_frames)
        request = Request("", options.pop("negative_prompt"), num_frames, own.fps, (own.height, own.width), torch.Generator())
        request = dataclasses.replace(request, **options)
        source = timeline.source
        if source is None:
            return request
        if task is Task.VIDEO_TO_AUDIO:
            assert source.frames is not None
            frames = windows.fit_frames(source.frames, source.fps, own, request.num_frames)
            return dataclasses.replace(request, frames=frames)
        assert source.waveform is not None
        num_samples = count(duration(request.num_frames, own.fps), source.sample_rate)
        used = source.waveform[:, : count(timeline.seconds or source.seconds, source.sample_rate)]
        return dataclasses.replace(request, waveform=pad_or_trim(used, num_samples), sample_rate=source.sample_rate)

    def _after_step(self, callback: Callable | None, clip: int) -> Callable[[int], None] | None:
        if callback is None:
            return None
        return lambda index: callback(self, index, None, {"clip": clip, "window": 0})

    # --- output ---------------------------------------------------------------------------------------------------------

    def _generate_clip(self, request: Request, task: Task, timeline: Timeline) -> Clip:
        """Generate one clip. Generated streams are trimmed or padded to the timeline; an input stream stays as it was passed."""
        streams = self.family.generate(self.inner, request)
        self._offload()
        source, seconds = timeline.source, timeline.seconds
        frames, fps = streams.frames[: timeline.num_frames], request.fps
        if len(frames) < timeline.num_frames:
            frames = np.concatenate([frames, np.repeat(frames[-1:], timeline.num_frames - len(frames), axis=0)])
        if source is not None and task is Task.VIDEO_TO_AUDIO:
            assert source.frames is not None
            fps = source.fps
            frames = source.frames[: windows.num_frames_for(seconds or source.seconds, fps)]
        rate = streams.sample_rate
        length = duration(len(frames), fps) if source is None or seconds is None else seconds
        waveform = pad_or_trim(streams.waveform, count(length, rate))
        if source is not None and task is Task.AUDIO_TO_VIDEO:
            assert source.waveform is not None
            rate = source.sample_rate
            waveform = source.waveform[:, : count(seconds or source.seconds, rate)]
        return Clip(frames, waveform, fps=fps, sample_rate=rate, caption=request.prompt)

    def _offload(self) -> None:
        """Offload networks again: another pipeline that shares them does not know that they are on the device."""
        if hasattr(self.inner, "maybe_free_model_hooks"):
            self.inner.maybe_free_model_hooks()
        for hook in self._hooks:
            hook.offload()

    def _output(self, clips: list[Clip], kind: str) -> SoundingVideoOutput:
        first = clips[0]
        output = SoundingVideoOutput(sampling_rate=first.sample_rate, fps=first.fps)
        if kind == "clip":
            output.clips = clips
            return output
        frames = np.stack([np.asarray(clip.frames, np.float32) / 255 for clip in clips])
        waveforms = np.stack([np.asarray(clip.waveform) for clip in clips])
        output.frames, output.audio = frames, waveforms
        if kind == "pt":
            output.frames, output.audio = torch.from_numpy(frames).permute(0, 1, 4, 2, 3), torch.from_numpy(waveforms)
        return output
