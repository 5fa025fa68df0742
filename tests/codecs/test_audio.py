import pytest
import torch

from sonovid.codecs.audio import IdentityMel, MelAutoencoder


def test_four_mel_frames_make_one_latent_step():
    network = MelAutoencoder(width=16, blocks=1, latent_channels=4)
    assert network.latent_grid(128, 64) == (32, 1)
    latents = network.encode(torch.randn(2, 64, 128))
    assert latents.shape == (2, 4, 32, 1)
    assert network.decode(latents).shape == (2, 64, 128)


def test_latents_are_local_in_time():
    network = MelAutoencoder(width=16, blocks=1, latent_channels=4).eval()
    mel = torch.randn(1, 64, 256)
    changed = mel.clone()
    changed[:, :, 128:132] += 3
    moved = (network.encode(mel) - network.encode(changed)).abs().mean((0, 1, 3))
    assert moved[31:34].min() > 1e-3
    assert moved[:24].max() < 1e-6
    assert moved[41:].max() < 1e-6


@pytest.mark.parametrize(("frames", "bins", "message"), [(126, 64, "multiple of 4"), (128, 80, "takes 64")])
def test_invalid_grids_are_refused(frames, bins, message):
    with pytest.raises(ValueError, match=message):
        MelAutoencoder(width=16).latent_grid(frames, bins)


def test_identity_mel_keeps_the_frames():
    mel = torch.randn(2, 80, 112)
    identity = IdentityMel()
    assert identity.encode(mel).shape == (2, 1, *identity.latent_grid(112, 80))
    assert torch.equal(identity.decode(identity.encode(mel)), mel)
