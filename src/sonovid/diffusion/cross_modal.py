"""Training of one network for joint and cross-modal generation, where a given stream is noised like the other (MM-LDM, 3.3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.diffusion.losses import mean_squared_error
from sonovid.diffusion.objective import RandomDraw, MultiTaskObjective, PairComparison, LossOutput, unpack_batch
from sonovid.diffusion.schedule import add_noise, training_target


def _mostly_joint() -> dict[Task, float]:
    return {Task.JOINT: 0.9, Task.VIDEO_TO_AUDIO: 0.05, Task.AUDIO_TO_VIDEO: 0.05}


@dataclass(frozen=True, kw_only=True)
class CrossModalObjective(MultiTaskObjective):
    """Regress `predict` in both streams, noised at one time; beside a given stream its clean latents are shown, else zeros.

    tasks: 5 % of the samples for each direction. text_dropout: how often the context, of whichever kind, is taken away. The
    network takes `given`, clean latents or zeros, and `dropped`, True [b] where it is to use its null context. Both losses count
    whatever the task, with the sound's and the picture's mean squares as they are.

    Deviation: eq. 8 halves unsquared norms, a gradient of another scale that no learning rate was published for; as DDPM and
    the released code, this takes mean squares. Deviation: the released code gives a stream only where it keeps the context, and
    then guides against (null context, given stream), which it never trained; here both are drawn apart, so all four pairs occur.
    """

    tasks: Mapping[Task, float | int] = field(default_factory=_mostly_joint)
    text_dropout: float | int = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.self_conditioning or self.snr_gamma is not None or self.bound:
            raise ValueError("CrossModal: self_conditioning, snr_gamma and bound are not part of it: leave them out")
        if self.times != "shared" or self.law.video != self.law.audio or self.law_for:
            raise ValueError("CrossModal: both streams share one time: leave times, law_for, and a law for each stream out")

    def at(self, drawn: RandomDraw, model: Callable[..., Any], x0: AV, condition: Condition) -> LossOutput:
        """Losses with everything random drawn already."""
        # A given stream was drawn at time zero; it goes with the generated one.
        time = torch.maximum(drawn.times.video, drawn.times.audio)
        times = AV(time, time)
        x = self.schedule.map(add_noise, x0, drawn.eps, times)
        given = x0.map(lambda z, g: z.masked_fill(g.reshape(-1, *[1] * (z.ndim - 1)), 0.0), drawn.generated)
        condition = replace(condition, generated=drawn.generated)
        found = model(x, times, condition, None, given=given, dropped=drawn.without_text).prediction
        wanted = self.schedule.map(lambda sch, *rest: training_target(sch, self.predict, *rest), x0, drawn.eps, times)
        return LossOutput(found.map(mean_squared_error, wanted)._asdict(), times)


@dataclass(frozen=True, kw_only=True)
class ContinuationObjective(CrossModalObjective):
    """The same for the second of two consecutive windows, the first being shown (MM-LDM, section 4.4, long video).

    The network takes `before` too: clean latents of the first window, zeros for what is not shown. without_video, without_audio:
    how often the pictures before, or the sound before, are zeros, which makes audio and video continuation; alone: how often both
    are, which is how a first window is made. No sample has two of the three.

    Deviation: of the release only the two shares of a fifth are known; it makes first windows from two streams of zeros. Here a
    tenth of the samples is trained so, that one network makes first windows too.
    """

    without_video: float | int = 0.2
    without_audio: float | int = 0.2
    alone: float | int = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = self.without_video, self.without_audio, self.alone
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(
                f"without_video={shares[0]}, without_audio={shares[1]}, alone={shares[2]}: expected shares from 0, of 1 at most "
                "in all"
            )

    def __call__(self, model: Callable[..., Any], batch: Any, generator: torch.Generator) -> LossOutput:
        """Losses of one batch with `x0` and `condition`, of second windows, and `before`, an AV of final latents of the first."""
        return super().__call__(self._following(model, batch, generator), batch, generator)

    def paired_and_shuffled(self, model: Callable[..., Any], batch: Any, generator: torch.Generator) -> PairComparison:
        """As for single windows; what came before stays that of the sample whose noise it is."""
        return super().paired_and_shuffled(self._following(model, batch, generator), batch, generator)

    def _following(self, model: Callable[..., Any], batch: Any, generator: torch.Generator) -> Callable[..., Any]:
        """The network with what it is shown of the windows before."""
        x0, _ = unpack_batch(batch)
        before = batch["before"] if isinstance(batch, Mapping) else batch.before
        kept = self.kept(len(x0.video), generator)
        shown = before.map(lambda z, k: z.masked_fill(~k.to(z.device).reshape(-1, *[1] * (z.ndim - 1)), 0.0), kept)
        return partial(model, before=shown)

    def kept(self, b: int, generator: torch.Generator) -> AV:
        """Which samples are shown the pictures before, and which the sound before."""
        u = torch.rand(b, generator=generator, device=generator.device)
        first, second, third = self.without_video, self.without_video + self.without_audio, self.alone
        neither = (u >= second) & (u < second + third)
        return AV(~((u < first) | neither), ~(((u >= first) & (u < second)) | neither))
