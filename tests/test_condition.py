import torch

from sonovid.av import AV, Task
from sonovid.condition import Condition


def condition(b=3):
    ones = torch.ones(b, dtype=torch.bool)
    return Condition(torch.randn(b, 4, 8), torch.ones(b, 4, dtype=torch.bool), AV(ones, ones))


def test_text_is_taken_from_the_samples_that_are_named():
    dropped = condition().without_text(torch.tensor([False, True, False]))
    assert dropped.text_mask.any(1).tolist() == [True, False, True]
    assert not condition().without_text().text_mask.any()


def test_a_task_holds_for_the_whole_batch():
    generated = condition().for_task(Task.VIDEO_TO_AUDIO).generated
    assert generated.video.tolist() == [False] * 3
    assert generated.audio.tolist() == [True] * 3
