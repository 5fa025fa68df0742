"""Samplers against a Gaussian pair with a known perfect denoiser, and against diffusers."""

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler
from gaussian import COVARIANCE, NetworkOutput, basis, perfect_denoiser

from sonovid.core.av import AV
from sonovid.diffusion.guidance import clean_conditioning
from sonovid.diffusion.noise import draw_noise_pair, seeded_generators
from sonovid.diffusion.sampler import (
    Ancestral,
    build_denoiser,
    ddim,
    dpm_solver,
    from_diffusers,
    resolve_step,
    sample,
    sampling_loop,
    shifted_times,
    table_times_pair,
    uniform_times,
    warp_times,
)
from sonovid.diffusion.schedule import Cosine, RectifiedFlow, Tabulated
from sonovid.models.base import Output

STRAIGHT, ROUND = RectifiedFlow(), Cosine()
SCHEDULES = {"straight": AV(STRAIGHT, STRAIGHT), "round": AV(ROUND, ROUND), "one of each": AV(STRAIGHT, ROUND)}
EVERY_SCHEDULE = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
EVERY_WARP = pytest.mark.parametrize("gamma", [1.0, 1.5])
LINEAR = {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012}
SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195}
TABLES = AV(Tabulated("linear", 0.00085, 0.012), Tabulated("scaled_linear", 0.0015, 0.0195))


def joint_covariance(schedule, times, step=ddim):
    m = torch.cat(sample(perfect_denoiser(schedule), AV(*basis(2)), schedule, times, step), dim=1)
    return m.T @ m


def covariance_for_a_clean_video(schedule, times, step=ddim):
    video, noise_v, noise_a = basis(3)
    denoise = clean_conditioning(perfect_denoiser(schedule), AV(video, None))
    m = torch.cat(sample(denoise, AV(noise_v, noise_a), schedule, times, step), dim=1)
    return m.T @ m


def errors(covariance, schedule, gamma, step, counts):
    return [(covariance(schedule, warp_times(uniform_times(n), gamma), step) - COVARIANCE).abs().max() for n in counts]


@EVERY_WARP
@EVERY_SCHEDULE
@pytest.mark.parametrize("covariance", [joint_covariance, covariance_for_a_clean_video])
def test_ddim_converges_at_first_order(covariance, schedule, gamma):
    coarse, fine = errors(covariance, schedule, gamma, ddim, (40, 80))
    assert fine < 0.05
    assert 1.8 < coarse / fine < 2.2


@pytest.mark.parametrize("name", ["straight", "round"])
def test_dpm_solver_converges_at_second_order(name):
    """Between two noisy times the exact flow is known: each principal axis scales with its standard deviation."""
    schedule, (start, end) = SCHEDULES[name], (0.95, 0.05)
    variances, axes = torch.linalg.eigh(COVARIANCE)
    alpha, sigma = schedule.video.coefficients(torch.tensor([start, end], dtype=torch.float64))
    deviations = [(a**2 * variances + s**2).sqrt() for a, s in zip(alpha, sigma, strict=True)]
    exact = axes @ torch.diag(deviations[1] / deviations[0]) @ axes.T

    def error(steps):
        times = uniform_times(steps, start, end)
        found = sample(perfect_denoiser(schedule), AV(*basis(2)), schedule, AV(times, times), dpm_solver)
        return (torch.cat(found, dim=1).T - exact).abs().max()

    assert error(80) < 5e-4
    assert 3.6 < error(40) / error(80) < 4.2


@EVERY_SCHEDULE
@pytest.mark.parametrize("covariance", [joint_covariance, covariance_for_a_clean_video])
def test_dpm_solver_needs_fewer_steps_than_ddim(covariance, schedule):
    """The first and the last step, where the log-SNR is infinite, are of first order."""
    coarse, fine = errors(covariance, schedule, 1.0, dpm_solver, (20, 60))
    assert coarse < 0.03
    assert fine < 0.005
    assert fine < errors(covariance, schedule, 1.0, ddim, (60,))[0] / 5


@pytest.mark.parametrize(
    ("step", "scheduler"),
    [(ddim, DDIMScheduler), (dpm_solver, DPMSolverMultistepScheduler)],
    ids=["ddim", "dpm_solver"],
)
def test_solver_steps_match_diffusers_on_two_tables_at_once(step, scheduler):
    """The two tables of SVG; the diffusers scheduler runs in a loop of its own."""
    extra = {"clip_sample": False} if scheduler is DDIMScheduler else {"lower_order_final": False}
    theirs = AV(
        *(scheduler(**table, prediction_type="sample", timestep_spacing="trailing", **extra) for table in (LINEAR, SCALED))
    )
    for one in theirs:
        one.set_timesteps(10)
    assert theirs.video.timesteps.tolist() == theirs.audio.timesteps.tolist()
    noise = AV(*torch.randn(2, 4, 1, dtype=torch.float64))
    denoise, x = perfect_denoiser(TABLES), noise
    for n in theirs.video.timesteps:
        t = (n + 1).double().expand(4) / 1000
        x0 = denoise(x, AV(t, t))
        x = theirs.map(lambda one, x0i, xi, n=n: one.step(x0i, n, xi).prev_sample, x0, x)
    times = [(int(n) + 1) / 1000 for n in theirs.video.timesteps] + [0.0]
    ours = sample(denoise, noise, TABLES, AV(times, times), step)
    for mine, other in zip(ours, x, strict=True):
        torch.testing.assert_close(mine, other, atol=2e-5, rtol=1e-4)


def test_a_diffusers_scheduler_can_be_used_repeatedly():
    pairs = []
    for table, schedule in zip((LINEAR, SCALED), TABLES, strict=True):
        scheduler = DPMSolverMultistepScheduler(**table, prediction_type="sample", timestep_spacing="trailing")
        pairs.append(from_diffusers(scheduler, schedule, 25))
    steps, times = (AV(*values) for values in zip(*pairs, strict=True))
    first, again = (sample(perfect_denoiser(TABLES), AV(*basis(2)), TABLES, times, steps) for _ in range(2))
    assert torch.equal(first.video, again.video)
    m = torch.cat(first, dim=1)
    assert (m.T @ m - COVARIANCE).abs().max() < 0.06  # a table's last entry is not all noise
    given = AV(torch.randn(2, 1, dtype=torch.float64), None)
    end = sample(clean_conditioning(perfect_denoiser(TABLES), given), AV(*basis(2)), TABLES, times, steps)
    assert torch.equal(end.video, given.video)


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (DDIMScheduler(**LINEAR), "prediction_type"),
        (DDIMScheduler(**LINEAR, prediction_type="sample", clip_sample=True), "clip"),
        (DDIMScheduler(**SCALED, prediction_type="sample", clip_sample=False), "betas"),
        (EulerDiscreteScheduler(**LINEAR, prediction_type="sample"), "scale"),
    ],
)
def test_unsupported_schedulers_raise(scheduler, message):
    with pytest.raises(ValueError, match=message):
        from_diffusers(scheduler, TABLES.video, 5)


@pytest.mark.parametrize("learnt", [None, 0.0, 1.0])
def test_ancestral_sampling_has_the_analytic_variance(learnt):
    """Unit-variance data: x_s = alpha_t / alpha_s x_t + noise, so variances follow a recursion; its fixed point for beta is 1."""
    noise = AV(*torch.randn(2, 2, 20000, dtype=torch.float64))
    schedule, times = AV(ROUND, ROUND), uniform_times(6, 0.99)

    def denoise(x, t, previous):
        return schedule.map(lambda sch, xi, ti: sch.coefficients(ti)[0][:, None] * xi, x, t)

    variance_output = None if learnt is None else lambda: torch.full((2, 20000), learnt)
    steps = AV(*(Ancestral(seeded_generators([1, 2], name), variance_output) for name in AV._fields))
    wanted = 1.0
    alphas, sigmas = ROUND.coefficients(torch.tensor(times, dtype=torch.float64))
    for i in range(5):
        scale = alphas[i] / alphas[i + 1]
        beta = sigmas[i] ** 2 - scale**2 * sigmas[i + 1] ** 2
        least = beta * sigmas[i + 1] ** 2 / sigmas[i] ** 2
        share = 0.0 if learnt is None else (learnt + 1) / 2
        wanted = scale**2 * wanted + beta**share * least ** (1 - share)
    wanted = alphas[-2] ** 2 * wanted  # the step to zero is the estimate of x_0
    end = sample(denoise, noise, schedule, AV(times, times), steps)
    for x in end:
        assert abs(x.var() / wanted - 1) < 0.03


def test_ancestral_samples_do_not_depend_on_the_batch():
    schedule, times = AV(ROUND, ROUND), uniform_times(4, 0.99)

    def run(seeds):
        steps = AV(*(Ancestral(seeded_generators(seeds, f"{name} steps")) for name in AV._fields))
        noise = draw_noise_pair(seeds, AV((3,), (3,)))
        return sample(lambda x, t, previous: x.map(torch.tanh), noise, schedule, AV(times, times), steps)

    for together, alone in zip(run([4, 5, 6]), run([5]), strict=True):
        assert torch.equal(together[1:2], alone)


def test_the_network_gets_its_own_dtype_and_the_previous_estimate():
    inputs = []

    def network(x, t, condition, previous):
        inputs.append((x.video.dtype, t.video.dtype, condition, previous))
        return NetworkOutput(x.map(lambda u: u / 2), AV(t.video, t.audio))

    seen = []
    denoise = build_denoiser(network, SCHEDULES["straight"], "flow", "told", dtype=torch.bfloat16, observe=seen.append)
    noise = draw_noise_pair([1], AV((2,), (2,)))
    end = sample(denoise, noise, SCHEDULES["straight"], AV(uniform_times(2), uniform_times(2)))
    assert end.video.dtype == torch.float32
    assert [(a[0], a[1], a[2]) for a in inputs] == [(torch.bfloat16, torch.float32, "told")] * 2
    assert inputs[0][3] is None
    torch.testing.assert_close(inputs[1][3].video.float(), noise.video / 2, rtol=1e-2, atol=1e-2)  # x - t x / 2 at t = 1
    assert [answer.variance.video.item() for answer in seen] == [1.0, 0.5]


def test_the_callback_sees_every_step_and_may_replace_the_latents():
    seen = []

    def callback(index, x, x0):
        seen.append((index, x0.video.clone()))
        return x.map(torch.zeros_like) if index == 1 else None

    def denoise(x, t, previous):
        return x.map(lambda u: u + 1)

    end = sample(
        denoise, AV(*torch.ones(2, 1, 1)), SCHEDULES["straight"], AV(uniform_times(3), uniform_times(3)), callback=callback
    )
    assert [index for index, _ in seen] == [0, 1, 2]
    assert end.video.item() == 1  # zero after the second step, and one more in the last estimate


def test_sampling_loop_yields_every_step_and_continues_from_replaced_latents():
    schedule, times = SCHEDULES["straight"], AV(uniform_times(3), uniform_times(3))
    noise = AV(*torch.ones(2, 1, 1))
    states = list(sampling_loop(lambda x, t, previous: x.map(lambda u: u + 1), noise, schedule, times))
    assert [state.step for state in states] == [0, 1, 2]
    whole = sample(lambda x, t, previous: x.map(lambda u: u + 1), noise, schedule, times)
    assert torch.equal(states[-1].latents.video, whole.video)
    for state in sampling_loop(lambda x, t, previous: x.map(lambda u: u + 1), noise, schedule, times):
        if state.step == 1:
            state.latents = state.latents.map(torch.zeros_like)
    assert state.latents.video.item() == 1  # the step to t = 0 returns the estimate, 0 + 1


def test_should_stop_is_asked_before_each_step():
    schedule, times, noise = SCHEDULES["straight"], AV(uniform_times(3), uniform_times(3)), AV(*torch.ones(2, 1, 1))
    answers = iter([False, True])
    seen = []
    sample(
        lambda x, t, previous: x,
        noise,
        schedule,
        times,
        callback=lambda step, x, x0: seen.append(step),
        should_stop=lambda: next(answers),
    )
    assert seen == [0]
    assert sample(lambda x, t, previous: x, noise, schedule, times, should_stop=lambda: True) is noise


def test_warp_times_match_the_paper():
    """SVG, eq. 9, 25 steps, gamma 1.5, in thousandths."""
    video, audio = warp_times(uniform_times(25), 1.5)
    assert [round(1000 * t) for t in video[:4] + video[-3:]] == [1000, 951, 903, 855, 45, 19, 0]
    assert [round(1000 * t) for t in audio[:4] + audio[-3:]] == [1000, 967, 934, 901, 127, 72, 0]
    same = warp_times(uniform_times(7), 1.0)
    assert same.video == same.audio == uniform_times(7)


def test_times_start_and_end_at_the_given_values():
    assert uniform_times(4, 0.8, 0.4) == pytest.approx([0.8, 0.7, 0.6, 0.5, 0.4])
    for by in (0.5, 3.0):
        times = shifted_times(5, by, 0.9, 0.1)
        assert (times[0], times[-1], len(times)) == (0.9, 0.1, 6)
    assert shifted_times(2, 3.0)[1] == pytest.approx(0.75)
    assert shifted_times(4, 1.0) == pytest.approx(uniform_times(4))


@pytest.mark.parametrize(
    "times", [AV([1.0, 0.0], [1.0, 0.5, 0.0]), AV([1.0], [1.0]), AV([0.0, 1.0], [1.0, 0.0]), AV([1.5, 0.0], [1.0, 0.0])]
)
def test_invalid_times_raise(times):
    with pytest.raises(ValueError, match="times"):
        sample(perfect_denoiser(SCHEDULES["round"]), AV(*basis(2)), SCHEDULES["round"], times)


def test_invalid_options_raise():
    with pytest.raises(ValueError, match="steps=0"):
        uniform_times(0)
    with pytest.raises(ValueError, match="gamma"):
        warp_times([1.0, 0.0], 0.0)


# Timesteps of the released code's schedulers at 25 steps, by gamma: facts of its output.
GOLDEN = {
    1.0: (
        [999, 957, 916, 874, 832, 791, 749, 708, 666, 624, 583, 541, 500, 458, 416, 375, 333, 291, 250, 208, 166, 125, 83, 42, 0],
        [961, 921, 881, 841, 801, 761, 721, 681, 641, 601, 561, 521, 481, 441, 401, 361, 321, 281, 241, 201, 161, 121, 81, 41, 1],
    ),
    1.5: (
        [999, 948, 898, 848, 798, 750, 702, 655, 608, 561, 516, 471, 428, 384, 342, 301, 260, 220, 183, 146, 111, 78, 47, 21, 0],
        [
            968,
            935,
            902,
            868,
            834,
            800,
            766,
            731,
            696,
            660,
            624,
            587,
            550,
            512,
            474,
            435,
            395,
            355,
            313,
            270,
            225,
            178,
            128,
            74,
            4,
        ],
    ),
    2.0: (
        [999, 940, 883, 827, 771, 718, 664, 614, 563, 513, 466, 419, 375, 331, 289, 250, 211, 175, 141, 109, 79, 53, 30, 11, 0],
        [
            972,
            943,
            914,
            885,
            855,
            824,
            793,
            762,
            730,
            698,
            664,
            631,
            596,
            561,
            524,
            487,
            448,
            408,
            366,
            322,
            275,
            225,
            169,
            104,
            8,
        ],
    ),
}


@pytest.mark.parametrize("gamma", GOLDEN)
def test_table_times_match_the_released_code(gamma):
    times = table_times_pair(25, AV("linspace", "leading"), gamma)
    assert times.map(lambda stream: [round(1000 * t) - 1 for t in stream]) == AV(*([*one, 0] for one in GOLDEN[gamma]))


def test_invalid_table_times_raise():
    with pytest.raises(ValueError, match="spacing 'trailing': expected one of linspace, leading"):
        table_times_pair(25, AV("linspace", "trailing"), 1.0)
    with pytest.raises(ValueError, match="gamma=0"):
        table_times_pair(25, AV("linspace", "leading"), 0)


def test_resolved_ancestral_steps_follow_from_the_noise_of_each_sample_and_take_the_first_half_of_a_learnt_variance():
    schedule, times = AV(ROUND, ROUND), uniform_times(4, 0.99)

    def run(seeds, variance):
        noise = draw_noise_pair(seeds, AV((3,), (3,)))
        step, observe = resolve_step(Ancestral, noise)

        def network(x, t, condition, previous):
            # As under guidance: the second half belongs to the null condition, and has another variance.
            learnt = x.map(lambda z: torch.cat([torch.full_like(z, variance or 0.0), torch.full_like(z, 9.0)]))
            observe(Output(x.map(torch.tanh), learnt if variance is not None else None))
            return x.map(torch.tanh)

        return sample(lambda x, t, p: network(x, t, None, p), noise, schedule, AV(times, times), step)

    for variance in (None, 0.0):
        for together, alone in zip(run([4, 5, 6], variance), run([5], variance), strict=True):
            assert torch.equal(together[1:2], alone)
    assert not torch.equal(run([5], None).video, run([5], 0.5).video)
    # The same noise in both streams is followed by other draws in each.
    assert not torch.equal(run([5], None).video, run([5], None).audio)
    assert resolve_step(ddim, draw_noise_pair([1], AV((3,), (3,)))) == (ddim, None)
