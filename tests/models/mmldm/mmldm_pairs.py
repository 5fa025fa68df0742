"""MM-LDM models without zero weights, as after some training, and their inputs."""

import torch

from sonovid.core.av import AV


def awake(model, seed=0):
    """A model none of whose parameters is zero, as after some training."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.eval()


def pair(b=2, seed=1):
    g = torch.Generator().manual_seed(seed)
    return AV(torch.randn(b, 4, 1, 4, 4, generator=g), torch.randn(b, 4, 4, 4, generator=g))


def at(value=0.5, b=2):
    t = torch.full((b,), value)
    return AV(t, t)
