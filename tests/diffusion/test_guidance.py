import pytest
import torch
from gaussian import CORRELATION, NetworkOutput, basis, gain, perfect_denoiser

from sonovid.core.av import AV, Task
from sonovid.diffusion.guidance import (
    batched_classifier_free_guidance,
    classifier_free_guidance,
    clean_conditioning,
    cross_modal_guidance,
    frame_conditioning,
    limited_interval,
    reconstruction_guidance,
    replacement_conditioning,
)
from sonovid.diffusion.sampler import build_denoiser, sample, uniform_times
from sonovid.diffusion.schedule import Cosine, RectifiedFlow, to_x0, training_target

STRAIGHT, ROUND = RectifiedFlow(), Cosine()
SCHEDULES = {"straight": AV(STRAIGHT, STRAIGHT), "round": AV(ROUND, ROUND), "one of each": AV(STRAIGHT, ROUND)}
EVERY_SCHEDULE = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


def times(steps):
    return AV(uniform_times(steps), uniform_times(steps))


def random_pair(b=5):
    return AV(*torch.randn(2, b, 1, dtype=torch.float64))


def correlation_with_the_given_video(schedule, steps, scale):
    video, noise_v, noise_a = basis(3)
    given, noise = AV(video, None), AV(noise_v, noise_a)
    denoise = reconstruction_guidance(perfect_denoiser(schedule), given, schedule, scale)
    end = sample(replacement_conditioning(denoise, given, schedule, noise), noise, schedule, times(steps))
    return (end.video.T @ end.audio).item()


@EVERY_SCHEDULE
def test_replacement_loses_correlation_for_any_number_of_steps(schedule):
    """A property of the method: a replaced stream keeps its noise, so the pair is under-correlated."""
    found = [correlation_with_the_given_video(schedule, steps, 0.0) for steps in (50, 100)]
    assert all(0.1 < c < CORRELATION - 0.1 for c in found), found
    assert abs(found[0] - found[1]) < 0.03


def test_reconstruction_guidance_restores_correlation():
    found = [correlation_with_the_given_video(SCHEDULES["round"], 50, scale) for scale in (0.0, 0.5, 1.0)]
    assert found == sorted(found)
    assert found[2] - found[0] > 0.15


@EVERY_SCHEDULE
@pytest.mark.parametrize("task", [Task.VIDEO_TO_AUDIO, Task.AUDIO_TO_VIDEO], ids=lambda task: task.name)
def test_conditioning_streams_come_out_unchanged(schedule, task):
    clean, noise = random_pair(), random_pair()
    given = clean.map(lambda c, generated: None if generated else c, task.value)
    perfect = perfect_denoiser(schedule)
    replaced = replacement_conditioning(reconstruction_guidance(perfect, given, schedule, 0.5), given, schedule, noise)
    doubled = classifier_free_guidance(perfect, lambda x, t, previous: x, AV(3.0, 2.0))
    for denoise in (clean_conditioning(perfect, given), clean_conditioning(doubled, given), replaced):
        end = sample(denoise, noise, schedule, times(3))
        for before, after, generated in zip(clean, end, task.value, strict=True):
            assert torch.equal(before, after) != generated


def test_clean_conditioning_passes_clean_latents_at_time_zero():
    given, seen = AV(None, torch.full((2, 1), 7.0)), []

    def denoise(x, t, previous):
        seen.append((x, t))
        return x

    sample(clean_conditioning(denoise, given), AV(*torch.randn(2, 2, 1)), SCHEDULES["straight"], times(2))
    for x, t in seen:
        assert torch.equal(x.audio, given.audio)
        assert (t.audio == 0).all()
    assert [t.video.tolist() for _, t in seen] == [[1.0, 1.0], [0.5, 0.5]]


def test_replacement_uses_one_noise_for_all_steps():
    clean, noise, seen = torch.randn(2, 1), torch.randn(2, 1), []

    def denoise(x, t, previous):
        seen.append(x.video)
        return x

    schedule = SCHEDULES["straight"]
    given = AV(clean, None)
    sample(replacement_conditioning(denoise, given, schedule, AV(noise, noise)), AV(noise, noise), schedule, times(4))
    for x, t in zip(seen, uniform_times(4), strict=False):
        torch.testing.assert_close(x, (1 - t) * clean + t * noise)


@pytest.mark.parametrize("predict", ["eps", "v", "flow"])
def test_classifier_free_guidance_is_equal_for_every_prediction_type(predict):
    x, conditional, null = torch.randn(3, 4, 2, dtype=torch.float64)
    t = torch.tensor([0.2, 0.4, 0.6, 0.8], dtype=torch.float64)

    def pair(value):
        return lambda *_: AV(value, value)

    guided = classifier_free_guidance(pair(conditional), pair(null), AV(7.5, 2.5))(AV(x, x), AV(t, t))
    for scale, got in zip((7.5, 2.5), guided, strict=True):
        alpha, sigma = (c[:, None] for c in ROUND.coefficients(t))
        outs = [training_target(ROUND, predict, x0, (x - alpha * x0) / sigma, t) for x0 in (conditional, null)]
        torch.testing.assert_close(to_x0(ROUND, predict, outs[1] + scale * (outs[0] - outs[1]), x, t), got)


def test_with_scale_one_the_unconditional_denoiser_is_not_called():
    def refuse(x, t, previous):
        raise AssertionError("called")

    perfect = perfect_denoiser(SCHEDULES["round"])
    noise = random_pair()
    plain = sample(perfect, noise, SCHEDULES["round"], times(3))
    assert torch.equal(
        sample(classifier_free_guidance(perfect, refuse, AV(1.0, 1.0)), noise, SCHEDULES["round"], times(3)).video, plain.video
    )


def test_correlation_by_scale_of_reconstruction_guidance():
    """CMMD's schedule and its 200 steps: without guidance 0.39 of a true 0.80, with lambda = 2 0.81."""
    schedule = AV(Cosine(0.008), Cosine(0.008))
    for scale, wanted in ((0.0, 0.391), (0.5, 0.545), (1.0, 0.668), (2.0, 0.808)):
        video, noise_v, noise_a = basis(3)
        given, noise = AV(video, None), AV(noise_v, noise_a)
        denoise = reconstruction_guidance(perfect_denoiser(schedule), given, schedule, scale)
        end = sample(replacement_conditioning(denoise, given, schedule, noise), noise, schedule, times(200))
        assert (end.video.T @ end.audio / end.audio.norm()).item() == pytest.approx(wanted, abs=0.002)


class Linear(torch.nn.Module):
    """v_hat = W x for a pair of vectors, so gradients of its estimates are known."""

    def __init__(self, video, audio):
        super().__init__()
        torch.random.manual_seed(3)
        self.sizes = (video, audio)
        self.weight = torch.nn.Parameter(0.3 * torch.randn(video + audio, video + audio, dtype=torch.float64))

    def forward(self, x, t, condition=None, previous=None):
        return NetworkOutput(AV(*(torch.cat(x, 1) @ self.weight.T).split(self.sizes, 1)))


@pytest.mark.parametrize("task", [Task.VIDEO_TO_AUDIO, Task.AUDIO_TO_VIDEO], ids=lambda task: task.name)
def test_a_step_of_reconstruction_guidance_for_a_linear_network(task):
    """From the network to the DDIM step: x0 = alpha x - sigma W x, so the gradient is -2 J_given' (g - x0_given)."""
    scale, pair, (video, audio) = 0.4, SCHEDULES["round"], (4, 3)
    network = Linear(video, audio)
    clean, noise = (AV(*torch.randn(2, video + audio, dtype=torch.float64).split((video, audio), 1)) for _ in range(2))
    given = clean.map(lambda c, generated: None if generated else c, task.value)
    generated = 1 if task is Task.VIDEO_TO_AUDIO else 0
    now, then = 0.7, 0.5
    guided = reconstruction_guidance(build_denoiser(network, pair, "v"), given, pair, scale)
    found = sample(replacement_conditioning(guided, given, pair, noise), noise, pair, AV([now, then], [now, then]))

    (alpha, sigma), (alpha_s, sigma_s) = (ROUND.coefficients(torch.tensor(u, dtype=torch.float64)) for u in (now, then))
    x = [noise.video, noise.audio]
    x[1 - generated] = alpha * clean[1 - generated] + sigma * noise[1 - generated]
    x = torch.cat(x, 1)
    jacobian = alpha * torch.eye(video + audio, dtype=torch.float64) - sigma * network.weight.detach()
    x0 = x @ jacobian.T
    streams = (slice(0, video), slice(video, None))
    wanted, own = streams[1 - generated], streams[generated]
    gradient = -2 * (clean[1 - generated] - x0[:, wanted]) @ jacobian[wanted, own]
    led = x0[:, own] - scale * alpha * gradient
    eps = (x[:, own] - alpha * led) / sigma
    torch.testing.assert_close(found[generated], alpha_s * led + sigma_s * eps)


def test_reconstruction_guidance_without_a_gradient_raises():
    schedule, x = SCHEDULES["round"], random_pair()
    t, given = AV(*torch.full((2, 5), 0.5, dtype=torch.float64)), AV(x.video, None)
    perfect = perfect_denoiser(schedule)
    with torch.inference_mode(), pytest.raises(ValueError, match="inference_mode disables"):
        reconstruction_guidance(perfect, given, schedule, 0.5)(x, t)
    with torch.inference_mode():
        reconstruction_guidance(perfect, given, schedule, 0.0)(x, t)

    def cut_off(x, t, previous=None):
        return perfect(x, t).map(torch.Tensor.detach)

    with pytest.raises(ValueError, match="has no gradient"):
        reconstruction_guidance(cut_off, given, schedule, 0.5)(x, t)


def test_reconstruction_guidance_is_the_analytic_gradient():
    """For x_0 = G x, the gradient of (g - (G x)_video)^2 is -2 (g - (G x)_video) G[video]."""
    schedule, scale = SCHEDULES["one of each"], 0.7
    x, clean = random_pair(), random_pair()
    t = AV(*(torch.full((5,), u, dtype=torch.float64) for u in (0.6, 0.3)))
    g = gain(schedule, AV(0.6, 0.3))
    x0 = torch.cat(x, 1) @ g.T
    gradient = -2 * (clean.video - x0[:, :1]) * g[:1]
    alpha = torch.stack([sch.coefficients(u[0])[0] for sch, u in zip(schedule, t, strict=True)])
    found = reconstruction_guidance(perfect_denoiser(schedule), AV(clean.video, None), schedule, scale)(x, t)
    torch.testing.assert_close(torch.cat(found, 1), x0 - scale * alpha * gradient)
    assert not any(u.requires_grad for u in found)


def test_reconstruction_guidance_does_not_depend_on_the_batch():
    schedule = SCHEDULES["round"]
    x, clean = random_pair(), random_pair()
    t = AV(*torch.full((2, 5), 0.5, dtype=torch.float64))

    def guided(rows):
        x_, t_, clean_ = (pair.map(lambda u: u[rows]) for pair in (x, t, clean))
        return reconstruction_guidance(perfect_denoiser(schedule), AV(None, clean_.audio), schedule, 1.0)(x_, t_).video

    torch.testing.assert_close(guided(slice(5))[2:3], guided(slice(2, 3)))


def test_reconstruction_guidance_without_effect():
    denoise = perfect_denoiser(SCHEDULES["round"])
    assert reconstruction_guidance(denoise, AV(None, None), SCHEDULES["round"], 1.0) is denoise
    x, t = random_pair(), AV(*torch.full((2, 5), 0.5, dtype=torch.float64))
    apart = reconstruction_guidance(lambda x, t, previous: x.map(lambda u: 2 * u), AV(x.video, None), SCHEDULES["round"], 1.0)
    assert torch.equal(apart(x, t).audio, 2 * x.audio)  # an audio estimate that does not see the video is not corrected


def test_frame_conditioning_keeps_masked_frames_at_time_zero():
    seen = []

    def denoise(x, t, previous):
        seen.append((x, t))
        return x.map(torch.zeros_like)

    noise = AV(torch.randn(2, 3, 4, 2, 2), torch.randn(2, 3, 8, 1))
    given = AV(torch.full((2, 3, 4, 2, 2), 5.0), None)
    known = AV(torch.tensor([[True, True, False, False], [False, False, False, True]]), None)
    end = sample(frame_conditioning(denoise, given, known), noise, SCHEDULES["straight"], times(3))
    for b, frames in enumerate(known.video):
        assert (end.video[b][:, frames] == 5).all()
        assert (end.video[b][:, ~frames] == 0).all()
        for x, t in seen:
            assert (x.video[b][:, frames] == 5).all()
            assert ((t.video[b] == 0) == frames).all()
            assert t.audio.shape == (2,)


def test_batched_guidance_equals_guidance_with_two_evaluations():
    def conditional(x, t, previous):
        return x.map(lambda xi: 2 * xi + (0 if previous is None else 1))

    def unconditional(x, t, previous):
        return x.map(lambda xi: 3 - xi)

    def both(x, t, previous):
        halves = [AV(*(z.chunk(2)[i] for z in x)) for i in range(2)]
        return conditional(halves[0], t, previous).map(lambda a, b: torch.cat([a, b]), unconditional(halves[1], t, previous))

    x, t = random_pair(), AV(torch.ones(5), torch.ones(5))
    for scale in (AV(3.0, 2.0), AV(1.0, 4.0), AV(0.0, 0.5)):
        for previous in (None, random_pair()):
            apart = classifier_free_guidance(conditional, unconditional, scale)(x, t, previous)
            for one, other in zip(apart, batched_classifier_free_guidance(both, scale)(x, t, previous), strict=True):
                torch.testing.assert_close(one, other)


def linear(gain, shift):
    """A denoiser that is linear in both streams, so its estimates are known."""
    return lambda x, t, previous=None: AV(gain * x.video + shift * x.audio, gain * x.audio - shift * x.video)


def test_cross_modal_guidance_is_equation_9_with_the_sign_corrected():
    x, t = random_pair(), AV(torch.ones(5), torch.ones(5))
    conditional, null = linear(0.5, 0.3), linear(0.7, -0.2)
    guided = cross_modal_guidance(conditional, AV(4.0, 0.5), without_modality=null)(x, t)
    torch.testing.assert_close(guided.video, (4 * 0.5 - 3 * 0.7) * x.video + (4 * 0.3 + 3 * 0.2) * x.audio)
    torch.testing.assert_close(guided.audio, (0.5 * 0.5 + 0.5 * 0.7) * x.audio - (0.5 * 0.3 - 0.5 * 0.2) * x.video)
    for same in (
        cross_modal_guidance(conditional, AV(3.0, 9.0), without_modality=conditional),
        classifier_free_guidance(conditional, conditional, AV(3.0, 9.0)),
    ):
        for one, other in zip(same(x, t), conditional(x, t), strict=True):
            torch.testing.assert_close(one, other)


def test_cross_modal_guidance_against_both_nulls_is_the_sum_of_both_directions():
    x, t, phi, scale = random_pair(), AV(torch.ones(5), torch.ones(5)), AV(4.0, 1.0), AV(2.0, 3.0)
    conditional, modality, context = linear(0.5, 0.3), linear(0.7, -0.2), linear(0.1, 0.0)
    first = classifier_free_guidance(conditional, modality, phi)(x, t)
    second = classifier_free_guidance(conditional, context, scale)(x, t)
    alone = cross_modal_guidance(conditional, phi, without_modality=modality)(x, t)
    released = cross_modal_guidance(conditional, scale, without_context=context)(x, t)
    both = cross_modal_guidance(conditional, phi, without_modality=modality, without_context=context, scale=scale)(x, t)
    alike = cross_modal_guidance(conditional, phi, without_modality=modality, without_context=context)(x, t)
    third = classifier_free_guidance(conditional, context, phi)(x, t)
    for i in range(2):
        plain = conditional(x, t)[i]
        torch.testing.assert_close(alone[i], first[i])
        torch.testing.assert_close(released[i], second[i])
        torch.testing.assert_close(both[i], first[i] + second[i] - plain)
        torch.testing.assert_close(alike[i], first[i] + third[i] - plain)


def test_guidance_is_limited_to_an_interval_of_times_sample_by_sample():
    conditional, null = linear(0.5, 0.3), linear(0.7, -0.2)
    guided = classifier_free_guidance(conditional, null, AV(3.0, 2.0))
    limited = limited_interval(guided, conditional, (0.4, 0.8))
    x = random_pair()
    # The last sample has a conditioning stream, at time 0: the other stream's time counts.
    t = AV(torch.tensor([0.3, 0.4, 0.8, 0.9, 0.0]), torch.tensor([0.3, 0.4, 0.8, 0.9, 0.6]))
    for found, inside, outside in zip(limited(x, t), guided(x, t), conditional(x, t), strict=True):
        torch.testing.assert_close(found[1:3], inside[1:3])
        torch.testing.assert_close(found[4:], inside[4:])
        torch.testing.assert_close(found[[0, 3]], outside[[0, 3]])
        assert not torch.allclose(found[1], outside[1])


def test_outside_its_interval_guidance_costs_nothing():
    def never(x, t, previous=None):
        raise AssertionError("evaluated")

    conditional = linear(0.5, 0.3)
    x = random_pair()
    late, early = (AV(torch.full((5,), value), torch.full((5,), value)) for value in (0.2, 0.9))
    limited = limited_interval(never, conditional, (0.5, 1.0))
    assert torch.equal(limited(x, late).video, conditional(x, late).video)
    assert torch.equal(limited_interval(conditional, never, (0.5, 1.0))(x, early).video, conditional(x, early).video)
    # One time for each frame.
    frames = AV(torch.tensor([[0.0, 0.2]]).expand(5, 2), late.audio)
    assert torch.equal(limited(x, frames).audio, conditional(x, frames).audio)


def test_cross_modal_guidance_increases_correlation_with_the_conditioning_stream():
    """The perfect denoiser against one that treats the streams as independent: correlation grows with phi."""
    schedule = SCHEDULES["round"]
    perfect = perfect_denoiser(schedule)

    def apart(x, t, previous=None):
        return schedule.map(lambda sch, xi, ti: sch.coefficients(ti)[0][:, None] * xi, x, t)

    found = []
    for phi in (0.0, 1.0, 2.0):
        video, noise_v, noise_a = basis(3)
        given, noise = AV(video, None), AV(noise_v, noise_a)
        guided = cross_modal_guidance(perfect, AV(1.0, phi), without_modality=apart)
        end = sample(replacement_conditioning(guided, given, schedule, noise), noise, schedule, times(50))
        found.append((end.video.T @ end.audio).item())
    assert found[0] == pytest.approx(0, abs=1e-9)
    assert found[0] < found[1] < found[2]


def test_cross_modal_guidance_calls_only_the_denoisers_it_needs():
    def refuse(x, t, previous):
        raise AssertionError("called")

    x, t, conditional = random_pair(), AV(torch.ones(5), torch.ones(5)), linear(0.5, 0.3)
    one = AV(1.0, 1.0)
    assert torch.equal(
        cross_modal_guidance(conditional, one, without_modality=refuse, without_context=refuse)(x, t).video,
        conditional(x, t).video,
    )
    cross_modal_guidance(conditional, AV(1.0, 2.0), without_modality=conditional, without_context=refuse, scale=one)(x, t)
    with pytest.raises(ValueError, match="nothing to guide against"):
        cross_modal_guidance(conditional, one)
    with pytest.raises(ValueError, match="needs a null context"):
        cross_modal_guidance(conditional, one, without_modality=conditional, scale=one)


def test_replacement_with_a_mask_changes_only_masked_frames():
    schedule = SCHEDULES["straight"]
    known = AV(torch.tensor([[True, False, True]] * 3), None)
    x0 = AV(torch.randn(3, 2, 3, 1, 1), torch.randn(3, 2, 4, 1))
    noise, given = (x0.map(torch.randn_like) for _ in range(2))
    seen = []

    def denoise(x, t, previous=None):
        seen.append((x, t))
        return x0

    held = replacement_conditioning(denoise, AV(given.video, None), schedule, noise, known)
    out = held(noise, AV(torch.full((3,), 0.25), torch.full((3,), 0.25)), None)
    ((x, t),) = seen
    assert t.video.shape == (3,)
    torch.testing.assert_close(x.video[:, :, 0], 0.75 * given.video[:, :, 0] + 0.25 * noise.video[:, :, 0])
    assert torch.equal(x.video[:, :, 1], noise.video[:, :, 1])
    assert torch.equal(x.audio, noise.audio)
    assert torch.equal(out.video[:, :, 2], given.video[:, :, 2])
    assert torch.equal(out.video[:, :, 1], x0.video[:, :, 1])


def test_reconstruction_guidance_with_a_mask_uses_only_masked_frames():
    given = AV(torch.randn(2, 1, 3, 1, 1), None)
    known = AV(torch.tensor([[True, False, False], [True, True, False]]), None)
    x, t = AV(torch.randn(2, 1, 3, 1, 1), torch.randn(2, 1, 1, 1)), AV(torch.full((2,), 0.4), torch.full((2,), 0.4))
    mix = torch.randn(3, 3)

    def denoise(x, t, previous=None):
        return AV(torch.einsum("ij,bcjhw->bcihw", mix, x.video), x.audio)

    plain = denoise(x, t)
    found = reconstruction_guidance(denoise, given, SCHEDULES["straight"], 0.5, known)(x, t)
    missed = torch.where(known.video[:, None, :, None, None], given.video - plain.video, 0.0)
    by_hand = plain.video - 0.5 * 0.6 * torch.einsum("ij,bcihw->bcjhw", mix, -2 * missed)
    torch.testing.assert_close(found.video, by_hand)
    assert torch.equal(found.audio, plain.audio)
