import pytest
import torch
from gaussian import CORRELATION, NetworkOutput, condition, perfect_denoiser
from torch import nn

from sonovid.core.av import AV, Task
from sonovid.diffusion.distillation import DistillationObjective
from sonovid.diffusion.guidance import clean_conditioning
from sonovid.diffusion.sampler import build_denoiser, ddim, dpm_solver, sample, uniform_times, x0_of_ddim_step
from sonovid.diffusion.schedule import Cosine, RectifiedFlow, to_x0

STRAIGHT, ROUND = RectifiedFlow(), Cosine()
PAIR = AV(STRAIGHT, STRAIGHT)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pairs(b, seed=0):
    """Correlated Gaussian pairs [b 1]."""
    z = torch.randn(2, b, 1, dtype=torch.float64, generator=generator(seed))
    return AV(z[0], CORRELATION * z[0] + (1 - CORRELATION**2) ** 0.5 * z[1])


class LinearNetwork(nn.Module):
    """One matrix for each sampling time: it can represent what any solver does to a Gaussian pair."""

    def __init__(self, times):
        super().__init__()
        self.grid = torch.tensor(times)
        self.weight = nn.Parameter(torch.zeros(len(times), 2, 2, dtype=torch.float64))
        self.previous = None

    def forward(self, x, t, condition=None, previous=None):
        self.previous = previous
        index = (t.video[:, None] - self.grid).abs().argmin(1)
        out = (self.weight[index] @ torch.cat(x, dim=1)[:, :, None])[:, :, 0]
        return NetworkOutput(AV(out[:, :1], out[:, 1:]))


def per_sample(denoise):
    """A denoiser that takes samples at different times."""

    def denoise_each(x, t, previous=None):
        rows = [denoise(x.map(lambda z, i=i: z[i : i + 1]), t.map(lambda u, i=i: u[i : i + 1])) for i in range(len(x.video))]
        return AV(*(torch.cat(parts) for parts in zip(*rows, strict=True)))

    return denoise_each


def student_of(network, condition, conditioning, noise):
    denoise = build_denoiser(network, PAIR, "flow", condition)
    return denoise if conditioning == AV(None, None) else clean_conditioning(denoise, conditioning)


def objective(**values):
    defaults = {
        "teacher": lambda condition, conditioning, noise: per_sample(perfect_denoiser(PAIR)),
        "student": student_of,
        "schedule": PAIR,
        "predict": "flow",
        "times": AV(uniform_times(2), uniform_times(2)),
        "tasks": {Task.JOINT: 1.0},
    }
    return DistillationObjective(**{**defaults, **values})


@pytest.mark.parametrize("schedule", [STRAIGHT, ROUND])
def test_a_ddim_step_with_its_x0_ends_where_it_should(schedule):
    x, z = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator())
    t, s = (torch.tensor(v, dtype=torch.float64) for v in ([1.0, 0.7, 0.3], [0.5, 0.2, 0.0]))
    torch.testing.assert_close(ddim(schedule, x, x0_of_ddim_step(schedule, x, z, t, s), t, s), z)


@pytest.mark.parametrize("solver", [ddim, dpm_solver])
def test_two_steps_of_the_student_are_six_of_the_teacher(solver):
    """The student is linear, so a least-squares fit of the objective is exact."""
    distil = objective(substeps=3, solver=solver)
    network = LinearNetwork(distil.times.video[:-1])
    optimizer = torch.optim.LBFGS(network.parameters(), lr=1, max_iter=60, line_search_fn="strong_wolfe", tolerance_grad=1e-14)
    batch = {"x0": pairs(24), "condition": condition(24)}

    def closure():
        optimizer.zero_grad()
        losses = distil(network, batch, generator(1)).losses
        loss = losses["video"].sum() + losses["audio"].sum()
        loss.backward()
        return loss.detach()

    first = float(closure())
    optimizer.step(closure)
    assert float(closure()) < 1e-10 * first
    assert network.previous is None
    noise = AV(*torch.randn(2, 4, 1, dtype=torch.float64, generator=generator(5)))
    made = sample(build_denoiser(network, PAIR, "flow"), noise, PAIR, distil.times)
    # A multistep solver starts anew at each of the student's steps.
    wanted = noise
    for start, end in ((1.0, 0.5), (0.5, 0.0)):
        times = uniform_times(3, start, end)
        wanted = sample(perfect_denoiser(PAIR), wanted, PAIR, AV(times, times), solver)
    for one, other in zip(made, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_guidance_distillation_regresses_the_guided_estimate_at_every_time():
    seen = []

    def teacher(condition, conditioning, noise):
        def denoise(x, t, previous=None):
            seen.append((x, t))
            return x.map(lambda z: 3 * z)

        return denoise

    class Constant(nn.Module):
        def forward(self, x, t, condition, previous=None):
            return NetworkOutput(x.map(torch.zeros_like))

    distil = objective(teacher=teacher, schedule=AV(ROUND, ROUND), predict="v", student=lambda n, c, g, e: build(n, c))

    def build(network, condition):
        return build_denoiser(network, AV(ROUND, ROUND), "v", condition)

    out = distil(Constant(), {"x0": pairs(400), "condition": condition(400)}, generator())
    ((x, t),) = seen
    assert t.video.min() < 0.02
    assert t.video.max() > 0.98
    assert torch.equal(t.video, t.audio)
    for i, name in enumerate(AV._fields):
        alpha, sigma = ROUND.coefficients(t[i])
        # The v that makes x_0 = 3 x, against the student's zero.
        v = (alpha - 3) / sigma * x[i][:, 0]
        assert torch.allclose(to_x0(ROUND, "v", v[:, None], x[i], t[i]), 3 * x[i])
        torch.testing.assert_close(out.losses[name], v.square(), check_dtype=False, rtol=1e-5, atol=0)


@pytest.mark.parametrize("task", list(Task))
def test_model_guidance_adds_the_guidance_to_the_data_within_the_interval(task):
    seen, states = [], []

    def update(condition, conditioning, noise):
        def denoise(x, t, previous=None):
            seen.append((condition, conditioning, noise, t))
            return x.map(lambda z: 7 * torch.ones_like(z))

        return denoise

    def student(network, condition, conditioning, noise):
        def denoise(x, t, previous=None):
            states.append(t)
            return x.map(torch.zeros_like)

        return denoise

    distil = objective(guidance_update=update, guidance_interval=(0.51, 0.9), student=student, tasks={task: 1.0})
    x0 = pairs(40)
    out = distil(LinearNetwork([1.0]), {"x0": x0, "condition": condition(40)}, generator())
    ((shown, conditioning, noise, evaluated),) = seen
    (t,) = states
    # Of a stratified batch, which begins with the largest times, only the first half reaches t = .51.
    assert len(evaluated.video) == len(shown.text_mask) == 20
    assert all(g is None or len(g) == 20 for g in (*conditioning, *noise))
    inside = ((t.video >= 0.51) & (t.video <= 0.9)).double()[:, None]
    assert 0.3 < float(inside.mean()) < 0.5
    for name, clean, time, generated in zip(AV._fields, x0, t, task.value, strict=True):
        if generated:
            # The error of x_0 is 1/t times that of the flow.
            wanted = ((clean + 7 * inside) / time[:, None]).square()[:, 0]
            torch.testing.assert_close(out.losses[name], wanted, check_dtype=False, rtol=1e-5, atol=1e-6)


def test_model_guidance_needs_no_teacher_below_the_interval():
    def update(condition, conditioning, noise):
        raise AssertionError

    distil = objective(guidance_update=update, guidance_interval=(1.0, 1.0), times=AV([0.9, 0.0], [0.9, 0.0]))
    out = distil(LinearNetwork([1.0]), {"x0": pairs(4), "condition": condition(4)}, generator())
    assert out.losses["video"].isfinite().all()


@pytest.mark.parametrize("task", [Task.VIDEO_TO_AUDIO, Task.AUDIO_TO_VIDEO])
def test_conditioning_streams_are_given_to_both_and_have_no_loss(task):
    given = []

    def teacher(condition, conditioning, noise):
        given.append((condition, conditioning))
        return clean_conditioning(per_sample(perfect_denoiser(PAIR)), conditioning)

    distil = objective(teacher=teacher, substeps=2, tasks={task: 1.0, Task.JOINT: 0.0})
    x0 = pairs(6)
    out = distil(LinearNetwork([1.0, 0.5]), {"x0": x0, "condition": condition(6)}, generator())
    ((shown, conditioning),) = given
    for name, generated, clean, latents, flag in zip(AV._fields, task.value, x0, conditioning, shown.generated, strict=True):
        assert bool(out.losses[name].isnan().all()) is not generated
        assert (latents is None) is generated
        assert latents is None or torch.equal(latents, clean)
        assert bool(flag.all()) is generated


def test_text_is_dropped_for_teacher_and_student_alike():
    shown = {}

    def teacher(condition, conditioning, noise):
        shown["teacher"] = condition.text_mask
        return lambda x, t, previous=None: x

    def student(network, condition, conditioning, noise):
        shown["student"] = condition.text_mask
        return lambda x, t, previous=None: x

    out = objective(teacher=teacher, student=student, text_dropout=0.5)(
        LinearNetwork([1.0]), {"x0": pairs(400), "condition": condition(400)}, generator()
    )
    assert torch.equal(shown["teacher"], shown["student"])
    assert 0.4 < float(shown["student"].any(1).float().mean()) < 0.6
    assert not out.losses["video"].any()


def test_tasks_are_drawn_by_their_shares():
    distil = objective(tasks={Task.JOINT: 1.0, Task.VIDEO_TO_AUDIO: 2.0, Task.AUDIO_TO_VIDEO: 1.0})
    drawn = [distil._task(torch.tensor(u)) for u in (0.0, 0.24, 0.26, 0.74, 0.76, 0.999999)]
    joint, to_audio, to_video = Task.JOINT, Task.VIDEO_TO_AUDIO, Task.AUDIO_TO_VIDEO
    assert drawn == [joint, joint, to_audio, to_audio, to_video, to_video]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"substeps": -1}, "substeps"),
        ({"tasks": {}}, "tasks"),
        ({"text_dropout": 1.5}, "text_dropout"),
        ({"substeps": 1, "guidance_update": lambda *_: None}, "guidance_update"),
    ],
)
def test_wrong_values_are_refused(values, word):
    with pytest.raises(ValueError, match=word):
        objective(**values)
