"""Conditioning strategies, and how the previous window enters the network."""

import pytest
import torch

from sonovid.core.av import AV, NO_STREAMS
from sonovid.core.condition import Condition
from sonovid.diffusion.schedule import RectifiedFlow
from sonovid.models.base import Output
from sonovid.models.mmldm import MMLDM, Continuation
from sonovid.models.mmldm.transformer import tiny
from sonovid.models.uniform.sequence import SequenceUniForm
from sonovid.pipelines.continuation.conditioning import (
    DEFAULT_RECONSTRUCTION_SCALE,
    OverlapConditioning,
    PreviousWindowConditioning,
    PreviousWindowNetwork,
    WindowRequest,
    select_strategy,
)
from sonovid.pipelines.denoising import DenoiserBuilder

SCHEDULE = AV(RectifiedFlow(), RectifiedFlow())


def window_request(noise, conditioning=NO_STREAMS):
    generated = conditioning.map(lambda g: torch.tensor([g is None]))
    return WindowRequest(Condition.empty(generated), None, conditioning, AV(1.0, 1.0), noise)


class RecordingNetwork(torch.nn.Module):
    """A network that remembers what it was shown, and whose data is a share of it."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x, t, condition=None, previous=None):
        self.seen.append((x, t))
        return Output(x.map(lambda xi: 0.5 * xi))


def pair(seed):
    g = torch.Generator().manual_seed(seed)
    return AV(torch.randn(1, 2, 8, 1, 1, generator=g), torch.randn(1, 3, 16, 1, generator=g))


@pytest.mark.parametrize("scale", [None, 0.0, 1.0])
def test_the_end_of_the_previous_window_is_the_beginning_of_the_next(scale):
    network, previous, noise = RecordingNetwork(), pair(1), pair(2)
    denoise = OverlapConditioning(4, 8, scale).build_denoiser(
        DenoiserBuilder(network, SCHEDULE, "x0", "clean"), window_request(noise), previous
    )
    t = AV(torch.tensor([0.6]), torch.tensor([0.6]))
    found = denoise(noise, t, None)
    ((x, times),) = network.seen
    assert torch.equal(found.video[:, :, :4], previous.video[:, :, -4:])
    assert torch.equal(found.audio[:, :, :8], previous.audio[:, :, -8:])
    assert torch.equal(x.video[:, :, 4:], noise.video[:, :, 4:])
    if scale is None:
        assert torch.equal(x.audio[:, :, :8], previous.audio[:, :, -8:])
        assert times.audio[0].tolist() == [0.0] * 8 + [t.audio.item()] * 8
    else:
        torch.testing.assert_close(x.audio[:, :, :8], 0.4 * previous.audio[:, :, -8:] + 0.6 * noise.audio[:, :, :8])
        assert times.audio.shape == (1,)


def test_a_conditioning_stream_has_no_shared_frames():
    network, previous, noise, conditioning = RecordingNetwork(), pair(1), pair(2), AV(None, pair(3).audio)
    denoise = OverlapConditioning(4, 8, 1.0).build_denoiser(
        DenoiserBuilder(network, SCHEDULE, "x0", "clean"), window_request(noise, conditioning), previous
    )
    found = denoise(noise, AV(torch.tensor([0.6]), torch.tensor([0.6])), None)
    ((x, times),) = network.seen
    assert torch.equal(x.audio, conditioning.audio)
    assert torch.equal(found.audio, conditioning.audio)
    assert times.audio.item() == 0
    assert torch.equal(found.video[:, :, :4], previous.video[:, :, -4:])


def test_the_first_window_has_no_previous_one():
    network, noise = RecordingNetwork(), pair(2)
    denoise = OverlapConditioning(4, 8, 1.0).build_denoiser(
        DenoiserBuilder(network, SCHEDULE, "x0", "clean"), window_request(noise), None
    )
    denoise(noise, AV(torch.tensor([0.6]), torch.tensor([0.6])), None)
    assert torch.equal(network.seen[0][0].video, noise.video)


def test_PreviousWindowNetwork_passes_the_previous_window():
    torch.manual_seed(0)
    model = Continuation(tiny(), 1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    x, previous = (AV(torch.randn(1, 4, 1, 4, 4), torch.randn(1, 4, 4, 4)) for _ in range(2))
    t = AV(torch.full((1,), 0.5), torch.full((1,), 0.5))
    following = PreviousWindowNetwork(model, previous)
    found = following(x, t, conditioning=NO_STREAMS, context=following.embed_context(None, 1)).prediction
    for a, b in zip(found, model(x, t, previous_window=previous).prediction, strict=True):
        torch.testing.assert_close(a, b)
    assert not torch.allclose(found.video, model(x, t).prediction.video)


def test_each_network_has_its_strategy(tiny_pipeline):
    own = tiny_pipeline.geometry
    assert select_strategy(Continuation(tiny(), 1), own) == PreviousWindowConditioning()
    assert select_strategy(tiny_pipeline.denoiser, own) == OverlapConditioning(4, 8, DEFAULT_RECONSTRUCTION_SCALE)
    assert select_strategy(tiny_pipeline.denoiser, own, 2, None) == OverlapConditioning(2, 8, None)
    sequence = SequenceUniForm(depth=2, width=16, heads=2, video=(4, 2, 2), audio=(4, 1, 1))
    assert select_strategy(sequence, own, latent_frames=4) == OverlapConditioning(4, 8, DEFAULT_RECONSTRUCTION_SCALE)
    with pytest.raises(ValueError, match="overlap=3: expected a multiple of 2 frames, from 2 to 6"):
        select_strategy(sequence, own, 3, latent_frames=4)
    # The first latent frame of a causal codec holds a single frame.
    with pytest.raises(ValueError, match="8 frames in 3 latent frames"):
        select_strategy(sequence, own, latent_frames=3)
    with pytest.raises(ValueError, match="share no frames"):
        select_strategy(Continuation(tiny(), 1), own, 2)
    with pytest.raises(ValueError, match=r"\(MMLDM\) generates single windows"):
        select_strategy(MMLDM(**tiny()), own)
