import math

import pytest
import torch

from sonovid.codecs.mel import LogMel
from sonovid.codecs.vocoder import GriffinLim, SpectralVocoder, centre_phases, cumulative_phase, inverse_stft


@pytest.mark.parametrize(("n_fft", "hop"), [(1024, 250), (1024, 160), (512, 128)])
def test_the_inverse_transform_undoes_the_transform(n_fft, hop):
    wave = torch.randn(2, 32 * hop)
    side = (n_fft - hop) // 2
    padded = torch.nn.functional.pad(wave, (side, n_fft - hop - side))
    spectrum = torch.stft(padded, n_fft, hop, n_fft, torch.hann_window(n_fft), center=False, return_complex=True)
    again = inverse_stft(spectrum, n_fft, hop)
    assert again.shape == wave.shape
    inner = slice(n_fft, -n_fft)
    torch.testing.assert_close(again[:, inner], wave[:, inner], atol=1e-5, rtol=1e-5)


def test_the_network_gives_one_hop_for_each_frame_and_learns_everywhere():
    vocoder = SpectralVocoder(width=16, depth=2)
    wave = vocoder(torch.randn(2, 64, 12))
    assert wave.shape == (2, 12 * 250)
    wave.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in vocoder.parameters())


def test_accumulated_phases_keep_a_steady_tone_steady():
    """A vocoder that gives the same magnitudes and advances in all frames makes a tone whose level does not waver."""
    hop, n_fft, frequency = 250, 1024, 1003.0

    def level(accumulate: bool) -> tuple[float, float]:
        vocoder = SpectralVocoder(width=16, depth=1, hop=hop, n_fft=n_fft, accumulate=accumulate)
        count = n_fft // 2 + 1
        with torch.no_grad():
            vocoder.head.weight.zero_()
            vocoder.head.bias.zero_()
            centre = frequency * n_fft / 16000
            bins = torch.arange(count)
            near = (bins - centre).abs() < 2
            vocoder.head.bias[:count] = torch.where(near, 3.0 - (bins - centre).abs(), -20.0)
            if accumulate:
                # Every bin of the lobe turns as fast as the tone does.
                vocoder.head.bias[2 * count :] = 2 * torch.pi * hop * (frequency / 16000 - bins / n_fft)
        wave = vocoder(torch.zeros(1, 64, 40))[0, 4000:-4000]
        rms = wave.unfold(0, 500, 500).square().mean(-1).sqrt()
        rms = rms.detach()
        return float(rms.mean()), float(rms.std() / rms.mean())

    steady, plain = level(True), level(False)
    assert steady[1] < 0.02
    assert steady[0] > 2 * plain[0], "frames that disagree about the phase cancel each other"


def test_accumulated_phases_are_whole_turns_at_the_centre_of_each_bin():
    phases = centre_phases(3, 1024, 256, torch.device("cpu"))
    assert phases.shape == (513, 3)
    # Bin 4 turns 4 * 256 / 1024 = 1 time from frame to frame.
    torch.testing.assert_close(phases[4], phases[4, :1].expand(3))
    torch.testing.assert_close(phases[2].diff(), torch.tensor([torch.pi, -torch.pi]))


def test_sums_of_advances_have_gradients_of_near_frames_alone():
    advance = torch.randn(1, 2, 10, requires_grad=True)
    total = cumulative_phase(advance, near=3)
    torch.testing.assert_close(total, advance.detach().cumsum(-1))
    total[0, 0, 6].backward()
    assert advance.grad[0, 0].nonzero().flatten().tolist() == [4, 5, 6]
    assert advance.grad[0, 1].abs().sum() == 0


def test_iteration_finds_the_tone_again():
    settings = LogMel(hop=250, floor=1e-2)
    wave = 0.5 * torch.sin(2 * math.pi * 1000 * torch.arange(16000) / 16000)[None]
    mel = settings(wave)
    made = GriffinLim(settings, iterations=32)(mel)
    assert made.shape == wave.shape
    spectrum = torch.fft.rfft(made[0, 4000:12000]).abs()
    assert abs(float(spectrum.argmax()) * 16000 / 8000 - 1000) < 20
    assert (settings(made) - mel)[:, :, 8:-8].abs().mean() < 0.8


def test_the_iteration_is_a_function_of_its_input():
    settings = LogMel(hop=250)
    mel = settings(torch.randn(1, 8000) * 0.1)
    assert torch.equal(GriffinLim(settings, 2)(mel), GriffinLim(settings, 2)(mel))


def test_the_iteration_of_a_sound_does_not_depend_on_what_stands_beside_it():
    settings = LogMel(16000, 64, 1024, 1024, 250)
    mel = torch.randn(3, 64, 20)
    alone = torch.cat([GriffinLim(settings, 4)(one[None]) for one in mel])
    torch.testing.assert_close(GriffinLim(settings, 4)(mel), alone, rtol=1e-4, atol=1e-4)
