"""MelGAN's generator: its published size, its layers against torch's own, lengths, storage."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sonovid.codecs.melgan import SLOPE, DilatedBlock, MelGAN, apply_weight_norm, conv1d_reflect, conv_transpose1d, pad_reflect


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_it_has_the_published_size():
    """4.27 M parameters (table 5), by hand: every layer has a direction and a length for each channel, and a bias."""
    layers = [(512 * 80 * 7, 512, 512)]
    for channels, ratio in ((512, 8), (256, 8), (128, 2), (64, 2)):
        half = channels // 2
        # Of a transposed convolution it is the channels that go in which have a length each.
        layers.append((channels * half * 2 * ratio, channels, half))
        layers += 3 * [(half * half * 3, half, half), (half * half, half, half), (half * half, half, half)]
    layers.append((32 * 7, 1, 1))
    with torch.device("meta"):
        total = count(MelGAN())
    assert total == sum(map(sum, layers)) == 4_266_050
    assert round(total / 1e6, 2) == 4.27


@pytest.mark.parametrize("ratio", [2, 3, 8])
def test_upsampling_is_a_transposed_convolution(ratio):
    """Padded as in the published generator, so that n steps give ratio n."""
    layer, x = nn.ConvTranspose1d(6, 4, 2 * ratio, ratio, padding=(ratio + 1) // 2), noise(2, 5, 6)
    usual = F.conv_transpose1d(x.mT, layer.weight, layer.bias, ratio, layer.padding, output_padding=ratio % 2)
    assert torch.allclose(conv_transpose1d(x, layer), usual.mT, atol=1e-6)
    assert conv_transpose1d(x, layer).shape == (2, 5 * ratio, 4)


@pytest.mark.parametrize(("size", "dilation"), [(7, 1), (3, 1), (3, 9)])
def test_convolutions_pad_by_reflection(size, dilation):
    layer, x = nn.Conv1d(6, 4, size, dilation=dilation), noise(2, 12, 6)
    side = dilation * (size // 2)
    assert torch.allclose(conv1d_reflect(x, layer), layer(F.pad(x.mT, (side, side), mode="reflect")).mT, atol=1e-6)


def test_short_inputs_are_padded_by_repetition():
    x = noise(1, 3, 2)
    assert torch.equal(pad_reflect(x, 3), F.pad(x.mT, (3, 3), mode="replicate").mT)
    assert torch.equal(pad_reflect(x, 2), F.pad(x.mT, (2, 2), mode="reflect").mT)


def test_a_block_is_the_published_one():
    torch.manual_seed(0)
    block, x = DilatedBlock(6, 3), noise(2, 20, 6)
    h = block.spread(F.pad(F.leaky_relu(x.mT, 0.2), (3, 3), mode="reflect"))
    usual = block.beside(x.mT) + block.mix(F.leaky_relu(h, SLOPE))
    assert torch.allclose(block(x), usual.mT, atol=1e-6)


def test_weights_are_weight_normalised():
    torch.manual_seed(0)
    layer = apply_weight_norm(nn.Conv1d(16, 8, 7))
    length, direction = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    assert length.shape == (8, 1, 1)
    assert torch.allclose(length.flatten(), direction.flatten(1).norm(dim=1))
    with torch.no_grad():
        length.fill_(3.0)
    assert torch.allclose(layer.weight.flatten(1).norm(dim=1), torch.full((8,), 3.0))


@pytest.mark.parametrize("frames", [1, 2, 30])
def test_frames_give_hops_of_samples_within_bounds(frames):
    torch.manual_seed(0)
    vocoder = MelGAN(bins=10, ratios=(4, 3), width=4, blocks=2)
    assert vocoder.hop == 12
    wave = vocoder(100 * noise(2, 10, frames))
    assert wave.shape == (2, 12 * frames)
    assert wave.abs().max() <= 1


def test_a_frame_only_affects_nearby_samples():
    torch.manual_seed(0)
    vocoder, mel = MelGAN(bins=10, ratios=(4, 2), width=4, blocks=2).double(), noise(1, 10, 40).double()
    changed = mel.clone()
    changed[:, :, 20] += 5
    reached = torch.nonzero((vocoder(changed) - vocoder(mel)).abs()[0] > 1e-9)[:, 0]
    assert reached.min() <= 20 * 8 < 21 * 8 <= reached.max() + 1
    assert reached.min() > 8 * 8
    assert reached.max() < 32 * 8


@pytest.mark.parametrize("how", ["autocast", "cast"])
def test_bfloat16_is_near_float32(how):
    torch.manual_seed(0)
    vocoder, mel = MelGAN(bins=10, ratios=(4, 2), width=8), noise(2, 10, 20)
    exact = vocoder(mel)
    if how == "cast":
        vocoder, mel = vocoder.to(torch.bfloat16), mel.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        rough = vocoder(mel).float()
    assert (exact - rough).square().mean() < 1e-3 * exact.square().mean()


def test_save_and_load_round_trip(tmp_path):
    torch.manual_seed(0)
    vocoder, mel = MelGAN(bins=10, ratios=(4, 2), width=4), noise(1, 10, 9)
    vocoder.save_pretrained(tmp_path)
    loaded = MelGAN.from_pretrained(tmp_path)
    assert vocoder(mel).std() > 1e-3
    assert tuple(loaded.config.ratios) == (4, 2)
    assert torch.allclose(loaded(mel), vocoder(mel), atol=1e-6)


@pytest.mark.parametrize("change", [{"bins": 0}, {"ratios": ()}, {"ratios": (4, 1)}, {"width": 0}])
def test_invalid_sizes_are_refused(change):
    with pytest.raises(ValueError, match="ratios of 2 or more"):
        MelGAN(**change)


@pytest.mark.parametrize("width", [4, 16, 32])
def test_the_initial_output_depends_on_the_input(width):
    """Different mels give different audio at every width: the signal survives forty layers."""
    torch.manual_seed(0)
    vocoder = MelGAN(width=width).eval()
    with torch.inference_mode():
        heard = vocoder(4 * noise(1, 80, 8) - 5)
    assert heard.std() > 1e-4


def test_it_is_part_of_an_audio_codec(tmp_path):
    from sonovid.codecs.audio import IdentityMel
    from sonovid.codecs.mel import LogMel
    from sonovid.codecs.spectrogram import SpectrogramCodec

    torch.manual_seed(0)
    log_mel = LogMel(16000, 10, 64, 64, 8, 0.0, 8000.0, 1e-5)
    codec = SpectrogramCodec(IdentityMel(10), MelGAN(bins=10, ratios=(4, 2), width=4), log_mel)
    codec.save_pretrained(tmp_path)
    loaded, wave = SpectrogramCodec.from_pretrained(tmp_path), noise(1, 400)
    assert torch.allclose(loaded.decode(loaded.encode(wave), 400), codec.decode(codec.encode(wave), 400), atol=1e-6)
