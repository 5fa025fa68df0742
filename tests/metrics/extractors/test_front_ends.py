"""Front ends against the code that they stand for: librosa, torchvggish, torchlibrosa, transformers, OpenCV, Pillow."""

import numpy as np
import pytest
import torch
from einops import rearrange

from sonovid.metrics.extractors import front_ends


def sound(seconds=1.7, rate=16000, seed=0):
    """Noise under a tone that swells: neither silent nor flat anywhere."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(t))
    return (0.3 * np.sin(2 * np.pi * (300 + 400 * t) * t) * t / seconds + 0.02 * noise).astype(np.float32)


def pictures(t=3, h=20, w=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (t, h, w, 3)).astype(np.float32)


def channels_first(frames):
    return rearrange(torch.from_numpy(frames), "t h w c -> t c h w")


def channels_last(frames):
    return rearrange(frames, "t c h w -> t h w c").numpy()


def test_slaney_filters_are_librosa_s():
    librosa = pytest.importorskip("librosa")
    theirs = librosa.filters.mel(sr=16000, n_fft=512, n_mels=64, fmin=50, fmax=8000)
    np.testing.assert_allclose(front_ends.slaney_filters(64, 512, 16000, 50, 8000).numpy(), theirs, atol=1e-8)


def test_panns_log_mel_is_librosa_s():
    librosa = pytest.importorskip("librosa")
    waveform = sound()
    power = librosa.feature.melspectrogram(
        y=waveform, sr=16000, n_fft=512, hop_length=160, n_mels=64, fmin=50, fmax=8000, pad_mode="reflect"
    )
    theirs = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None).T
    mine = front_ends.panns_log_mel(torch.from_numpy(waveform)[None])[0].numpy()
    np.testing.assert_allclose(mine, theirs, atol=2e-3)


def test_panns_log_mel_is_torchlibrosa_s():
    stft = pytest.importorskip("torchlibrosa.stft")
    spectrogram = stft.Spectrogram(n_fft=512, hop_length=160, win_length=512, window="hann", center=True, pad_mode="reflect")
    logmel = stft.LogmelFilterBank(sr=16000, n_fft=512, n_mels=64, fmin=50, fmax=8000, ref=1.0, amin=1e-10, top_db=None)
    waveforms = torch.from_numpy(np.stack([sound(seed=0), sound(seed=1)]))
    theirs = logmel(spectrogram(waveforms))[:, 0]
    torch.testing.assert_close(front_ends.panns_log_mel(waveforms), theirs, atol=2e-3, rtol=0)


@pytest.mark.parametrize(("samples", "patches"), [(15_360, 0), (15_599, 0), (15_600, 1), (25_600, 1), (31_200, 2), (64_000, 4)])
def test_vggish_patches_are_torchvggish_s(samples, patches):
    vggish_input = pytest.importorskip("torchvggish.vggish_input")
    waveform = sound(4.0)[:samples]
    mine = front_ends.vggish_patches(torch.from_numpy(waveform))
    assert mine.shape == (patches, 96, 64)
    if patches:
        theirs = vggish_input.waveform_to_examples(waveform.astype(np.float64), 16000).detach()[:, 0]
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_no_sound_gives_no_patches():
    assert front_ends.vggish_patches(torch.zeros(100)).shape == (0, 96, 64)
    assert front_ends.kaldi_fbank(torch.zeros(100)).shape == (0, 128)


@pytest.mark.filterwarnings("ignore")
def test_kaldi_fbank_is_that_of_transformers():
    from transformers import ASTFeatureExtractor
    from transformers.models.audio_spectrogram_transformer import feature_extraction_audio_spectrogram_transformer as theirs

    if theirs.is_speech_available():
        pytest.skip("transformers takes torchaudio here")
    waveform = sound(1.0)
    expected = ASTFeatureExtractor(max_length=98, do_normalize=False)(waveform, sampling_rate=16000)["input_values"][0]
    mine = front_ends.kaldi_fbank(torch.from_numpy(waveform)).numpy()
    assert mine.shape == (98, 128)
    np.testing.assert_allclose(mine, expected, atol=2e-3)


def test_kaldi_fbank_of_silence_is_the_floor():
    assert torch.all(front_ends.kaldi_fbank(torch.zeros(800)) == np.float32(np.log(front_ends.KALDI_FLOOR)))


@pytest.mark.parametrize("size", [(40, 50), (12, 11), (7, 64)])
def test_squash_is_opencv_s_without_antialiasing(size):
    cv2 = pytest.importorskip("cv2")
    frames = pictures()
    theirs = np.stack([cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR) for frame in frames])
    np.testing.assert_allclose(channels_last(front_ends.resize_bilinear(channels_first(frames), size)), theirs, atol=0.05)


@pytest.mark.parametrize("size", [(40, 50), (12, 11)])
def test_squash_bicubic_is_opencv_s(size):
    cv2 = pytest.importorskip("cv2")
    frames = pictures()
    theirs = np.stack([cv2.resize(frame, size[::-1], interpolation=cv2.INTER_CUBIC) for frame in frames])
    np.testing.assert_allclose(channels_last(front_ends.resize_bicubic(channels_first(frames), size)), theirs, atol=0.5)


@pytest.mark.parametrize("size", [(40, 50), (12, 11)])
def test_squash_with_antialiasing_is_pillow_s(size):
    image = pytest.importorskip("PIL.Image")
    frames = pictures()
    one = [image.fromarray(frames[0, ..., c], mode="F").resize(size[::-1], image.Resampling.BILINEAR) for c in range(3)]
    mine = channels_last(front_ends.resize_bilinear(channels_first(frames), size, antialias=True))[0]
    np.testing.assert_allclose(mine, np.stack([np.asarray(c) for c in one], -1), atol=0.01)


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (16, 16), (45, 80)])
def test_cover_keeps_the_shape_of_things_and_takes_the_middle(shape):
    cv2 = pytest.importorskip("cv2")
    h, w = shape
    frames = pictures(h=h, w=w)
    mine = channels_last(front_ends.resize_center_crop(channels_first(frames), 24))
    assert mine.shape == (3, 24, 24, 3)
    full = (int(np.ceil(24 / min(shape) * w)), 24) if h < w else (24, int(np.ceil(24 / min(shape) * h)))
    whole = cv2.resize(frames[0], full, interpolation=cv2.INTER_LINEAR)
    top, left = (full[1] - 24) // 2, (full[0] - 24) // 2
    np.testing.assert_allclose(mine[0], whole[top : top + 24, left : left + 24], atol=0.05)


def test_legacy_bilinear_is_tensorflow_1_s():
    frames = pictures(1, 5, 7)[0, ..., 0]
    mine = front_ends.resize_tf1_bilinear(torch.from_numpy(frames)[None, None], (8, 10))[0, 0].numpy()
    expected = np.empty((8, 10))
    for i in range(8):
        for j in range(10):
            y, x = i * 5 / 8, j * 7 / 10
            top, left = int(y), int(x)
            below, right = min(top + 1, 4), min(left + 1, 6)
            upper = frames[top, left] + (frames[top, right] - frames[top, left]) * (x - left)
            lower = frames[below, left] + (frames[below, right] - frames[below, left]) * (x - left)
            expected[i, j] = upper + (lower - upper) * (y - top)
    np.testing.assert_allclose(mine, expected, atol=1e-3)
    assert np.abs(mine - front_ends.resize_bilinear(torch.from_numpy(frames)[None, None], (8, 10))[0, 0].numpy()).mean() > 5


def test_frames_in_parts_are_those_at_once():
    frames = pictures(t=7).astype(np.uint8)
    whole = front_ends.resize_center_crop(channels_first(frames).float(), 12)
    for chunk_size in (1, 3, 7, 20):
        torch.testing.assert_close(
            front_ends.map_frames(frames, lambda part: front_ends.resize_center_crop(part, 12), chunk_size), whole
        )
