"""Pixels and samples as latents."""

from fractions import Fraction

import pytest
import torch

from sonovid.codecs.base import AudioCodec, VideoCodec
from sonovid.codecs.raw import PixelCodec, WaveformCodec
from sonovid.core.geometry import Geometry

GEOMETRY = Geometry(4, Fraction(8), 16, 24, 16000)


def test_pixels_are_latents():
    codec, frames = PixelCodec(), torch.rand(2, 3, 4, 16, 24) * 2 - 1
    assert isinstance(codec, VideoCodec)
    latents = codec.encode(frames)
    assert tuple(latents.shape[1:]) == codec.latent_shape(GEOMETRY)
    assert torch.equal(codec.decode(codec.unwhiten(codec.whiten(latents))), frames)


@pytest.mark.parametrize(("multiple", "length"), [(1, 8000), (64, 8000), (256, 8192)])
def test_samples_are_latents_padded_to_a_multiple(multiple, length):
    codec, wave = WaveformCodec(16000, multiple, scale=4.0), torch.rand(2, 8000) * 2 - 1
    assert isinstance(codec, AudioCodec)
    latents = codec.encode(wave)
    assert tuple(latents.shape[1:]) == codec.latent_shape(GEOMETRY) == (1, length, 1)
    assert not latents[:, :, 8000:].any()
    assert torch.equal(codec.whiten(latents), 4 * latents)
    assert torch.equal(codec.decode(codec.unwhiten(codec.whiten(latents)), 8000), wave)


def test_they_are_saved_and_loaded(tmp_path):
    WaveformCodec(8000, 16, 2.0).save_pretrained(tmp_path / "audio")
    PixelCodec().save_pretrained(tmp_path / "video")
    assert dict(WaveformCodec.from_pretrained(tmp_path / "audio").config) == {"sample_rate": 8000, "multiple": 16, "scale": 2.0}
    assert PixelCodec.from_pretrained(tmp_path / "video").latent_shape(GEOMETRY) == (3, 4, 16, 24)
