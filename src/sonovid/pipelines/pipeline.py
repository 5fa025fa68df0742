"""SoundingVideoPipeline: text, pictures or sound in, a sounding video out; one class for all systems and tasks."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from sonovid.core import atomic, progress
from sonovid.core.av import AV, Task
from sonovid.core.geometry import Geometry
from sonovid.diffusion import sampler
from sonovid.pipelines import foreign, loading, lora
from sonovid.pipelines.arguments import Generators, check_prompts
from sonovid.pipelines.generation import COMPONENTS, DEFAULT_OPTIONS, OPTIONAL_COMPONENTS, SETTINGS, SOLVERS, Generation
from sonovid.pipelines.output import SoundingVideoOutput
from sonovid.pipelines.request import CALLBACK_TENSORS, FIELD_NAMES, OUTPUT_TYPES, Request
from sonovid.pipelines.timeline import MediaInput

__all__ = ["COMPONENTS", "DEFAULT_OPTIONS", "OUTPUT_TYPES", "SOLVERS", "SoundingVideoOutput", "SoundingVideoPipeline"]


class SoundingVideoPipeline(Generation, DiffusionPipeline):
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
            the sampling times lean toward the noise (1: evenly spaced). reconstruction_scale, gamma, guidance_against,
            negative_prompt: see the call. spacing: for each stream "linspace" or "leading", where sampling goes by the entries of
            tables of a thousand, as the released SVG does; None: by continuous times.
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
        DiffusionPipeline.__init__(self)
        settings = (geometry, schedule, predict, step, options, system, conditioning, labels)
        components = dict(zip(COMPONENTS, (denoiser, video_codec, audio_codec, text_encoder, joint_codec), strict=True))
        plain = self._set_up(components, dict(zip(SETTINGS, settings, strict=True)))
        self.register_modules(**components)
        self.register_to_config(**plain)

    # --- folders -------------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        model: "str | os.PathLike | None" = None,
        *,
        dtype: torch.dtype | None = None,
        torch_dtype: torch.dtype | None = None,
        device_map: str | None = None,
        variant: str | None = None,
        use_safetensors: bool = True,
        trust_remote_code: bool = False,
        **options: Any,
    ) -> "SoundingVideoPipeline":
        """A pipeline from the packaged model (no argument), a folder, or a repository of the Hub.

        A model of LTX-2, Kandinsky 6, Cosmos 3 or MiniMax-H3, as diffusers has it, becomes a `foreign.ForeignPipeline`, which is
        called in the same way.

        Args:
            model: None or "shipped", a folder, or OWNER/NAME.
            dtype: what the network computes in; torch_dtype is its former name.
            device_map: a device for the whole pipeline, such as "cuda"; maps of parts to devices are not supported.
            variant: of the weights' files, such as "fp16".
            options: components as objects, by name; and for a repository of the Hub `revision`, `cache_dir`, `local_files_only`,
                `force_download` and `token`.

        Deviation: diffusers loads a component whose tensors are missing or are pickles; here either is an error.

        Raises:
            ValueError: no such model, a pickle or code in it, a tensor missing or of the wrong shape, a class that is not
                allowed, or use_safetensors=False, or trust_remote_code=True.
        """
        if not use_safetensors or trust_remote_code:
            raise ValueError("from_pretrained: only safetensors are read, and code of a model folder is never run")
        hub = {name: options.pop(name) for name in loading.HUB_OPTIONS if name in options}
        model = loading.locate(model, **hub)
        index = loading.read_index(model)
        if foreign.is_foreign_model(index):
            if options:
                raise TypeError(f"from_pretrained: {sorted(options)}: components of a foreign model cannot be replaced")
            return foreign.ForeignPipeline.from_folder(model, index, dtype=dtype or torch_dtype)  # type: ignore[return-value]
        folder, parts, settings = loading.load_components(
            model, COMPONENTS, OPTIONAL_COMPONENTS, SETTINGS, variant=variant, **options
        )
        try:
            pipe = cls(**parts, **settings)
        except (TypeError, KeyError) as error:
            raise ValueError(f"model {folder}: {loading.INDEX} does not fit this version: {error}") from error
        pipe.register_to_config(_name_or_path=str(folder))
        return pipe.to(device_map, dtype or torch_dtype)

    @classmethod
    def from_pipe(cls, pipeline: Any, **changed: Any) -> "SoundingVideoPipeline":
        """Another pipeline of the same components, which are shared and not copied. changed: components or settings, by name."""
        known = {**{name: getattr(pipeline, name) for name in COMPONENTS}, **{name: pipeline.config[name] for name in SETTINGS}}
        dtype = changed.pop("torch_dtype", None)
        if unknown := sorted(set(changed) - set(known)):
            raise ValueError(f"from_pipe: {unknown}: expected components {COMPONENTS} or settings {SETTINGS}")
        return cls(**{**known, **changed}).to(dtype=dtype)

    def save_pretrained(
        self,
        save_directory: "str | os.PathLike",
        safe_serialization: bool = True,
        variant: str | None = None,
        max_shard_size: int | str | None = None,
        push_to_hub: bool = False,
        **unknown: Any,
    ) -> None:
        """Write the pipeline as a folder: model_index.json, and a folder for each component, all weights as safetensors.

        The folder appears whole or not at all; one that is there is replaced.

        Raises:
            ValueError: pickles are asked for, or that a repository of the Hub is written at the same time.
        """
        if not safe_serialization:
            raise ValueError("safe_serialization=False: only safetensors are written, since a pickle can run code")
        if push_to_hub or unknown:
            names = ", ".join(["push_to_hub"] * push_to_hub + sorted(unknown))
            raise ValueError(f"save_pretrained: {names}: a folder is all it writes; for the Hub call pipe.push_to_hub(repo_id)")
        options = {"variant": variant, "max_shard_size": max_shard_size}
        given = {name: value for name, value in options.items() if value is not None}

        def write(folder: Path) -> None:
            for name in COMPONENTS:
                if getattr(self, name) is not None:
                    getattr(self, name).save_pretrained(folder / name, **given)
            self.save_config(folder)
            loading.remove_local_paths(folder)

        atomic.replace_folder(save_directory, write)

    # --- where and how it runs -----------------------------------------------------------------------------------------

    def to(self, *args: Any, **kwargs: Any) -> "SoundingVideoPipeline":
        kwargs.pop("silence_dtype_warnings", None)
        return Generation.to(self, *args, **kwargs)

    to.__doc__ = Generation.to.__doc__

    def progress_bar(self, iterable: Any = None, total: int | None = None) -> Any:
        """The bar of diffusers on a terminal, a few lines elsewhere; `set_progress_bar_config` as there."""
        own: dict[str, Any] = getattr(self, "_progress_bar_config", {})
        if own.get("disable") or progress.is_interactive():
            return super().progress_bar(iterable, total)
        return progress.bar(iterable, total=total, desc=own.get("desc", "sampling"), unit=own.get("unit", "step"))

    @property
    def device(self) -> torch.device:
        """Where the network is; while its weights are offloaded, where it runs."""
        device = next(iter(self.denoiser.parameters())).device
        return self._execution_device if device.type == "meta" else device

    def enable_vae_slicing(self) -> None:
        """Encode and decode one window at a time, which takes the least memory."""
        self._codec_batch = 1
        self._of_autoencoders("enable_slicing")

    def disable_vae_slicing(self) -> None:
        """Encode and decode as many windows at once as fit into memory."""
        self._codec_batch = None
        self._of_autoencoders("disable_slicing")

    def enable_vae_tiling(self) -> None:
        """Encode and decode pictures in tiles, for a codec that is a released autoencoder with tiling.

        Raises:
            ValueError: no codec of this pipeline can.
        """
        if not self._of_autoencoders("enable_tiling"):
            raise ValueError("enable_vae_tiling: no codec of this model works in tiles; enable_vae_slicing takes less memory too")

    def disable_vae_tiling(self) -> None:
        """Encode and decode whole pictures."""
        self._of_autoencoders("disable_tiling")

    def _of_autoencoders(self, method: str) -> int:
        """Calls a method of every released autoencoder behind a codec; gives how many have it."""
        codecs = [self.video_codec, self.audio_codec, self.joint_codec]
        found = [getattr(getattr(codec, "autoencoder", None), method, None) for codec in codecs]
        for call in found:
            if call is not None:
                call()
        return sum(call is not None for call in found)

    @property
    def interrupt(self) -> bool:
        """Whether the remaining steps are left out; set `pipe._interrupt = True` in a callback."""
        return self._interrupt

    @property
    def scheduler(self) -> Any:
        """A scheduler of diffusers in place of the model's own step and times: one, a pair (video, audio), or None."""
        return self._scheduler

    @scheduler.setter
    def scheduler(self, given: Any) -> None:
        """Raises ValueError where the scheduler does not fit the schedules that the network was trained on."""
        if given is None:
            self._scheduler = None
            return
        pair = AV(*given) if isinstance(given, list | tuple) else AV(given, given)
        pair = pair.map(fed_x0)
        self.schedule.map(lambda schedule, one: sampler.from_diffusers(one, schedule, 2), pair)
        self._scheduler = pair

    # --- LoRA ----------------------------------------------------------------------------------------------------------

    def load_lora_weights(self, source: Any, adapter_name: str = "default", **options: Any) -> None:
        """Put LoRA layers into the network: a folder or file of safetensors, or a state dict, as peft or diffusers writes them.

        Raises:
            ValueError: peft is not installed, nothing to read there, or layers that the network does not have.
        """
        lora.load(self.denoiser, source, adapter_name, **options)

    def save_lora_weights(self, save_directory: "str | os.PathLike", adapter_name: str = "default") -> None:
        """Write the LoRA layers of the network as `pytorch_lora_weights.safetensors`."""
        lora.save(self.denoiser, save_directory, adapter_name)

    def unload_lora_weights(self) -> None:
        """Take LoRA layers out of the network again."""
        lora.unload(self.denoiser)

    def fuse_lora(self, lora_scale: float = 1.0) -> None:
        """Add the LoRA layers to the weights, so that they cost no time."""
        lora.fuse(self.denoiser, lora_scale)

    # --- generating ----------------------------------------------------------------------------------------------------

    def encode_prompt(
        self,
        prompt: "str | Sequence[str]",
        negative_prompt: "str | Sequence[str | None] | None" = None,
        num_videos_per_prompt: int = 1,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Prompts as the network is told them, to be given as `prompt_embeds` and so on.

        Returns:
            (prompt_embeds [b k d], prompt_attention_mask [b k], negative_prompt_embeds, negative_prompt_attention_mask), with
            `num_videos_per_prompt` rows of each prompt. A model with pooled embeddings takes words alone.

        Raises:
            ValueError: the model takes no words, or pooled embeddings beside them.
        """
        if not self.accepts_text or hasattr(self.text_encoder, "pooled"):
            raise ValueError(
                "encode_prompt: this model " + ("takes words alone: give prompt" if self.accepts_text else "takes none")
            )
        prompts = check_prompts(prompt, negative_prompt, self.accepts_text)
        negatives = [negative_prompt] * len(prompts) if isinstance(negative_prompt, str | None) else list(negative_prompt)
        pairs = [self.guidance_conditions(w, n, Task.JOINT) for w, n in zip(prompts, negatives, strict=True)]
        joined = [(c.concat(n or c.without_text())) for c, n in pairs for _ in range(num_videos_per_prompt)]
        most = max(one.text.shape[1] for one in joined)
        text = torch.stack([torch.nn.functional.pad(one.text, (0, 0, 0, most - one.text.shape[1])) for one in joined], 1)
        mask = torch.stack([torch.nn.functional.pad(one.text_mask, (0, most - one.text_mask.shape[1])) for one in joined], 1)
        return text[0], mask[0], text[1], mask[1]

    @torch.no_grad()
    def __call__(
        self,
        prompt: "str | Sequence[str] | None" = None,
        video: MediaInput = None,
        audio: MediaInput = None,
        negative_prompt: "str | Sequence[str | None] | None" = None,
        num_inference_steps: SupportsIndex | None = None,
        guidance_scale: float | int | None = None,
        audio_guidance_scale: float | int | None = None,
        num_outputs_per_prompt: SupportsIndex | None = None,
        seconds: Any = None,
        generator: Generators = None,
        output_type: str = "clip",
        callback_on_step_end: "Callable[[Any, int, AV, dict], dict | None] | None" = None,
        return_dict: bool = True,
        reconstruction_scale: float | int | None = None,
        gamma: float | int | None = None,
        label: "str | Sequence[str] | None" = None,
        guidance_against: str | None = None,
        *,
        batch_size: Any = "auto",
        num_videos_per_prompt: SupportsIndex | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = CALLBACK_TENSORS,
        **more: Any,
    ) -> "SoundingVideoOutput | tuple":
        """Pictures and sound for words; sound for given pictures; pictures for a given sound.

        Args:
            prompt: words, or several prompts.
            video, audio: at most one of them; the other stream is generated. A path, a `Clip`, an array or tensor of frames with
                `fps=` or of samples with `sample_rate=` (see `given.as_video`, `given.as_audio`), a list of PIL images, or a list
                of any of these, one for each prompt. A given clip longer than the model's is worked through in overlapping
                windows, which are faded into each other.
            negative_prompt: what guidance leads away from, one or one for each prompt; None: the model's own, "": no words.
            num_inference_steps: sampling steps.
            guidance_scale, audio_guidance_scale: of the pictures and of the sound; 1 is none. The second follows the first where
                only that is given. Without words there is nothing to guide by, and no second evaluation.
            num_outputs_per_prompt, num_videos_per_prompt: clips for each prompt, one after another; two names of one thing.
            seconds: the length of the result, at most the model's; of a given clip, how much of it is used.
            generator: a seed, of which clip i takes seed + i; a torch.Generator, from which clips draw in turn; or one for each
                clip. The noise of a clip is its own, whatever runs beside it.
            output_type: "clip", "np", "pt", "pil" or "latent", see `SoundingVideoOutput`.
            callback_on_step_end: called for each clip after each step with the pipeline, the number of the step, the times it
                went to as AV, and a dictionary of latents, x0, clip and window; the latents of the dictionary it returns, if any,
                are gone on with. It may set `pipe._interrupt = True`, after which no further step is made.
            callback_on_step_end_tensor_inputs: which of "latents" and "x0" the dictionary has.
            return_dict: False gives the tuple (video, audio), whatever the output type.
            reconstruction_scale: how strongly what is generated is led to where the given stream is denoised to what it is
                (CMMD's lambda), for models whose given streams enter noised; 0 is none, and above it a step costs a backward pass
                too.
            gamma: how far the streams' times are bent apart, video t^sqrt(gamma) and sound t^(1/sqrt(gamma)), where streams were
                trained at times of their own (SVG, eq. 9); 1 is not at all.
            label: for a model of classes, the name of one, or several as there may be several prompts; `classes` lists them.
            guidance_against: for a model that is shown the given stream (MM-LDM), what guidance leads away from where one is
                given: "modality", as if it were not shown; "context", as if no class and no words were given; or "both", one
                added to the other. Without a given stream it is always the context.
            batch_size: windows that run through the network at once; "auto": as many as memory holds and are any faster. With 1 a
                clip is the same bit for bit however many are asked for; in larger batches it differs by rounding.
            more: `height`, `width`, `num_frames` of a window, where codecs and network take them; `fps` and `sample_rate` of
                arrays; `latents`: unit noise (video, audio) in place of what is drawn; `prompt_embeds`, `prompt_attention_mask`,
                `pooled_prompt_embeds` and the same with `negative_` before, in place of words.

        Raises:
            ValueError: options that contradict each other or that the model cannot satisfy.
            TypeError: an option that there is not.
        """
        everything = dict(locals())
        given: dict[str, Any] = {name: everything[name] for name in FIELD_NAMES if name in everything}
        if num_outputs_per_prompt is not None and num_videos_per_prompt is not None:
            raise ValueError("num_outputs_per_prompt and num_videos_per_prompt are two names of one thing: give one of them")
        given["num_outputs_per_prompt"] = next((n for n in (num_outputs_per_prompt, num_videos_per_prompt) if n is not None), 1)
        request = Request(**given, **more)
        result = self.generate(request)
        self.maybe_free_model_hooks()
        return SoundingVideoOutput(**vars(result)) if return_dict else result.pair()


def fed_x0(scheduler: Any) -> Any:
    """A scheduler of diffusers that takes x_0 for the network's output, whatever it took: the loop converts predictions."""
    if scheduler.config.get("prediction_type", "sample") == "sample" and not scheduler.config.get("clip_sample"):
        return scheduler
    return type(scheduler).from_config(scheduler.config, prediction_type="sample", clip_sample=False)
