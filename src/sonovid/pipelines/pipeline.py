"""SoundingVideoPipeline: generates video, audio, or both, with every system and for every task of this package."""

from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from sonovid.core import renamed
from sonovid.core.av import AV, Task
from sonovid.core.geometry import Geometry
from sonovid.pipelines.arguments import Generators, check_prompts
from sonovid.pipelines.components import COMPONENTS, DEFAULT_OPTIONS, SETTINGS, SOLVERS
from sonovid.pipelines.diffusers_features import DiffusersFeaturesMixin
from sonovid.pipelines.generation import Generation
from sonovid.pipelines.inputs import MediaInput
from sonovid.pipelines.output import SoundingVideoOutput
from sonovid.pipelines.pretrained import PretrainedMixin
from sonovid.pipelines.request import CALLBACK_TENSORS, FIELD_NAMES, OUTPUT_TYPES, Request

__all__ = ["COMPONENTS", "DEFAULT_OPTIONS", "OUTPUT_TYPES", "SOLVERS", "SoundingVideoOutput", "SoundingVideoPipeline"]

__getattr__ = renamed.attributes(__name__, {"DEFAULTS": "DEFAULT_OPTIONS", "OUTPUTS": "OUTPUT_TYPES", "STEPS": "SOLVERS"})


class SoundingVideoPipeline(PretrainedMixin, DiffusersFeaturesMixin, Generation, DiffusionPipeline):
    """Generates video, audio, or both.

        pipe = SoundingVideoPipeline.from_pretrained()          # the packaged model; or a folder, or OWNER/NAME
        clip = pipe("a wooden stick hits a metal can", generator=0).clips[0]

    Args:
        denoiser: the denoising network of both streams.
        video_codec: codec of the video, see codecs/base.
        audio_codec: codec of the audio.
        joint_codec: codec of both streams, in place of `video_codec` and `audio_codec`.
        text_encoder: embeds prompts; None for a model without text conditioning.
        geometry: size, length and rates that the model was trained on, as `Geometry` or its config.
        schedule: one noise schedule for both streams or an AV of two, as objects or as [name, arguments].
        predict: prediction type of the denoiser.
        step: solver, "ddim" or "dpm_solver".
        options: defaults of the call: num_inference_steps, guidance_scale, audio_guidance_scale, reconstruction_scale, gamma,
            guidance_against, guidance_interval and negative_prompt, see `__call__`. Besides: `shift`, the timestep shift of the
            sampling times (1: evenly spaced); and `spacing`, for each stream "linspace" or "leading" where sampling uses the
            entries of a table of 1000 timesteps, as the released SVG does (None: continuous times).
        system: name of the model, written into files.
        conditioning: how a conditioning stream enters, as the denoiser was trained: "clean", at time zero; "replaced", noised to
            the current time by one fixed noise, for denoisers that only know pairs at one time (MM-Diffusion, CMMD); or "shown",
            noised likewise, with its clean latents as a further input of the denoiser (MM-LDM).
        labels: names of the classes, in the order of their indices; by default the indices themselves.
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

    def encode_prompt(
        self,
        prompt: "str | Sequence[str]",
        negative_prompt: "str | Sequence[str | None] | None" = None,
        num_videos_per_prompt: int = 1,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Embed prompts, for `prompt_embeds` and the arguments that go with it.

        Args:
            prompt: one prompt, or a list.
            negative_prompt: one for all prompts, or one for each.
            num_videos_per_prompt: rows of each prompt.

        Returns:
            (prompt_embeds [b k d], prompt_attention_mask [b k], negative_prompt_embeds, negative_prompt_attention_mask).

        Raises:
            ValueError: a model without text conditioning, or one with pooled embeddings, which takes prompts as text only.
        """
        if not self.accepts_text:
            raise ValueError("encode_prompt: this model is not conditioned on text")
        if hasattr(self.text_encoder, "pooled"):
            raise ValueError("encode_prompt: this model uses pooled embeddings and takes prompts as text only: pass prompt")
        prompts = check_prompts(prompt, negative_prompt, self.accepts_text)
        negatives = [negative_prompt] * len(prompts) if isinstance(negative_prompt, str | None) else list(negative_prompt)
        if len(negatives) != len(prompts):
            raise ValueError(
                f"encode_prompt: {len(prompts)} prompts and {len(negatives)} negative prompts; pass one, or one for each"
            )
        pairs = [self.guidance_conditions(text, n, Task.JOINT) for text, n in zip(prompts, negatives, strict=True)]
        both = [c.concat(n or c.without_text()) for c, n in pairs for _ in range(num_videos_per_prompt)]
        longest = max(one.text.shape[1] for one in both)
        text = torch.stack([torch.nn.functional.pad(one.text, (0, 0, 0, longest - one.text.shape[1])) for one in both], 1)
        mask = torch.stack([torch.nn.functional.pad(one.text_mask, (0, longest - one.text_mask.shape[1])) for one in both], 1)
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
        """Generate video and audio from text, audio for a video, or video for an audio.

        Args:
            prompt: one prompt, or a list.
            video, audio: at most one input; the other stream is generated. A path, a `Clip`, an array or tensor of frames with
                `fps=` or of samples with `sample_rate=` (see `inputs.as_video`, `inputs.as_audio`), a list of PIL images, or a
                list of any of these, one for each prompt. An input longer than the model's window is processed in overlapping
                windows, which are crossfaded.
            negative_prompt: one for all prompts or one for each; None: the model's own, "": the empty prompt.
            num_inference_steps: number of sampling steps.
            guidance_scale, audio_guidance_scale: guidance scale of the video and of the audio; 1: none. The second defaults to
                the first where only that is passed. Without a prompt there is no guidance and no second evaluation.
            num_outputs_per_prompt, num_videos_per_prompt: clips for each prompt; two names of one argument.
            seconds: length of the result, at most that of the model; with an input, how much of it is used.
            generator: a seed, of which clip i takes seed + i; a torch.Generator, from which the clips draw in turn; or one for
                each clip. The noise of a clip does not depend on the batch that it runs in.
            output_type: "clip", "np", "pt", "pil" or "latent", see `SoundingVideoOutput`.
            callback_on_step_end: called for each clip after each step with the pipeline, the index of the step, the times after
                the step as AV, and a dictionary of latents, x0, clip and window. If it returns a dictionary with latents,
                sampling continues with these. It may set `pipe._interrupt = True` to skip the remaining steps.
            callback_on_step_end_tensor_inputs: which of "latents" and "x0" the dictionary contains.
            return_dict: False returns the tuple (video, audio), whatever the output type.
            reconstruction_scale: scale of reconstruction guidance (CMMD's lambda): the weight of the gradient of the conditioning
                stream's reconstruction error. For models with conditioning "replaced"; 0: none. A positive scale adds a backward
                pass to each step.
            gamma: warp between the times of the streams, video t^sqrt(gamma) and audio t^(1/sqrt(gamma)), for models whose
                streams were trained at separate times (SVG, eq. 9); 1: none.
            label: class name, or a list, for a class-conditional model; `classes` lists the names.
            guidance_against: for a model with conditioning "shown" (MM-LDM), what guidance leads away from: "modality", the
                prediction without the conditioning stream; "context", the prediction without class and text; or "both", the sum
                of the two. Without a conditioning stream it is always "context".
            batch_size: windows that run through the network at once; "auto": as many as fit into memory and are useful. With 1
                a clip is bit-identical however many are requested; in larger batches it differs by rounding.
            more: `guidance_interval`: smallest and largest time with guidance, from 0 (clean) to 1 (noise), as two numbers;
                `height`, `width`, `num_frames` of a window, where codecs and network support them; `fps` and `sample_rate` of
                arrays; `latents`: unit noise (video, audio) in place of random noise; `prompt_embeds`, `prompt_attention_mask`,
                `pooled_prompt_embeds` and the same with prefix `negative_`, in place of text.

        Raises:
            ValueError: options that contradict each other or that the model cannot satisfy.
            TypeError: an unknown argument.
        """
        arguments = dict(locals())
        values: dict[str, Any] = {name: arguments[name] for name in FIELD_NAMES if name in arguments}
        if num_outputs_per_prompt is not None and num_videos_per_prompt is not None:
            raise ValueError("num_outputs_per_prompt and num_videos_per_prompt are two names of one argument: pass one of them")
        values["num_outputs_per_prompt"] = next((n for n in (num_outputs_per_prompt, num_videos_per_prompt) if n is not None), 1)
        request = Request(**values, **more)
        result = self.generate(request)
        self.maybe_free_model_hooks()
        return SoundingVideoOutput(**vars(result)) if return_dict else result.to_pair()
