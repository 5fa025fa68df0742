"""The contrastive objective against its sum computed pair by pair, and its negatives against their definition."""

from fractions import Fraction

import pytest
import torch
from gaussian import NetworkOutput, condition
from torch import nn

from sonovid.core.av import AV, Task
from sonovid.diffusion.contrastive import ContrastiveObjective, CropWindow, gather_windows, splice
from sonovid.diffusion.objective import MultiTaskObjective, total_loss
from sonovid.diffusion.schedule import Cosine, add_noise, training_target

ROUND = Cosine()
# Four frames of margin round eight at 10 per second; sound of 25 steps per second.
WINDOW = CropWindow(AV(4, 10), AV(8, 20), AV(Fraction(10), Fraction(25)))
BASE = MultiTaskObjective(schedule=AV(ROUND, ROUND), predict="v", tasks={Task.JOINT: 1.0})


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def crops(b, seed=0):
    """Latents whose values identify their origin: 1000 times the sample plus the step."""
    number = 1000.0 * torch.arange(b).reshape(b, 1, 1)
    video = (number + torch.arange(16.0)).reshape(b, 1, 16, 1, 1).expand(-1, 2, -1, 2, 2)
    audio = (number + torch.arange(40.0)).reshape(b, 1, 40, 1).expand(-1, 1, -1, 3)
    return AV(video.contiguous(), audio.contiguous())


class Mixed(nn.Module):
    """A network in which the output of each stream depends on both streams and on the time."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.5, -0.3, 0.2, 0.7]))

    def forward(self, x, t, condition=None, previous=None):
        a, b, c, d = self.scale
        seen = x.map(lambda z: z.flatten(1).mean(1))
        video = a * x.video + (b * seen.audio * t.audio).reshape(-1, 1, 1, 1, 1)
        audio = c * x.audio.tanh() + (d * seen.video * t.video).reshape(-1, 1, 1, 1)
        return NetworkOutput(AV(video, audio))


def random_crops(b):
    return AV(torch.randn(b, 2, 16, 2, 2, generator=generator(1)), torch.randn(b, 1, 40, 3, generator=generator(2)))


@pytest.mark.parametrize("count", [1, 3])
def test_loss_equals_the_sum_over_pairs_computed_one_by_one(count):
    """Eq. 9 and algorithm 1, one pair at a time."""
    kinds = {"shift": 1.0, "segment": 1.0, "swap": 1.0}
    objective = ContrastiveObjective(base=BASE, window=WINDOW, kinds=kinds, shift_seconds=(0.1, 0.4), count=count, eta=0.3)
    network, crop, b = Mixed(), random_crops(4), 4
    x0 = WINDOW(crop)
    drawn, negatives = BASE.draw(x0, generator()), objective.draw(crop, generator(5))
    scored = objective.compute_losses(drawn, negatives, network, x0, condition(b))
    got = total_loss(scored, objective.weights)

    def pair_loss(clean, eps, i):
        """The squared error of v of one pair: a mean within each stream, their sum."""
        t = drawn.times.map(lambda u: u[i : i + 1])
        x = AV(add_noise(ROUND, clean.video, eps.video, t.video), add_noise(ROUND, clean.audio, eps.audio, t.audio))
        out = network(x, t).prediction
        wanted = clean.map(lambda z, e, u: training_target(ROUND, "v", z, e, u), eps, t)
        return sum((o - w).square().mean() for o, w in zip(out, wanted, strict=True))

    summed = 0
    for i in range(b):
        own, eps = (pair.map(lambda z, i=i: z[i : i + 1]) for pair in (x0, drawn.eps))
        loss = pair_loss(own, eps, i)
        for k in range(count):
            other, its = (pair.map(lambda z, i=i, k=k: z[k, i : i + 1]) for pair in negatives)
            loss = loss - 0.3 / count * pair_loss(AV(own.video, other.audio), AV(eps.video, its.audio), i)
            loss = loss - 0.3 / count * pair_loss(AV(other.video, own.audio), AV(its.video, eps.audio), i)
        summed = summed + loss / b
    torch.testing.assert_close(got, summed)
    (gradient,), (wanted,) = (torch.autograd.grad(value, network.parameters()) for value in (got, summed))
    torch.testing.assert_close(gradient, wanted)


def test_with_eta_zero_the_gradient_is_that_of_the_base_objective():
    plain, contrastive = Mixed(), Mixed()
    objective = ContrastiveObjective(base=BASE, window=WINDOW, shift_seconds=(0.2, 0.4), eta=0.0)
    batch = {"x0": random_crops(3), "condition": condition(3)}
    total_loss(objective(contrastive, batch, generator()), objective.weights).backward()
    total_loss(BASE(plain, {**batch, "x0": WINDOW(batch["x0"])}, generator())).backward()
    torch.testing.assert_close(plain.scale.grad, contrastive.scale.grad)


def test_shifts_are_cut_from_the_crop_without_wrapping():
    objective = ContrastiveObjective(base=BASE, window=WINDOW, shift_seconds=(0.2, 0.4), count=80)
    crop = crops(2)
    video, audio = objective.draw(crop, generator()).x0
    for made, start, length, wanted in ((video, 4, 8, {2, 3, 4}), (audio, 10, 20, {5, 6, 7, 8, 9, 10})):
        for i in range(2):
            cells = made[:, i].flatten(2)[:, 0]
            first = cells[:, 0] if made is audio else made[:, i, 0, :, 0, 0][:, 0]
            shift = (first - 1000 * i - start).long()
            assert set(shift.abs().tolist()) == wanted
            assert {int(s) for s in shift.sign()} == {-1, 1}
            steps = made[:, i, 0].reshape(80, length, -1)[..., 0] - 1000 * i
            assert torch.equal(steps, (start + shift)[:, None] + torch.arange(float(length)))


def test_swaps_are_the_clip_of_another_random_sample():
    objective = ContrastiveObjective(base=BASE, window=WINDOW, kinds={"swap": 1}, count=40)
    crop, (video, audio) = crops(4), objective.draw(crops(4), generator()).x0
    own = WINDOW(crop)
    for made, clean in zip((video, audio), own, strict=True):
        for i in range(4):
            partners = {int(first) // 1000 for first in made[:, i].flatten(1)[:, 0]}
            assert partners == {0, 1, 2, 3} - {i}
            assert all(any(torch.equal(x, clean[j]) for j in partners) for x in made[:10, i])


def test_segments_join_two_samples_at_a_random_step():
    objective = ContrastiveObjective(base=BASE, window=WINDOW, kinds={"segment": 1}, count=80)
    made = objective.draw(crops(2), generator()).x0.audio[:, 0, 0, :, 0]
    owner, step = (made // 1000).long(), made % 1000
    assert torch.equal(step, torch.arange(10.0, 30.0).expand(80, -1))
    changes = (owner.diff(dim=1) != 0).sum(1)
    assert (changes == 1).all()
    assert set(owner[:, 0].tolist()) == {0, 1}
    assert len(set((owner.diff(dim=1) != 0).long().argmax(1).tolist())) > 12


def test_gather_windows_and_splice():
    x = torch.arange(12.0).reshape(2, 1, 6, 1)
    cut = gather_windows(x, torch.tensor([0, 3]), 3)
    assert cut[:, 0, :, 0].tolist() == [[0, 1, 2], [9, 10, 11]]
    spliced = splice(x[:1], 10 + x[:1], torch.tensor([2]), torch.tensor([True]))
    assert spliced.flatten().tolist() == [10, 11, 2, 3, 4, 5]
    spliced = splice(x[:1], 10 + x[:1], torch.tensor([2]), torch.tensor([False]))
    assert spliced.flatten().tolist() == [0, 1, 12, 13, 14, 15]


def test_a_negative_has_its_own_noise_and_the_time_of_its_pair():
    seen = []

    class Watching(Mixed):
        def forward(self, x, t, condition=None, previous=None):
            seen.append((x, t))
            return super().forward(x, t)

    objective = ContrastiveObjective(base=BASE, window=WINDOW, shift_seconds=(0.2, 0.4))
    objective(Watching(), {"x0": random_crops(3), "condition": condition(3)}, generator())
    ((x, t),) = seen
    for times in t:
        assert torch.equal(*times.reshape(3, 3)[[0, 1]])
        assert torch.equal(*times.reshape(3, 3)[[0, 2]])
    true, negative_audio, negative_video = (AV(x.video[i : i + 3], x.audio[i : i + 3]) for i in (0, 3, 6))
    assert torch.equal(true.video, negative_audio.video)
    assert torch.equal(true.audio, negative_video.audio)
    assert not torch.isclose(true.audio, negative_audio.audio).any()
    assert not torch.isclose(true.video, negative_video.video).any()


def test_a_conditioning_stream_has_no_loss_in_any_pair():
    hearing = MultiTaskObjective(schedule=AV(ROUND, ROUND), predict="v", tasks={Task.VIDEO_TO_AUDIO: 1.0})
    objective = ContrastiveObjective(base=hearing, window=WINDOW, shift_seconds=(0.2, 0.4))
    scored = objective(Mixed(), {"x0": random_crops(3), "condition": condition(3)}, generator())
    assert scored.losses["video"].isnan().all()
    assert all(scored.losses[name].isfinite().all() for name in ("audio", "negative_audio", "negative_video"))


def test_compare_shuffled():
    objective = ContrastiveObjective(base=BASE, window=WINDOW, shift_seconds=(0.2, 0.4))
    batch = {"x0": random_crops(3), "condition": condition(3)}
    pairing = objective.compare_shuffled(Mixed(), batch, generator())
    assert pairing.true.losses.keys() == {"video", "audio"}
    assert not torch.equal(pairing.true.losses["video"], pairing.shuffled.losses["video"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shift_seconds": (0.2, 0.5)}, "a shift of up to 0.5 s is 5 latent steps of video, but the crop has 4 before"),
        ({"shift_seconds": (0.01, 0.2)}, "rounds to 0 latent steps of video"),
        ({"shift_seconds": (0.4, 0.2)}, "shift_seconds="),
        ({"kinds": {}}, "kinds="),
        ({"kinds": {"roll": 1}}, "kinds="),
        ({"kinds": {"swap": 0}}, "kinds="),
        ({"count": 0}, "count=0"),
    ],
)
def test_invalid_options_raise(options, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveObjective(base=BASE, window=WINDOW, **options)


def test_a_short_crop_and_a_batch_of_one_raise():
    batch = {"x0": random_crops(2), "condition": condition(2)}
    objective = ContrastiveObjective(base=BASE, window=WINDOW, shift_seconds=(0.2, 0.4))
    short = {**batch, "x0": AV(batch["x0"].video, batch["x0"].audio[:, :, :38])}
    with pytest.raises(ValueError, match="is 10 latent steps of audio, but the crop has 8 after"):
        objective(Mixed(), short, generator())
    one = {"x0": random_crops(1), "condition": condition(1)}
    objective(Mixed(), one, generator())
    for kind in ("segment", "swap"):
        with pytest.raises(ValueError, match="batch of 1 has no other sample"):
            ContrastiveObjective(base=BASE, window=WINDOW, kinds={kind: 1})(Mixed(), one, generator())
