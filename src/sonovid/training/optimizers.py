"""Optimisers: AdamW, or Muon for the matrices of a network and AdamW for the rest; the learning rate schedule."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.training.config import TrainingConfig


class BatchedMuon(torch.optim.Muon):
    """torch's Muon with Nesterov momentum and "match_rms_adamw", that orthogonalises all matrices of one shape as one batch.

    Newton-Schulz iterations of single matrices leave most of a processor idle. In batches they take a fraction of the time, with
    the same result. Sharded matrices take torch's way.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step."""
        assert closure is None
        if any(type(p) is not Tensor and hasattr(p, "full_tensor") for group in self.param_groups for p in group["params"]):
            super().step()
            return
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(tuple(p.shape), []).append(p)
            for shape, params in by_shape.items():
                updates = torch.stack([self._momentum(p, group) for p in params])
                # A checkpoint gives the coefficients back as a list.
                directions = orthogonalize(updates, tuple(group["ns_coefficients"]), group["ns_steps"], group["eps"])
                # The RMS of AdamW's updates (Liu et al. 2025, eq. 4).
                rate = group["lr"] * 0.2 * math.sqrt(max(shape))
                for p, direction in zip(params, directions, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-rate)

    def _momentum(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        """The update of a matrix before its orthogonalisation: its gradient with Nesterov momentum."""
        assert p.grad is not None
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p.grad)
        state["momentum_buffer"].lerp_(p.grad, 1 - group["momentum"])
        return p.grad.lerp(state["momentum_buffer"], group["momentum"])


def orthogonalize(
    matrices: Float[Tensor, "n a b"], coefficients: tuple[float, float, float], steps: int, eps: float
) -> Float[Tensor, "n a b"]:
    """Approximate the nearest semi-orthogonal matrices by Newton-Schulz iterations in bfloat16 (Jordan et al. 2024).

    Args:
        matrices: the matrices.
        coefficients: of the polynomial of fifth degree.
        steps: number of iterations.
        eps: smallest norm that is divided by.
    """
    a, b, c = coefficients
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / torch.stack([one.norm() for one in x]).clamp(min=eps)[:, None, None]
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) for matrices and AdamW for the rest, as one optimiser with one state.

    Muon's updates are scaled to the RMS of AdamW's (Liu et al. 2025, eq. 4), so both use learning rates of the same magnitude. A
    convolution kernel is treated as a matrix [out channels, all other axes].

    Args:
        matrices: parameters for Muon. Their group has the key `scale`, the factor of its learning rate.
        rest: parameter groups for AdamW.
        rate: learning rate.
        decay: weight decay of Muon.
        config: gives `matrix_rate` and `betas`.
    """

    def __init__(
        self, matrices: Iterable[Tensor], rest: list[dict[str, Any]], *, rate: float, decay: float, config: TrainingConfig
    ):
        scale = config.matrix_rate
        matrices = list(matrices)
        # The view is a copy if the kernel is not contiguous (channels last). The checkpoint is the same for every memory format.
        self.kernels = [(p, p.detach().reshape(p.shape[0], -1)) for p in matrices if p.ndim > 2]
        views = {id(p): view for p, view in self.kernels}
        matrices = [views.get(id(p), p) for p in matrices]
        self.muon = BatchedMuon(
            [{"params": matrices, "scale": scale}], lr=rate * scale, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
        )
        self.adamw = torch.optim.AdamW(rest, lr=rate, betas=config.betas)
        super().__init__([*self.muon.param_groups, *self.adamw.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let both optimisers share the groups and the state of this one, so that its checkpoint contains both."""
        self.muon.param_groups, self.adamw.param_groups = self.param_groups[:1], self.param_groups[1:]
        self.muon.state = self.adamw.state = self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear all gradients, including those of the kernels that Muon sees as views."""
        super().zero_grad(set_to_none)
        for kernel, _ in self.kernels:
            kernel.grad = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of both optimisers."""
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


def build_optimizer(model: nn.Module, rate: float, config: TrainingConfig, device: torch.device) -> torch.optim.Optimizer:
    """Build the optimiser of the config.

    Parameters with two or more axes have weight decay, vectors (biases, norms) have none. "muon" gives the linear layers inside
    lists of blocks to Muon, "muon_kernels" the convolutions inside blocks instead. The first and last layers use AdamW, as the
    authors of Muon advise. LoRA layers use AdamW.

    Args:
        model: the network; only its trainable parameters are optimised.
        rate: learning rate.
        config: see `TrainingConfig`.
        device: where the parameters are.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    kind = "adamw" if config.lora_rank else config.optimizer
    inner = {"muon": _linear_weights_in_blocks, "muon_kernels": _kernels_in_blocks}.get(kind, lambda _: set())(model)
    matrices = [p for p in trained if id(p) in inner]
    others = [p for p in trained if id(p) not in inner]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    if matrices:
        return MuonWithAdamW(matrices, groups, rate=rate, decay=config.weight_decay, config=config)
    return torch.optim.AdamW(groups, lr=rate, betas=config.betas, fused=device.type == "cuda")


def _linear_weights_in_blocks(model: nn.Module) -> set[int]:
    """Ids of the weights of linear layers inside lists of blocks."""
    lists = [blocks for blocks in model.modules() if isinstance(blocks, nn.ModuleList)]
    return {id(layer.weight) for blocks in lists for layer in blocks.modules() if isinstance(layer, nn.Linear)}


def _kernels_in_blocks(model: nn.Module) -> set[int]:
    """Ids of the kernels of convolutions inside blocks. A convolution directly in a sequence is a first or last layer."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    members = [member for chain in model.modules() if isinstance(chain, nn.Sequential | nn.ModuleList) for member in chain]
    return {
        id(layer.weight)
        for member in members
        if not isinstance(member, kinds)
        for layer in member.modules()
        if isinstance(layer, kinds)
    }


def learning_rate(config: TrainingConfig, step: int, progress: float) -> float:
    """Factor of the learning rate: linear warm-up, then decay.

    Args:
        config: see `TrainingConfig`.
        step: number of steps done.
        progress: how far the run is, in [0, 1]; used by the cosine decay.
    """
    warm_up = min(1.0, (step + 1) / config.warm_up) if config.warm_up else 1.0
    if config.decay == "constant":
        return warm_up
    if config.decay == "staircase":
        return warm_up * max(config.final_rate, config.decay_factor ** (step // config.decay_every))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return warm_up * (config.final_rate + (1 - config.final_rate) * cosine)
