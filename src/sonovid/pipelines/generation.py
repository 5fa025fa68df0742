"""Generation: from a request to clips. This is everything that a pipeline computes, without importing diffusers."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from sonovid.core.av import AV, NO_STREAMS, Task
from sonovid.core.condition import Condition
from sonovid.diffusion import sampler
from sonovid.pipelines import batching
from sonovid.pipelines.batching import WindowJob
from sonovid.pipelines.components import COMPONENTS, DEFAULT_OPTIONS, OPTIONAL_COMPONENTS, SETTINGS, SOLVERS
from sonovid.pipelines.decoding import GenerationResult, decode_results
from sonovid.pipelines.denoising import freeze_weights
from sonovid.pipelines.encoding import ConditioningCache, caller_noise
from sonovid.pipelines.planning import Plan, PlanningMixin
from sonovid.pipelines.request import Request
from sonovid.pipelines.timeline import ConditioningWindows

__all__ = ["COMPONENTS", "DEFAULT_OPTIONS", "OPTIONAL_COMPONENTS", "SETTINGS", "SOLVERS", "Generation"]


class Generation(PlanningMixin):
    """Samples and decodes the clips of a request. `SoundingVideoPipeline` and `LightPipeline` derive from it."""

    @torch.no_grad()
    def generate(self, request: Request) -> GenerationResult:
        """Generate the clips of a request.

        Raises:
            ValueError: options that contradict each other or that the model cannot satisfy.
        """
        self._interrupt = False
        plan = self.plan(request)
        latents = self.sample_latents(plan)
        return decode_results(self, plan, latents, self._codec_batch_size(plan))

    def sample_latents(self, plan: Plan) -> list[list[AV]]:
        """Sample the final latents [1 ...] of each window of each clip."""
        results: list[list[Any]] = [[None] * len(plan.timelines[clip.input_index].starts) for clip in plan.clips]
        num_steps = len(plan.times.video) - 1
        with freeze_weights(self.denoiser), self.progress_bar(total=plan.num_windows * num_steps) as bar:
            cache = self._conditioning_cache(plan)
            batch_size = self._batch_size(plan, cache)
            sample_batch = partial(self._sample_batch, plan, cache, bar)
            for jobs in batching.group_jobs(self._jobs(plan), batch_size):
                for job, latents in zip(jobs, batching.split_on_oom(sample_batch, jobs), strict=True):
                    results[job.clips[0]][job.windows[0]] = latents
        return results

    def _sample_batch(self, plan: Plan, cache: ConditioningCache, bar: Any, jobs: list[WindowJob]) -> list[AV]:
        """Sample several windows as one batch; returns the final latents [1 ...] of each."""
        batch = batching.concat_jobs(self._with_conditioning(plan, cache, jobs))
        step, observe = sampler.resolve_step(plan.step, batch.noise)
        latents = sampler.sample(
            self._build_denoiser(plan, batch, observe),
            batch.noise,
            self.schedule,
            plan.times,
            step,
            self._after_step(bar, plan, batch),
            lambda: self._interrupt,
        )
        return [latents.map(lambda z, row=row: z[row : row + 1]) for row in range(len(jobs))]

    def _build_denoiser(self, plan: Plan, batch: WindowJob, observe: Callable[[Any], None] | None = None) -> sampler.Denoiser:
        """The function that the sampler calls for one batch: guided, with the conditioning streams in place."""
        builder = dataclasses.replace(self.denoiser_builder, guidance_interval=plan.guidance_interval, observe=observe)
        guided = builder.guided(
            batch.condition, batch.null_condition, batch.conditioning, plan.guidance_scale, plan.guidance_against
        )
        return builder.with_conditioning(guided, batch.conditioning, batch.noise, plan.reconstruction_scale)

    def _after_step(self, bar: Any, plan: Plan, batch: WindowJob) -> sampler.Callback:
        """The sampler's callback: updates the progress bar and calls `callback_on_step_end` for each clip."""
        callback, names = plan.request.callback_on_step_end, plan.request.callback_on_step_end_tensor_inputs

        def after_step(index: int, x: AV, x0: AV) -> AV | None:
            bar.update(len(batch))
            if callback is None:
                return None
            times = plan.times.map(lambda stream: stream[index + 1])
            latents = []
            for row, (clip, window) in enumerate(zip(batch.clips, batch.windows, strict=True)):
                tensors = {"latents": x, "x0": x0}
                inputs: dict[str, Any] = {name: tensors[name].map(lambda z, row=row: z[row : row + 1]) for name in names}
                outputs = callback(self, index, times, {**inputs, "clip": clip, "window": window}) or {}
                latents.append(outputs.get("latents", x.map(lambda z, row=row: z[row : row + 1])))
            return batching.cat_pairs(AV(*pair) for pair in latents)

        return after_step

    # --- windows and batches -------------------------------------------------------------------------------------------

    def _jobs(self, plan: Plan) -> Iterator[WindowJob]:
        """Every window of every clip, in order. The order matters: clips may draw their noise from one generator in turn."""
        conditions: dict[Any, tuple[Condition, Condition | None]] = {}
        request, device = plan.request, self._execution_device
        noise = caller_noise(request.latents, len(plan.clips), plan.num_windows, device)
        for number, (clip, generator) in enumerate(zip(plan.clips, plan.generators, strict=True)):
            prompt_index = number // plan.outputs_per_prompt
            key = (clip.prompt, clip.negative_prompt, clip.label) if request.prompt_embeds is None else prompt_index
            if key not in conditions:
                if request.prompt_embeds is None:
                    conditions[key] = self.guidance_conditions(clip.prompt, clip.negative_prompt, plan.task, clip.label)
                else:
                    conditions[key] = self._embedded_conditions(request, prompt_index, plan.task)
            for window in range(len(plan.timelines[clip.input_index].starts)):
                unit_noise = self.unit_noise(generator, plan.geometry) if noise is None else noise[number]
                yield WindowJob((number,), (window,), *conditions[key], unit_noise)

    def _conditioning_cache(self, plan: Plan) -> ConditioningCache:
        sources = [ConditioningWindows(timeline, plan.task, plan.geometry) for timeline in plan.timelines]
        return ConditioningCache(self.encode_windows, sources, self._codec_batch_size(plan))

    def _with_conditioning(self, plan: Plan, cache: ConditioningCache, jobs: Sequence[WindowJob]) -> list[WindowJob]:
        """The jobs with the latents of their conditioning streams."""
        if plan.task is Task.JOINT:
            return [dataclasses.replace(job, conditioning=NO_STREAMS) for job in jobs]
        latents = cache.get([(plan.clips[job.clips[0]].input_index, job.windows[0]) for job in jobs])
        return [dataclasses.replace(job, conditioning=one) for job, one in zip(jobs, latents, strict=True)]

    def _batch_size(self, plan: Plan, cache: ConditioningCache) -> int:
        """Number of windows that are sampled at once."""
        if plan.request.batch_size != "auto":
            return int(plan.request.batch_size)
        if plan.num_windows == 1:
            return 1
        # The probe has its own generator: those of the clips must be drawn from once and in order.
        probe = dataclasses.replace(plan, generators=[torch.Generator().manual_seed(0)] * len(plan.clips))
        (job,) = self._with_conditioning(plan, cache, [next(self._jobs(probe))])
        x, t = job.noise, job.noise.map(lambda z: torch.ones(1, device=z.device))
        denoise = self._build_denoiser(plan, job)
        return batching.find_batch_size(self.denoiser, lambda: denoise(x, t, None), self._execution_device)

    def _codec_batch_size(self, plan: Plan) -> int:
        """Number of windows that the codec encodes or decodes at once."""
        if self._codec_batch:
            return self._codec_batch
        size, own = plan.request.batch_size, plan.geometry
        most = batching.MAX_BATCH_ELSEWHERE if size == "auto" else int(size)
        return batching.codec_batch_size(own.num_frames * own.height * own.width, most, self._execution_device)
