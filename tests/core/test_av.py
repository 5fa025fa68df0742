import pytest
import torch

from sonovid.core.av import AV, Task


def test_map_applies_to_each_stream():
    assert AV(1, 10).map(lambda a, b: a + b, AV(2, 20)) == AV(3, 30)


def test_map_refuses_other_tuples():
    with pytest.raises(ValueError, match="zip"):
        AV(1, 2).map(lambda a, b: a, (1, 2, 3))


def test_torch_functions_keep_a_pair():
    pair = torch.utils._pytree.tree_map(lambda x: x + 1, AV(torch.zeros(2), torch.ones(3)))
    assert isinstance(pair, AV)
    assert torch.equal(pair.audio, torch.full((3,), 2.0))
    batch = torch.utils.data.default_collate([AV(torch.zeros(2), torch.ones(3))] * 4)
    assert isinstance(batch, AV)
    assert batch.video.shape == (4, 2)


def test_every_task_generates_something():
    assert all(any(task.value) for task in Task)
    assert len({task.value for task in Task}) == 3
