from fractions import Fraction

import pytest
import torch

from sonovid.codecs.base import VideoCodec
from sonovid.codecs.spacetime import VideoAutoencoder
from sonovid.core.geometry import Geometry

TINY = {
    "latent_channels": 4, "patch": 4, "widths": (8, 12, 16), "encoder_blocks": (1, 1, 1), "decoder_blocks": (1, 1, 1),
}  # fmt: skip


def clip(b: int = 2, t: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.rand(b, 3, t, 32, 48, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_latent_shape_matches_the_latents():
    codec = VideoAutoencoder(**TINY)
    assert isinstance(codec, VideoCodec)
    latents = codec.encode(clip())
    assert tuple(latents.shape) == (2, *codec.latent_shape(Geometry(8, Fraction(16), 32, 48, 16000))) == (2, 4, 2, 2, 3)
    assert codec.decode(latents).shape == (2, 3, 8, 32, 48)


@pytest.mark.parametrize("geometry", [Geometry(8, Fraction(16), 40, 48, 16000), Geometry(6, Fraction(16), 32, 48, 16000)])
def test_indivisible_geometries_are_refused(geometry):
    with pytest.raises(ValueError, match="multiple of 4 frames and multiples of 16 pixels"):
        VideoAutoencoder(**TINY).latent_shape(geometry)


def test_a_latent_cell_depends_mostly_on_its_own_four_frames():
    codec = VideoAutoencoder(**TINY).eval()
    # Blocks start as the identity in time, so a new codec's latents see their own frames alone.
    frames = clip(1, 12)
    changed = frames.clone()
    changed[:, :, 4:8] = 0
    difference = (codec.encode(frames) - codec.encode(changed)).abs().amax((0, 1, 3, 4))
    assert difference[1] > 1e-4
    assert difference[[0, 2]].max() < 1e-6


def test_encoding_is_independent_of_the_batch():
    codec = VideoAutoencoder(**TINY).eval()
    frames = clip()
    torch.testing.assert_close(codec.encode(frames)[:1], codec.encode(frames[:1]), atol=1e-5, rtol=1e-5)


def test_save_and_load_round_trip(tmp_path):
    codec = VideoAutoencoder(**TINY, latents_mean=[0.5, 0, 0, 0], latents_std=[2.0, 1, 1, 1]).eval()
    codec.save_pretrained(tmp_path)
    again = VideoAutoencoder.from_pretrained(tmp_path).eval()
    latents = codec.encode(clip())
    torch.testing.assert_close(again.encode(clip()), latents)
    torch.testing.assert_close(again.unwhiten(again.whiten(latents)), latents)
    torch.testing.assert_close(again.whiten(latents)[:, 0], (latents[:, 0] - 0.5) / 2)


def test_it_learns_to_reconstruct_a_moving_square():
    torch.manual_seed(0)
    codec = VideoAutoencoder(**TINY)
    frames = -torch.ones(1, 3, 8, 32, 48)
    for i in range(8):
        frames[:, 0, i, 8:24, 4 * i : 4 * i + 16] = 1.0
    optimizer = torch.optim.Adam(codec.parameters(), 5e-3)
    losses = []
    for _ in range(60):
        loss = (codec.decode(codec.encode(frames)) - frames).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.35 * losses[0]
