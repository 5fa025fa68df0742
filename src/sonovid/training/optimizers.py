"""Optimisers: AdamW, or Muon for the matrices of a network with AdamW for all else."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sonovid.training.settings import Settings


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) on matrices, AdamW on the rest, as one optimiser with one state.

    Muon's steps are scaled to the root mean square of AdamW's (Liu et al. 2025, eq. 4), so that both take rates of one kind;
    groups of matrices carry `scale`, by which their rate exceeds the others'.
    """

    def __init__(self, matrices: Iterable[Tensor], rest: list[dict[str, Any]], *, rate: float, decay: float, settings: Settings):
        scale = settings.matrix_rate
        self.muon = torch.optim.Muon(
            [{"params": list(matrices), "scale": scale}], lr=rate * scale, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
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

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of both."""
        assert closure is None
        self.muon.step()
        self.adamw.step()


def optimizer(model: nn.Module, rate: float, settings: Settings, device: torch.device) -> torch.optim.Optimizer:
    """The optimiser that the settings name; matrices and kernels decay, biases, norms and embeddings of one axis do not.

    Muon takes the weights of linear maps in lists of blocks; the first and last maps are left to AdamW, as its authors advise.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    inner = {
        id(layer.weight)
        for blocks in model.modules()
        if isinstance(blocks, nn.ModuleList)
        for layer in blocks.modules()
        if isinstance(layer, nn.Linear)
    }
    matrices = [p for p in trained if settings.optimizer == "muon" and id(p) in inner]
    others = [p for p in trained if settings.optimizer != "muon" or id(p) not in inner]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    if matrices:
        return MuonWithAdamW(matrices, groups, rate=rate, decay=settings.weight_decay, settings=settings)
    return torch.optim.AdamW(groups, lr=rate, betas=settings.betas, fused=device.type == "cuda")
