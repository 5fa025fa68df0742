"""AudioCLIP's audio head: the names of its published file, its wavelets against transforms and complex powers, its loading."""

from functools import partial

import numpy as np
import pytest
import torch
from peers import built, on_meta, values
from scipy.signal import get_window

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors.audioclip import HOP, WINDOW, AudioClipFeatures, AudioHead, Wavelets

SMALL = {"width": 4, "groups": 2, "features": 6}


class Small(AudioClipFeatures):
    widths = SMALL


def head():
    """A narrow head whose wavelets have orders, widths and centres as after training."""
    network = built(partial(AudioHead, **SMALL))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, low, high in (("m", 0.0, 2.0), ("fb", 0.2, 3.0), ("fc", 0.0, 1024.0)):
            value = getattr(network.fbsp, name)
            value.copy_(low + (high - low) * torch.rand(value.shape, generator=generator))
    return network


def test_names_and_shapes_are_those_of_resnext_50_with_attention():
    state = on_meta(AudioHead)
    # ResNeXt-50 32x4d has 25 028 904 parameters, of which 2 049 000 are its classifier's.
    parameters = {name: v for name, v in state.items() if "running" not in name and "batches" not in name}
    resnext = {name: v for name, v in parameters.items() if not name.startswith(("att", "fbsp", "fc", "window"))}
    assert values(resnext) == 25_028_904 - 2_049_000
    assert state["fc.weight"].shape == (1024, 2048)
    assert state["fbsp.m"].shape == state["fbsp.fb"].shape == state["fbsp.fc"].shape == (1025,)
    assert state["layer3.5.conv2.weight"].shape == (512, 16, 3, 3)
    assert state["layer2.0.downsample.0.weight"].shape == (512, 256, 1, 1)
    kernels = {
        "att1": (64, 256, 3, 1),
        "att2": (256, 512, 1, 5),
        "att3": (512, 1024, 3, 1),
        "att4": (1024, 2048, 1, 5),
        "att5": (2048, 2048, 3, 5),
    }
    for name, (in_channels, out_channels, *kernel) in kernels.items():
        assert state[f"{name}.conv_depth.weight"].shape == (in_channels, 1, *kernel)
        assert state[f"{name}.conv_point.weight"].shape == (out_channels, in_channels, 1, 1)
        assert state[f"{name}.bn.running_var"].shape == (out_channels,)


def test_wavelets_of_order_nought_are_a_fourier_transform():
    wavelets = Wavelets(bins=5)
    with torch.no_grad():
        wavelets.fc.copy_(torch.arange(5.0))
        frames = torch.randn(1, 3, 64, generator=torch.Generator().manual_seed(0))
        t = np.linspace(-np.pi, np.pi, 64)
        expected = np.abs(frames.numpy() @ np.exp(-1j * np.outer(t, np.arange(5)))) ** 2 / 64
        np.testing.assert_allclose(wavelets(frames).numpy(), expected, atol=1e-4)


def test_wavelets_are_complex_powers_of_sinc():
    network = head().fbsp
    with torch.no_grad():
        real, imaginary = network.kernels(200)
        m, fb, fc = (p.double().numpy()[:, None] for p in (network.m, network.fb, network.fc))
    t = np.pi * np.linspace(-1, 1, 200) + 1e-8
    sinc = np.sinc(fb * t / (m + 1e-8) / np.pi)
    expected = np.sqrt(fb) * sinc.astype(complex) ** m * np.exp(-1j * fc * t) / np.sqrt(200)
    # Orders near nought put their sinc at angles that single precision cannot hold; angles up to 1024 pi cost it four digits.
    kept = (m[:, 0] > 0.3) & (fc[:, 0] < 200)
    assert kept.sum() > 100
    np.testing.assert_allclose((real + 1j * imaginary).numpy()[kept], expected[kept], atol=2e-4)


@torch.inference_mode()
@pytest.mark.parametrize("samples", [1000, WINDOW, WINDOW + 1, 5000])
def test_frames_are_centred_in_added_silence_and_bands_are_thirds(samples):
    network = head()
    waveform = 1000 * torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    found = network.spectrogram(waveform)
    count = max(1, 1 + int(np.ceil((samples - WINDOW) / HOP)))
    assert found.shape == (1, 3, 341, count)
    scaled = (waveform[0].double().numpy() + 32768) * 2 / 65535 - 1
    short = (count - 1) * HOP + WINDOW - samples
    padded = np.pad(scaled, (short // 2, short - short // 2))
    last = padded[(count - 1) * HOP :][:WINDOW] * get_window("blackmanharris", WINDOW)
    real, imaginary = network.fbsp.kernels(2048)
    spectrum = (real + 1j * imaginary).numpy() @ np.pad(last, (197, 197))
    expected = 10 * np.log10(np.abs(spectrum[:1023]) ** 2).reshape(3, 341)
    np.testing.assert_allclose(found[0, :, :, -1].numpy(), expected, atol=0.05)


def published(state):
    """A file as AudioCLIP's: the head among others, a bias without values, its window."""
    named = {f"audio.{name}": value for name, value in state.items()}
    return named | {"audio.fbsp.bias": torch.zeros(0), "visual.conv1.weight": torch.zeros(2), "logit_scale": torch.zeros(())}


def test_the_head_is_taken_out_of_the_whole_file(tmp_path):
    network = head()
    torch.save(published(network.state_dict()), tmp_path / "AudioCLIP-Full-Training.pt")
    extractor = Small()
    extractor.load([tmp_path / "AudioCLIP-Full-Training.pt"])
    waveform = (0.1 * np.random.default_rng(0).standard_normal((1, 20_000))).astype(np.float32)
    prepared = extractor.prepare(Sample(Clip(None, waveform, sample_rate=44100)))
    found = extractor.embed([prepared])[0]["features"]
    assert found.shape == (6,)
    with torch.inference_mode():
        np.testing.assert_allclose(found, network(torch.from_numpy(waveform))[0].numpy(), atol=1e-6)


def test_a_window_that_the_file_lacks_is_made(tmp_path):
    state = published(head().state_dict())
    del state["audio.window"]
    torch.save(state, tmp_path / "old.pt")
    extractor = Small()
    extractor.load([tmp_path / "old.pt"])
    np.testing.assert_allclose(extractor.network.window.numpy(), get_window("blackmanharris", WINDOW), atol=1e-6)


def test_another_file_is_refused(tmp_path):
    torch.save({"visual.conv1.weight": torch.zeros(2)}, tmp_path / "clip.pt")
    with pytest.raises(ValueError, match=r"clip\.pt: weights of another network than AudioHead"):
        Small().load([tmp_path / "clip.pt"])


def test_the_first_channel_is_heard():
    waveform = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    assert not AudioClipFeatures.input_spec.mono
    prepared = AudioClipFeatures().prepare(Sample(Clip(None, 0.1 * waveform, sample_rate=44100)))
    np.testing.assert_array_equal(prepared["waveform"], 0.1 * waveform[0])


def test_of_sound_in_minus_one_to_one_eight_bits_are_left():
    waveform = torch.linspace(-0.02, 0.02, 2000)[None]
    scaled = (waveform + 32768) * 2 / 65535 - 1
    assert len(scaled.unique()) < 15, "what MM-Diffusion's features are made of"
    assert len(((waveform * 32768 + 32768) * 2 / 65535 - 1).unique()) > 500


def test_pictures_alone_are_unfit():
    with pytest.raises(UnusableClipError, match="no audio"):
        AudioClipFeatures().prepare(Sample(Clip(np.zeros((1, 4, 4, 3), np.uint8), None)))
