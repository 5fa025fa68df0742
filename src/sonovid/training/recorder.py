"""Recording of a training run: the progress bar, the losses and the throughput, and the lines of the log."""

import math
import time

from torch import Tensor

from sonovid.core import progress
from sonovid.training.logs import TrainingLog
from sonovid.training.run import TrainingRun


class Recorder:
    """Records a training run. Only the main process writes; all processes must call the methods.

    Args:
        run: the training run.
    """

    def __init__(self, run: TrainingRun) -> None:
        self.run = run
        self.log = TrainingLog(run.out, step=run.step) if run.processes.is_main else None
        self.bar = progress.bar(
            total=run.config.steps, initial=run.step, desc="train", unit="step", quiet=not run.processes.is_main
        )
        self._clips, self._since = 0, time.monotonic()

    def count_step(self) -> None:
        """Count one step."""
        self._clips += self.run.global_batch
        self.bar.update()

    def record_training(self, rate: float, grad_norm: Tensor) -> None:
        """Write a line with the mean losses and the throughput since the last one.

        Args:
            rate: factor of the learning rate.
            grad_norm: gradient norm of the last step.

        Raises:
            FloatingPointError: a value is not finite.
        """
        run = self.run
        losses = run.meter.take(lambda x: run.accelerator.reduce(x, "sum"))
        values = {"rate": rate * run.config.learning_rate, "grad_norm": float(grad_norm), **losses}
        _check_finite(values, run.step)
        speed = self._clips / max(1e-9, time.monotonic() - self._since)
        self._clips, self._since = 0, time.monotonic()
        if self.log is not None:
            clock = {"clips_per_second": round(speed, 2), "minutes": round(run.minutes, 3)}
            if (mfu := run.utilization.mfu(speed / run.global_batch * run.config.accumulate)) is not None:
                clock["mfu"] = round(mfu, 4)
            self.log.write("train", run.step, {**values, "global_batch": run.global_batch, **clock})
            self.bar.set_postfix_str(_summarize(values) + f" {speed:.0f} clips/s")

    def record_validation(self, values: dict[str, float]) -> None:
        """Write a line with validation losses, if there are any."""
        if self.log is not None and values:
            self.log.write("validation", self.run.step, values)
        self.run.processes.barrier()
        # Neither the time of the validation nor the clips before it count for the throughput.
        self._clips, self._since = 0, time.monotonic()

    def close(self) -> None:
        """Close the bar and the log."""
        self.bar.close()
        if self.log is not None:
            self.log.close()


def _check_finite(values: dict[str, float], step: int) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{name} is {value} at step {step}: training has diverged; resume the last checkpoint with a lower learning rate"
            )


def _summarize(values: dict[str, float]) -> str:
    return " ".join(f"{name[5:]} {value:.4f}" for name, value in values.items() if name.startswith("loss/"))
