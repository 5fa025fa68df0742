"""UniForm as one sequence: shapes, what reaches what, times, words, tasks, storage, and that it learns."""

import pytest
import torch

from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.models.base import Denoiser
from sonovid.models.uniform.sequence import SequenceUniForm, apply_rotary, rotary_angles

CONFIG = {"depth": 3, "width": 24, "heads": 2, "video": (3, 2, 4), "audio": (5, 1, 2), "text_width": 6, "words": 4}


def awake(seed: int = 0, **changes) -> SequenceUniForm:
    """A model none of whose parameters is zero, as after some training."""
    torch.manual_seed(seed)
    model = SequenceUniForm(**{**CONFIG, **changes})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.eval()


def pair(b: int = 2, t: int = 3, seed: int = 1) -> AV:
    g = torch.Generator().manual_seed(seed)
    return AV(torch.randn(b, 3, t, 2, 4, generator=g), torch.randn(b, 5, 2 * t, 1, generator=g))


def condition(b: int = 2, task: Task = Task.JOINT, words: int = 2) -> Condition:
    g = torch.Generator().manual_seed(2)
    mask = torch.arange(3).expand(b, -1) < words
    return Condition(torch.randn(b, 3, 6, generator=g), mask, AV(torch.ones(b) > 0, torch.ones(b) > 0)).for_task(task)


def times(video: float = 0.6, audio: float = 0.3, b: int = 2) -> AV:
    return AV(torch.full((b,), video), torch.full((b,), audio))


def close(a: AV, b: AV) -> bool:
    return all(torch.allclose(x, y, atol=1e-5, rtol=1e-5) for x, y in zip(a, b, strict=True))


def test_output_has_the_streams_shapes_at_any_length():
    model = awake()
    assert isinstance(model, Denoiser)
    for t in (1, 3, 5):
        x = pair(t=t)
        assert model(x, times(), condition()).prediction.map(lambda y: y.shape) == x.map(lambda y: y.shape)


def test_a_new_model_predicts_zero():
    out = SequenceUniForm(**CONFIG)(pair(), times(), condition()).prediction
    assert all(y.abs().max() == 0 for y in out)


def test_every_parameter_has_a_gradient():
    model = awake()
    out = model(pair(), times(), condition()).prediction
    (out.video.square().sum() + out.audio.square().sum()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0] == []


@pytest.mark.parametrize("stream", [0, 1])
def test_either_stream_reaches_every_place_of_both(stream):
    model, x = awake(), pair(b=1)
    moved = [z.clone() for z in x]
    moved[stream][..., 0, 0] += 1.0
    before, after = (model(one, times(b=1), condition(1)).prediction for one in (x, AV(*moved)))
    assert all(((a - b).abs().amax(1) > 0).all() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("other", [times(video=0.5), times(audio=0.2)])
def test_timesteps_of_both_streams_affect_both(other):
    model, x = awake(), pair()
    first, second = (model(x, t, condition()).prediction for t in (times(), other))
    assert all((a - b).abs().max() > 1e-4 for a, b in zip(first, second, strict=True))


def test_timesteps_per_latent_frame_generalise_timesteps_per_sample():
    model, x = awake(), pair()
    whole = model(x, times(), condition()).prediction
    spread = AV(torch.full((2, 3), 0.6), torch.full((2, 6), 0.3))
    assert close(model(x, spread, condition()).prediction, whole)
    spread.video[:, 0] = 0.0
    assert not close(model(x, spread, condition()).prediction, whole)


def test_words_matter_but_padding_does_not():
    model, x = awake(), pair()
    told = condition()
    wild = Condition(told.text.masked_fill(~told.text_mask[..., None], float("nan")), told.text_mask, told.generated)
    assert close(model(x, times(), wild).prediction, model(x, times(), told).prediction)
    longer = Condition(
        torch.cat([told.text, told.text], 1), torch.cat([told.text_mask, told.text_mask & False], 1), told.generated
    )
    assert close(model(x, times(), longer).prediction, model(x, times(), told).prediction)
    none = model(x, times(), told.without_text()).prediction
    assert not close(none, model(x, times(), told).prediction)
    assert close(none, model(x, times(), None).prediction)


def test_tasks_differ():
    model, x = awake(), pair()
    found = [model(x, times(), condition(task=task)).prediction for task in Task]
    assert not close(found[0], found[1])
    assert not close(found[1], found[2])


def test_samples_of_a_batch_are_independent():
    model, x, told = awake(), pair(), condition()
    alone = model(x.map(lambda z: z[:1]), times(b=1), told.select(torch.tensor([True, False]))).prediction
    assert close(alone, model(x, times(), told).prediction.map(lambda y: y[:1]))


def test_rotary_products_only_depend_on_distances():
    g = torch.Generator().manual_seed(0)
    q, k = torch.randn(1, 1, 1, 20, generator=g), torch.randn(1, 1, 1, 20, generator=g)

    def product(a: list, b: list) -> float:
        places = torch.tensor([a, b], dtype=torch.float32)
        cos, sin = rotary_angles(places, 20)
        return float((apply_rotary(q, (cos[:1], sin[:1])) * apply_rotary(k, (cos[1:], sin[1:]))).sum())

    assert product([1, 2, 3], [4, 0, 1]) == pytest.approx(product([3, 7, 5], [6, 5, 3]), rel=1e-4)
    assert product([1, 2, 3], [4, 0, 1]) != pytest.approx(product([1, 2, 3], [5, 0, 1]), rel=1e-3)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (AV(torch.zeros(1, 3, 3, 2, 2), torch.zeros(1, 5, 6, 1)), "this model takes video"),
        (AV(torch.zeros(1, 3, 3, 2, 4), torch.zeros(1, 5, 5, 1)), "expected 2 per frame"),
    ],
)
def test_incompatible_streams_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        awake()(x, times(b=1), condition(1))


def test_save_and_load_round_trip(tmp_path):
    model, x = awake(), pair()
    model.save_pretrained(tmp_path)
    again = SequenceUniForm.from_pretrained(tmp_path).eval()
    assert close(again(x, times(), condition()).prediction, model(x, times(), condition()).prediction)


def test_checkpointing_changes_no_gradient():
    model, x = awake(), pair()

    def gradient() -> torch.Tensor:
        model.zero_grad()
        model(x, times(), condition()).prediction.video.square().sum().backward()
        return model.embed_audio.weight.grad.clone()

    plain = gradient()
    model.enable_gradient_checkpointing()
    model.train()
    torch.testing.assert_close(gradient(), plain)
