"""CAVP: published sizes and names, its parts against PyTorch's own arithmetic, its spectrogram against librosa's, lengths."""

from fractions import Fraction

import librosa
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from peers import filled_with_waves, waves

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors.cavp import Bottleneck, CavpAudio, CavpNetwork, CavpVideo, log_mel
from sonovid.metrics.semantic import in_step

TINY = {"width": 4, "depths": (1, 1, 1, 1), "out": 6}


class TinyVideo(CavpVideo):
    sizes = TINY


class TinyAudio(CavpAudio):
    sizes = TINY


def clip(seconds: float, seed: int = 0) -> Sample:
    generator = np.random.default_rng(seed)
    frames = generator.integers(0, 256, (round(4 * seconds), 24, 32, 3), dtype=np.uint8)
    waveform = generator.normal(0, 0.2, (1, round(16000 * seconds))).astype(np.float32)
    return Sample(Clip(frames, waveform, fps=Fraction(4), sample_rate=16000))


@pytest.fixture(scope="module")
def both(tmp_path_factory, randomised):
    file = tmp_path_factory.mktemp("weights") / "cavp_epoch66.ckpt"
    state = {f"module.{name}": value for name, value in randomised(CavpNetwork(**TINY)).state_dict().items()}
    torch.save({"state_dict": state | {"module.logit_scale": torch.tensor(1.0)}, "epoch": 66}, file)
    video, audio = TinyVideo(), TinyAudio()
    video.load([file])
    audio.load([file])
    return video, audio


def test_sizes_and_names_are_the_published_ones():
    with torch.device("meta"):
        network = CavpNetwork()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    # SlowOnly-50 has 32.45 million values with its head over 400 classes.
    assert sum(p.numel() for p in network.video_encoder.parameters()) + 2048 * 400 + 400 == 32_454_096
    assert shapes["video_encoder.conv1.conv.weight"] == (64, 3, 1, 7, 7)
    assert shapes["video_encoder.layer1.0.downsample.conv.weight"] == (256, 64, 1, 1, 1)
    assert shapes["video_encoder.layer3.5.conv1.conv.weight"] == (256, 1024, 3, 1, 1)
    assert shapes["video_encoder.layer2.3.conv1.conv.weight"] == (128, 512, 1, 1, 1)
    assert shapes["video_encoder.layer4.2.conv3.bn.running_var"] == (2048,)
    assert shapes["video_project_head.weight"] == (512, 2048)
    assert shapes["spec_encoder.bn.weight"] == (128,)
    assert shapes["spec_encoder.conv_block6.conv2.weight"] == (2048, 2048, 3, 3)
    assert shapes["spec_encoder.final_project.weight"] == (512, 2048)


def test_a_block_written_out(randomised):
    block = randomised(Bottleneck(8, 4, 2, temporal=True, first=True)).eval()
    x = torch.randn(1, 8, 5, 6, 6, generator=torch.Generator().manual_seed(0))

    def unit(y, part, **options):
        y = F.conv3d(y, part.conv.weight, **options)
        scale, shift, mean, variance = (
            v[:, None, None, None] for v in (part.bn.weight, part.bn.bias, part.bn.running_mean, part.bn.running_var)
        )
        return (y - mean) / (variance + 1e-5).sqrt() * scale + shift

    y = unit(x, block.conv1, padding=(1, 0, 0)).relu()
    y = unit(y, block.conv2, padding=(0, 1, 1), stride=(1, 2, 2)).relu()
    expected = (unit(y, block.conv3) + unit(x, block.downsample, stride=(1, 2, 2))).relu()
    assert expected.shape == (1, 16, 5, 3, 3)
    assert torch.allclose(block(x), expected, atol=1e-5)


def test_the_spectrogram_is_librosa_s():
    sound = np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)
    spectrum = np.abs(librosa.stft(sound[:-1], n_fft=1024, hop_length=250))
    mel = librosa.filters.mel(sr=16000, n_fft=1024, fmin=125, fmax=7600, n_mels=128) @ spectrum
    expected = np.clip((20 * np.log10(np.maximum(1e-5, mel)) - 20 + 100) / 100, 0, 1)
    found = log_mel(torch.from_numpy(sound)[None])[0].numpy()
    assert found.shape == (128, 128), "two seconds of 64 frames"
    assert np.allclose(found.T, expected, atol=1e-4)


def test_four_rows_a_second_over_whole_seconds(both):
    video, audio = both
    for extractor in both:
        arrays = extractor.embed([extractor.prepare(clip(s, i)) for i, s in enumerate((2.5, 1.0, 3.0))])
        assert [a["features"].shape for a in arrays] == [(8, 6), (4, 6), (12, 6)]
        alone = extractor.embed([extractor.prepare(clip(1.0, 1))])[0]
        assert np.allclose(alone["features"], arrays[1]["features"], atol=1e-5)
        with pytest.raises(UnusableClipError, match="whole seconds"):
            extractor.prepare(clip(0.75))
    one, other = video.embed([video.prepare(clip(2))])[0], audio.embed([audio.prepare(clip(3))])[0]
    a, b = one["features"], other["features"][:8]
    expected = ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).mean()
    assert in_step(one, other) == pytest.approx(expected, abs=1e-6)


def test_another_network_is_refused(tmp_path):
    torch.save({"state_dict": CavpNetwork(**TINY).state_dict()}, tmp_path / "cavp_epoch66.ckpt")
    with pytest.raises(ValueError, match="another network than CavpNetwork"):
        CavpVideo().load([tmp_path / "cavp_epoch66.ckpt"])


def test_it_gives_the_figures_that_it_gave_when_it_equalled_the_authors_code():
    """With equal random weights both halves were theirs bit for bit; these figures hold that."""
    with torch.no_grad():
        network = filled_with_waves(CavpNetwork(**TINY))
        pictures = network.encode_video(waves((1, 3, 4, 64, 64), 0.37))
        sound = network.encode_audio(waves((1, 64, 128), 0.011))
    np.testing.assert_allclose(pictures[0, 1], [-0.1261834, 0.5648608, -0.9128022, 0.8648165, -0.6150429, 0.6027914], rtol=1e-4)
    np.testing.assert_allclose(sound[0, 1], [-53.4247, 41.20998, 12.27337, -53.41748, 41.56357, 10.58599], rtol=1e-4)
