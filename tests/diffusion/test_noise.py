import pytest
import torch

from sonovid.core.av import AV
from sonovid.diffusion.noise import draw_noise, draw_noise_pair, resolve_seeds, seeded_generators


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_noise_of_a_sample_does_not_depend_on_the_batch():
    together = draw_noise([5, 6, 7], (3, 4))
    assert together.dtype == torch.float32
    for i, seed in enumerate([5, 6, 7]):
        assert torch.equal(together[i], draw_noise([seed], (3, 4))[0])
        assert torch.equal(together[i], draw_noise([generator(seed)], (3, 4))[0])
    assert not torch.equal(together[0], together[1])


def test_shape_of_one_stream_does_not_change_the_noise_of_the_other():
    short, long = (draw_noise_pair([1, 2], AV((4, 2, 3), (8, length))) for length in (5, 50))
    assert torch.equal(short.video, long.video)
    assert short.audio.shape == (2, 8, 5)
    alone, beside = (draw_noise_pair(seeds, AV((4,), (8,))) for seeds in ([2], [1, 2]))
    assert torch.equal(alone.audio[0], beside.audio[1])


def test_streams_and_neighbouring_seeds_are_uncorrelated():
    pair = draw_noise_pair(range(40), AV((500,), (500,)))
    rows = torch.cat(pair)
    correlations = torch.corrcoef(rows) - torch.eye(80)
    assert correlations.abs().max() < 0.25
    assert abs(rows.mean()) < 0.02
    assert abs(rows.std() - 1) < 0.02


def test_a_generator_advances_equally_for_any_shape():
    after = []
    for shape in ((2,), (300, 3)):
        source = generator(3)
        draw_noise_pair([source], AV(shape, shape))
        after.append(torch.rand(1, generator=source))
    assert torch.equal(*after)
    source = generator(3)
    assert resolve_seeds([source, 9]) != resolve_seeds([source, 9])


def test_purposes_have_different_noise():
    video, audio = (draw_noise(seeded_generators([1], purpose), (4,)) for purpose in ("video", "audio"))
    assert not torch.equal(video, audio)


def test_no_seeds_and_shared_generators_raise():
    with pytest.raises(ValueError, match="no seeds"):
        draw_noise([], (3,))
    one = generator(0)
    with pytest.raises(ValueError, match="own"):
        draw_noise([one, one], (3,))
