"""Gradient checkpointing of any model: equal gradients with fewer stored bytes."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from sonovid.codecs.audio import MelAutoencoder
from sonovid.codecs.video import FrameAutoencoder
from sonovid.models.uniform.transformer import UniForm
from sonovid.training.gradient_checkpointing import enable_gradient_checkpointing

MODELS = {
    "frames": (lambda: FrameAutoencoder(widths=(16, 16), blocks=2), lambda m: m.decode(m.encode(torch.ones(1, 3, 2, 16, 16)))),
    "mel": (lambda: MelAutoencoder(width=16, blocks=2), lambda m: m.decode(m.encode(torch.ones(1, 64, 32)))),
}


def backward(model, work) -> tuple[dict, int]:
    """The gradients by name, and the bytes that the forward pass stored for the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        made = work(model)
    made.square().mean().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, sum(kept.values())


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_equal(name):
    make, work = MODELS[name]
    torch.manual_seed(0)
    plain = make().train()
    again = copy.deepcopy(plain)
    names = list(plain.state_dict())
    assert enable_gradient_checkpointing(again) > 0
    assert list(again.state_dict()) == names
    (ours, _), (theirs, _) = backward(plain, work), backward(again, work)
    assert ours.keys() == theirs.keys()
    for key, grad in ours.items():
        torch.testing.assert_close(grad, theirs[key], atol=1e-6, rtol=1e-4)


def test_blocks_store_no_inner_activations():
    torch.manual_seed(0)

    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Linear(8, 512), nn.GELU(), nn.Linear(512, 512), nn.GELU(), nn.Linear(512, 8)) for _ in range(4)
            )

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return x

    plain, x = Deep().train(), torch.randn(256, 8)
    again = copy.deepcopy(plain)
    assert enable_gradient_checkpointing(again) == 4
    (_, all_kept), (_, kept) = backward(plain, lambda m: m(x)), backward(again, lambda m: m(x))
    assert kept < 0.2 * all_kept


def test_a_network_with_its_own_method_uses_it():
    model = UniForm(depth=1, width=16, heads=2, patch_size=(2, 2, 2), video=(4, 8, 8), audio=(4, 1, 2), text_width=32)
    assert enable_gradient_checkpointing(nn.ModuleDict({"network": model})) == 1
    assert model.gradient_checkpointing
