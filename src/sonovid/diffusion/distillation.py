"""Distillation: a student learns in one evaluation what its teacher computes with guidance, or in several solver steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.diffusion.losses import mean_squared_error
from sonovid.diffusion.objective import LossOutput, check_tasks, equal_tasks, task_indices, unpack_batch
from sonovid.diffusion.sampler import Denoiser, PreviousStep, StepFunction, ddim, x0_of_ddim_step
from sonovid.diffusion.schedule import PredictionType, add_noise, broadcast_like, error_gain

# The smallest training time. Below it the x_0 of teacher and student agree to within rounding.
MIN_TIME = 1e-3
# (condition, clean latents of the conditioning streams, noise) -> the teacher's denoiser, guided.
TeacherFactory = Callable[[Condition, AV, AV], Denoiser]
# (network, condition, clean latents of the conditioning streams, noise) -> the student's denoiser, without guidance.
StudentFactory = Callable[[Any, Condition, AV, AV], Denoiser]


@dataclass(frozen=True, kw_only=True)
class DistillationObjective:
    """Regression of a teacher along the student's sampling times.

    With `substeps=0` the student learns the teacher's guided x_0 at all times (guidance distillation: Meng et al. 2023, Sec. 3.1,
    for one guidance scale instead of a range). With more, one DDIM step of the student reaches what the teacher reaches in
    `substeps` steps (progressive distillation: Salimans & Ho 2022, algorithm 2, where the number is two).

    With `guidance_update` the student learns the clean latents plus what guidance adds to the teacher's estimate (model guidance:
    Tang et al. 2025, eq. 8, arXiv:2502.12154). So it goes on learning from data and learns the guidance at once.

    Errors of x_0 are weighted as errors of the prediction are. One task is drawn for the whole batch.

    Args:
        teacher: builds the teacher's denoiser. It is evaluated without gradients.
        student: builds the student's denoiser.
        schedule: noise schedule of each stream.
        predict: prediction type of both networks.
        times: for each stream the n + 1 sampling times of the student, as `sampling_loop` takes them.
        substeps: the teacher's steps for each step of the student; 0: guidance distillation.
        solver: the teacher's solver step.
        tasks: relative frequency of each task.
        text_dropout: share of the samples without text, where the teacher is not guided either.
        guidance_update: builds what guidance adds to the teacher's estimate of x_0. With it `teacher` is not evaluated.
        guidance_interval: smallest and largest time with guidance, for `guidance_update`. The time of a sample is the larger
            one of its generated streams.

    Deviation: Tang et al. take the guidance from the averaged weights of the network in training; here it is the teacher's, which
    does not change.

    Deviation: networks with self-conditioning see no previous estimate, neither teacher nor student.
    """

    teacher: TeacherFactory
    student: StudentFactory
    schedule: AV
    predict: PredictionType
    times: AV
    substeps: int = 0
    solver: StepFunction = ddim
    tasks: Mapping[Task, float | int] = field(default_factory=equal_tasks)
    text_dropout: float | int = 0.0
    guidance_update: TeacherFactory | None = None
    guidance_interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.substeps < 0:
            raise ValueError(f"substeps={self.substeps}: expected the teacher's steps for each step of the student, or 0")
        if self.guidance_update is not None and self.substeps:
            raise ValueError(
                f"substeps={self.substeps}: steps are distilled from the teacher alone, so guidance_update must be None"
            )
        check_tasks(self.tasks)
        if not 0 <= self.text_dropout <= 1:
            raise ValueError(f"text_dropout={self.text_dropout}: expected a share from 0 to 1")

    def __call__(self, model: Callable[..., Any], batch: Any, generator: torch.Generator) -> LossOutput:
        """Losses of one batch.

        Args:
            model: the student.
            batch: a mapping or an object with `x0`, an AV of whitened latents, and `condition`, a `Condition`.
            generator: source of all random draws.

        Returns:
            Losses "video" and "audio", [b] each, NaN where the stream is a condition; and the times.
        """
        x0, condition = unpack_batch(batch)
        b, device = len(x0.video), x0.video.device

        def rand(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, device=generator.device).to(device)

        task = self._task(rand(1))
        # One time of each b-th part of the sampling times, the largest first.
        t, s = self._interval((torch.arange(b, device=device) + rand(b)) / b)
        condition = condition.for_task(task).without_text(rand(b) < self.text_dropout)
        eps = x0.map(lambda x: torch.randn(x.shape, generator=generator, device=generator.device).to(x))
        conditioning = x0.map(lambda x, generated: None if generated else x, task.value)
        x = self.schedule.map(add_noise, x0, eps, t)
        with torch.no_grad():
            if self.guidance_update is None:
                target = self._target(self.teacher(condition, conditioning, eps), x, t, s)
            else:
                target = self._guided_data(x0, condition, conditioning, eps, x, t, task)
        estimate = self.student(model, condition, conditioning, eps)(x, t, None)
        losses = {}
        for name, generated, schedule, found, wanted, time in zip(
            AV._fields, task.value, self.schedule, estimate, target, t, strict=True
        ):
            loss = mean_squared_error(found, wanted) * error_gain(schedule, self.predict, time).square()
            losses[name] = loss if generated else torch.full_like(loss, float("nan"))
        return LossOutput(losses, t.map(lambda time, generated: time * generated, task.value))

    def _task(self, u: Tensor) -> Task:
        """The task at the quantile u in [0, 1) of their distribution."""
        return list(self.tasks)[int(task_indices(self.tasks, u))]

    def _interval(self, u: Tensor) -> tuple[AV, AV]:
        """The times t of the samples, at the quantiles u in [0, 1), and the times s that one step of the student leads to."""
        position = u * (len(self.times.video) - 1)
        index = position.long()
        grid = AV(*(torch.tensor(stream, device=u.device) for stream in self.times))
        t, s = grid.map(lambda g: g[index]), grid.map(lambda g: g[index + 1])
        if not self.substeps:
            t = t.map(lambda ti, si: (ti + (position - index) * (si - ti)).clamp(min=MIN_TIME), s)
        return t, s

    def _target(self, denoise: Denoiser, x: AV, t: AV, s: AV) -> AV:
        """The x_0 that the student should estimate for x at time t."""
        if not self.substeps:
            return denoise(x, t, None)
        z, last = x, AV(None, None)
        for k in range(self.substeps):
            start, end = (t.map(lambda ti, si, f=f: torch.lerp(ti, si, f / self.substeps), s) for f in (k, k + 1))
            x0 = denoise(z, start, None)
            z = self.schedule.map(self.solver, z, x0, start, end, last)
            last = x0.map(PreviousStep, start)
        return self.schedule.map(x0_of_ddim_step, x, z, t, s)

    def _guided_data(self, x0: AV, condition: Condition, conditioning: AV, eps: AV, x: AV, t: AV, task: Task) -> AV:
        """The clean latents plus the teacher's guidance, which is evaluated only for samples that may be in the interval.

        The times of a batch decrease and are stratified, so these are the first samples, and their number is always the same.
        """
        assert self.guidance_update is not None
        low, high = self.guidance_interval
        b, device = len(x0.video), x0.video.device
        largest, _ = self._interval(torch.arange(b, device=device) / b)
        n = int((_larger(largest, task) >= low).sum())
        if not n:
            return x0
        first = torch.arange(b, device=device) < n
        parts = [pair.map(lambda z: None if z is None else z[:n]) for pair in (conditioning, eps, x, t)]
        build = self.guidance_update(condition.select(first), parts[0], parts[1])
        update = build(parts[2], parts[3], None)
        time = _larger(parts[3], task)
        inside = (time >= low) & (time <= high)

        def add(clean: Tensor, added: Tensor) -> Tensor:
            return torch.cat([clean[:n] + added * broadcast_like(inside.to(added), added), clean[n:]])

        return x0.map(add, update)


def _larger(t: AV, task: Task) -> Tensor:
    """The larger time of the generated streams, [b]."""
    times = [time for time, generated in zip(t, task.value, strict=True) if generated]
    return torch.stack(times).amax(0)
