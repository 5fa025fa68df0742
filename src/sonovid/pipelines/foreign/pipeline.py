"""ForeignPipeline: a joint audio-video pipeline of diffusers behind the call of `SoundingVideoPipeline`."""

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
from sonovid.pipelines.foreign.base import Family, Request
from sonovid.pipelines.foreign.diffusers_loading import stored_dtype
from sonovid.pipelines.foreign.families import check_version, find_family
from sonovid.pipelines.output import SoundingVideoOutput
from sonovid.pipelines.timeline import MediaInput, Timeline, plan_timeline

OUTPUTS = ("clip", "np", "pt")


class ForeignPipeline:
    """Generates pictures, sound, or both with a model of LTX-2, Kandinsky 6, Cosmos 3 or MiniMax-H3.

        pipe = SoundingVideoPipeline.from_pretrained("Lightricks/LTX-2", dtype=torch.bfloat16)  # a ForeignPipeline
        pipe.enable_model_cpu_offload()
        clip = pipe("a glass ball bounces on a stone floor", generator=0).clips[0]

    Whatever this class does not have itself is the pipeline's of diffusers, as `pipe.inner`: `enable_model_cpu_offload`,
    `enable_sequential_cpu_offload`, `load_lora_weights`, `vae` and so on.

    Args:
        inner: the pipeline of diffusers. family: its adapter. name: of the model, for files and messages.
    """

    def __init__(self, inner: Any, family: Family, name: str = ""):
        self.inner, self.family, self.name = inner, family, name
        made = family.capabilities
        self.config = SimpleNamespace(system=made.family, _name_or_path=name)
        self.geometry = Geometry(made.num_frames, made.fps, *made.size, family.sample_rate(inner))
        self.options = {"num_inference_steps": made.num_inference_steps}
        self._hooks: list[Any] = []
        self.accepts_text, self.generated_streams, self.classes = True, AV(True, True), ClassLabels(())

    @classmethod
    def from_folder(cls, folder: Path, index: Mapping[str, Any], *, dtype: torch.dtype | None = None) -> "ForeignPipeline":
        """The pipeline of a folder whose index names one of a known family.

        dtype: of all networks; the default is that of the denoiser's files.

        Raises:
            ValueError: an unknown family, an older diffusers than the family needs, or a folder that cannot be loaded.
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
        """Keep on the device only the network that computes, as diffusers does; modular pipelines have no such method."""
        if hasattr(self.inner, "enable_model_cpu_offload"):
            self.inner.enable_model_cpu_offload(device=device)
            return
        from accelerate import cpu_offload_with_hook

        for name in ("text_encoder", "transformer", "vae", "audio_vae"):
            _, hook = cpu_offload_with_hook(getattr(self.inner, name), device or "cuda", self._hooks[-1] if self._hooks else None)
            self._hooks.append(hook)

    def enable_sequential_cpu_offload(self, device: "str | torch.device | None" = None) -> None:
        """Keep on the device only the layer that computes: slow, and possible with little memory.

        Raises:
            ValueError: diffusers cannot do it with this family.
        """
        if not hasattr(self.inner, "enable_sequential_cpu_offload"):
            raise ValueError(f"{self.config.system}: diffusers cannot offload it layer by layer; offload whole networks instead")
        self.inner.enable_sequential_cpu_offload(device=device)

    def enable_vae_tiling(self, **options: Any) -> None:
        """Decode pictures in tiles, which takes less memory.

        Raises:
            ValueError: this family's VAE has no tiles.
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
        """Pictures and sound for words; sound for given pictures; pictures for a given sound, as far as the family can.

        Args:
            prompt, video, audio, negative_prompt, num_outputs_per_prompt, generator, return_dict: as for
                `SoundingVideoPipeline`. A given clip is made at once, so it may be no longer than the family allows.
            num_inference_steps, guidance_scale, audio_guidance_scale: default: those of diffusers' own call.
            seconds: the length of the result; default: the family's own, or that of what is given.
            output_type: "clip", "np" or "pt"; latents stay inside the families.
            callback_on_step_end: called with the pipeline, the number of the step, None, and a dictionary of clip and window;
                what it returns is not read. MiniMax-H3 calls none.
            size: (height, width) of the pictures. fps: frames per second, exactly.
            image: a first frame, as a PIL image, where the family takes one.
            extra: further arguments of diffusers' own call, by name.

        Returns:
            clips with pictures and sound of equal length, and what was given in them as it was given.

        Raises:
            ValueError: options that contradict each other or that the family cannot satisfy.
            TypeError: an argument that the family's own call does not take.
        """
        if output_type not in OUTPUTS:
            raise ValueError(f"{output_type=}: {self.config.system} gives one of {OUTPUTS}")
        task = arguments.infer_task(video, audio)
        check_version(self.family, task)
        for name in ("label", "guidance_against"):
            if extra.pop(name, None):
                raise ValueError(f"{name}: {self.config.system} knows none; leave it out")
        self._check_guidance(negative_prompt, guidance_scale, audio_guidance_scale)
        self._check_image(image, task)
        prompts = arguments.check_prompts(prompt, negative_prompt)
        if task is Task.JOINT and not all(prompts):
            raise ValueError(f"{self.config.system} makes nothing without words: give a prompt")
        own = self._geometry(size, fps)
        extent = self._extent(task, video, audio, seconds, own)
        options = {"negative_prompt": negative_prompt, "image": image, "extra": extra, "guidance_scale": guidance_scale}
        options["audio_guidance_scale"] = guidance_scale if audio_guidance_scale is None else audio_guidance_scale
        if num_inference_steps is not None:
            options["num_inference_steps"] = positive_int("num_inference_steps", num_inference_steps)
        request = self._request(task, extent, own, options)
        asked = [words for words in prompts for _ in range(positive_int("num_outputs_per_prompt", num_outputs_per_prompt))]
        draws, seeds = make_generators(generator, len(asked))
        clips = []
        for number, (words, draw) in enumerate(zip(asked, draws, strict=True)):
            after_step = self._after_step(callback_on_step_end, number)
            one = dataclasses.replace(request, prompt=words, generator=draw, after_step=after_step)
            clips.append(self._clip(one, task, extent))
        output = self._output(clips, output_type)
        output.seeds = seeds
        if return_dict:
            return output
        return (output.clips,) if output_type == "clip" else (output.frames, output.audio)

    def _check_image(self, image: Any, task: Task) -> None:
        made = self.family.capabilities
        if image is not None and not made.image:
            raise ValueError(f"image: {made.family} takes no first frame here")
        if image is not None and task is not Task.JOINT:
            raise ValueError(f"image: {made.family} takes no first frame beside a given stream")

    def _check_guidance(self, negative: str | None, video: float | int | None, audio: float | int | None) -> None:
        made = self.family.capabilities
        if made.guidance == "none" and (negative is not None or any(s not in (None, 1) for s in (video, audio))):
            raise ValueError(f"{made.family}: its guidance is in its weights, so it takes neither a scale nor a negative prompt")
        if made.guidance == "one" and audio is not None and audio != video:
            raise ValueError(f"{made.family} guides both streams by one scale: leave audio_guidance_scale out")
        for name, value in (("guidance_scale", video), ("audio_guidance_scale", audio)):
            if value is not None and not 0 <= value <= 100:
                raise ValueError(f"{name}={value}: expected a number from 0 to 100; 1 is no guidance")

    def _geometry(self, size: tuple[int, int] | None, fps: Any) -> Geometry:
        """What the result is measured in: its rate, size and sample rate, and the longest clip that the family makes."""
        made = self.family.capabilities
        rate = made.fps if fps is None else as_rate(fps)
        if made.fixed_fps and rate != made.fps:
            raise ValueError(f"fps={fps}: {made.family} makes {made.fps} frames per second and no other rate")
        height, width = made.size if size is None else size
        for name, value in (("height", height), ("width", width)):
            if value < made.multiple or value % made.multiple:
                raise ValueError(f"{name} {value}: {made.family} makes pictures whose sides are multiples of {made.multiple}")
        longest = max(1, int(made.seconds[1] * rate))
        return Geometry(longest, rate, height, width, self.family.sample_rate(self.inner))

    def _extent(self, task: Task, video: MediaInput, audio: MediaInput, seconds: Any, own: Geometry) -> Timeline:
        """How long the result is; what is given is read.

        Raises:
            ValueError: longer than the family makes at once.
        """
        made = self.family.capabilities
        if task is Task.JOINT and seconds is None:
            seconds = min(made.default_seconds(own.fps), own.seconds)
        extent = plan_timeline(task, video, audio, seconds, own)
        if len(extent.starts) > 1 or extent.num_frames > own.num_frames:
            raise ValueError(
                f"the given clip lasts {float(duration(extent.num_frames, own.fps)):.2f} s, and {made.family} makes "
                f"{float(own.seconds):.2f} s at once: cut it, or use only the beginning with seconds"
            )
        return extent

    def _request(self, task: Task, extent: Timeline, own: Geometry, options: dict[str, Any]) -> Request:
        """What the family is asked for, without words and noise. What is given comes at the model's rate, size and length: the
        last frame is held, and sound is followed by silence."""
        num_frames = self.family.capabilities.valid_num_frames(extent.num_frames)
        request = Request("", options.pop("negative_prompt"), num_frames, own.fps, (own.height, own.width), torch.Generator())
        request = dataclasses.replace(request, **options)
        source = extent.source
        if source is None:
            return request
        if task is Task.VIDEO_TO_AUDIO:
            assert source.frames is not None
            frames = windows.fit_frames(source.frames, source.fps, own, request.num_frames)
            return dataclasses.replace(request, frames=frames)
        assert source.waveform is not None
        num_samples = count(duration(request.num_frames, own.fps), source.sample_rate)
        heard = source.waveform[:, : count(extent.seconds or source.seconds, source.sample_rate)]
        return dataclasses.replace(request, waveform=pad_or_trim(heard, num_samples), sample_rate=source.sample_rate)

    def _after_step(self, callback: Callable | None, clip: int) -> Callable[[int], None] | None:
        if callback is None:
            return None
        return lambda index: callback(self, index, None, {"clip": clip, "window": 0})

    # --- what comes out ------------------------------------------------------------------------------------------------

    def _clip(self, request: Request, task: Task, extent: Timeline) -> Clip:
        """One clip: generated streams cut or filled up to the length of the result, given ones as they were given."""
        streams = self.family.generate(self.inner, request)
        self._release()
        source, seconds = extent.source, extent.seconds
        frames, fps = streams.frames[: extent.num_frames], request.fps
        if len(frames) < extent.num_frames:
            frames = np.concatenate([frames, np.repeat(frames[-1:], extent.num_frames - len(frames), axis=0)])
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

    def _release(self) -> None:
        """Send networks that were offloaded back: another pipeline around the same ones does not know of it."""
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
        sound = np.stack([np.asarray(clip.waveform) for clip in clips])
        output.frames, output.audio = frames, sound
        if kind == "pt":
            output.frames, output.audio = torch.from_numpy(frames).permute(0, 1, 4, 2, 3), torch.from_numpy(sound)
        return output
