"""Objectives of MM-LDM (section 3.3): joint and cross-modal generation and continuation by one network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from sonovid.core import renamed
from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.diffusion.losses import mean_squared_error
from sonovid.diffusion.objective import LossOutput, MultiTaskObjective, PairComparison, RandomDraw, unpack_batch
from sonovid.diffusion.schedule import add_noise, training_target


def _mostly_joint() -> dict[Task, float]:
    return {Task.JOINT: 0.9, Task.VIDEO_TO_AUDIO: 0.05, Task.AUDIO_TO_VIDEO: 0.05}


@dataclass(frozen=True, kw_only=True)
class CrossModalObjective(MultiTaskObjective):
    """Regression of `predict` in both streams, noised to one shared time (MM-LDM, section 3.3).

    The conditioning stream is noised too, and its clean latents are passed to the network beside it. Both losses count for every
    task, as plain mean squares. The network takes `conditioning`, an AV of clean latents or zeros, and `drop_context`, True [b]
    where it uses its null context.

    Args:
        tasks: relative frequency of each task; by default 5 % of the samples for each direction.
        text_dropout: share of samples with the null context, of whichever kind the context is.

    See `MultiTaskObjective` for the other arguments.

    Deviation: eq. 8 halves unsquared norms, which gives gradients of another scale, and no learning rate for them was published.
    Like DDPM and the released code, this uses mean squares. Deviation: the released code gives a stream only where it keeps the
    context, and then guides against (null context, conditioning stream), which it never trained. Here both are independent,
    so all four combinations occur.
    """

    tasks: Mapping[Task, float | int] = field(default_factory=_mostly_joint)
    text_dropout: float | int = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.self_conditioning or self.snr_gamma is not None or self.vlb_weight:
            raise ValueError("CrossModalObjective: self_conditioning, snr_gamma and vlb_weight are not supported: leave them out")
        distribution = self.time_distribution
        if self.times != "shared" or distribution.video != distribution.audio or self.task_time_distributions:
            raise ValueError(
                "CrossModalObjective: both streams share one time: leave out times and task_time_distributions, and give both "
                "streams the same time_distribution"
            )

    def compute_losses(self, drawn: RandomDraw, model: Callable[..., Any], x0: AV, condition: Condition) -> LossOutput:
        """Losses for given random draws."""
        # A conditioning stream was drawn at time zero; here it takes the time of the generated one.
        time = torch.maximum(drawn.times.video, drawn.times.audio)
        times = AV(time, time)
        x = self.schedule.map(add_noise, x0, drawn.eps, times)
        clean = x0.map(lambda z, g: z.masked_fill(g.reshape(-1, *[1] * (z.ndim - 1)), 0.0), drawn.generated)
        condition = replace(condition, generated=drawn.generated)
        prediction = model(x, times, condition, None, conditioning=clean, drop_context=drawn.drop_text).prediction
        target = self.schedule.map(lambda sch, *rest: training_target(sch, self.predict, *rest), x0, drawn.eps, times)
        return LossOutput(prediction.map(mean_squared_error, target)._asdict(), times)


@dataclass(frozen=True, kw_only=True)
class ContinuationObjective(CrossModalObjective):
    """`CrossModalObjective` for the second of two consecutive windows, with the first as a condition (MM-LDM, section 4.4).

    The network also takes `previous_window`: clean latents of the first window, zeros where they are dropped.

    Args:
        without_video: share of samples without the video of the first window (audio continuation).
        without_audio: share of samples without its audio (video continuation).
        alone: share of samples without both, which trains the generation of first windows. The three shares are disjoint.

    Deviation: of the release only the two shares of 0.2 are known; it generates first windows from two streams of zeros. Here 0.1
    of the samples are trained that way, so that the same network also generates first windows.
    """

    without_video: float | int = 0.2
    without_audio: float | int = 0.2
    alone: float | int = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = self.without_video, self.without_audio, self.alone
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(
                f"without_video={shares[0]}, without_audio={shares[1]}, alone={shares[2]}: expected shares from 0, with a sum of "
                "at most 1"
            )

    def __call__(self, model: Callable[..., Any], batch: Any, generator: torch.Generator) -> LossOutput:
        """Losses of one batch.

        Args:
            model: the joint network.
            batch: `x0` and `condition` of second windows, and `previous_window`, an AV of whitened latents of the first windows.
            generator: source of all random draws.
        """
        return super().__call__(self._with_previous_window(model, batch, generator), batch, generator)

    def compare_shuffled(self, model: Callable[..., Any], batch: Any, generator: torch.Generator) -> PairComparison:
        """See `MultiTaskObjective.compare_shuffled`. The previous window stays that of the unshuffled sample."""
        return super().compare_shuffled(self._with_previous_window(model, batch, generator), batch, generator)

    def _with_previous_window(self, model: Callable[..., Any], batch: Any, generator: torch.Generator) -> Callable[..., Any]:
        """The network with its argument `previous_window` filled in."""
        x0, _ = unpack_batch(batch)
        previous = batch["previous_window"] if isinstance(batch, Mapping) else batch.previous_window
        kept = self.draw_kept(len(x0.video), generator)
        shown = previous.map(lambda z, k: z.masked_fill(~k.to(z.device).reshape(-1, *[1] * (z.ndim - 1)), 0.0), kept)
        return partial(model, previous_window=shown)

    def draw_kept(self, b: int, generator: torch.Generator) -> AV:
        """For each stream True [b] where the network sees the previous window."""
        u = torch.rand(b, generator=generator, device=generator.device)
        first, second, third = self.without_video, self.without_video + self.without_audio, self.alone
        neither = (u >= second) & (u < second + third)
        return AV(~((u < first) | neither), ~(((u >= first) & (u < second)) | neither))


__getattr__ = renamed.attributes(__name__, {"CrossModal": "CrossModalObjective", "FollowingCrossModal": "ContinuationObjective"})
