"""What a run writes down: means of losses by stream, by noise level and by what was given, to a plain file and to TensorBoard."""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sonovid.core import atomic
from sonovid.core.av import AV

log = logging.getLogger(__name__)

BINS = 8


class LossMeter:
    """Sums of per-sample losses, on the device, until they are asked for: nothing waits for a step to end.

    A loss named "video" or "audio", or beginning so ("audio_bound"), is also told apart by its stream's noise time, in eight
    equal bins of [0, 1], and by whether the other stream was given clean.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.sums: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, losses: dict[str, Tensor], times: AV | None) -> None:
        """Take in one batch of losses, [b] each, NaN where unscored, at noise times [b] or [b steps]."""
        levels = None if times is None else times.map(lambda t: t.float().flatten(1).amax(1) if t.ndim > 1 else t.float())
        for name, loss in losses.items():
            cells = torch.zeros(len(loss), dtype=torch.long, device=self.device)
            stream = name.split("_")[0]
            if levels is not None and stream in AV._fields:
                own = getattr(levels, stream)
                other = levels.audio if stream == "video" else levels.video
                cells = (own * BINS).long().clamp(0, BINS - 1) + BINS * (other <= 0).long()
            scored = ~loss.isnan()
            values = torch.stack([loss.detach().double().nan_to_num(0.0, posinf=math.inf, neginf=-math.inf), scored.double()])
            total = self.sums.setdefault(name, torch.zeros(2, 2 * BINS, dtype=torch.float64, device=self.device))
            total.index_add_(1, cells, values * scored)

    def take(self, reduce: Callable[[Tensor], Tensor] = lambda x: x) -> dict[str, float]:
        """The means since the last call, over all processes when `reduce` sums over them, and begin again."""
        means = {}
        for name, total in sorted(self.sums.items()):
            sums, counts = reduce(total).cpu().reshape(2, 2, BINS)
            means[f"loss/{name}"] = _mean(sums.sum(), counts.sum())
            if name.split("_")[0] not in AV._fields:
                continue
            for way, label in enumerate(("together", "given")):
                means[f"loss_{label}/{name}"] = _mean(sums[way].sum(), counts[way].sum())
                for i in range(BINS):
                    means[f"loss_{label}_at/{name}/{(i + 0.5) / BINS:.4f}"] = _mean(sums[way, i], counts[way, i])
        self.sums.clear()
        return {name: value for name, value in means.items() if value is not None}


def _mean(total: Tensor, count: Tensor) -> float | None:
    return float(total / count) if count > 0 else None


class TrainingLog:
    """`log.jsonl`, one object a line, and TensorBoard's files where that is installed.

    Lines after `step`, which a killed run had written beyond its last checkpoint, are taken out before the first new one.
    """

    def __init__(self, out: Path, *, step: int = 0) -> None:
        self.path = out / "log.jsonl"
        lines = self.path.read_text().splitlines() if step and self.path.exists() else []
        kept = [line for line in lines if _step_of(line) <= step]
        atomic.write_text(self.path, "".join(line + "\n" for line in kept))
        self.board = _board(out / "tensorboard", step)

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """One line: what kind it is ("train", "validation"), its step and named numbers."""
        with atomic.disk_full_errors(self.path, "the checkpoints are whole"):
            with open(self.path, "a") as file:
                file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
            if self.board is not None:
                for name, value in values.items():
                    if isinstance(value, int | float):
                        self.board.add_scalar(f"{kind}/{name}", value, step)
                self.board.flush()

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


def _step_of(line: str) -> int | float:
    """The step of a line; a line that a kill cut short is after every step."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.warning("TensorBoard is not installed (pip install 'sonovid[train]'); the losses go to log.jsonl alone")
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def read_log(path: Path, kind: str = "train") -> list[dict[str, Any]]:
    """The lines of one kind in a `log.jsonl`, in order."""
    return [entry for entry in map(json.loads, Path(path).read_text().splitlines()) if entry["kind"] == kind]
