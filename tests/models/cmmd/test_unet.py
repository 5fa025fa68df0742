"""CMMD's network: its size, what reaches what, lengths, times, storage, and what it refuses."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sonovid.core.av import AV
from sonovid.models.base import Denoiser
from sonovid.models.cmmd.unet import CMMD, paper

SMALL = {"video": 3, "audio": (1, 10), "width": 8, "multipliers": (1, 2, 3), "head_width": 4, "groups": 4, "time_width": 8}


def awake(seed: int = 0, **changes) -> CMMD:
    """A model none of whose parameters is zero, as after some training."""
    torch.manual_seed(seed)
    model = CMMD(**{**SMALL, **changes})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.eval()


def pair(b: int = 2, frames: int = 3, steps: int = 14, size: tuple[int, int] = (8, 4), seed: int = 1) -> AV:
    g = torch.Generator().manual_seed(seed)
    return AV(torch.randn(b, 3, frames, *size, generator=g), torch.randn(b, 1, steps, 10, generator=g))


def times(video: float = 0.6, audio: float = 0.3, b: int = 2) -> AV:
    return AV(torch.full((b,), video), torch.full((b,), audio))


def close(a: AV, b: AV, tolerance: float = 1e-5) -> bool:
    return all(torch.allclose(x, y, atol=tolerance, rtol=tolerance) for x, y in zip(a, b, strict=True))


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_paper_has_the_published_size():
    """106 M parameters within 3 % (table 1); the same on 36 frames and on latents of 64 x 64."""
    with torch.device("meta"):
        model = CMMD(**paper()).eval()
        assert count(model) == pytest.approx(106e6, rel=0.03)
        for size, frames, steps in ((16, 18, 112), (64, 18, 112), (16, 36, 224)):
            x = AV(torch.empty(1, 4, frames, size, size), torch.empty(1, 1, steps, 80))
            with torch.no_grad():
                out = model(x, times(b=1).map(lambda t: t.to("meta"))).prediction
            assert out.map(lambda y: y.shape) == x.map(lambda y: y.shape)


def test_paper_s_parameters_by_hand():
    """Every block's count from the widths of table 4."""
    c, e = [128, 256, 384, 512], 128

    def residual(i: int, o: int, kernel: int) -> int:
        return kernel + 2 * i + 2 * o + (e * 2 * o + 2 * o) + (o * o + o) + (i * o + o if i != o else 0)

    def stage(i: int, o: int, attends: bool = True) -> int:
        video = residual(i, o, (9 * i * o + o) + (3 * o * o + o))
        audio = residual(i, o, 3 * i * o + o)
        # Three attentions: two norms, queries, keys and values from twice the width, the way out.
        attention = 3 * (4 * o + (2 * o * 3 * o + 3 * o) + (o * o + o)) if attends else 0
        return video + audio + attention

    total, skips, at = 0, [c[0]], c[0]
    for level, w in enumerate(c):
        total += stage(at, w)
        at = w
        skips.append(at)
        if level < 3:
            total += stage(at, at, False)
            skips.append(at)
    total += 2 * stage(at, at)
    for level in (3, 2, 1, 0):
        for _ in range(2):
            total += stage(at + skips.pop(), c[level])
            at = c[level]
        total += stage(at, at, False) if level else 0
    ends = (9 * 4 * 128 + 128 + 3 * 128 * 128 + 128) + (3 * 80 * 128 + 128) + 4 * 128
    ends += (9 * 128 * 4 + 4 + 3 * 4 * 4 + 4) + (3 * 128 * 80 + 80) + (256 * e + e + e * e + e)
    with torch.device("meta"):
        assert count(CMMD(**paper())) == total + ends


def test_video_and_audio_lengths_are_those_of_table_4():
    """Attention over 16, 8, 4 and 2 pixels a side and over 112, 56, 28 and 14 steps."""
    seen = []
    with torch.device("meta"):
        model = CMMD(**paper()).eval()
        hooks = [
            stage.attention.register_forward_hook(lambda _, a, __: seen.append((a[0].video.shape[2], a[0].audio.shape[1])))
            for stage in model.down
            if stage.attention
        ]
        x = AV(torch.empty(1, 4, 18, 16, 16), torch.empty(1, 1, 112, 80))
        with torch.no_grad():
            model(x, times(b=1).map(lambda t: t.to("meta")))
    assert len(hooks) == 4
    assert seen == [(16, 112), (8, 56), (4, 28), (2, 14)]


def test_fusion_costs_little():
    """The other stream's part is computed in its own shape: not twice the products of an unfused network."""

    def products(fusion: bool) -> int:
        with torch.device("meta"):
            model = CMMD(**{**paper(), "fusion": fusion}).eval()
            x = AV(torch.empty(1, 4, 18, 16, 16), torch.empty(1, 1, 112, 80))
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                model(x, times(b=1).map(lambda t: t.to("meta")))
        return counter.get_total_flops()

    assert products(True) < 1.05 * products(False)


def test_output_is_zero_at_the_start_and_has_the_streams_shapes():
    torch.manual_seed(0)
    model, x = CMMD(**SMALL), pair()
    assert isinstance(model, Denoiser)
    out = model(x, times()).prediction
    assert out.map(lambda y: y.shape) == x.map(lambda y: y.shape)
    assert not out.video.any()
    assert not out.audio.any()
    assert all(y.abs().max() > 0.01 for y in awake()(x, times()).prediction)


def test_audio_latents_of_several_channels():
    model = awake(audio=(4, 5))
    x = AV(pair().video, torch.randn(2, 4, 14, 5))
    assert model(x, times()).prediction.audio.shape == (2, 4, 14, 5)


@pytest.mark.parametrize(("frames", "steps"), [(1, 1), (3, 3), (3, 17), (5, 13), (6, 28), (2, 31)])
def test_lengths_are_free(frames, steps):
    x = pair(frames=frames, steps=steps)
    assert awake()(x, times()).prediction.map(lambda y: y.shape) == x.map(lambda y: y.shape)


def test_streams_inform_each_other_by_fusion_alone():
    x = pair()
    louder, brighter = AV(x.video, x.audio + 1), AV(x.video + 1, x.audio)
    fused, apart = awake(), awake(fusion=False)
    base = fused(x, times()).prediction
    assert (fused(louder, times()).prediction.video - base.video).abs().max() > 1e-4
    assert (fused(brighter, times()).prediction.audio - base.audio).abs().max() > 1e-4
    assert count(apart) < count(fused)
    base = apart(x, times()).prediction
    assert torch.equal(apart(louder, times(audio=0.9)).prediction.video, base.video)
    assert torch.equal(apart(brighter, times(video=0.1)).prediction.audio, base.audio)
    assert not torch.equal(apart(louder, times()).prediction.audio, base.audio)


def test_sound_has_widths_of_its_own():
    """Both streams still meet; the pictures' own part of the network is as large as before."""
    x, wide, narrow = pair(), awake(audio_widths=(12, 4, 20)), awake()
    assert wide.audio_in.time.weight.shape[0] == wide.audio_out.time.weight.shape[-1] == 12
    assert count(wide.down[0].video) == count(narrow.down[0].video)
    base = wide(x, times()).prediction
    assert base.map(lambda y: y.shape) == x.map(lambda y: y.shape)
    assert (wide(AV(x.video, x.audio + 1), times()).prediction.video - base.video).abs().max() > 1e-4
    assert (wide(AV(x.video + 1, x.audio), times()).prediction.audio - base.audio).abs().max() > 1e-4


def test_widths_named_are_those_of_the_pictures_where_they_are_alike():
    assert close(*(awake(audio_widths=widths)(pair(), times()).prediction for widths in ((), (8, 16, 24))))


def test_samples_of_a_batch_are_independent():
    model, x = awake(), pair(3)
    t = AV(torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.0, 0.7, 1.0]))
    whole, order = model(x, t).prediction, [2, 0, 1]
    assert close(model(x.map(lambda z: z[order]), t.map(lambda z: z[order])).prediction, whole.map(lambda z: z[order]))
    for i in range(3):
        alone = model(x.map(lambda z, i=i: z[i : i + 1]), t.map(lambda z, i=i: z[i : i + 1])).prediction
        assert close(alone, whole.map(lambda z, i=i: z[i : i + 1]))


def test_each_stream_has_its_own_time():
    model, x = awake(fusion=False), pair()
    base, other = model(x, times(0.6, 0.3)).prediction, model(x, times(0.6, 0.9)).prediction
    assert torch.equal(base.video, other.video)
    assert not torch.allclose(base.audio, other.audio)


def test_learns_audio_that_follows_video():
    """A flash at a random frame, given; after some steps the predicted sound stands at the same time, in unseen clips too."""
    torch.manual_seed(0)
    model = CMMD(**{**SMALL, "multipliers": (1,), "width": 16}).train()
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)

    def clips(b: int, seed: int) -> tuple[AV, AV]:
        g = torch.Generator().manual_seed(seed)
        at = torch.eye(4)[torch.randint(4, (b,), generator=g)]
        flash = at[:, None, :, None, None].expand(b, 3, 4, 4, 4)
        sound = at.repeat_interleave(3, 1)[:, None, :, None].expand(b, 1, 12, 10)
        return AV(flash, torch.randn(b, 1, 12, 10, generator=g)), AV(flash, sound)

    for step in range(40):
        x, clean = clips(16, step)
        loss = (model(x, times(0.0, 1.0, b=16)).prediction.audio - clean.audio).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, clean = clips(16, 1000)
    error = (model(x, times(0.0, 1.0, b=16)).prediction.audio - clean.audio).square().mean()
    assert error < 0.25 * clean.audio.var()


@pytest.mark.parametrize("audio_widths", [(), (12, 4, 20)])
@pytest.mark.parametrize("fusion", [True, False])
def test_gradient_reaches_every_parameter(fusion, audio_widths):
    torch.manual_seed(0)
    model, x = CMMD(**{**SMALL, "fusion": fusion, "audio_widths": audio_widths}).train(), pair(3, steps=13)
    optimiser = torch.optim.SGD(model.parameters(), 0.05)
    # Three steps: behind a silent output stand silent blocks.
    for _ in range(3):
        optimiser.zero_grad()
        out = model(x, times(b=3)).prediction
        sum((y - z).square().mean() for y, z in zip(out, x, strict=True)).backward()
        optimiser.step()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_checkpointing_changes_no_gradient():
    model, x, grads = awake().train(), pair(), []
    for enable in (False, True):
        if enable:
            model.enable_gradient_checkpointing()
        model.zero_grad()
        out = model(x, times()).prediction
        (out.video.square().sum() + out.audio.square().sum()).backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.allclose(a, b, atol=1e-5, rtol=1e-4) for a, b in zip(*grads, strict=True))


def test_save_and_load_round_trip(tmp_path):
    model = awake()
    model.save_pretrained(tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".json"] == ["diffusion_pytorch_model.safetensors"]
    loaded = CMMD.from_pretrained(tmp_path)
    assert all(tuple(loaded.config[name]) == SMALL[name] for name in ("audio", "multipliers"))
    assert close(*(m(pair(), times()).prediction for m in (model, loaded)))


@pytest.mark.parametrize("how", ["autocast", "cast"])
def test_bfloat16_is_near_float32(how):
    model, x = awake(), pair()
    exact = model(x, times()).prediction
    if how == "cast":
        model = model.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        rough = model(x, times()).prediction
    for a, b in zip(exact, rough, strict=True):
        assert b.dtype == torch.float32
        assert (a - b).square().mean() < 3e-3 * a.square().mean()


def test_incompatible_streams_are_refused():
    model, x = awake(), pair()
    for bad, message in (
        (AV(x.video, x.audio[:, :, :2]), "3 latent frames and 2 audio steps cannot be fused"),
        (AV(x.video, x.audio[:, :, :0]), "cannot be fused"),
        (AV(x.video[:, :, :0], x.audio), "0 latent frames"),
        (AV(x.video, x.audio[:1]), "2 videos and 1 audio clips"),
        (AV(x.video[:, :1], x.audio), "1 video channels"),
        (AV(x.video, x.audio[..., :9]), "1 x 9 audio channels"),
        (AV(x.video[..., :3], x.audio), "multiples of 4"),
    ):
        with pytest.raises(ValueError, match=message):
            model(bad, times())
    with pytest.raises(ValueError, match="audio times of shape"):
        model(x, AV(torch.zeros(2), torch.zeros(2, 14)))


def test_the_published_network_needs_latents_of_whole_eighths():
    with torch.device("meta"):
        model = CMMD(**paper())
        x = AV(torch.empty(1, 4, 18, 12, 16), torch.empty(1, 1, 112, 80))
        with pytest.raises(ValueError, match="12 x 16; expected multiples of 8"):
            model(x, times(b=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": (1,)}, "channels, bins"),
        ({"video": 0}, "above zero"),
        ({"multipliers": ()}, "above zero"),
        ({"blocks": 0}, "above zero"),
        ({"head_width": 3}, "head_width=3"),
        ({"groups": 5}, "groups=5"),
        ({"audio_widths": (8, 16)}, "expected one for each of the 3 levels"),
        ({"audio_widths": (8, 16, 18)}, "head_width=4 with audio_widths=18"),
        ({"audio_widths": (8, 16, -8)}, "audio_widths=-8"),
    ],
)
def test_invalid_configurations_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CMMD(**{**SMALL, **change})
