"""UniForm in both layouts: dependencies, timesteps, text, tasks, sizes, saving."""

import dataclasses

import pytest
import torch

from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.models.base import Denoiser
from sonovid.models.uniform.transformer import UniForm, packaged, paper, tiny

COLUMNS = {
    "layout": "columns", "depth": 1, "width": 16, "heads": 2,
    "patch_size": (1, 2, 2), "video": (2, 4, 4), "audio": (4, 2, 3), "text_width": 6,
}  # fmt: skip
TOKENS = {**COLUMNS, "layout": "tokens", "patch_size": (2, 2, 2)}
both = pytest.mark.parametrize("config", [COLUMNS, TOKENS], ids=["columns", "tokens"])


def awake(config: dict, seed: int = 0) -> UniForm:
    """A model none of whose parameters is zero, as after some training."""
    torch.manual_seed(seed)
    model = UniForm(**config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.eval()


def pair(b: int = 2, t: int = 4, seed: int = 1, size: tuple[int, int] = (4, 4)) -> AV:
    g = torch.Generator().manual_seed(seed)
    return AV(torch.randn(b, 2, t, *size, generator=g), torch.randn(b, 4, 3 * t, 2, generator=g))


def condition(b: int = 2, task: Task = Task.JOINT, words: int = 3) -> Condition:
    g = torch.Generator().manual_seed(2)
    text = torch.randn(b, 5, 6, generator=g)
    mask = torch.arange(5).expand(b, -1) < words
    return Condition(text, mask, AV(torch.ones(b) > 0, torch.ones(b) > 0)).for_task(task)


def times(video: float = 0.6, audio: float = 0.3, b: int = 2) -> AV:
    return AV(torch.full((b,), video), torch.full((b,), audio))


def close(a: AV, b: AV, tolerance: float = 1e-5) -> bool:
    return all(torch.allclose(x, y, atol=tolerance, rtol=tolerance) for x, y in zip(a, b, strict=True))


@both
@pytest.mark.parametrize("variance", [False, True])
def test_output_has_the_streams_shapes(config, variance):
    model = awake({**config, "learn_variance": variance})
    assert isinstance(model, Denoiser)
    x = pair()
    out = model(x, times(), condition())
    assert out.prediction.map(lambda y: y.shape) == x.map(lambda y: y.shape)
    assert (out.variance is not None) == variance
    if variance:
        assert out.variance.map(lambda y: y.shape) == x.map(lambda y: y.shape)
        assert not close(out.variance, out.prediction)


@both
def test_unpack_inverts_pack(config):
    """With embedder and head each other's inverse and no positions, unpacking gives back what was packed."""
    values = {"columns": 2 * 4, "tokens": 2 * 8}[config["layout"]]
    model = UniForm(**{**config, "width": values, "heads": 2})
    grid = model.grid
    identity = torch.eye(values)
    with torch.no_grad():
        for name, module in grid.named_children():
            if name != "task":
                module.bias.zero_()
                module.weight.copy_(identity[: module.weight.shape[0], : module.weight.shape[1]])
    x = pair().map(lambda z: torch.arange(z.numel(), dtype=torch.float32).view(z.shape))
    silent = x.map(torch.zeros_like)
    task = torch.zeros(2, dtype=torch.long)
    # Positions and the task's token are the same with and without the streams.
    tokens = grid.pack(x, task) - grid.pack(silent, task)
    back = grid.unpack(tokens, x)[0]
    assert close(back, x, 1e-3)


@both
def test_grid_steps_hold_the_same_time_of_both_streams(config):
    """An impulse at time j of either stream changes the tokens of the step of time j, and of no other."""
    grid = awake(config).grid
    task = torch.zeros(1, dtype=torch.long)
    x = pair(1)
    packed = grid.pack(x, task)
    frames = config["patch_size"][0]
    for j in range(4):
        video, audio = x.video.clone(), x.audio.clone()
        video[:, :, j] += 1
        audio[:, :, 3 * j : 3 * j + 3] += 1
        for changed, first, last in (
            (AV(video, x.audio), grid.num_leading_tokens, None),
            (AV(x.video, audio), 0, grid.num_leading_tokens),
        ):
            steps, places = torch.nonzero((grid.pack(changed, task) - packed).abs().amax((0, 3)) > 1e-6, as_tuple=True)
            assert set(steps.tolist()) == {j // frames}
            assert set(places.tolist()) <= set(range(packed.shape[2])[first:last])


@both
def test_streams_inform_each_other(config):
    model, x = awake(config), pair()
    base = model(x, times(), condition()).prediction
    louder = model(AV(x.video, x.audio + 1), times(), condition()).prediction
    assert (louder.video - base.video).abs().max() > 1e-3
    brighter = model(AV(x.video + 1, x.audio), times(), condition()).prediction
    assert (brighter.audio - base.audio).abs().max() > 1e-3


@both
def test_samples_of_a_batch_are_independent(config):
    model, x = awake(config), pair(3)
    c = condition(3)
    c = dataclasses.replace(c, text_mask=torch.tensor([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]).bool())
    t = AV(torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.0, 0.7, 1.0]))
    whole = model(x, t, c).prediction
    for i in range(3):
        one = Condition(c.text[i : i + 1], c.text_mask[i : i + 1], c.generated.map(lambda g, i=i: g[i : i + 1]))
        alone = model(x.map(lambda z, i=i: z[i : i + 1]), t.map(lambda z, i=i: z[i : i + 1]), one).prediction
        assert close(alone, whole.map(lambda z, i=i: z[i : i + 1]))


@both
def test_times_per_frame_generalise_times_per_sample(config):
    model, x, c = awake(config), pair(), condition()
    scalar = model(x, times(0.6, 0.3), c).prediction
    assert close(model(x, AV(torch.full((2, 4), 0.6), torch.full((2, 12), 0.3)), c).prediction, scalar)
    assert close(model(x, AV(torch.full((2, 4), 0.6), torch.full((2,), 0.3)), c).prediction, scalar)
    uneven = torch.tensor([[0.0, 0.0, 0.6, 0.6]] * 2)
    assert not close(model(x, AV(uneven, torch.full((2,), 0.3)), c).prediction, scalar)


@both
def test_the_timestep_of_a_stream_modulates_its_own_tokens(config):
    """Without attention and text, the timestep of a stream only changes the prediction of that stream."""
    model, x = awake(config), pair()
    with torch.no_grad():
        for block in (*model.spatial, *model.temporal):
            for linear in (block.attention.out, block.cross.out):
                linear.weight.zero_()
    base = model(x, times(0.6, 0.3)).prediction
    given = model(x, times(0.0, 0.3)).prediction
    assert torch.equal(given.audio, base.audio)
    assert not torch.allclose(given.video, base.video)
    given = model(x, times(0.6, 0.0)).prediction
    assert torch.equal(given.video, base.video)
    assert not torch.allclose(given.audio, base.audio)


@both
def test_text(config):
    model, x, c = awake(config), pair(), condition()
    told = model(x, times(), c).prediction
    untold = model(x, times(), c.without_text()).prediction
    assert not close(told, untold)
    assert close(untold, model(x, times(), None).prediction)
    # What stands behind the mask does not matter, nor how much of it there is, nor whether it is a number.
    junk = c.text.clone()
    junk[:, 3:] = float("nan")
    assert close(told, model(x, times(), Condition(junk, c.text_mask, c.generated)).prediction)
    assert close(told, model(x, times(), Condition(c.text[:, :3], c.text_mask[:, :3], c.generated)).prediction)
    empty = Condition(c.text[:, :0], c.text_mask[:, :0], c.generated)
    assert close(untold, model(x, times(), empty).prediction)
    # The null stands for missing text only, and is not seen beside words.
    with torch.no_grad():
        model.null_text += 1
    assert close(told, model(x, times(), c).prediction)
    assert not close(untold, model(x, times(), None).prediction)
    with pytest.raises(ValueError, match="words of 7 channels"):
        model(x, times(), Condition(torch.zeros(2, 1, 7), torch.ones(2, 1) > 0, c.generated))


@both
def test_tasks_differ(config):
    model, x = awake(config), pair()
    outs = [model(x, times(), condition(task=task)).prediction for task in Task]
    assert all(not close(a, b) for a, b in ((outs[0], outs[1]), (outs[0], outs[2]), (outs[1], outs[2])))


@both
def test_runs_on_longer_clips_and_sees_their_order(config):
    model, x = awake(config), pair(t=10)
    out = model(x, times(), condition()).prediction
    assert out.map(lambda y: y.shape) == x.map(lambda y: y.shape)
    back = AV(x.video.flip(2), x.audio.flip(2))
    reverse = model(back, times(), condition()).prediction.map(lambda y: y.flip(2))
    assert not close(out, reverse, 1e-3)


def test_runs_on_other_sizes():
    x = pair(size=(6, 8))
    assert awake(TOKENS)(x, times(), condition()).prediction.video.shape == x.video.shape
    wide = pair(size=(4, 8))
    assert awake(COLUMNS)(wide, times(), condition()).prediction.video.shape == wide.video.shape
    with pytest.raises(ValueError, match="6 rows"):
        awake(COLUMNS)(x, times(), condition())


@both
def test_learns_audio_that_follows_video(config):
    """Conditioned on a flash at a random time, the predicted audio learns to be at the same time, also in unseen clips."""
    torch.manual_seed(0)
    model = UniForm(**{**config, "width": 32}).train()
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)

    def clips(b: int, seed: int) -> tuple[AV, AV]:
        g = torch.Generator().manual_seed(seed)
        at = torch.eye(4)[torch.randint(4, (b,), generator=g)]
        flash = at[:, None, :, None, None].expand(b, 2, 4, 4, 4)
        sound = at.repeat_interleave(3, 1)[:, None, :, None].expand(b, 4, 12, 2)
        return AV(flash, torch.randn(b, 4, 12, 2, generator=g)), AV(flash, sound)

    c = condition(16, Task.VIDEO_TO_AUDIO).without_text()
    for step in range(160):
        x, clean = clips(16, step)
        loss = (model(x, times(0.0, 1.0, b=16), c).prediction.audio - clean.audio).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, clean = clips(16, 1000)
    error = (model(x, times(0.0, 1.0, b=16), c).prediction.audio - clean.audio).square().mean()
    assert error < 0.25 * clean.audio.var()


@both
def test_gradient_reaches_every_parameter(config):
    torch.manual_seed(0)
    model, x = UniForm(**{**config, "learn_variance": True}).train(), pair(3)
    c = condition(3)
    c = dataclasses.replace(c, text_mask=c.text_mask & torch.tensor([[True], [True], [False]]))
    c = dataclasses.replace(c, generated=AV(torch.tensor([True, False, True]), torch.tensor([True, True, False])))
    optimiser = torch.optim.SGD(model.parameters(), 0.05)
    # Three steps: behind a silent output stand silent temporal blocks, and behind those the silent rate.
    for _ in range(3):
        optimiser.zero_grad()
        out = model(x, times(b=3), c)
        sum((y - z).square().mean() for p in (out.prediction, out.variance) for y, z in zip(p, x, strict=True)).backward()
        optimiser.step()
    unreached = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert unreached == []


@both
def test_temporal_blocks_are_zero_initialised(config):
    torch.manual_seed(0)
    model, x = UniForm(**config), pair()
    task = torch.zeros(2, dtype=torch.long)
    tokens = model.grid.pack(x, task)
    shared = torch.randn(2, 1, tokens.shape[2], 6 * 16)
    text, mask = torch.randn(2, 3, 16), torch.ones(2, 3) > 0
    assert torch.equal(model.temporal[0](tokens, shared, text, mask), tokens)
    assert not torch.equal(model.spatial[0](tokens, shared, text, mask), tokens)


@both
def test_save_and_load_round_trip(config, tmp_path):
    model = awake(config)
    model.save_pretrained(tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.suffix not in (".json",)] == ["diffusion_pytorch_model.safetensors"]
    loaded = UniForm.from_pretrained(tmp_path)
    assert all(tuple(loaded.config[name]) == config[name] for name in ("patch_size", "video", "audio"))
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    # Loaded weights may lie otherwise aligned in memory, which changes the order of a product's sums.
    assert close(*(m(pair(), times(), condition()).prediction for m in (model, loaded)))


@both
def test_checkpointing_changes_no_gradient(config):
    model, x = awake(config), pair()
    grads = []
    for enable in (False, True):
        if enable:
            model.enable_gradient_checkpointing()
        model.zero_grad()
        out = model.train()(x, times(), condition()).prediction
        (out.video.square().sum() + out.audio.square().sum()).backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*grads, strict=True))


@both
@pytest.mark.parametrize("how", ["autocast", "cast"])
def test_bfloat16_is_near_float32(config, how):
    model, x = awake(config), pair()
    exact = model(x, times(), condition()).prediction
    if how == "cast":
        model = model.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        rough = model(x, times(), condition()).prediction
    for a, b in zip(exact, rough, strict=True):
        assert b.dtype == torch.float32
        assert (a - b).square().mean() < 2e-3 * a.square().mean()


def test_frame_rate_matters_after_training():
    model, x = awake(TOKENS), pair()
    base = model(x, times(), condition()).prediction
    assert close(base, model(x, times(), condition(), fps=8.0).prediction)
    assert not close(base, model(x, times(), condition(), fps=25.0).prediction)


@both
def test_incompatible_streams_are_refused(config):
    model, x = awake(config), pair()
    for bad, message in (
        (AV(x.video, x.audio[:, :, :-1]), "cannot be fused"),
        (AV(x.video, x.audio[:1]), "2 videos and 1 audio clips"),
        (AV(x.video[:, :1], x.audio), "1 video channels"),
        (AV(x.video[..., :3], x.audio), "whole patches"),
    ):
        with pytest.raises(ValueError, match=message):
            model(bad, times(), condition())
    with pytest.raises(ValueError, match="3 times"):
        model(x, AV(torch.zeros(2, 3), torch.zeros(2)), condition())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "rows"}, "columns, tokens"),
        ({"heads": 3}, "even width"),
        ({"video": (2, 5, 4)}, "whole patches"),
        ({"patch_size": (1, 2)}, "three positive integers"),
        ({"audio": (4, 3, 3)}, "must equal"),
        ({"audio": (4, 2, 2)}, "task's"),
    ],
)
def test_invalid_configurations_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        UniForm(**{**COLUMNS, **change})


def test_paper_has_the_published_size():
    """STDiT3-XL/2 with UniForm's own parts, counted by hand from section 4.2 of its description and on the meta device."""
    with torch.device("meta"):
        model = UniForm(**paper())
    d, patch = 1152, 4 * 1 * 2 * 2
    attention, cross, mlp = (d * 3 * d + 3 * d) + (d * d + d) + 2 * 72, 4 * (d * d + d), 8 * d * d + 5 * d
    blocks = 2 * 28 * (attention + cross + mlp + 6 * d)
    embedders = 2 * (256 * d + d + d * d + d) + (4096 * d + d + d * d + d) + (patch * d + d)
    ends = (6 * d * d + 6 * d) + 2 * d + (d * 2 * patch + 2 * patch)
    own = 3 * 128 + 4096
    total = sum(p.numel() for p in model.parameters())
    assert total == blocks + embedders + ends + own
    assert 1.20e9 < total < 1.22e9
    x = AV(torch.empty(1, 4, 20, 32, 32, device="meta"), torch.empty(1, 8, 100, 16, device="meta"))
    assert model.grid.pack(x, torch.zeros(1, dtype=torch.long, device="meta")).shape == (1, 20, 16 * 19, d)


@pytest.mark.parametrize("config", [packaged(), tiny()], ids=["spine", "tiny"])
def test_named_sizes_fit_the_packaged_latents(config):
    model = UniForm(**config).eval()
    x = AV(torch.randn(1, 8, 16, 8, 8), torch.randn(1, 16, 32, 1))
    with torch.no_grad():
        assert model(x, times(b=1)).prediction.map(lambda y: y.shape) == x.map(lambda y: y.shape)
    assert model.grid.pack(x, torch.zeros(1, dtype=torch.long)).shape[1:3] == (8, 21)
