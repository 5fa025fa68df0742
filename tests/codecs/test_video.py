from fractions import Fraction

import pytest
import torch

from sonovid.codecs.base import VideoCodec
from sonovid.codecs.video import FrameAutoencoder
from sonovid.core.geometry import Geometry

TINY = {"latent_channels": 4, "patch": 4, "widths": (8, 16), "blocks": 1}


def test_latent_shape_matches_the_latents():
    codec = FrameAutoencoder(**TINY)
    assert isinstance(codec, VideoCodec)
    shape = codec.latent_shape(Geometry(3, Fraction(8), 32, 48, 16000))
    latents = codec.encode(torch.rand(2, 3, 3, 32, 48) * 2 - 1)
    assert tuple(latents.shape) == (2, *shape)
    assert codec.decode(latents).shape == (2, 3, 3, 32, 48)


def test_a_size_that_cannot_be_divided_is_refused():
    with pytest.raises(ValueError, match="multiples of 8"):
        FrameAutoencoder(**TINY).latent_shape(Geometry(3, Fraction(8), 36, 48, 16000))


def test_each_frame_has_a_code_of_its_own():
    codec = FrameAutoencoder(**TINY).eval()
    frames = torch.rand(1, 3, 4, 32, 32) * 2 - 1
    changed = frames.clone()
    changed[:, :, 2] = 0
    difference = (codec.encode(frames) - codec.encode(changed)).abs().amax((0, 1, 3, 4))
    assert difference[2] > 1e-4
    assert difference[[0, 1, 3]].max() < 1e-6


def test_saved_and_loaded_it_gives_the_same_latents(tmp_path):
    codec = FrameAutoencoder(**TINY, latents_mean=[0.5, 0, 0, 0], latents_std=[2.0, 1, 1, 1]).eval()
    codec.save_pretrained(tmp_path)
    again = FrameAutoencoder.from_pretrained(tmp_path).eval()
    frames = torch.rand(1, 3, 2, 32, 32)
    assert torch.equal(codec.whiten(codec.encode(frames)), again.whiten(again.encode(frames)))
    assert not list(tmp_path.glob("*.bin"))


def test_whitening_is_undone():
    codec = FrameAutoencoder(**TINY, latents_mean=[0.5, 0, 1, 0], latents_std=[2.0, 1, 3, 1])
    raw = torch.randn(2, 4, 3, 5, 5)
    torch.testing.assert_close(codec.unwhiten(codec.whiten(raw)), raw)
