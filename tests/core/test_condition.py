import torch

from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition


def condition(b=3):
    ones = torch.ones(b, dtype=torch.bool)
    return Condition(torch.randn(b, 4, 8), torch.ones(b, 4, dtype=torch.bool), AV(ones, ones))


def test_without_text_drops_the_selected_samples():
    dropped = condition().without_text(torch.tensor([False, True, False]))
    assert dropped.text_mask.any(1).tolist() == [True, False, True]
    assert not condition().without_text().text_mask.any()


def test_for_task_applies_to_the_whole_batch():
    generated = condition().for_task(Task.VIDEO_TO_AUDIO).generated
    assert generated.video.tolist() == [False] * 3
    assert generated.audio.tolist() == [True] * 3


def test_concat_pads_the_shorter_text():
    on = torch.ones(1, dtype=torch.bool)
    one = Condition(torch.ones(1, 2, 4), torch.ones(1, 2, dtype=torch.bool), AV(on, ~on), torch.ones(1, 3))
    other = Condition(2 * torch.ones(1, 1, 4), torch.ones(1, 1, dtype=torch.bool), AV(on, on), 2 * torch.ones(1, 3))
    both = one.concat(other)
    assert both.text[:, :, 0].tolist() == [[1, 1], [2, 0]]
    assert both.text_mask.tolist() == [[True, True], [True, False]]
    assert both.generated.audio.tolist() == [False, True]
    assert both.pooled[:, 0].tolist() == [1, 2]


def test_select_keeps_the_samples_of_the_mask():
    text, mask = torch.randn(3, 2, 4), torch.tensor([[True, True], [True, False], [False, False]])
    generated = AV(torch.tensor([True, False, True]), torch.ones(3, dtype=torch.bool))
    chosen = torch.tensor([True, False, True])
    some = Condition(text, mask, generated, torch.arange(6.0).reshape(3, 2), torch.tensor([4, -1, 2])).select(chosen)
    assert torch.equal(some.text, text[[0, 2]])
    assert torch.equal(some.text_mask, mask[[0, 2]])
    assert some.generated.video.tolist() == [True, True]
    assert some.pooled.tolist() == [[0, 1], [4, 5]]
    assert some.labels.tolist() == [4, 2]
    bare = Condition(text, mask, generated).select(chosen)
    assert bare.pooled is None
    assert bare.labels is None
