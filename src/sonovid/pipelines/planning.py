"""PlanningMixin: check a request and derive everything that sampling needs from it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sonovid.core.av import AV, Task
from sonovid.core.geometry import Geometry
from sonovid.diffusion import sampler
from sonovid.pipelines import arguments, batching, loading
from sonovid.pipelines.arguments import check_reconstruction_guidance, make_generators, positive_int
from sonovid.pipelines.components import SOLVERS, ComponentsMixin
from sonovid.pipelines.encoding import EncodingMixin
from sonovid.pipelines.inputs import as_audio, as_video, to_list
from sonovid.pipelines.request import Request
from sonovid.pipelines.timeline import Timeline, plan_timeline


@dataclass(frozen=True)
class ClipRequest:
    """The conditions of one clip.

    Args:
        prompt: the text prompt.
        label: index of the class, or `NO_LABEL`.
        input_index: index of the input clip in the request.
        negative_prompt: the text that guidance leads away from; None: the model's own.
    """

    prompt: str
    label: int
    input_index: int
    negative_prompt: str | None


@dataclass(frozen=True)
class Plan:
    """A checked request with everything that follows from it.

    Args:
        request: the request.
        geometry: size, length and rates of one window.
        task: which streams are generated.
        clips: one entry for each clip.
        timelines: one entry for each input clip, or a single one where there is none.
        times: sampling times of each stream.
        step: the solver step of each stream, or one for both.
        guidance_scale: scale of classifier-free guidance for each stream.
        reconstruction_scale: scale of reconstruction guidance.
        guidance_against: see `denoising.GUIDANCE_AGAINST`.
        guidance_interval: smallest and largest time with guidance.
        generators: one random generator for each clip.
        seeds: one seed for each clip, None where the caller passed a generator.
        outputs_per_prompt: clips of one prompt.
    """

    request: Request
    geometry: Geometry
    task: Task
    clips: list[ClipRequest]
    timelines: list[Timeline]
    times: AV
    step: Any
    guidance_scale: AV
    reconstruction_scale: float | int
    guidance_against: str
    guidance_interval: tuple[float, float]
    generators: list[torch.Generator]
    seeds: list[int | None]
    outputs_per_prompt: int

    @property
    def num_windows(self) -> int:
        """Number of windows of all clips."""
        return sum(len(self.timelines[clip.input_index].starts) for clip in self.clips)


class PlanningMixin(EncodingMixin, ComponentsMixin):
    """Turns a `Request` into a `Plan`."""

    def plan(self, request: Request) -> Plan:
        """Check a request and derive everything that sampling needs.

        Raises:
            ValueError: options that contradict each other or that the model cannot satisfy.
        """
        geometry = self._window_geometry(request)
        videos = [one if one is None else as_video(one, request.fps) for one in to_list(request.video)]
        audios = [one if one is None else as_audio(one, request.sample_rate) for one in to_list(request.audio)]
        task = arguments.infer_task(videos[0], audios[0], self.generated_streams)
        inputs = videos if task is Task.VIDEO_TO_AUDIO else audios
        outputs_per_prompt = positive_int("num_outputs_per_prompt", request.num_outputs_per_prompt)
        clips = self._clip_requests(request, len(inputs), outputs_per_prompt)
        default_steps = self.options["num_inference_steps"]
        num_steps = positive_int(
            "num_inference_steps", default_steps if request.num_inference_steps is None else request.num_inference_steps
        )
        reconstruction_scale = request.reconstruction_scale
        if reconstruction_scale is None:
            reconstruction_scale = self.options["reconstruction_scale"]
        check_reconstruction_guidance(reconstruction_scale, self.config.conditioning)
        batching.check_batch_size(request.batch_size)
        step, times = self._solver(num_steps, self.options["gamma"] if request.gamma is None else request.gamma)
        guidance_scale = self.guidance_scales(request.guidance_scale, request.audio_guidance_scale)
        guidance_against = arguments.check_guidance_against(request.guidance_against or self.options["guidance_against"])
        generators, seeds = make_generators(request.generator, len(clips))
        return Plan(
            request=request,
            geometry=geometry,
            task=task,
            clips=clips,
            timelines=[plan_timeline(task, v, a, request.seconds, geometry) for v, a in _pair_inputs(videos, audios)],
            times=times,
            step=step,
            guidance_scale=guidance_scale,
            reconstruction_scale=reconstruction_scale,
            guidance_against=guidance_against,
            guidance_interval=self.guidance_interval(request.guidance_interval),
            generators=generators,
            seeds=seeds,
            outputs_per_prompt=outputs_per_prompt,
        )

    def _clip_requests(self, request: Request, num_inputs: int, outputs_per_prompt: int) -> list[ClipRequest]:
        if request.prompt_embeds is None:
            prompts = arguments.check_prompts(request.prompt, request.negative_prompt, self.accepts_text)
        else:
            prompts = [""] * len(request.prompt_embeds)
        labels = arguments.labels_to_indices(request.label, self.classes)
        rows = arguments.broadcast_inputs(outputs_per_prompt, prompts=prompts, labels=labels, inputs=range(num_inputs))
        negatives = arguments.expand_negative_prompts(request.negative_prompt, len(rows), outputs_per_prompt)
        return [ClipRequest(row[0], row[1], row[2], negative) for row, negative in zip(rows, negatives, strict=True)]

    def _window_geometry(self, request: Request) -> Geometry:
        """The geometry of one window: the model's own with the requested size and number of frames.

        Raises:
            ValueError: a size or a number of frames that the model cannot generate.
        """
        own = self.geometry
        requested = {name: getattr(request, name) for name in ("height", "width", "num_frames")}
        changed: dict[str, Any] = {
            name: positive_int(name, value) for name, value in requested.items() if value not in (None, getattr(own, name))
        }
        if not changed:
            return own
        try:
            geometry = dataclasses.replace(own, **changed)
            self._try_geometry(geometry, self.codec.latent_shapes(geometry))
        except (ValueError, RuntimeError) as error:
            what = ", ".join(f"{name}={value}" for name, value in changed.items())
            raise ValueError(
                f"{what}: this model generates {own.num_frames} frames of {own.width}x{own.height} "
                f"({loading.short_message(error)})"
            ) from None
        return geometry

    def _try_geometry(self, geometry: Geometry, shapes: AV) -> None:
        """Evaluate the network once at another frame size. It raises where it cannot process that size."""
        if all(getattr(self.geometry, name) == getattr(geometry, name) for name in ("height", "width")):
            # Another number of frames needs no check here: the network raises at the first step if it cannot process it.
            return
        x = shapes.map(lambda shape: torch.zeros(1, *shape, device=self._execution_device, dtype=self.dtype))
        t = x.map(lambda one: torch.ones(1, device=one.device))
        condition = self.guidance_conditions("", None, Task.JOINT)[0]
        self.denoiser(x, t, condition, None)

    def guidance_scales(self, video: float | int | None, audio: float | int | None) -> AV:
        """Guidance scales of both streams.

        Args:
            video: scale of the video, or None for the model's own.
            audio: scale of the audio, or None for that of the video if it was passed, else for the model's own.

        Raises:
            ValueError: a scale outside [0, 100].
        """
        own = AV(self.options["guidance_scale"], self.options["audio_guidance_scale"])
        scale = AV(own.video if video is None else video, audio)
        scale = AV(scale.video, (own.audio if video is None else video) if audio is None else audio)
        for name, value in zip(("guidance_scale", "audio_guidance_scale"), scale, strict=True):
            if not 0 <= value <= 100:
                raise ValueError(f"{name}={value}: expected a number from 0 to 100; 1 is no guidance")
        return scale

    def guidance_interval(self, interval: Sequence[float | int] | None) -> tuple[float, float]:
        """Smallest and largest time with guidance.

        Args:
            interval: the two times, or None for the model's own.

        Raises:
            ValueError: not two times from 0 to 1 in ascending order.
        """
        return arguments.check_guidance_interval(self.options["guidance_interval"] if interval is None else interval)

    def sampling_times(self, steps: int, gamma: float | int) -> AV:
        """Sampling times of both streams, from the largest time of each schedule down to 0.

        Args:
            steps: number of sampling steps.
            gamma: warp between the times of the two streams (SVG, eq. 9); 1: none.
        """
        if self.options["spacing"] is not None:
            return sampler.table_times_pair(steps, AV(*self.options["spacing"]), gamma)
        times = self.schedule.map(lambda one: sampler.shifted_times(steps, self.options["shift"], one.start(self.config.predict)))
        return AV(*(sampler.warp_times(stream, gamma)[i] for i, stream in enumerate(times)))

    def _solver(self, steps: int, gamma: float | int) -> tuple[Any, AV]:
        """The solver step and the sampling times: the model's own, or those of a scheduler of diffusers."""
        if self._scheduler is None:
            return SOLVERS[self.config.step], self.sampling_times(steps, gamma)
        if gamma != 1:
            raise ValueError(f"gamma={gamma}: a scheduler of diffusers has its own times, so gamma must be 1")
        pairs = self.schedule.map(lambda schedule, scheduler: sampler.from_diffusers(scheduler, schedule, steps), self._scheduler)
        return pairs.map(lambda pair: pair[0]), pairs.map(lambda pair: pair[1])


def _pair_inputs(videos: list, audios: list) -> list[tuple]:
    """Pairs (video, audio) of inputs; one of the lists is [None]."""
    return [(videos[i % len(videos)], audios[i % len(audios)]) for i in range(max(len(videos), len(audios)))]
