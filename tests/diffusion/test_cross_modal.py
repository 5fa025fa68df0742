"""The objectives of MM-LDM: inputs of the network, their frequencies, and the losses."""

import pytest
import torch
from gaussian import NetworkOutput, condition
from torch import nn

from sonovid.core.av import AV, Task
from sonovid.diffusion.cross_modal import ContinuationObjective, CrossModalObjective
from sonovid.diffusion.objective import Uniform, total_loss
from sonovid.diffusion.schedule import Tabulated

TABLE = Tabulated("scaled_linear", 0.00085, 0.012)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def latents(b):
    return AV(torch.randn(b, 2, 1, 2, 2), torch.randn(b, 4, 5, 1))


class Watched(nn.Module):
    """A network that records its inputs and predicts a multiple of x."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.seen = []

    def forward(self, x, t, condition, previous=None, *, conditioning, drop_context):
        self.seen.append((x, t, condition, conditioning, drop_context))
        return NetworkOutput(x.map(lambda xi: self.scale * xi))


def objective(**options):
    law = Uniform(1000)
    return CrossModalObjective(**{"schedule": AV(TABLE, TABLE), "predict": "eps", "time_distribution": AV(law, law), **options})


def test_a_conditioning_stream_is_noised_and_its_clean_latents_are_passed_beside_it():
    network, x0 = Watched(), latents(4000)
    regress = objective()
    drawn = regress.draw(x0, generator())
    scored = regress.compute_losses(drawn, network, x0, condition(4000))
    ((x, t, shown_condition, given, dropped),) = network.seen
    assert torch.equal(t.video, t.audio)
    assert (t.video > 0).all()
    alpha, sigma = TABLE.coefficients(t.video)
    for name, xi, clean, beside, generated, eps in zip(
        AV._fields, x, x0, given, shown_condition.generated, drawn.eps, strict=True
    ):
        a, s = (c.reshape(-1, *[1] * (clean.ndim - 1)) for c in (alpha, sigma))
        torch.testing.assert_close(xi, (a * clean + s * eps).to(xi.dtype))
        assert torch.equal(beside[~generated], clean[~generated])
        assert (beside[generated] == 0).all()
        assert float((~generated).float().mean()) == pytest.approx(0.05, abs=0.015)
        torch.testing.assert_close(scored.losses[name], (0.5 * xi - eps).square().flatten(1).mean(1))
    assert (shown_condition.generated.video | shown_condition.generated.audio).all()
    assert float(dropped.float().mean()) == pytest.approx(0.1, abs=0.02)


def test_all_combinations_of_context_and_modality_occur():
    drawn = objective().draw(latents(4000), generator())
    for given in (~drawn.generated.video, ~drawn.generated.audio):
        for dropped in (drawn.drop_text, ~drawn.drop_text):
            assert (given & dropped).any()


def test_an_empty_stream_has_no_loss_and_leaves_gradients_finite():
    network, x0 = Watched(), AV(torch.randn(6, 2, 1, 2, 2), torch.zeros(6, 4, 0, 1))
    scored = objective(tasks={Task.JOINT: 1})(network, {"x0": x0, "condition": condition(6)}, generator())
    assert scored.losses["audio"].isnan().all()
    total_loss(scored).backward()
    assert network.scale.grad.isfinite()
    assert network.scale.grad != 0


def test_compare_shuffled():
    x0 = latents(6)
    found = objective().compare_shuffled(Watched(), {"x0": x0, "condition": condition(6)}, generator())
    torch.testing.assert_close(found.true.losses["video"], found.shuffled.losses["video"])


def test_unsupported_options_raise():
    for wrong in ({"self_conditioning": 0.5}, {"snr_gamma": 5.0}, {"vlb_weight": 1.0}, {"times": "independent"}):
        with pytest.raises(ValueError, match="CrossModal"):
            objective(**wrong)


class WatchedFollowing(Watched):
    """The same with a previous window."""

    def forward(self, x, t, condition, previous=None, *, conditioning, drop_context, previous_window):
        super().forward(x, t, condition, previous, conditioning=conditioning, drop_context=drop_context)
        self.seen[-1] += (previous_window,)
        return NetworkOutput(x.map(lambda xi, b: self.scale * xi + 0 * b, previous_window))


def following(**options):
    law = Uniform(1000)
    return ContinuationObjective(**{"schedule": AV(TABLE, TABLE), "predict": "eps", "time_distribution": AV(law, law), **options})


def test_each_stream_of_the_previous_window_is_clean_or_zero():
    network, x0, before = WatchedFollowing(), latents(4000), latents(4000)
    following()(network, {"x0": x0, "condition": condition(4000), "previous_window": before}, generator())
    ((_, _, _, _, _, shown),) = network.seen
    gone = shown.map(lambda z: (z.flatten(1) == 0).all(1))
    for there, own, was in zip(gone, shown, before, strict=True):
        assert torch.equal(own[~there], was[~there])
    assert float((gone.video & ~gone.audio).float().mean()) == pytest.approx(0.2, abs=0.03)
    assert float((gone.audio & ~gone.video).float().mean()) == pytest.approx(0.2, abs=0.03)
    assert float((gone.video & gone.audio).float().mean()) == pytest.approx(0.1, abs=0.02)


def test_the_previous_window_is_dropped_independently_of_task_and_context():
    network = WatchedFollowing()
    options = {"tasks": {Task.JOINT: 0.4, Task.VIDEO_TO_AUDIO: 0.3, Task.AUDIO_TO_VIDEO: 0.3}, "text_dropout": 0.5}
    batch = {"x0": latents(4000), "condition": condition(4000), "previous_window": latents(4000)}
    following(**options)(network, batch, generator())
    ((_, _, shown_condition, _, dropped, shown),) = network.seen
    gone = (shown.audio.flatten(1) == 0).all(1)
    for other in (dropped, ~shown_condition.generated.video, ~shown_condition.generated.audio):
        both = torch.stack([gone.float(), other.float()])
        assert abs(float(torch.corrcoef(both)[0, 1])) < 0.05


def test_with_the_previous_window_kept_the_loss_equals_the_single_window_objective():
    """If the previous window is always kept, the loss is computed in the same way."""
    network, x0 = WatchedFollowing(), latents(8)
    regress = following(without_video=0, without_audio=0, alone=0)
    batch = {"x0": x0, "condition": condition(8), "previous_window": latents(8)}
    found = regress(network, batch, generator(3))
    drawer = generator(3)
    regress.draw_kept(8, drawer)
    plain = objective()
    wanted = plain.compute_losses(plain.draw(x0, drawer), Watched(), x0, condition(8))
    for name in AV._fields:
        torch.testing.assert_close(found.losses[name], wanted.losses[name])


def test_compare_shuffled_with_a_previous_window():
    batch = {"x0": latents(6), "condition": condition(6), "previous_window": latents(6)}
    network = WatchedFollowing()
    found = following().compare_shuffled(network, batch, generator())
    assert set(found.named_losses()) == {"video/true", "video/shuffled", "audio/true", "audio/shuffled"}
    assert len(network.seen) == 3
    assert all(torch.equal(one[-1].video, network.seen[0][-1].video) for one in network.seen)


@pytest.mark.parametrize("shares", [{"alone": -0.1}, {"without_video": 0.6, "without_audio": 0.5}])
def test_invalid_shares_raise(shares):
    with pytest.raises(ValueError, match="expected shares from 0"):
        following(**shares)
