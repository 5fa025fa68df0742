"""Generation: from a request to latents and on to clips, in batches; all that a pipeline does, without importing diffusers."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from sonovid.codecs.base import PairCodec
from sonovid.codecs.separate import SeparateCodecs
from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.core.geometry import Geometry
from sonovid.core.labels import NO_LABEL, ClassLabels
from sonovid.diffusion import noise, sampler
from sonovid.diffusion import schedule as schedules
from sonovid.pipelines import arguments, batching, loading
from sonovid.pipelines.arguments import check_reconstruction_guidance, make_generators, positive_int
from sonovid.pipelines.batching import WindowJob
from sonovid.pipelines.decoding import GenerationResult, decode_results
from sonovid.pipelines.denoising import GuidedDenoiser, freeze_weights
from sonovid.pipelines.inputs import as_audio, as_video, to_list
from sonovid.pipelines.request import Request
from sonovid.pipelines.timeline import ConditioningWindows, Timeline, plan_timeline

COMPONENTS = ("denoiser", "video_codec", "audio_codec", "text_encoder", "joint_codec")
OPTIONAL_COMPONENTS = COMPONENTS[1:]
SETTINGS = ("geometry", "schedule", "predict", "step", "options", "system", "conditioning", "labels")
SOLVERS = {"ddim": sampler.ddim, "dpm_solver": sampler.dpm_solver}
DEFAULT_OPTIONS = {
    "num_inference_steps": 25,
    "guidance_scale": 3.0,
    "audio_guidance_scale": 3.0,
    "shift": 1.0,
    "reconstruction_scale": 0.0,
    "gamma": 1.0,
    "guidance_against": "modality",
    "spacing": None,
    "negative_prompt": None,
}


@dataclass(frozen=True)
class ClipRequest:
    """What one clip is made from: words, the number of its class, which of the given clips, and what guidance leads away from."""

    prompt: str
    label: int
    given: int
    negative: str | None


@dataclass(frozen=True)
class Plan:
    """A request, checked, with all that follows from it.

    asked: one for each clip. extents: one for each given clip, or a single one where there is none. times: of sampling, for each
    stream. step: a rule for each stream. scale: of guidance. reconstruction_scale: of reconstruction guidance. draws, seeds: for each clip. each:
    clips of one prompt.
    """

    request: Request
    geometry: Geometry
    task: Task
    asked: list[ClipRequest]
    extents: list[Timeline]
    times: AV
    step: Any
    scale: AV
    reconstruction_scale: float | int
    against: str
    draws: list[torch.Generator]
    seeds: list[int | None]
    each: int

    @property
    def num_windows(self) -> int:
        """Of all clips together."""
        return sum(len(self.extents[one.given].starts) for one in self.asked)


class Generation:
    """What generates: a network, its codecs, and what is known of both. `SoundingVideoPipeline` says what the arguments mean.

    A subclass keeps the components and the settings, and has `config`, `progress_bar` and `_execution_device`.
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
    # Windows that a codec takes at once where something else than memory decides that.
    _codec_batch: int | None = None

    def _set_up(self, components: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        """Take over and check what a pipeline is made of; gives the settings as plain values.

        Raises:
            ValueError: settings that are not known, that do not fit the network, or codecs that are missing.
        """
        geometry, predict, step = settings["geometry"], settings["predict"], settings["step"]
        if geometry is None:
            raise ValueError("SoundingVideoPipeline: geometry is needed: what the model was trained on")
        self.geometry = geometry if isinstance(geometry, Geometry) else Geometry.from_config(dict(geometry))
        self.schedule = arguments.parse_schedules(settings["schedule"])
        if predict not in schedules.PREDICTION_TYPES or step not in SOLVERS:
            raise ValueError(f"{predict=} {step=}: expected one of {schedules.PREDICTION_TYPES} and of {tuple(SOLVERS)}")
        self.options = {**DEFAULT_OPTIONS, **(settings["options"] or {})}
        if unknown := set(self.options) - set(DEFAULT_OPTIONS):
            raise ValueError(f"options {sorted(unknown)}: expected {sorted(DEFAULT_OPTIONS)}")
        check_reconstruction_guidance(self.options["reconstruction_scale"], settings["conditioning"])
        arguments.check_guidance_against(self.options["guidance_against"])
        labels, num_classes = settings["labels"], getattr(components["denoiser"].config, "num_classes", 0)
        self.classes = ClassLabels(tuple(labels or map(str, range(num_classes))))
        if len(self.classes) != num_classes:
            raise ValueError(f"SoundingVideoPipeline: {len(labels)} labels for a network of {num_classes} classes")
        apart = (components["video_codec"], components["audio_codec"])
        if (None in apart) if components["joint_codec"] is None else apart != (None, None):
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

        The dtype is that of the network and of the text encoder. Codecs stay in single precision: half precision is audible in
        the phases of a vocoder, and their share of the time is small.
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
                # Not the method of diffusers, which warns of layers to be kept in single precision where there are none.
                torch.nn.Module.to(component, dtype=dtype)
        return self

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        return next(iter(self.denoiser.parameters())).dtype

    @property
    def codec(self) -> PairCodec:
        """The codec of the pair: the joint one, or the two of the streams as one."""
        return self.joint_codec if self.joint_codec is not None else SeparateCodecs(self.video_codec, self.audio_codec)

    @property
    def guided_denoiser(self) -> GuidedDenoiser:
        """The network with what is known of it, as samplers need it."""
        return GuidedDenoiser(self.denoiser, self.schedule, self.config.predict, self.config.conditioning, self.dtype)

    @property
    def accepts_text(self) -> bool:
        """Whether prompts mean anything to this model."""
        return self.text_encoder is not None

    @property
    def generated_streams(self) -> AV:
        """Which streams the network makes: both, unless it was made for one alone (MM-LDM-v, MM-LDM-a)."""
        return getattr(self.denoiser, "makes", AV(True, True))

    # --- what is asked -------------------------------------------------------------------------------------------------

    def plan(self, request: Request) -> Plan:
        """A request with all that follows from it.

        Raises:
            ValueError: options that contradict each other or that the model cannot satisfy.
        """
        own = self._geometry(request)
        videos = [one if one is None else as_video(one, request.fps) for one in to_list(request.video)]
        audios = [one if one is None else as_audio(one, request.sample_rate) for one in to_list(request.audio)]
        task = arguments.infer_task(videos[0], audios[0], self.generated_streams)
        given = videos if task is Task.VIDEO_TO_AUDIO else audios
        each = positive_int("num_outputs_per_prompt", request.num_outputs_per_prompt)
        if request.prompt_embeds is None:
            prompts = arguments.check_prompts(request.prompt, request.negative_prompt, self.accepts_text)
        else:
            prompts = [""] * len(request.prompt_embeds)
        labels = arguments.labels_to_indices(request.label, self.classes)
        rows = arguments.broadcast_inputs(each, prompts=prompts, labels=labels, given=range(len(given)))
        negatives = arguments.expand_negative_prompts(request.negative_prompt, len(rows), each)
        asked = [ClipRequest(row[0], row[1], row[2], one) for row, one in zip(rows, negatives, strict=True)]
        own_steps = self.options["num_inference_steps"]
        steps = positive_int(
            "num_inference_steps", own_steps if request.num_inference_steps is None else request.num_inference_steps
        )
        reconstruction_scale = (
            self.options["reconstruction_scale"] if request.reconstruction_scale is None else request.reconstruction_scale
        )
        check_reconstruction_guidance(reconstruction_scale, self.config.conditioning)
        batching.check_batch_size(request.batch_size)
        gamma = self.options["gamma"] if request.gamma is None else request.gamma
        step, times = self._steps(steps, gamma)
        scale = self.guidance_scales(request.guidance_scale, request.audio_guidance_scale)
        against = arguments.check_guidance_against(request.guidance_against or self.options["guidance_against"])
        draws, seeds = make_generators(request.generator, len(asked))
        extents = [plan_timeline(task, video, audio, request.seconds, own) for video, audio in _beside(videos, audios)]
        return Plan(request, own, task, asked, extents, times, step, scale, reconstruction_scale, against, draws, seeds, each)

    def _geometry(self, request: Request) -> Geometry:
        """What the clips are to be: the model's own, or what is asked, where codecs and network take it.

        Raises:
            ValueError: another size or number of frames than the model can make.
        """
        own = self.geometry
        wanted = {name: getattr(request, name) for name in ("height", "width", "num_frames")}
        changed: dict[str, Any] = {
            name: positive_int(name, value) for name, value in wanted.items() if value not in (None, getattr(own, name))
        }
        if not changed:
            return own
        try:
            asked = dataclasses.replace(own, **changed)
            shapes = self.codec.latent_shapes(asked)
            self._evaluated(asked, shapes)
        except (ValueError, RuntimeError) as error:
            what = ", ".join(f"{name}={value}" for name, value in changed.items())
            raise ValueError(
                f"{what}: this model makes {own.num_frames} frames of {own.width}x{own.height} ({loading.short_message(error)})"
            ) from None
        return asked

    def _evaluated(self, own: Geometry, shapes: AV) -> None:
        """One evaluation of the network at another geometry, which says no where it cannot."""
        if all(getattr(self.geometry, name) == getattr(own, name) for name in ("height", "width")):
            # Windows of another length are a matter of the network alone, and it says so in the first step.
            return
        x = shapes.map(lambda shape: torch.zeros(1, *shape, device=self._execution_device, dtype=self.dtype))
        t = x.map(lambda one: torch.ones(1, device=one.device))
        condition = self.guidance_conditions("", None, Task.JOINT)[0]
        self.denoiser(x, t, condition, None)

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
        if self.options["spacing"] is not None:
            return sampler.table_times_pair(steps, AV(*self.options["spacing"]), gamma)
        times = self.schedule.map(lambda one: sampler.shifted_times(steps, self.options["shift"], one.start(self.config.predict)))
        return AV(*(sampler.warp_times(stream, gamma)[i] for i, stream in enumerate(times)))

    def _steps(self, steps: int, gamma: float | int) -> tuple[Any, AV]:
        """The rules and the times of sampling: the model's own, or those of a scheduler that was put in their place."""
        if self._scheduler is None:
            return SOLVERS[self.config.step], self.sampling_times(steps, gamma)
        if gamma != 1:
            raise ValueError(f"gamma={gamma}: a scheduler of diffusers has times of its own, so it has to be 1")
        pairs = self.schedule.map(lambda schedule, scheduler: sampler.from_diffusers(scheduler, schedule, steps), self._scheduler)
        return pairs.map(lambda pair: pair[0]), pairs.map(lambda pair: pair[1])

    # --- what the network is told --------------------------------------------------------------------------------------

    def unit_noise(self, draw: torch.Generator, geometry: Geometry | None = None) -> AV:
        """Unit noise for one clip and window."""
        shapes = self.codec.latent_shapes(geometry or self.geometry)
        # A stream that is not made is carried along without a single step.
        shapes = shapes.map(lambda s, there: s if there else (s[0], 0, *s[2:]), self.generated_streams)
        return noise.draw_noise_pair([draw], shapes).map(lambda x: x.to(self._execution_device))

    def encode_window(self, frames: np.ndarray | None, sound: np.ndarray | None) -> AV:
        """Final latents of a window's pictures [t h w 3], bytes, or sound [n], or of both; None for what was not given."""
        return self.encode_windows([AV(frames, sound)])

    def encode_windows(self, given: Sequence[AV]) -> AV:
        """Final latents [b ...] of several windows, as `encoded` gives them of one."""
        x = y = None
        device = self._execution_device
        if given[0].video is not None:
            frames = torch.from_numpy(np.stack([one.video for one in given])).to(device)
            x = rearrange(frames, "b t h w c -> b c t h w").float() / 127.5 - 1
        if given[0].audio is not None:
            y = torch.from_numpy(np.stack([one.audio for one in given])).to(device)
        return self.codec.whiten(self.codec.encode(x, y)).map(lambda z: None if z is None else z.float())

    def guidance_conditions(
        self, words: str, negative: str | None, task: Task, label: int = NO_LABEL
    ) -> tuple[Condition, Condition | None]:
        """What the network is told, and what guidance leads away from: None where there are no words to guide by."""
        if not self.accepts_text:
            device = self._execution_device
            told = Condition.empty(task.value.map(lambda g: torch.full((1,), g, device=device)))
            return told if label == NO_LABEL else dataclasses.replace(told, labels=torch.tensor([label], device=device)), None
        condition = self.prompt_condition(words, task)
        negative = self.options["negative_prompt"] if negative is None else negative
        if not words and not negative:
            return condition, None
        return condition, self.prompt_condition(negative, task) if negative else condition.without_text()

    def prompt_condition(self, words: str, task: Task) -> Condition:
        """The condition of one prompt, with a vector of it all where the text encoder gives one."""
        device = self._execution_device
        text, mask = self.text_encoder([words])
        pooled = self.text_encoder.pooled([words]).to(device) if hasattr(self.text_encoder, "pooled") else None
        return Condition(text.to(device), mask.to(device), AV(None, None), pooled).for_task(task)

    def _embedded(self, request: Request, index: int, task: Task) -> tuple[Condition, Condition | None]:
        """The conditions of one clip whose prompt was embedded by the caller."""
        device = self._execution_device

        def one(text: Tensor, mask: Tensor | None, pooled: Tensor | None) -> Condition:
            text = text[index : index + 1].to(device)
            mask = torch.ones(text.shape[:2], dtype=torch.bool, device=device) if mask is None else mask[index : index + 1].bool()
            pooled = None if pooled is None else pooled[index : index + 1].to(device)
            return Condition(text, mask.to(device), AV(None, None), pooled).for_task(task)

        assert request.prompt_embeds is not None
        condition = one(request.prompt_embeds, request.prompt_attention_mask, request.pooled_prompt_embeds)
        if request.negative_prompt_embeds is None:
            return condition, condition.without_text()
        return condition, one(
            request.negative_prompt_embeds, request.negative_prompt_attention_mask, request.negative_pooled_prompt_embeds
        )

    # --- sampling ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def generate(self, request: Request) -> GenerationResult:
        """What was asked, and how it came about.

        Raises:
            ValueError: options that contradict each other or that the model cannot satisfy.
        """
        self._interrupt = False
        plan = self.plan(request)
        latents = self.sample_latents(plan)
        size = self._codec_batch or batching.codec_batch_size(_pixels(plan.geometry), self._most(plan), self._execution_device)
        return decode_results(self, plan, latents, size)

    def _most(self, plan: Plan) -> int:
        """The most windows that a codec may take at once."""
        size = plan.request.batch_size
        return batching.MAX_BATCH_ELSEWHERE if size == "auto" else int(size)

    def sample_latents(self, plan: Plan) -> list[list[AV]]:
        """Final latents [1 ...] of each window of each clip."""
        results: list[list[Any]] = [[None] * len(plan.extents[one.given].starts) for one in plan.asked]
        steps = len(plan.times.video) - 1
        with freeze_weights(self.denoiser), self.progress_bar(total=plan.num_windows * steps) as bar:
            known = self._known(plan)
            size = self._batch_size(plan, known)
            for jobs in batching.group_jobs(self._jobs(plan), size):
                for job, latents in zip(jobs, batching.split_on_oom(partial(self._run, plan, known, bar), jobs), strict=True):
                    results[job.clip[0]][job.window[0]] = latents
        return results

    def _jobs(self, plan: Plan) -> Iterator[WindowJob]:
        """Every window of every clip, in order: a generator that serves several draws for them in turn."""
        kept: dict[Any, tuple[Condition, Condition | None]] = {}
        noises = _noises(plan.request.latents, plan, self._execution_device)
        each = plan.each
        for number, (one, draw) in enumerate(zip(plan.asked, plan.draws, strict=True)):
            key = number // each if plan.request.prompt_embeds is not None else (one.prompt, one.negative, one.label)
            if key not in kept:
                if plan.request.prompt_embeds is not None:
                    kept[key] = self._embedded(plan.request, number // each, plan.task)
                else:
                    kept[key] = self.guidance_conditions(one.prompt, one.negative, plan.task, one.label)
            for window in range(len(plan.extents[one.given].starts)):
                unit = self.unit_noise(draw, plan.geometry) if noises is None else noises[number]
                yield WindowJob((number,), (window,), *kept[key], unit)

    def _known(self, plan: Plan) -> Callable[[Sequence[WindowJob]], list[AV]]:
        """A function from jobs to the latents of what is given to each; a window that several share is encoded once."""
        kept: dict[tuple[int, int], AV] = {}
        cuts = [ConditioningWindows(extent, plan.task, plan.geometry) for extent in plan.extents]
        size = self._codec_batch or batching.codec_batch_size(_pixels(plan.geometry), self._most(plan), self._execution_device)

        def known(jobs: Sequence[WindowJob]) -> list[AV]:
            if plan.task is Task.JOINT:
                return [AV(None, None)] * len(jobs)
            places = [(plan.asked[job.clip[0]].given, job.window[0]) for job in jobs]
            missing = list(dict.fromkeys(place for place in places if place not in kept))
            for first in range(0, len(missing), size):
                part = missing[first : first + size]
                latents = self.encode_windows([cuts[number].window(window) for number, window in part])
                for row, place in enumerate(part):
                    kept[place] = latents.map(lambda z, row=row: None if z is None else z[row : row + 1])
            return [kept[place] for place in places]

        return known

    def _batch_size(self, plan: Plan, known: Callable[[Sequence[WindowJob]], list[AV]]) -> int:
        """How many windows run at once."""
        if plan.request.batch_size != "auto":
            return int(plan.request.batch_size)
        if plan.num_windows == 1:
            return 1
        # Noise of a seed of its own: the clips' own generators are drawn from in order, and once.
        probe = dataclasses.replace(plan, draws=[torch.Generator().manual_seed(0)] * len(plan.asked))
        job = next(self._jobs(probe))
        job = dataclasses.replace(job, given=known([job])[0])
        x, t = job.noises, job.noises.map(lambda z: torch.ones(1, device=z.device))
        denoise = self._denoise(plan, job)
        return batching.find_batch_size(self.denoiser, lambda: denoise(x, t, None), self._execution_device)

    def _denoise(self, plan: Plan, job: WindowJob) -> sampler.Denoiser:
        """The network as the sampler calls it for one batch."""
        denoising = self.guided_denoiser
        guided = denoising.guided(job.condition, job.null, job.given, plan.scale, plan.against)
        return denoising.held(guided, job.given, job.noises, plan.reconstruction_scale)

    def _run(self, plan: Plan, known: Callable[[Sequence[WindowJob]], list[AV]], bar: Any, jobs: list[WindowJob]) -> list[AV]:
        """Final latents [1 ...] of some windows, sampled as one batch."""
        full = [dataclasses.replace(job, given=given) for job, given in zip(jobs, known(jobs), strict=True)]
        batch = batching.concat_jobs(full)
        after = self._after_step(bar, plan, batch)
        rules = (plan.step, after, lambda: self._interrupt)
        latents = sampler.sample(self._denoise(plan, batch), batch.noises, self.schedule, plan.times, *rules)
        return [latents.map(lambda z, row=row: z[row : row + 1]) for row in range(len(jobs))]

    def _after_step(self, bar: Any, plan: Plan, batch: WindowJob) -> sampler.Callback:
        """What happens after each step: the bar moves on, and the caller's function may change the latents of each clip."""
        callback, shown = plan.request.callback_on_step_end, plan.request.callback_on_step_end_tensor_inputs

        def after(index: int, x: AV, x0: AV) -> AV | None:
            bar.update(len(batch))
            if callback is None:
                return None
            times = plan.times.map(lambda stream: stream[index + 1])
            parts = []
            for row, (clip, window) in enumerate(zip(batch.clip, batch.window, strict=True)):
                here = {"latents": x, "x0": x0}
                seen: dict[str, Any] = {name: here[name].map(lambda z, row=row: z[row : row + 1]) for name in shown}
                answer = callback(self, index, times, {**seen, "clip": clip, "window": window}) or {}
                parts.append(answer.get("latents", x.map(lambda z, row=row: z[row : row + 1])))
            return batching.cat_pairs(AV(*part) for part in parts)

        return after


def _beside(videos: list, audios: list) -> list[tuple]:
    """Pairs of what is given, one list of which is [None]."""
    most = max(len(videos), len(audios))
    return [(videos[i % len(videos)], audios[i % len(audios)]) for i in range(most)]


def _pixels(own: Geometry) -> int:
    return own.num_frames * own.height * own.width


def _noises(given: Any, plan: Plan, device: torch.device) -> list[AV] | None:
    """The noise of each clip that the caller gave, as a pair of tensors [n ...]; None where none was.

    Raises:
        ValueError: not a pair for as many clips, or clips of several windows.
    """
    if given is None:
        return None
    pair = AV(*(given.values() if isinstance(given, dict) else given))
    number = len(plan.asked)
    if any(len(x) != number for x in pair):
        raise ValueError(
            f"latents: {[len(x) for x in pair]} for {number} clips: expected unit noise (video, audio), one for each"
        )
    if plan.num_windows != number:
        raise ValueError("latents: noise can be given for clips of one window alone: leave it out, or give a shorter clip")
    return [pair.map(lambda x, i=i: x[i : i + 1].float().to(device)) for i in range(number)]
