"""Audio images: quantisation is exact to half a level, and resizing has a known error."""

import math

import pytest
import torch

from sonovid.codecs.audio_image import DECIBELS, AudioImage, inverse_resize_matrix, released_mel, resize


def chirp(samples=70_560, rate=44_100):
    """A rising tone with clicks on a faint noise, [1 n]."""
    t = torch.arange(samples) / rate
    sound = 0.3 * torch.sin(2 * math.pi * (200 + 1500 * t) * t) + 1e-3 * torch.randn(
        samples, generator=torch.Generator().manual_seed(0)
    )
    sound[:: samples // 8] += 0.5
    return sound[None]


def test_the_released_spectrogram_has_the_released_size():
    assert released_mel()(chirp()).shape == (1, 80, 275)
    assert released_mel()(torch.zeros(1, 4 * 44_100)).shape == (1, 80, 689)


def test_quantise_matches_the_released_normalisation_to_half_a_level():
    image, mel = AudioImage(), torch.tensor([[[1e-5, 1e-4, 1e-2, 1.0, 10.0, 100.0]]])
    assert image.quantise(mel.log()).tolist() == [[[0, 0, 102, 204, 255, 255]]]  # (20 log10 m - 20 + 100) / 100, cut to [0, 1]
    level = torch.linspace(-80, 20, 999)[None, None] / DECIBELS
    error = (image.dequantise(image.quantise(level).float()) - level).abs().max() * DECIBELS
    assert 0.15 < float(error) <= 0.5 * 100 / 255 + 1e-4


def test_encode_gives_an_8_bit_grey_image_of_the_frame_size():
    picture = AudioImage().encode(released_mel()(chirp()))
    assert picture.shape == (1, 3, 256, 256)
    assert torch.equal(picture[:, 0], picture[:, 2])
    bytes_ = (picture + 1) * 127.5
    torch.testing.assert_close(bytes_, bytes_.round(), atol=1e-3, rtol=0)
    assert picture.min() >= -1
    assert picture.max() <= 1


def test_without_resizing_only_quantisation_errors_remain():
    mel = released_mel()(chirp()).clamp(-80 / DECIBELS, 20 / DECIBELS)
    image = AudioImage(80, 275)
    again = image.decode(image.encode(mel), 80, 275)
    assert float((again - mel).abs().max()) * DECIBELS <= 0.5 * 100 / 255 + 1e-3


def test_round_trip_error_at_frame_size():
    """80 bins grow to 256 rows and are had again; 275 steps go through 256 columns, which keep nearly all of them."""
    mel, image = released_mel()(chirp()).clamp(-80 / DECIBELS, 20 / DECIBELS), AudioImage()
    picture = image.encode(mel)
    error = (image.decode(picture, 80, 275) - mel).abs().mean() * DECIBELS
    assert 0.1 < float(error) < 0.5
    back = image.dequantise(resize(127.5 * (picture[:, :1] + 1), 80, 275)[:, 0])
    assert float(error) < 0.6 * float((back - mel).abs().mean()) * DECIBELS


def test_inverse_resize_matrix_inverts_upsampling():
    rows = torch.randn(80, 5)
    grown = resize(rows[None, None], 256, 5)[0, 0]
    torch.testing.assert_close(inverse_resize_matrix(80, 256) @ grown, rows, atol=0.02, rtol=0)


def test_resizing_matches_pillow():
    image = pytest.importorskip("PIL.Image")
    numpy = pytest.importorskip("numpy")
    small = torch.randint(0, 256, (80, 275), generator=torch.Generator().manual_seed(0))
    theirs = image.fromarray(small.numpy().astype("uint8")).resize((256, 256), image.Resampling.BICUBIC)
    ours = (AudioImage().encode(AudioImage().dequantise(small[None].float()))[0, 0] + 1) * 127.5
    assert (ours - torch.from_numpy(numpy.array(theirs)).float()).abs().max() <= 1.01


def test_invalid_inputs_are_refused():
    with pytest.raises(ValueError, match="audio image of 8x8, expected 256x256"):
        AudioImage().decode(torch.zeros(1, 3, 8, 8), 80, 275)
    with pytest.raises(ValueError, match="a rising range"):
        AudioImage(low=0, high=-1)
