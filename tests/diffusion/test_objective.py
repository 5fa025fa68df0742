import math
from dataclasses import dataclass

import pytest
import torch
from gaussian import CORRELATION, COVARIANCE, NetworkOutput, condition, gain
from torch import nn

from sonovid.core.av import AV, Task
from sonovid.diffusion.guidance import clean_conditioning
from sonovid.diffusion.objective import LogitNormal, LossOutput, MultiTaskObjective, RandomDraw, Shifted, Uniform, total_loss
from sonovid.diffusion.sampler import build_denoiser, dpm_solver, sample, uniform_times
from sonovid.diffusion.schedule import Cosine, RectifiedFlow, Tabulated, broadcast_like, error_gain, training_target

STRAIGHT, ROUND = RectifiedFlow(), Cosine()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def latents(b):
    return AV(torch.randn(b, 2, 3, 2, 2), torch.randn(b, 4, 5, 1))


@dataclass
class Batch:
    x0: AV
    condition: object


class Halves(nn.Module):
    """A network that records its inputs."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.5, 0.5]))
        self.seen = []

    def forward(self, x, t, condition, previous=None):
        self.seen.append((x, t, condition, previous))
        prediction = AV(x.video * self.scale[0], x.audio * self.scale[1])
        return NetworkOutput(prediction, prediction)


def test_conditioning_streams_are_clean_at_time_zero_and_have_no_loss():
    network, x0 = Halves(), latents(60)
    objective = MultiTaskObjective(schedule=AV(STRAIGHT, ROUND), predict="v")
    scored = objective(network, {"x0": x0, "condition": condition(60)}, generator())
    ((x, t, shown, previous),) = network.seen
    assert previous is None
    for name, xi, clean, ti, generated in zip(AV._fields, x, x0, t, shown.generated, strict=True):
        assert generated.any()
        assert not generated.all()
        assert torch.equal(xi[~generated], clean[~generated])
        assert torch.equal(ti == 0, ~generated)
        assert torch.equal(scored.losses[name].isnan(), ~generated)
        assert scored.losses[name].shape == (60,)
    assert torch.equal(scored.times.audio, t.audio)
    assert (shown.generated.video | shown.generated.audio).all()


def test_tasks_are_drawn_per_sample_at_the_given_frequencies():
    shares = {Task.JOINT: 1, Task.VIDEO_TO_AUDIO: 3.0, Task.AUDIO_TO_VIDEO: 0}
    drawn = MultiTaskObjective(schedule=AV(STRAIGHT, STRAIGHT), predict="flow", tasks=shares).draw(
        AV(*torch.zeros(2, 4000, 1)), generator()
    )
    assert drawn.generated.audio.all()
    assert abs(drawn.generated.video.float().mean() - 0.25) < 0.03
    only = MultiTaskObjective(schedule=AV(STRAIGHT, STRAIGHT), predict="flow", tasks={Task.AUDIO_TO_VIDEO: 1.0})
    assert not only.draw(AV(*torch.zeros(2, 100, 1)), generator()).generated.audio.any()


@pytest.mark.parametrize(("rate", "b"), [(0.5, 2000), (0.1, 2000), (1.0, 1), (0.0, 1)])
def test_text_dropout_rate(rate, b):
    network = Halves()
    objective = MultiTaskObjective(schedule=AV(STRAIGHT, STRAIGHT), predict="flow", text_dropout=rate)
    objective(network, {"x0": AV(*torch.zeros(2, b, 1)), "condition": condition(b)}, generator())
    mask = network.seen[0][2].text_mask
    assert torch.equal(mask.all(1), mask.any(1))
    assert abs((~mask[:, 0]).float().mean() - rate) < 0.03


def test_text_dropout_at_batch_size_one():
    network, random = Halves(), generator()
    objective = MultiTaskObjective(schedule=AV(STRAIGHT, STRAIGHT), predict="flow", text_dropout=0.5)
    for _ in range(60):
        objective(network, {"x0": AV(*torch.zeros(2, 1, 1)), "condition": condition(1)}, random)
    assert 15 < sum(not shown.text_mask.any() for _, _, shown, _ in network.seen) < 45


def test_times_are_shared_or_independent():
    x0 = AV(*torch.zeros(2, 2000, 1))
    for times, correlated in (("shared", True), ("independent", False)):
        drawn = MultiTaskObjective(schedule=AV(STRAIGHT, STRAIGHT), predict="flow", tasks={Task.JOINT: 1.0}, times=times).draw(
            x0, generator()
        )
        correlation = torch.corrcoef(torch.stack(drawn.times))[0, 1]
        assert (correlation > 0.999) if correlated else (abs(correlation) < 0.1)
        assert all((t > 0).all() and (t <= 1).all() for t in drawn.times)


def test_task_time_distributions():
    late = AV(Uniform(), LogitNormal(3.0, 0.1))
    objective = MultiTaskObjective(
        schedule=AV(STRAIGHT, STRAIGHT), predict="flow", task_time_distributions={Task.VIDEO_TO_AUDIO: late}
    )
    drawn = objective.draw(AV(*torch.zeros(2, 3000, 1)), generator())
    hearing = ~drawn.generated.video
    assert (drawn.times.audio[hearing] > 0.9).all()
    assert abs(drawn.times.audio[drawn.generated.video & drawn.generated.audio].mean() - 0.5) < 0.05


@pytest.mark.parametrize(
    ("law", "median"),
    [(Uniform(), 0.5), (LogitNormal(), 0.5), (LogitNormal(1.0, 2.0), 1 / (1 + math.exp(-1))), (Shifted(3.0), 0.75)],
)
def test_time_distributions_are_quantile_functions(law, median):
    t = law(torch.linspace(0, 1, 1002)[1:])
    assert (t.diff() >= 0).all()
    assert t[0] > 0
    assert t[-1] <= 1
    assert t[500].item() == pytest.approx(median, abs=2e-3)


def test_logit_normal_times_have_normal_logits():
    logit = LogitNormal(0.5, 2.0)(torch.rand(20000, generator=generator())).double().logit()
    assert abs(logit.mean() - 0.5) < 0.05
    assert abs(logit.std() - 2) < 0.05


def test_uniform_times_on_a_table():
    t = Uniform(4)(torch.tensor([1e-6, 0.25, 0.2501, 0.9, 1.0]))
    assert t.tolist() == [0.25, 0.25, 0.5, 1.0, 1.0]


SIGMA_POINTS = math.sqrt(4) * torch.cat([torch.eye(4, dtype=torch.float64), -torch.eye(4, dtype=torch.float64)])


def exact_draw(task, t):
    """Eight sigma points with the first two moments of (video, audio, their noise): exact for means of quadratics."""
    clean, eps = SIGMA_POINTS[:, :2] @ torch.linalg.cholesky(COVARIANCE).T, SIGMA_POINTS[:, 2:]
    x0, noise = (AV(pair[:, :1], pair[:, 1:]) for pair in (clean, eps))
    generated = task.value.map(lambda g: torch.full((8,), g))
    times = task.value.map(lambda g, u: torch.full((8,), u * g, dtype=torch.float64), t)
    return x0, RandomDraw(generated, times, noise, torch.zeros(8, dtype=torch.bool), torch.zeros(8, dtype=torch.bool))


@pytest.mark.parametrize("task", Task, ids=lambda task: task.name)
@pytest.mark.parametrize("predict", ["x0", "eps", "v", "flow"])
@pytest.mark.parametrize("t", [AV(0.6, 0.6), AV(0.2, 0.9)])
def test_a_perfect_denoiser_reaches_the_minimum_of_the_loss(task, predict, t):
    """The expected loss of E[x_0 | x_t] is its posterior variance, times the square of the prediction's gain."""
    schedule = AV(STRAIGHT, ROUND)
    x0, drawn = exact_draw(task, t)
    now = task.value.map(lambda g, u: u * g, t)
    matrix = gain(schedule, now)

    def perfect(x, times, condition, previous):
        clean = torch.cat(x, dim=1) @ matrix.T
        predictions = []
        for i, (sch, xi, ti) in enumerate(zip(schedule, x, times, strict=True)):
            alpha, sigma = sch.coefficients(broadcast_like(ti, xi))
            estimate = clean[:, i : i + 1]
            eps = (xi - alpha * estimate) / torch.where(sigma > 0, sigma, 1.0)
            predictions.append(training_target(sch, predict, estimate, eps, ti))
        return NetworkOutput(AV(*predictions))

    scored = MultiTaskObjective(schedule=schedule, predict=predict).compute_losses(drawn, perfect, x0, condition(8))
    a = torch.diag(
        torch.cat([sch.coefficients(torch.tensor([u], dtype=torch.float64))[0] for sch, u in zip(schedule, now, strict=True)])
    )
    posterior = (COVARIANCE - matrix @ a @ COVARIANCE).diag()
    for name, least, sch, u, generated in zip(AV._fields, posterior, schedule, now, task.value, strict=True):
        if generated:
            wanted = least * error_gain(sch, predict, torch.tensor([u], dtype=torch.float64))[0] ** 2
            torch.testing.assert_close(scored.losses[name].mean(), wanted)
        else:
            assert scored.losses[name].isnan().all()


def gaussian_pairs(b, correlation, random):
    a, e = torch.randn(2, b, 1, generator=random)
    return AV(a, correlation * a + math.sqrt(1 - correlation**2) * e)


class Pointwise(nn.Module):
    """The perfect denoiser of the Gaussian pair under rectified flow, with one time per sample and stream."""

    def __init__(self, correlation):
        super().__init__()
        self.covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]])

    def forward(self, x, t, condition, previous=None):
        alpha = torch.diag_embed(1 - torch.stack(t, 1))
        noise = torch.diag_embed(torch.stack(t, 1) ** 2 + 1e-9)
        gains = self.covariance @ alpha @ torch.linalg.inv(alpha @ self.covariance @ alpha + noise)
        return NetworkOutput(AV(*(gains @ torch.cat(x, 1)[..., None]).squeeze(-1).split(1, dim=1)))


def test_shuffled_loss_is_higher_only_for_correlated_streams():
    objective = MultiTaskObjective(
        schedule=AV(STRAIGHT, STRAIGHT), predict="x0", time_distribution=AV(LogitNormal(1.0), LogitNormal(1.0))
    )
    for correlation, informed in ((0.8, True), (0.0, False)):
        batch = Batch(gaussian_pairs(3000, correlation, generator(1)), condition(3000))
        true, shuffled = objective.compare_shuffled(Pointwise(correlation), batch, generator(2))
        for name in AV._fields:
            assert torch.equal(true.losses[name].isnan(), shuffled.losses[name].isnan())
            gap = (shuffled.losses[name] - true.losses[name]).nanmean()
            assert gap > 0.2 if informed else torch.equal(shuffled.losses[name].nan_to_num(), true.losses[name].nan_to_num())
    named = objective.compare_shuffled(Pointwise(0.8), batch, generator(2)).named_losses()
    assert set(named) == {"video/true", "video/shuffled", "audio/true", "audio/shuffled"}
    assert torch.equal(
        objective(Pointwise(0.0), batch, generator(2)).losses["video"].nan_to_num(), true.losses["video"].nan_to_num()
    )


def test_shuffling_a_single_sample_raises():
    objective = MultiTaskObjective(schedule=AV(STRAIGHT, STRAIGHT), predict="x0")
    with pytest.raises(ValueError, match="at least 2"):
        objective.compare_shuffled(Halves(), Batch(AV(*torch.zeros(2, 1, 1)), condition(1)), generator())


@pytest.mark.parametrize(
    ("schedule", "predict"), [(STRAIGHT, "flow"), (ROUND, "v"), (Tabulated(), "eps")], ids=lambda value: str(value)[:9]
)
def test_gradients_are_finite_with_all_options(schedule, predict):
    objective = MultiTaskObjective(
        schedule=AV(schedule, schedule), predict=predict, vlb_weight=1.0, snr_gamma=5.0, self_conditioning=0.5
    )
    network = Halves()
    scored = objective(network, {"x0": latents(30), "condition": condition(30)}, generator())
    assert set(scored.losses) == {"video", "audio", "video_bound", "audio_bound"}
    total_loss(scored, {"audio": 2.0, "video_bound": 0.1}).backward()
    assert network.scale.grad.isfinite().all()
    assert (network.scale.grad != 0).all()


def test_a_stream_that_is_never_generated_has_zero_gradients():
    objective = MultiTaskObjective(schedule=AV(ROUND, ROUND), predict="v", tasks={Task.VIDEO_TO_AUDIO: 1.0}, snr_gamma=5.0)
    network = Halves()
    value = total_loss(objective(network, {"x0": latents(4), "condition": condition(4)}, generator()))
    value.backward()
    assert value.isfinite()
    assert network.scale.grad[0] == 0
    assert network.scale.grad[1] != 0


def test_total_loss_is_the_weighted_sum_of_means_over_samples_with_a_loss():
    nan = float("nan")
    scored = LossOutput({"video": torch.tensor([1.0, nan, 3.0]), "audio": torch.tensor([nan, 5.0, nan])}, AV(None, None))
    assert total_loss(scored) == 7
    assert total_loss(scored, {"audio": 0.1}) == 2.5
    with pytest.raises(ValueError, match="weights"):
        total_loss(scored, {"sound": 1.0})


def test_all_randomness_comes_from_the_generator():
    objective = MultiTaskObjective(schedule=AV(ROUND, ROUND), predict="v", text_dropout=0.5, times="independent")
    batch = {"x0": latents(6), "condition": condition(6)}
    first, again, other = (objective(Halves(), batch, generator(seed)).losses["video"].nan_to_num() for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_self_conditioning_shows_an_estimate_or_zeros():
    network = Halves()
    objective = MultiTaskObjective(schedule=AV(STRAIGHT, STRAIGHT), predict="x0", self_conditioning=0.5)
    objective(network, {"x0": latents(40), "condition": condition(40)}, generator())
    (x, _, _, first), (_, _, _, second) = network.seen
    assert not first.video.any()
    shown = (second.video != 0).flatten(1).any(1)
    assert 8 < shown.sum() < 32
    # The first pass is that of the samples alone which will see it.
    assert len(first.video) == shown.sum()
    assert torch.equal(second.video[shown], x.video / 2)
    assert torch.equal((second.audio != 0).flatten(1).any(1), shown)
    assert not second.video.requires_grad


def test_invalid_options_raise():
    for wrong in ({"tasks": {}}, {"tasks": {Task.JOINT: 0.0}}, {"text_dropout": 1.5}, {"self_conditioning": -0.1}):
        with pytest.raises(ValueError, match="expected"):
            MultiTaskObjective(schedule=AV(ROUND, ROUND), predict="v", **wrong)
    with pytest.raises(ValueError, match="variance"):
        MultiTaskObjective(schedule=AV(ROUND, ROUND), predict="v", vlb_weight=1.0)(
            lambda x, t, condition, previous: NetworkOutput(x), {"x0": latents(2), "condition": condition(2)}, generator()
        )


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 2))

    def forward(self, x, t, condition, previous=None):
        out = self.net(torch.cat([*x, t.video[:, None], t.audio[:, None]], dim=1))
        return NetworkOutput(AV(out[:, :1], out[:, 1:]))


@pytest.mark.parametrize(("schedule", "predict"), [(STRAIGHT, "flow"), (ROUND, "v")], ids=["flow", "v"])
def test_one_objective_trains_all_three_tasks(schedule, predict):
    pair, network, random = AV(schedule, schedule), Toy(), generator(0)
    objective, shown, steps = MultiTaskObjective(schedule=pair, predict=predict), condition(1024), 300
    optimiser = torch.optim.Adam(network.parameters())
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-2, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        loss = total_loss(objective(network, {"x0": gaussian_pairs(1024, CORRELATION, random), "condition": shown}, random))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        pace.step()
    denoise = build_denoiser(network, pair, predict, None)
    noise, times = AV(*torch.randn(2, 8000, 1, generator=random)), AV(uniform_times(20, 0.999), uniform_times(20, 0.999))
    truth = gaussian_pairs(8000, CORRELATION, random)
    for task in Task:
        given = truth.map(lambda clean, generated: None if generated else clean, task.value)
        end = sample(clean_conditioning(denoise, given), noise, pair, times, dpm_solver)
        found = torch.cov(torch.cat(end, 1).T)
        assert (found - COVARIANCE.float()).abs().max() < 0.12, (task, found)
