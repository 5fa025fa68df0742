import copy
import math

import pytest
import torch

from sonovid.codecs.audio import MelAutoencoder
from sonovid.codecs.mel import LogMel
from sonovid.codecs.video import FrameAutoencoder
from sonovid.codecs.vocoder import SpectralVocoder
from sonovid.training.reconstruction import (
    FrameReconstruction,
    MelReconstruction,
    SpectrogramDiscriminator,
    VideoReconstruction,
    VocoderObjective,
    kl_to_standard_normal,
    motion_mask,
    multi_resolution_stft_loss,
    psnr,
    psnr_moving,
)

SETTINGS = LogMel(hop=250, floor=1e-3)


def generator():
    return torch.Generator().manual_seed(0)


def test_kl_matches_torch():
    mean, log_variance = torch.randn(4, 3, 5), torch.randn(4, 3, 5)
    normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).flatten(1).mean(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)


def test_stft_loss_of_equal_and_of_scaled_waveforms():
    wave = torch.randn(2, 8000) * 0.1
    torch.testing.assert_close(multi_resolution_stft_loss(wave, wave), torch.zeros(2))
    halved = multi_resolution_stft_loss(wave / 2, wave)
    # Half the amplitude is a convergence of one half and log 2 in the logarithm, wherever it is above the floor.
    torch.testing.assert_close(halved, torch.full((2,), 0.5 + math.log(2)), atol=0.03, rtol=0)


def test_psnr_of_a_known_error():
    true = torch.zeros(1, 3, 2, 4, 4)
    torch.testing.assert_close(psnr(true + 0.2, true), torch.tensor([20.0]), atol=1e-3, rtol=0)


def trained(objective, model, batch, steps=12, adversary=None):
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    history = []
    for _ in range(steps):
        scored = objective(model, batch, generator)
        assert all(loss.shape == (len(next(iter(batch.values()))),) for loss in scored.losses.values())
        total = sum(loss.mean() for loss in scored.losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(float(total))
    return history, scored


@pytest.mark.parametrize("kind", ["frames", "mel", "vocoder"])
def test_a_few_steps_reduce_the_loss(kind):
    torch.manual_seed(0)
    wave = torch.sin(torch.arange(8000) * 0.2)[None].repeat(2, 1) * 0.3
    frames = torch.linspace(-1, 1, 32).expand(2, 3, 2, 32, 32).contiguous()
    objective, model, batch = {
        "frames": (FrameReconstruction(), FrameAutoencoder(4, 4, (8, 16), 1), {"frames": frames}),
        "mel": (MelReconstruction(SETTINGS), MelAutoencoder(width=16, blocks=1), {"waveform": wave}),
        "vocoder": (VocoderObjective(SETTINGS), SpectralVocoder(width=16, depth=1), {"waveform": wave}),
    }[kind]
    history, _ = trained(objective, model, batch)
    assert history[-1] < 0.9 * history[0]


def test_loud_levels_count_more_and_kept_latents_have_a_loss():
    torch.manual_seed(0)
    model = MelAutoencoder(width=16, blocks=1)
    wave = torch.cat([torch.zeros(1, 8000), 0.5 * torch.randn(1, 8000)])
    batch = {"waveform": wave}
    plain, loud = (MelReconstruction(SETTINGS, loud=weight)(model, batch, generator()).losses for weight in (0.0, 4.0))
    # Silence is 3 nats below the threshold, noise of this level far above it.
    ratio = loud["levels"] / plain["levels"]
    assert 1 < ratio[0] < 1.3
    assert 4.5 < ratio[1] <= 5
    assert "keep" not in plain
    other = copy.deepcopy(model)
    kept = MelReconstruction(SETTINGS, initial=other, keep=2.0)
    assert not kept(model, batch, generator()).losses["keep"].any()
    with torch.no_grad():
        other.encoder[-1].bias[: model.latent_channels] += 0.5
    assert torch.allclose(kept(model, batch, generator()).losses["keep"], torch.tensor(0.5))


def test_adversary_and_vocoder_get_gradients():
    torch.manual_seed(0)
    discriminator, vocoder = SpectrogramDiscriminator((128, 256), 8), SpectralVocoder(width=16, depth=1)
    objective = VocoderObjective(SETTINGS, adversary=discriminator)
    batch = {"waveform": torch.randn(2, 8000) * 0.1}
    scored = objective(vocoder, batch)
    assert {"verdict", "features"} <= set(scored.losses)
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-2)
    losses = []
    for _ in range(8):
        total = sum(loss.mean() for loss in objective.discriminate(discriminator, scored.discriminator_input).values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(float(total))
    assert losses[-1] < losses[0]
    sum(loss.mean() for loss in objective(vocoder, batch).losses.values()).backward()
    assert vocoder.head.weight.grad.abs().sum() > 0


def test_half_of_the_spectrograms_pass_the_autoencoder():
    torch.manual_seed(0)
    autoencoder = MelAutoencoder(width=16, blocks=1).eval()
    seen = []

    class Listening(SpectralVocoder):
        def forward(self, log_mel):
            seen.append(log_mel)
            return super().forward(log_mel)

    wave = torch.randn(8, 8000) * 0.1
    VocoderObjective(SETTINGS, mel_autoencoder=autoencoder)(
        Listening(width=16, depth=1), {"waveform": wave}, torch.Generator().manual_seed(0)
    )
    plain = [torch.equal(a, b) for a, b in zip(seen[0], SETTINGS(wave), strict=True)]
    assert 0 < sum(plain) < 8


def square_that_moves() -> torch.Tensor:
    frames = -torch.ones(1, 3, 8, 16, 16)
    for i in range(8):
        frames[:, 0, i, 4:8, 2 * i : 2 * i + 2] = 1.0
    return frames


def test_motion_mask():
    found = motion_mask(square_that_moves())
    assert found.sum() == 8 * 4 * 2
    assert found[0, 0, 3, 5, 6] == 1
    assert motion_mask(torch.zeros(1, 3, 4, 4, 4)).sum() == 0


def test_psnr_moving_ignores_still_pixels():
    true = square_that_moves()
    made = torch.where(motion_mask(true).bool(), true + 0.2 * -true.sign(), true - 0.0)
    torch.testing.assert_close(psnr_moving(made, true), torch.tensor(20.0), atol=1e-3, rtol=0)
    still = torch.where(motion_mask(true).bool(), true, true + 0.2)
    assert psnr_moving(still, true) > 60


class Given(torch.nn.Module):
    """Decodes to given frames, and keeps the latents that it was given."""

    def __init__(self, made, mean=None):
        super().__init__()
        self.made = made
        self.mean = torch.zeros(len(made), 1, 2, 2, 2) if mean is None else mean

    def posterior(self, frames):
        return self.mean, torch.full_like(self.mean, -20.0)

    def decode(self, latents):
        self.latents = latents
        return self.made


def test_errors_of_moving_pixels_have_a_higher_weight():
    true = square_that_moves()

    def loss(made):
        return VideoReconstruction(motion=6.0)(Given(made), {"frames": true}).losses

    near, far = true.clone(), true.clone()
    near[:, :, 0, 5, 1] += 0.5
    far[:, :, 0, 14, 14] += 0.5
    assert loss(near)["pixels"] / loss(far)["pixels"] == pytest.approx(7.0)
    assert all(float(value) == pytest.approx(0.0, abs=1e-6) for name, value in loss(true).items() if name != "kl")


def test_moving_pixels_count_as_much_however_few_they_are():
    """With focus=1 an error on all moving pixels costs what it costs on all pixels, for a small thing and for a large one."""
    small = square_that_moves()
    large = small.repeat_interleave(2, -1).repeat_interleave(2, -2)[..., :16, :16]
    for true in (small, large):
        moving = torch.nn.functional.max_pool3d(motion_mask(true), (1, 5, 5), 1, (0, 2, 2))
        share = float(moving.mean())
        losses = VideoReconstruction(motion=0.0, focus=1.0)(Given(true + 0.1 * moving), {"frames": true}).losses
        assert float(losses["pixels"]) == pytest.approx(0.1 * (1 + share), rel=1e-4)


def test_every_second_clip_gets_noise_on_its_latents():
    true = square_that_moves().repeat(64, 1, 1, 1, 1)
    mean = torch.randn(64, 2, 2, 2, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0]).view(1, 2, 1, 1, 1)
    model = Given(true, mean)
    VideoReconstruction(noise=0.3)(model, {"frames": true}, torch.Generator().manual_seed(1))
    added = model.latents - mean
    assert added[::2].abs().max() < 1e-3
    # A uniform share of 0.3: its root mean square is 0.3 / sqrt(3), relative to the deviation of each channel.
    relative = added[1::2].square().mean((0, 2, 3, 4)).sqrt() / mean.std((0, 2, 3, 4))
    torch.testing.assert_close(relative, torch.full((2,), 0.3 / 3**0.5), rtol=0.15, atol=0)
