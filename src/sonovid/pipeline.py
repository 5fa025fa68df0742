"""SoundingVideoPipeline: text, pictures or sound in, a sounding video out; one class for all systems and tasks."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from einops import rearrange
from torch import Tensor

from sonovid import arguments, atomic, folders, foreign, windows
from sonovid.arguments import Generators, check_reconstruction, generators, positive
from sonovid.av import AV, Task
from sonovid.classes import NONE, Classes
from sonovid.clip import Clip
from sonovid.codecs.apart import Apart
from sonovid.codecs.base import PairCodec
from sonovid.condition import Condition
from sonovid.denoising import Denoising, frozen
from sonovid.diffusion import noise, sampler
from sonovid.diffusion import schedule as schedules
from sonovid.extent import Extent, Given, extent_of
from sonovid.geometry import Geometry, count, duration
from sonovid.output import SoundingVideoOutput

COMPONENTS = ("denoiser", "video_codec", "audio_codec", "text_encoder", "joint_codec")
STEPS = {"ddim": sampler.ddim, "dpm_solver": sampler.dpm_solver}
OUTPUTS = ("clip", "np", "pt", "latent")
DEFAULTS = {
    "num_inference_steps": 25,
    "guidance_scale": 3.0,
    "audio_guidance_scale": 3.0,
    "shift": 1.0,
    "reconstruction_scale": 0.0,
    "gamma": 1.0,
    "guidance_against": "modality",
}


class SoundingVideoPipeline(DiffusionPipeline):
    """Generates pictures, sound, or both.

        pipe = SoundingVideoPipeline.from_pretrained()          # the model inside the package; or a folder, or OWNER/NAME
        clip = pipe("a wooden stick hits a metal can", generator=0).clips[0]

    Args:
        denoiser: the network, pair to pair. video_codec, audio_codec: see codecs/base; or, in place of both, joint_codec, which
            codes the pair as one. text_encoder: prompts to embedded words; None for a model that takes none.
        geometry: what the model was trained on, as `Geometry` or its config.
        schedule: one schedule for both streams or an AV of two, as objects or as [name, arguments].
        predict: what the network's output stands for. step: "ddim" or "dpm_solver".
        options: num_inference_steps, guidance_scale and audio_guidance_scale, used unless the call says otherwise; shift: how far
            the sampling times lean toward the noise (1: evenly spaced). reconstruction_scale, gamma, guidance_against: see the
            call.
        system: the model's name, written into files.
        conditioning: how a given stream enters, as the network was trained: "clean", at time zero; "replaced": noised to the
            current time by one noise throughout, for networks that only know pairs of one time (MM-Diffusion, CMMD); or "shown":
            noised so, with its clean latents shown to the network beside the noisy pair (MM-LDM).
        labels: the names of the classes that the network knows, in the order of their numbers; where there are none, its classes
            go by their numbers.
    """

    model_cpu_offload_seq = "text_encoder->denoiser"
    _exclude_from_cpu_offload = ["video_codec", "audio_codec", "joint_codec"]  # noqa: RUF012
    _optional_components: list[str] = ["video_codec", "audio_codec", "text_encoder", "joint_codec"]  # noqa: RUF012

    def __init__(
        self,
        denoiser: Any,
        video_codec: Any = None,
        audio_codec: Any = None,
        text_encoder: Any = None,
        geometry: "Geometry | dict | None" = None,
        schedule: Any = None,
        predict: str = "v",
        step: str = "ddim",
        options: "dict | None" = None,
        system: str = "uniform",
        conditioning: str = "clean",
        joint_codec: Any = None,
        labels: Sequence[str] = (),
    ):
        super().__init__()
        if geometry is None:
            raise ValueError("SoundingVideoPipeline: geometry is needed: what the model was trained on")
        self.geometry = geometry if isinstance(geometry, Geometry) else Geometry.from_config(dict(geometry))
        self.schedule = arguments.read_schedule(schedule)
        if predict not in schedules.PREDICTIONS or step not in STEPS:
            raise ValueError(f"{predict=} {step=}: expected one of {schedules.PREDICTIONS} and of {tuple(STEPS)}")
        self.options = {**DEFAULTS, **(options or {})}
        if unknown := set(self.options) - set(DEFAULTS):
            raise ValueError(f"options {sorted(unknown)}: expected {sorted(DEFAULTS)}")
        check_reconstruction(self.options["reconstruction_scale"], conditioning)
        arguments.check_against(self.options["guidance_against"])
        num_classes = getattr(denoiser.config, "num_classes", 0)
        self.classes = Classes(tuple(labels or map(str, range(num_classes))))
        if len(self.classes) != num_classes:
            raise ValueError(f"SoundingVideoPipeline: {len(labels)} labels for a network of {num_classes} classes")
        apart = (video_codec, audio_codec)
        if (None in apart) if joint_codec is None else apart != (None, None):
            raise ValueError("SoundingVideoPipeline: expected video_codec and audio_codec, or joint_codec alone")
        self.register_modules(
            denoiser=denoiser,
            video_codec=video_codec,
            audio_codec=audio_codec,
            text_encoder=text_encoder,
            joint_codec=joint_codec,
        )
        self.register_to_config(
            geometry=self.geometry.to_config(),
            schedule=[[type(one).__name__, dataclasses.asdict(one)] for one in self.schedule],
            predict=predict,
            step=step,
            options=self.options,
            system=system,
            conditioning=conditioning,
            labels=list(labels),
        )
        for name in COMPONENTS:
            if isinstance(component := getattr(self, name), torch.nn.Module):
                component.eval()

    # --- folders -------------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        model: "str | os.PathLike | None" = None,
        *,
        dtype: torch.dtype | None = None,
        torch_dtype: torch.dtype | None = None,
        **components: Any,
    ) -> "SoundingVideoPipeline":
        """A pipeline from the packaged model (no argument), a folder, or a repository of the Hub.

        A model of LTX-2, Kandinsky 6, Cosmos 3 or MiniMax-H3, as diffusers has it, becomes a `foreign.ForeignPipeline`, which is
        called in the same way.

        dtype: what the network computes in; torch_dtype is its former name. Components may be given as objects.

        Deviation: diffusers loads a component whose tensors are missing or are pickles; here either is an error.

        Raises:
            ValueError: no such model, a pickle in it, a tensor missing or of the wrong shape, or a foreign class.
        """
        folder = folders.locate(model)
        index = folders.read_index(folder)
        if foreign.reads(index):
            if components:
                raise TypeError(f"from_pretrained: {sorted(components)}: components of a foreign model cannot be replaced")
            return foreign.ForeignPipeline.from_folder(folder, index, dtype=dtype or torch_dtype)  # type: ignore[return-value]
        # Folders from before there were joint codecs name none.
        index = {"joint_codec": [None, None], **index}
        if missing := [name for name in COMPONENTS if name not in index and name not in components]:
            raise ValueError(f"model {folder}: {folders.INDEX} names no {' and no '.join(missing)}")
        names = ("geometry", "schedule", "predict", "step", "options", "system", "conditioning", "labels")
        settings: dict[str, Any] = {name: index[name] for name in names if name in index}
        # A model without words has no text encoder, and one of two codecs no joint one, which diffusers writes as two nulls.
        absent = {name for name in cls._optional_components if index.get(name) == [None, None]}
        parts: dict[str, Any] = {
            name: components.pop(name, None) or (None if name in absent else folders.load_component(folder, name, index[name]))
            for name in COMPONENTS
        }
        if components:
            raise TypeError(f"from_pretrained: {sorted(components)} are no components; expected {COMPONENTS}")
        try:
            pipe = cls(**parts, **settings)
        except (TypeError, KeyError) as error:
            raise ValueError(f"model {folder}: {folders.INDEX} does not fit this version: {error}") from error
        pipe.register_to_config(_name_or_path=str(folder))
        return pipe.to(dtype=dtype or torch_dtype)

    def save_pretrained(self, save_directory: "str | os.PathLike", **options: Any) -> None:
        """Write the pipeline as a folder: model_index.json, and a folder for each component, all weights as safetensors.

        The folder appears whole or not at all; one that is there is replaced.
        """

        def write(folder: Path) -> None:
            for name in COMPONENTS:
                if getattr(self, name) is not None:
                    getattr(self, name).save_pretrained(folder / name)
            self.save_config(folder)
            folders.forget_origins(folder)

        atomic.replace_folder(save_directory, write)

    def to(self, *args: Any, **kwargs: Any) -> "SoundingVideoPipeline":
        """Move to a device, a dtype, or both, as in diffusers.

        The dtype is that of the network and of the text encoder. Codecs stay in single precision: half precision is audible in
        the phases of a vocoder, and their share of the time is small.
        """
        dtype = kwargs.pop("dtype", None) or next((a for a in args if isinstance(a, torch.dtype)), None)
        device = kwargs.pop("device", None) or next((a for a in args if a is not None and not isinstance(a, torch.dtype)), None)
        for name in COMPONENTS:
            if isinstance(component := getattr(self, name), torch.nn.Module):
                if device is not None:
                    component.to(device)
                if (
                    dtype is not None
                    and name in ("denoiser", "text_encoder")
                    and any(w.dtype != dtype for w in component.parameters())
                ):
                    # Not the method of diffusers, which warns of layers to be kept in single precision where there are none.
                    torch.nn.Module.to(component, dtype=dtype)
        return self

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(iter(self.denoiser.parameters())).device

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        return next(iter(self.denoiser.parameters())).dtype

    @property
    def codec(self) -> PairCodec:
        """The codec of the pair: the joint one, or the two of the streams as one."""
        return self.joint_codec if self.joint_codec is not None else Apart(self.video_codec, self.audio_codec)

    @property
    def denoising(self) -> Denoising:
        """The network with what is known of it, as samplers need it."""
        return Denoising(self.denoiser, self.schedule, self.config.predict, self.config.conditioning, self.dtype)

    @property
    def takes_words(self) -> bool:
        """Whether prompts mean anything to this model."""
        return self.text_encoder is not None

    @property
    def makes(self) -> AV:
        """Which streams the network makes: both, unless it was made for one alone (MM-LDM-v, MM-LDM-a)."""
        return getattr(self.denoiser, "makes", AV(True, True))

    # --- generating ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(
        self,
        prompt: "str | Sequence[str] | None" = None,
        video: Given = None,
        audio: Given = None,
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
        reconstruction_scale: float | int | None = None,
        gamma: float | int | None = None,
        label: "str | Sequence[str] | None" = None,
        guidance_against: str | None = None,
    ) -> "SoundingVideoOutput | tuple":
        """Pictures and sound for words; sound for given pictures; pictures for a given sound.

        prompt: words, or several prompts. video, audio: at most one of them, a file or a Clip; the other stream is generated. A
            given clip longer than the model's is worked through in overlapping windows, which are faded into each other.
        negative_prompt: what guidance leads away from, in place of no words at all.
        guidance_scale, audio_guidance_scale: of the pictures and of the sound; 1 is none. The second follows the first where only
            that is given. Without words there is nothing to guide by, and no second evaluation.
        num_outputs_per_prompt: clips for each prompt, one after another.
        seconds: the length of the result, at most the model's; of a given clip, how much of it is used.
        generator: a seed, of which clip i takes seed + i; a torch.Generator, from which clips draw in turn; or one for each clip.
            A clip's latents are the same bit for bit however many are asked for, since each runs through the network alone.
        output_type: "clip", "np", "pt" or "latent", see SoundingVideoOutput.
        callback_on_step_end: called with the pipeline, the number of the step, the times it went to as AV, and a dictionary of
            latents, x0, clip and window; the latents of the dictionary it returns, if any, are gone on with.
        return_dict: False gives the tuple (frames, audio), or (clips,), or (latents,).
        reconstruction_scale: how strongly what is generated is led to where the given stream is denoised to what it is (CMMD's
            lambda), for models whose given streams enter noised; 0 is none, and above it a step costs a backward pass too.
        gamma: how far the streams' times are bent apart, video t^sqrt(gamma) and sound t^(1/sqrt(gamma)), where streams were
            trained at times of their own (SVG, eq. 9); 1 is not at all.
        label: for a model of classes, the name of one, or several as there may be several prompts; `classes` lists them.
        guidance_against: for a model that is shown the given stream (MM-LDM), what guidance leads away from where one is given:
            "modality", as if it were not shown; "context", as if no class and no words were given; or "both", one added to the
            other. Without a given stream it is always the context.

        Raises:
            ValueError: options that contradict each other or that the model cannot satisfy.
        """
        if output_type not in OUTPUTS:
            raise ValueError(f"{output_type=}: expected one of {OUTPUTS}")
        task = arguments.which_task(video, audio, self.makes)
        count_each = positive("num_outputs_per_prompt", num_outputs_per_prompt)
        prompts = arguments.check_prompts(prompt, negative_prompt, self.takes_words)
        asked = arguments.beside(prompts, arguments.check_labels(label, self.classes), count_each)
        own_steps = self.options["num_inference_steps"]
        steps = positive("num_inference_steps", own_steps if num_inference_steps is None else num_inference_steps)
        scale = self.guidance_scales(guidance_scale, audio_guidance_scale)
        pull = self.options["reconstruction_scale"] if reconstruction_scale is None else reconstruction_scale
        check_reconstruction(pull, self.config.conditioning)
        against = arguments.check_against(guidance_against or self.options["guidance_against"])
        times = self.sampling_times(steps, self.options["gamma"] if gamma is None else gamma)
        extent = extent_of(task, video, audio, seconds, self.geometry)
        given = [self._given(task, extent, begin) for begin in extent.starts]
        draws, seeds = generators(generator, len(asked))
        results, denoising, step = [], self.denoising, STEPS[self.config.step]
        with frozen(self.denoiser), self.progress_bar(total=len(asked) * len(given) * steps) as bar:
            for number, ((words, one), draw) in enumerate(zip(asked, draws, strict=True)):
                condition, null = self.conditions(words, negative_prompt, task, one)
                latents = []
                for window, known in enumerate(given):
                    after = self._after_step(bar, callback_on_step_end, times, clip=number, window=window)
                    noises = self.unit_noise(draw)
                    guided = denoising.guided(condition, null, known, scale, against)
                    denoise = denoising.held(guided, known, noises, pull)
                    latents.append(sampler.sample(denoise, noises, self.schedule, times, step, after))
                results.append(latents)
        output = self._output(task, extent, results, output_type, asked)
        output.seeds = seeds
        if return_dict:
            return output
        return (output.frames, output.audio) if output_type in ("np", "pt") else (output.clips or output.latents,)

    def guidance_scales(self, video: float | int | None, audio: float | int | None) -> AV:
        """The guidance scales: those of the call, else the model's own."""
        own = AV(self.options["guidance_scale"], self.options["audio_guidance_scale"])
        scale = AV(own.video if video is None else video, audio)
        scale = AV(scale.video, (own.audio if video is None else video) if audio is None else audio)
        for name, value in zip(("guidance_scale", "audio_guidance_scale"), scale, strict=True):
            if not 0 <= value <= 100:
                raise ValueError(f"{name}={value}: expected a number from 0 to 100; 1 is no guidance")
        return scale

    def sampling_times(self, steps: int, gamma: float | int) -> AV:
        """The sampling times of both streams, from where their schedules can begin down to clean, bent apart by gamma."""
        times = self.schedule.map(lambda one: sampler.shifted(steps, self.options["shift"], one.start(self.config.predict)))
        return AV(*(sampler.warped(stream, gamma)[i] for i, stream in enumerate(times)))

    def _given(self, task: Task, extent: Extent, begin: int) -> AV:
        """Final latents of the given stream in the window that begins at frame `begin`, None for what is generated."""
        clip, own = extent.source, self.geometry
        if clip is None:
            return AV(None, None)
        if task is Task.VIDEO_TO_AUDIO:
            assert clip.frames is not None
            frames = windows.fit_frames(clip.frames, clip.fps, own, begin + own.num_frames)[begin:]
            return self.encoded(frames, None)
        assert clip.waveform is not None
        sound = windows.fit_sound(clip.waveform, clip.sample_rate, own, begin + own.num_frames)
        return self.encoded(None, sound[-own.num_samples :])

    def encoded(self, frames: np.ndarray | None, sound: np.ndarray | None) -> AV:
        """Final latents of a window's pictures [t h w 3], bytes, or sound [n], or of both; None for what was not given."""
        x = y = None
        if frames is not None:
            x = rearrange(torch.from_numpy(np.ascontiguousarray(frames)), "t h w c -> 1 c t h w").to(self.device)
            x = x.float() / 127.5 - 1
        if sound is not None:
            y = torch.from_numpy(sound.copy())[None].to(self.device)
        return self.codec.whiten(self.codec.encode(x, y)).map(lambda z: None if z is None else z.float())

    def unit_noise(self, draw: torch.Generator) -> AV:
        """Unit noise for one clip and window."""
        # A stream that is not made is carried along without a single step.
        shapes = self.codec.latent_shapes(self.geometry).map(lambda s, there: s if there else (s[0], 0, *s[2:]), self.makes)
        return noise.draw_pair([draw], shapes).map(lambda x: x.to(self.device))

    def conditions(self, words: str, negative: str | None, task: Task, label: int = NONE) -> tuple[Condition, Condition | None]:
        """What the network is told, and what guidance leads away from: None where there are no words to guide by."""
        if not self.takes_words:
            told = Condition.wordless(task.value.map(lambda g: torch.full((1,), g, device=self.device)))
            return told if label == NONE else dataclasses.replace(told, labels=torch.tensor([label], device=self.device)), None
        condition = self.told(words, task)
        if not words and not negative:
            return condition, None
        return condition, self.told(negative, task) if negative else condition.without_text()

    def told(self, words: str, task: Task) -> Condition:
        """The condition of one prompt, with a vector of it all where the text encoder gives one."""
        text, mask = self.text_encoder([words])
        pooled = self.text_encoder.pooled([words]).to(self.device) if hasattr(self.text_encoder, "pooled") else None
        return Condition(text.to(self.device), mask.to(self.device), AV(None, None), pooled).for_task(task)

    def _after_step(self, bar: Any, callback: Callable | None, times: AV, *, clip: int, window: int) -> sampler.Callback:
        """What happens after each step: the bar moves on, and the caller's function may change the latents."""

        def after(index: int, x: AV, x0: AV) -> AV | None:
            bar.update()
            if callback is None:
                return None
            told = {"latents": x, "x0": x0, "clip": clip, "window": window}
            return (callback(self, index, times.map(lambda stream: stream[index + 1]), told) or {}).get("latents")

        return after

    # --- what comes out ------------------------------------------------------------------------------------------------

    def _output(self, task: Task, extent: Extent, results: list[list[AV]], kind: str, asked: list[tuple]) -> SoundingVideoOutput:
        """Latents to what was asked for."""
        own = self.geometry
        latents = AV(*(torch.cat([torch.cat([x[i] for x in clip], dim=2) for clip in results]) for i in range(2)))
        output = SoundingVideoOutput(latents=latents, sampling_rate=own.sample_rate, fps=own.fps)
        if kind == "latent":
            return output
        frames, sounds = zip(*(self._decode(extent, windows_of_clip) for windows_of_clip in results), strict=True)
        there = self.makes
        if kind == "clip":
            output.clips = [self._clip(task, extent, *pair) for pair in zip(frames, sounds, asked, strict=True)]
        else:
            output.frames = torch.stack(frames) if there.video else None
            output.audio = torch.stack(sounds)[:, None] if there.audio else None
            if kind == "pt" and there.video:
                output.frames = rearrange(output.frames, "b t h w c -> b t c h w")
            if kind == "np":
                output.frames = output.frames.cpu().numpy() if there.video else None
                output.audio = output.audio.cpu().numpy() if there.audio else None
        return output

    def _decode(self, extent: Extent, latents: list[AV]) -> tuple[Tensor | None, Tensor | None]:
        """Frames [t h w 3] in [0, 1] and sound [n] in [-1, 1] of one clip, its windows joined and cut to length.

        None for a stream that the model does not make.
        """
        own, frames, sound = self.geometry, None, None
        there = [x.map(lambda z, made: z if made else None, self.makes) for x in latents]
        decoded = [self.codec.decode(self.codec.unwhiten(x), own.num_samples) for x in there]
        if self.makes.video:
            cut = [x.video[:, :, : own.num_frames].float().clamp(-1, 1) * 0.5 + 0.5 for x in decoded]
            pictures = [rearrange(x, "1 c t h w -> t h w c") for x in cut]
            frames = windows.join(pictures, extent.starts, axis=0, equal_power=False)[: extent.num_frames]
            frames = torch.cat([frames, frames[-1:].expand(extent.num_frames - len(frames), -1, -1, -1)])
        if self.makes.audio:
            at = [count(duration(begin, own.fps), own.sample_rate) for begin in extent.starts]
            sounds = [x.audio[0].float().clamp(-1, 1) for x in decoded]
            sound = windows.join(sounds, at, axis=0, equal_power=True)[: extent.num_samples(own)].clamp(-1, 1)
            sound = torch.nn.functional.pad(sound, (0, extent.num_samples(own) - len(sound)))
        return frames, sound

    def _clip(self, task: Task, extent: Extent, frames: Tensor | None, sound: Tensor | None, asked: tuple) -> Clip:
        """One result as a Clip, with the given stream as it was given."""
        own, source = self.geometry, extent.source
        pictures, fps = None if frames is None else (frames * 255).round().to(torch.uint8).cpu().numpy(), own.fps
        waveform, rate = None if sound is None else sound[None].cpu().numpy().astype(np.float32), own.sample_rate
        if source is not None and task is Task.VIDEO_TO_AUDIO:
            assert source.frames is not None
            fps = source.fps
            pictures = source.frames[: windows.num_frames(extent.seconds or source.seconds, fps)]
        if source is not None and task is Task.AUDIO_TO_VIDEO:
            assert source.waveform is not None
            rate = source.sample_rate
            waveform = source.waveform[:, : count(extent.seconds or source.seconds, rate)]
        label = "" if asked[1] == NONE else self.classes.names[asked[1]]
        return Clip(pictures, waveform, fps=fps, sample_rate=rate, caption=asked[0], label=label)
