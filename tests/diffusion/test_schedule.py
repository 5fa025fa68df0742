import pytest
import torch
from diffusers import DDPMScheduler

from sonovid.diffusion import schedule as module
from sonovid.diffusion.schedule import (
    PREDICTION_TYPES,
    Cosine,
    RectifiedFlow,
    Schedule,
    Tabulated,
    add_noise,
    broadcast_like,
    error_gain,
    to_x0,
    training_target,
)

SCHEDULES = {
    "straight": RectifiedFlow(),
    "round": Cosine(),
    "round, offset": Cosine(0.008),
    "round, less signal": Cosine(0.008, 0.25),
    "linear": Tabulated(),
    "scaled": Tabulated("scaled_linear", 0.0015, 0.0195),
}
EVERY_SCHEDULE = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


def offers(schedule, predict):
    return predict != "flow" or schedule in (RectifiedFlow(), Cosine())


@pytest.mark.parametrize(
    ("betas", "first", "last"), [("linear", 1e-4, 0.02), ("linear", 0.00085, 0.012), ("scaled_linear", 0.0015, 0.0195)]
)
def test_a_table_matches_diffusers(betas, first, last):
    table = DDPMScheduler(beta_schedule=betas, beta_start=first, beta_end=last).alphas_cumprod
    alpha, sigma = Tabulated(betas, first, last).coefficients(torch.arange(1, 1001) / 1000)
    torch.testing.assert_close(alpha**2, table, rtol=3e-6, atol=0)
    torch.testing.assert_close(sigma**2, 1 - table, rtol=3e-4, atol=0)  # the table of diffusers is what cancels here


def test_a_table_interpolates_the_log_snr():
    schedule = Tabulated()

    def log_snr(t):
        alpha, sigma = schedule.coefficients(torch.tensor(t, dtype=torch.float64))
        return 2 * (alpha / sigma).log()

    torch.testing.assert_close(log_snr([0.3005]), (log_snr([0.3]) + log_snr([0.301])) / 2)
    torch.testing.assert_close(log_snr([0.0005]), log_snr([0.001]) + torch.tensor([2.0], dtype=torch.float64).log())


def test_cosine_with_offset_matches_diffusers():
    table = DDPMScheduler(beta_schedule="squaredcos_cap_v2").alphas_cumprod
    alpha, _ = Cosine(0.008).coefficients(torch.arange(1, 1001) / 1000)
    torch.testing.assert_close(alpha[:-1] ** 2, table[:-1], rtol=1e-3, atol=1e-6)  # its last beta is clipped


def test_the_signal_factor_shifts_the_log_snr():
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    (alpha, sigma), (own_alpha, own_sigma) = (Cosine(0.008, signal).coefficients(t) for signal in (1.0, 0.25))
    torch.testing.assert_close(own_alpha / own_sigma, 0.25 * alpha / sigma)
    torch.testing.assert_close(own_alpha.square() + own_sigma.square(), torch.ones_like(t))
    with pytest.raises(ValueError, match="above zero"):
        Cosine(0.0, 0.0)


@EVERY_SCHEDULE
def test_noise_increases_from_zero(schedule):
    alpha, sigma = schedule.coefficients(torch.linspace(0, 1, 3001))
    assert isinstance(schedule, Schedule)
    assert (alpha[0], sigma[0]) == (1, 0)
    assert (alpha.diff() <= 0).all()
    assert (sigma / alpha.clamp(min=1e-12)).diff().min() > 0
    assert alpha[-1] < 0.02


@EVERY_SCHEDULE
def test_time_zero_is_exactly_clean(schedule):
    x0, eps, t = torch.randn(3, 4, 5), torch.randn(3, 4, 5), torch.tensor([0.0, 0.5, 0.0])
    x = add_noise(schedule, x0, eps, t)
    assert torch.equal(x[::2], x0[::2])
    for predict in PREDICTION_TYPES[1:]:
        if offers(schedule, predict):
            torch.testing.assert_close(to_x0(schedule, predict, eps, x, t)[::2], x0[::2])


@EVERY_SCHEDULE
@pytest.mark.parametrize("predict", PREDICTION_TYPES)
@pytest.mark.parametrize("per_frame", [False, True])
def test_every_prediction_type_recovers_x0(schedule, predict, per_frame):
    if not offers(schedule, predict):
        with pytest.raises(ValueError, match="predict"):
            training_target(schedule, predict, torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1))
        return
    x0, eps = torch.randn(2, 4, 3, 5, 2, dtype=torch.float64)
    t = torch.rand(4, 5, dtype=torch.float64) * 0.9 if per_frame else torch.rand(4, dtype=torch.float64) * 0.9
    x = add_noise(schedule, x0, eps, t)
    torch.testing.assert_close(to_x0(schedule, predict, training_target(schedule, predict, x0, eps, t), x, t), x0)


@pytest.mark.parametrize("shape", [(2, 3, 4, 2, 2), (2, 3, 4, 1)])
def test_one_time_per_frame(shape):
    x0, eps, t = torch.randn(shape), torch.randn(shape), torch.rand(2, 4)
    whole = add_noise(Cosine(), x0, eps, t)
    for i in range(4):
        assert torch.equal(whole[:, :, i], add_noise(Cosine(), x0[:, :, i], eps[:, :, i], t[:, i]))


def test_times_of_another_number_of_frames_raise():
    with pytest.raises(ValueError, match="axis 2"):
        broadcast_like(torch.rand(2, 5), torch.randn(2, 3, 4, 1))


@pytest.mark.parametrize("schedule", [RectifiedFlow(), Cosine()])
def test_derivatives_match_autograd(schedule):
    t = torch.linspace(0.05, 0.95, 7, dtype=torch.float64, requires_grad=True)
    for value, derivative in zip(schedule.coefficients(t), schedule.derivatives(t), strict=True):
        torch.testing.assert_close(torch.autograd.grad(value.sum(), t, retain_graph=True)[0], derivative)


@EVERY_SCHEDULE
@pytest.mark.parametrize("predict", PREDICTION_TYPES)
def test_error_gain(schedule, predict):
    if not offers(schedule, predict):
        return
    out, x = torch.randn(2, 5, 1, dtype=torch.float64)
    t = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
    moved = to_x0(schedule, predict, out + 1, x, t) - to_x0(schedule, predict, out, x, t)
    torch.testing.assert_close(moved[:, 0].abs() * error_gain(schedule, predict, t), torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize("schedule", [RectifiedFlow(), Cosine(), Cosine(0.008), Cosine(0.0, 0.25)])
def test_start_bounds_the_error_of_x0(schedule):
    for predict in PREDICTION_TYPES:
        if offers(schedule, predict):
            start = torch.tensor([schedule.start(predict)])
            assert 1 / error_gain(schedule, predict, start) < 25
    assert 1 / error_gain(schedule, "eps", torch.tensor([0.999])) > 500


def test_invalid_tables_raise():
    for wrong in ({"betas": "sqrt_linear"}, {"beta_start": 0.0}, {"num_steps": 1}):
        with pytest.raises((ValueError, TypeError), match=r"expected|betas"):
            Tabulated(**wrong)


def test_old_names_work_with_a_deprecation_warning():
    with pytest.warns(DeprecationWarning, match="schedule.diffuse is now add_noise"):
        assert module.diffuse is add_noise
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing
