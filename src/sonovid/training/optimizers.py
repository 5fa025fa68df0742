"""Optimisers: AdamW, or Muon for the matrices of a network with AdamW for all else."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sonovid.training.config import TrainingConfig


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) on matrices, AdamW on the rest, as one optimiser with one state.

    Muon's steps are scaled to the root mean square of AdamW's (Liu et al. 2025, eq. 4), so that both take rates of one kind;
    groups of matrices carry `scale`, by which their rate exceeds the others'. Kernels of convolutions are taken as matrices from
    all that a place sees to the channels that it gives.
    """

    def __init__(
        self, matrices: Iterable[Tensor], rest: list[dict[str, Any]], *, rate: float, decay: float, settings: TrainingConfig
    ):
        scale = settings.matrix_rate
        matrices = list(matrices)
        # A copy where the kernel is not contiguous (channels last), so that a checkpoint has one form whatever the memory's.
        self.kernels = [(p, p.detach().reshape(p.shape[0], -1)) for p in matrices if p.ndim > 2]
        views = {id(p): view for p, view in self.kernels}
        matrices = [views.get(id(p), p) for p in matrices]
        self.muon = torch.optim.Muon(
            [{"params": matrices, "scale": scale}], lr=rate * scale, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
        )
        self.adamw = torch.optim.AdamW(rest, lr=rate, betas=settings.betas)
        super().__init__([*self.muon.param_groups, *self.adamw.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Both optimisers work on this one's groups and state, so that a checkpoint of it is one of both."""
        self.muon.param_groups, self.adamw.param_groups = self.param_groups[:1], self.param_groups[1:]
        self.muon.state = self.adamw.state = self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, the kernels' own among them."""
        super().zero_grad(set_to_none)
        for kernel, _ in self.kernels:
            kernel.grad = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of both."""
        assert closure is None
        for kernel, view in self.kernels:
            view.grad = None if kernel.grad is None else kernel.grad.reshape(view.shape)
            if not kernel.is_contiguous():
                view.copy_(kernel.reshape(view.shape))
        self.muon.step()
        for kernel, view in self.kernels:
            if not kernel.is_contiguous():
                kernel.copy_(view.view(kernel.shape))
        self.adamw.step()


def build_optimizer(model: nn.Module, rate: float, settings: TrainingConfig, device: torch.device) -> torch.optim.Optimizer:
    """The optimiser that the settings name; matrices and kernels decay, biases, norms and embeddings of one axis do not.

    Muon takes the weights of linear maps in lists of blocks, and with "muon_kernels" those of all convolutions inside blocks
    instead; the first and last maps are left to AdamW, as its authors advise.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    inner = {"muon": _maps_in_lists, "muon_kernels": _kernels_in_blocks}.get(settings.optimizer, lambda _: set())(model)
    matrices = [p for p in trained if id(p) in inner]
    others = [p for p in trained if id(p) not in inner]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    if matrices:
        return MuonWithAdamW(matrices, groups, rate=rate, decay=settings.weight_decay, settings=settings)
    return torch.optim.AdamW(groups, lr=rate, betas=settings.betas, fused=device.type == "cuda")


def _maps_in_lists(model: nn.Module) -> set[int]:
    lists = [blocks for blocks in model.modules() if isinstance(blocks, nn.ModuleList)]
    return {id(layer.weight) for blocks in lists for layer in blocks.modules() if isinstance(layer, nn.Linear)}


def _kernels_in_blocks(model: nn.Module) -> set[int]:
    """Kernels of convolutions inside the members of a sequence; a member that is a convolution itself is a first or last map."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    members = [member for chain in model.modules() if isinstance(chain, nn.Sequential | nn.ModuleList) for member in chain]
    return {
        id(layer.weight)
        for member in members
        if not isinstance(member, kinds)
        for layer in member.modules()
        if isinstance(layer, kinds)
    }
