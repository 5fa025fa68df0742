import pytest
import torch

from sonovid.codecs.whitening import unwhiten, whiten


def test_whitening_gives_zero_mean_and_unit_standard_deviation():
    raw = torch.randn(64, 3, 5, 7) * torch.tensor([0.5, 2.0, 9.0]).reshape(1, 3, 1, 1) + torch.tensor([1.0, -4.0, 0.0]).reshape(
        1, 3, 1, 1
    )
    mean, std = raw.mean((0, 2, 3)).tolist(), raw.std((0, 2, 3)).tolist()
    final = whiten(raw, mean, std)
    torch.testing.assert_close(final.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(final.std((0, 2, 3)), torch.ones(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(unwhiten(final, mean, std), raw, atol=1e-5, rtol=1e-5)


def test_one_value_or_one_per_channel():
    with pytest.raises(ValueError, match="2 values for latents of 3 channels"):
        whiten(torch.zeros(1, 3, 2), [0.0, 0.0], [1.0])
