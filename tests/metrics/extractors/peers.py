"""Other people's implementations as oracles, where they happen to be installed, and what their tensors are called."""

import hashlib
import importlib
import importlib.util
import sys
import types
from pathlib import Path

import pytest
import torch


def peer(package, module):
    """A module of an installed package, imported without running the package's own __init__ (which may download); or skip."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    alias = f"peer_{package}"
    if alias not in sys.modules:
        sys.modules[alias] = types.ModuleType(alias)
        sys.modules[alias].__path__ = [str(Path(spec.origin).parent)]
    try:
        return importlib.import_module(f"{alias}.{module}")
    except ImportError as error:
        pytest.skip(f"{package}: {error}")


def listing(state):
    """The SHA-256 of all names and shapes in a state dict: what a published file of these weights holds."""
    return hashlib.sha256("".join(sorted(f"{name} {list(v.shape)}\n" for name, v in state.items())).encode()).hexdigest()


def on_meta(build):
    """A network without memory, for its names and shapes."""
    with torch.device("meta"):
        return build().state_dict()


def values(state):
    return sum(value.numel() for value in state.values())


def shaken(network, seed=0, gain=1.0):
    """Statistics of batch normalisations that are not those of a network that has seen nothing; in evaluation mode.

    gain: of the convolutions, so that a signal does not die away on its way through many of them.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.ndim >= 4:
                value.mul_(gain)
            if name.endswith("running_mean"):
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
            if name.endswith("running_var"):
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return network.eval()


def built(build, seed=0, gain=1.0):
    """A network with reproducible random weights."""
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(seed)
        return shaken(build(), seed, gain)


def waves(shape, pitch):
    """Numbers in [-1, 1] that hang on no generator: sin(1 + pitch * i)."""
    count = int(torch.tensor(shape).prod()) if len(shape) else 1
    return torch.sin(1 + pitch * torch.arange(count, dtype=torch.float64)).float().reshape(shape)


def filled_with_waves(network):
    """A network whose every weight is known, in evaluation mode; scales of norms about one, variances above nought."""
    with torch.no_grad():
        for i, (name, value) in enumerate(sorted(network.state_dict().items())):
            if value.is_floating_point():
                wave = waves(tuple(value.shape), 0.1 + 0.01 * i)
                scale = 1.0 if value.ndim == 1 and name.endswith("weight") else 0.0
                value.copy_(wave.abs() + 0.5 if name.endswith("running_var") else scale + 0.3 * wave)
    return network.eval()
