"""Training logs: mean losses by stream, noise level and conditioning, written to `log.jsonl` and TensorBoard."""

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

# Bins of the noise time.
BINS = 8


class LossMeter:
    """Running means of per-sample losses. The sums stay on the device, so no step waits for the GPU.

    Losses whose name starts with a stream ("video", "audio_bound") are also averaged by the noise time of the stream, in eight
    equal bins of [0, 1], and by whether the other stream was a clean condition ("given") or not ("together").

    Args:
        device: where the losses are.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.sums: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, losses: dict[str, Tensor], times: AV | None) -> None:
        """Add the losses of one batch.

        Args:
            losses: by name, [b] each, NaN for samples without the loss.
            times: noise times of each stream, [b] or [b frames]; None: without.
        """
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
        """Return the means since the last call and reset them.

        Args:
            reduce: sums a tensor over all processes. All of them must call this method then.

        Returns:
            Means under the names "loss/NAME", "loss_together/NAME", "loss_given/NAME", "loss_together_at/NAME/TIME" and
            "loss_given_at/NAME/TIME", with TIME the centre of a bin.
        """
        means = {}
        for name, total in sorted(self.sums.items()):
            sums, counts = reduce(total).cpu().reshape(2, 2, BINS)
            means[f"loss/{name}"] = _mean(sums.sum(), counts.sum())
            if name.split("_")[0] not in AV._fields:
                continue
            for index, label in enumerate(("together", "given")):
                means[f"loss_{label}/{name}"] = _mean(sums[index].sum(), counts[index].sum())
                for i in range(BINS):
                    means[f"loss_{label}_at/{name}/{(i + 0.5) / BINS:.4f}"] = _mean(sums[index, i], counts[index, i])
        self.sums.clear()
        return {name: value for name, value in means.items() if value is not None}


def _mean(total: Tensor, count: Tensor) -> float | None:
    return float(total / count) if count > 0 else None


class TrainingLog:
    """Writes `log.jsonl`, one object per line, and TensorBoard files if TensorBoard is installed.

    Args:
        out: folder of the run.
        step: the step from which a run is resumed. Lines after it, which a killed run wrote after its last checkpoint, are
            removed.
    """

    def __init__(self, out: Path, *, step: int = 0) -> None:
        self.path = out / "log.jsonl"
        lines = self.path.read_text().splitlines() if step and self.path.exists() else []
        kept = [line for line in lines if _step_of(line) <= step]
        atomic.write_text(self.path, "".join(line + "\n" for line in kept))
        self.board = _board(out / "tensorboard", step)

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Write one line.

        Args:
            kind: "train" or "validation".
            step: number of steps done.
            values: by name.
        """
        with atomic.disk_full_errors(self.path, "the checkpoints are intact"):
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
    """The step of a line; infinity for a truncated line."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.warning("TensorBoard is not installed (pip install 'sonovid[train]'); losses are written to log.jsonl only")
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def read_log(path: Path, kind: str = "train") -> list[dict[str, Any]]:
    """The lines of one kind in a `log.jsonl`."""
    return [entry for entry in map(json.loads, Path(path).read_text().splitlines()) if entry["kind"] == kind]
