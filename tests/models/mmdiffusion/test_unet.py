"""MM-Diffusion's network: its size and cost, what reaches what, times, storage, and what it refuses."""

import pytest
import torch

from sonovid.core.av import AV
from sonovid.models.base import Denoiser
from sonovid.models.mmdiffusion.unet import MMDiffusion, paper

SMALL = {"width": 8, "multipliers": (1, 2), "windows": (0, 2), "heads": 2, "head_width": 4, "groups": 4}


def awake(seed: int = 0, **changes) -> MMDiffusion:
    """A model none of whose parameters is zero, as after some training."""
    torch.manual_seed(seed)
    model = MMDiffusion(**{**SMALL, **changes})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.eval()


def pair(b: int = 2, frames: int = 3, side: int = 4, steps: int = 24, seed: int = 1) -> AV:
    g = torch.Generator().manual_seed(seed)
    return AV(torch.randn(b, 3, frames, side, side, generator=g), torch.randn(b, 1, steps, 1, generator=g))


def times(video: float = 0.6, audio: float = 0.6, b: int = 2) -> AV:
    return AV(torch.full((b,), video), torch.full((b,), audio))


def test_paper_has_the_published_size_and_the_parts_of_the_released_model():
    with torch.device("meta"):
        model = MMDiffusion(**paper()).eval()
        x = AV(torch.empty(1, 3, 16, 64, 64), torch.empty(1, 1, 25600, 1))
        with torch.no_grad():
            out = model(x, times(b=1).map(lambda t: t.to("meta"))).prediction
    assert out.map(lambda y: y.shape) == x.map(lambda y: y.shape)
    assert model.num_parameters() == 133_675_524
    counts = {"cross": 0, "self": 0, "audio": 0}
    for name, parameter in model.named_parameters():
        kind = "cross" if "fusion" in name else "audio" if "audio_attention" in name else "self" if "l_attention" in name else ""
        if kind:
            counts[kind] += parameter.numel()
    assert {kind: round(n / 1e6, 1) for kind, n in counts.items()} == {"cross": 21.2, "self": 23.3, "audio": 2.1}
    dilations = [stage.residual.audio_convolution.time.dilation for stage in [*model.down, *model.middle]]
    assert dilations == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1, 2, 4, 4]
    assert [stage.residual.audio_convolution.time.dilation for stage in model.up][:3] == [2, 1, 512]


def test_it_begins_as_zero_and_is_a_denoiser():
    model = MMDiffusion(**SMALL)
    assert isinstance(model, Denoiser)
    assert not any(part.any() for part in model(pair(), times()).prediction)


def test_each_stream_reaches_the_other():
    model, x = awake(), pair()
    base = model(x, times()).prediction
    louder = model(AV(x.video, x.audio + 1), times()).prediction
    brighter = model(AV(x.video + 1, x.audio), times()).prediction
    assert not torch.allclose(base.video, louder.video)
    assert not torch.allclose(base.audio, brighter.audio)


def test_samples_do_not_depend_on_their_batch():
    model, x = awake(), pair(3)
    together = model(x, times(b=3)).prediction
    for i in range(3):
        alone = model(x.map(lambda z, i=i: z[i : i + 1]), times(b=1)).prediction
        for one, whole in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], whole[i], rtol=1e-4, atol=1e-5)


def test_each_stream_has_its_own_time():
    model, x = awake(), pair()
    base, other = model(x, times()).prediction, model(x, times(audio=0.2)).prediction
    assert not torch.allclose(base.audio, other.audio)
    assert MMDiffusion.timesteps(torch.tensor([1.0, 0.5, 0.0])).tolist() == [999.0, 499.0, 0.0]


def test_gradient_checkpointing_changes_nothing():
    x, grads = pair(), []
    for checkpointing in (False, True):
        model = awake().train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        sum(part.square().mean() for part in model(x, times()).prediction).backward()
        grads.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_it_is_saved_and_loaded(tmp_path):
    model = awake()
    model.save_pretrained(tmp_path)
    loaded = MMDiffusion.from_pretrained(tmp_path)
    for one, other in zip(model(pair(), times()).prediction, loaded.eval()(pair(), times()).prediction, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("x", "word"),
    [
        (AV(torch.zeros(2, 3, 3, 4, 4), torch.zeros(1, 1, 24, 1)), "equally many"),
        (AV(torch.zeros(2, 4, 3, 4, 4), torch.zeros(2, 1, 24, 1)), "codecs"),
        (AV(torch.zeros(2, 3, 3, 5, 4), torch.zeros(2, 1, 24, 1)), "size of the video"),
        (AV(torch.zeros(2, 3, 3, 4, 4), torch.zeros(2, 1, 23, 1)), "duration"),
        (AV(torch.zeros(2, 3, 8, 4, 4), torch.zeros(2, 1, 24, 1)), "duration"),
    ],
)
def test_streams_that_do_not_fit_are_refused(x, word):
    with pytest.raises(ValueError, match=word):
        MMDiffusion(**SMALL)(x, times())


def test_times_per_frame_are_refused():
    with pytest.raises(ValueError, match="one for each sample"):
        MMDiffusion(**SMALL)(pair(), AV(torch.zeros(2, 3), torch.zeros(2)))


@pytest.mark.parametrize("changes", [{"width": 0}, {"windows": (1,)}, {"heads": 3}, {"head_width": 3}, {"groups": 3}])
def test_configurations_that_give_no_network_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        MMDiffusion(**{**SMALL, **changes})
