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
from sonovid.diffusion.schedule import PredictionType, add_noise, error_gain

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

    def __post_init__(self) -> None:
        if self.substeps < 0:
            raise ValueError(f"substeps={self.substeps}: expected the teacher's steps for each step of the student, or 0")
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
        t, s = self._interval(rand(b))
        condition = condition.for_task(task).without_text(rand(b) < self.text_dropout)
        eps = x0.map(lambda x: torch.randn(x.shape, generator=generator, device=generator.device).to(x))
        conditioning = x0.map(lambda x, generated: None if generated else x, task.value)
        x = self.schedule.map(add_noise, x0, eps, t)
        with torch.no_grad():
            target = self._target(self.teacher(condition, conditioning, eps), x, t, s)
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
