"""The objective of MelGAN: layers of the discriminator, losses, and training against each other."""

import pytest
import torch
import torch.nn.functional as F

from sonovid.codecs.mel import LogMel
from sonovid.codecs.melgan import MelGAN
from sonovid.training.melgan import MelGANObjective, WaveformDiscriminator

LOG_MEL = LogMel(16000, 10, 64, 64, 16, 0.0, 8000.0, 1e-5)


def parts() -> tuple[MelGAN, WaveformDiscriminator, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    wave = 0.3 * torch.randn(3, 1600, generator=torch.Generator().manual_seed(0))
    return MelGAN(bins=10, ratios=(4, 4), width=4, blocks=1), WaveformDiscriminator(4, widest=16), {"waveform": wave}


def test_the_published_discriminator():
    """Strides of 4, at most 1024 channels, three sample rates, and the number of parameters."""
    with torch.device("meta"):
        discriminator, wave = WaveformDiscriminator(), torch.empty(2, 8192)
        found = discriminator(wave)
    assert [[tuple(f.shape[1:]) for f in rate] for rate in found] == [
        [(16, n), (64, n // 4), (256, n // 16), (1024, n // 64), (1024, n // 256), (1024, n // 256), (1, n // 256)]
        for n in (8192, 4096, 2048)
    ]
    layers = [(15, 1, 16), (41, 4, 64), (41, 4, 256), (41, 4, 1024), (41, 4, 1024), (5, 1024, 1024), (3, 1024, 1)]
    assert sum(p.numel() for p in discriminator.parameters()) == 3 * sum(size * i * o + 2 * o for size, i, o in layers)


def test_lower_rates_are_average_pooled():
    _, discriminator, batch = parts()
    wave = batch["waveform"]
    halved = F.avg_pool1d(wave[:, None], 4, 2, 1, count_include_pad=False)[:, 0]
    first = discriminator.networks[1][0](halved[:, None])
    assert torch.allclose(discriminator(wave)[1][0], F.leaky_relu(first, 0.2), atol=1e-6)


def test_losses_match_their_definition():
    model, discriminator, batch = parts()
    objective = MelGANObjective(LOG_MEL, discriminator, mel=10.0, adversarial=1.0, matching=2.0)
    rebuilt = objective(model.eval(), batch)
    true = batch["waveform"]
    made = model(LOG_MEL(true))
    real, false = discriminator(true), discriminator(made)
    assert torch.allclose(rebuilt.losses["mel"], 10 * (LOG_MEL(made) - LOG_MEL(true)).abs().mean((1, 2)), atol=1e-5)
    verdict = sum(((rate[-1] - 1) ** 2).mean((1, 2)) for rate in false)
    assert torch.allclose(rebuilt.losses["verdict"], verdict, atol=1e-5)
    features = sum(
        (a - b).abs().mean((1, 2)) for r, f in zip(real, false, strict=True) for a, b in zip(r[:-1], f[:-1], strict=True)
    )
    assert torch.allclose(rebuilt.losses["features"], 2 * features, atol=1e-5)
    assert set(rebuilt.losses) == {"mel", "verdict", "features"}
    told = objective.discriminate(discriminator, rebuilt.discriminator_input)
    assert torch.allclose(told["true"], sum(((rate[-1] - 1) ** 2).mean((1, 2)) for rate in real), atol=1e-5)
    assert torch.allclose(told["made"], sum((rate[-1] ** 2).mean((1, 2)) for rate in false), atol=1e-5)
    assert not rebuilt.discriminator_input[1].requires_grad


def test_without_an_adversary_only_distances():
    model, _, batch = parts()
    assert set(MelGANObjective(LOG_MEL)(model, batch).losses) == {"mel"}
    assert set(MelGANObjective(LOG_MEL, spectrum=1.0)(model, batch).losses) == {"mel", "spectrum"}


def test_magnitudes_below_the_floor_are_equal():
    """Silence against a signal below the floor has no loss and no gradient."""

    class Quiet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.level = torch.nn.Parameter(torch.tensor(0.1))

        def forward(self, mel):
            wave = torch.sin(torch.arange(16 * mel.shape[-1]) * 0.7)
            return self.level * wave.expand(len(mel), -1)

    model, batch = Quiet().eval(), {"waveform": torch.zeros(2, 1600)}
    (heard,) = MelGANObjective(LOG_MEL)(model, batch).losses.values()
    assert (heard > 1).all()
    (unheard,) = MelGANObjective(LOG_MEL, floor=1.0)(model, batch).losses.values()
    assert not unheard.any()
    unheard.sum().backward()
    assert model.level.grad == 0


def test_random_filters_are_applied_in_training_only():
    model, _, batch = parts()
    objective = MelGANObjective(LOG_MEL)
    seen = objective(model.train(), batch, torch.Generator().manual_seed(0)).discriminator_input[0]
    assert not torch.allclose(seen, batch["waveform"], atol=1e-3)
    assert torch.equal(objective(model.eval(), batch, torch.Generator().manual_seed(0)).discriminator_input[0], batch["waveform"])
    plain = MelGANObjective(LOG_MEL, filters=False)(model.train(), batch, torch.Generator().manual_seed(0)).discriminator_input[0]
    assert torch.equal(plain, batch["waveform"])


def test_discriminator_and_generator_learn():
    model, discriminator, batch = parts()
    objective = MelGANObjective(LOG_MEL, discriminator, filters=False)
    tell = torch.optim.Adam(discriminator.parameters(), 3e-3)
    made = objective(model, batch).discriminator_input
    before = sum(v.mean() for v in objective.discriminate(discriminator, made).values())
    for _ in range(30):
        tell.zero_grad()
        after = sum(v.mean() for v in objective.discriminate(discriminator, made).values())
        after.backward()
        tell.step()
    assert after < 0.7 * before
    discriminator.requires_grad_(False)
    please = torch.optim.Adam(model.parameters(), 3e-3)
    verdicts = []
    for _ in range(15):
        please.zero_grad()
        verdict = objective(model, batch).losses["verdict"].mean()
        verdict.backward()
        please.step()
        verdicts.append(verdict.item())
    assert verdicts[-1] < 0.9 * verdicts[0]


@pytest.mark.parametrize("with_adversary", [True, False])
def test_gradient_reaches_every_parameter(with_adversary):
    model, discriminator, batch = parts()
    losses = MelGANObjective(LOG_MEL, discriminator if with_adversary else None)(model, batch).losses
    sum(v.mean() for v in losses.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
