"""The joint contrastive loss of CMMD (section 3.3): denoise true pairs well and mismatched pairs badly."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sonovid.core import renamed
from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.geometry import count
from sonovid.diffusion.objective import LossOutput, MultiTaskObjective, PairComparison, RandomDraw, unpack_batch

NEGATIVE_KINDS = ("shift", "segment", "swap")


@dataclass(frozen=True)
class CropWindow:
    """The position of a clip within a longer crop, in latent steps (axis 2 of the latents).

    Args:
        start: steps of each stream before the clip.
        length: steps of each stream in the clip.
        rate: latent steps per second of each stream.
    """

    start: AV
    length: AV
    rate: AV

    def __call__(self, crop: AV) -> AV:
        """Cut the clip out of the latents of a crop."""
        return crop.map(lambda x, first, count: x[:, :, first : first + count], self.start, self.length)


def gather_windows(x: Float[Tensor, "b c l *rest"], start: Int[Tensor, "b"], length: int) -> Float[Tensor, "b c length *rest"]:
    """Cut a window of `length` steps of axis 2 out of each sample.

    Args:
        x: latents.
        start: first step of the window of each sample. Windows do not wrap around.
        length: steps of a window.
    """
    steps = start[:, None] + torch.arange(length, device=x.device)
    steps = steps.reshape(len(x), 1, length, *[1] * (x.ndim - 3)).expand(-1, x.shape[1], -1, *x.shape[3:])
    return x.gather(2, steps)


def splice(
    own: Float[Tensor, "b c l *rest"], other: Float[Tensor, "b c l *rest"], split: Int[Tensor, "b"], other_first: Tensor
) -> Float[Tensor, "b c l *rest"]:
    """Join two latents at a step of axis 2.

    Args:
        own: latents of the sample.
        other: latents of another sample.
        split: the step at which each sample changes from one to the other.
        other_first: True [b] where the part before `split` is the other's.
    """
    before = torch.arange(own.shape[2], device=own.device) < split[:, None]
    from_other = before == other_first[:, None]
    return torch.where(from_other.reshape(len(own), 1, own.shape[2], *[1] * (own.ndim - 3)), other, own)


class Negatives(NamedTuple):
    """Negatives of both streams: clean latents [k b c ...] and noise of the same shape."""

    x0: AV
    eps: AV


@dataclass(frozen=True, kw_only=True)
class ContrastiveObjective:
    """The joint contrastive objective L(a, v) - eta E L(a-, v) - eta E L(a, v-) (CMMD, eq. 9, algorithm 1).

    L is the loss of a pair under `base`, summed over both streams. A negative has its own noise and the time of its pair; the
    stream beside it keeps its noise. The regression target of a negative stream is its own. All pairs go through the network as
    one batch of 1 + 2 count parts.

    The loss is unbounded below. Use it with a small eta, and to fine-tune a trained network.

    Args:
        base: the objective of a pair.
        window: the position of the clip in its crop.
        kinds: relative frequency of each kind of negative. "shift": the stream shifted forward or backward within the longer
            crop, by a number of latent steps drawn from those nearest to `shift_seconds`. "segment": another sample's latents up
            to a random step, or from it on. "swap": all of another sample's latents.
        shift_seconds: smallest and largest shift.
        count: negatives of each stream for each sample.
        eta: weight of both negative terms, see `weights`.

    Deviation: the paper shifts by 2 to 4 frames, which it also gives as 200 to 400 ms. Here audio shifts by its own, finer steps,
    with the durations rounded to them.
    """

    base: MultiTaskObjective
    window: CropWindow
    kinds: Mapping[str, float | int] = field(default_factory=lambda: {"shift": 1.0})
    shift_seconds: tuple[float | int, float | int] = (0.2, 0.4)
    count: int = 1
    eta: float | int = 5e-5

    def __post_init__(self) -> None:
        if (
            not set(self.kinds) <= set(NEGATIVE_KINDS)
            or min(self.kinds.values(), default=-1) < 0
            or sum(self.kinds.values()) <= 0
        ):
            raise ValueError(
                f"kinds={dict(self.kinds)}: expected frequencies of {', '.join(NEGATIVE_KINDS)}, none below 0 and not all 0"
            )
        if self.count < 1:
            raise ValueError(f"count={self.count}: expected at least one negative of each stream")
        if not 0 < self.shift_seconds[0] <= self.shift_seconds[1]:
            raise ValueError(f"shift_seconds={self.shift_seconds}: expected the smallest and the largest shift, above zero")
        for name, rate, begin in zip(AV._fields, self.window.rate, self.window.start, strict=True):
            if not self.kinds.get("shift"):
                break
            if count(self.shift_seconds[0], rate) == 0:
                raise ValueError(
                    f"a shift of {self.shift_seconds[0]} s rounds to 0 latent steps of {name}, at {float(rate):g} steps per "
                    "second: use a larger shift"
                )
            self._check_margin(name, rate, begin, "before")

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the negative losses in the total loss, by name."""
        return {"negative_video": -float(self.eta), "negative_audio": -float(self.eta)}

    def __call__(self, model: Callable[..., Any], batch: Any, generator: torch.Generator) -> LossOutput:
        """Losses of one batch.

        Args:
            model: the joint network.
            batch: `x0`, an AV of whitened latents of crops that extend beyond the clip on both sides, and `condition`.
            generator: source of all random draws.

        Returns:
            "video" and "audio": losses of the true pairs. "negative_video" and "negative_audio": L(a, v-) and L(a-, v), summed
            over both streams and averaged over `count`. `weights` combines them.

        Raises:
            ValueError: the margin of the crop is shorter than a shift, or the batch has no other sample to swap with.
        """
        crop, condition = unpack_batch(batch)
        x0 = self.window(crop)
        drawn, negatives = self.base.draw(x0, generator), self.draw(crop, generator)
        return self.compute_losses(drawn, negatives, model, x0, condition)

    def draw(self, crop: AV, generator: torch.Generator) -> Negatives:
        """Draw negatives of both streams for each sample of a batch of crops."""
        clean = [self._negatives(i, crop[i], generator) for i in range(2)]
        eps = [torch.randn(x.shape, generator=generator, device=generator.device).to(x) for x in clean]
        return Negatives(AV(*clean), AV(*eps))

    def compute_losses(
        self, drawn: RandomDraw, negatives: Negatives, model: Callable[..., Any], x0: AV, condition: Condition
    ) -> LossOutput:
        """Losses for given random draws."""
        b, k = len(x0.video), self.count
        parts = 1 + 2 * k

        def stack_pairs(own: AV, other: AV) -> AV:
            """True pairs, then pairs with negative audio, then pairs with negative video."""
            video = torch.cat([own.video, *[own.video] * k, *other.video])
            return AV(video, torch.cat([own.audio, *other.audio, *[own.audio] * k]))

        many = RandomDraw(
            generated=drawn.generated.map(lambda g: g.repeat(parts)),
            times=drawn.times.map(lambda t: t.repeat(parts)),
            eps=stack_pairs(drawn.eps, negatives.eps),
            drop_text=drawn.drop_text.repeat(parts),
            self_conditioned=drawn.self_conditioned.repeat(parts),
        )
        scored = self.base.compute_losses(many, model, stack_pairs(x0, negatives.x0), _repeat_condition(condition, parts))
        losses = {name: loss[:b] for name, loss in scored.losses.items()}
        # A conditioning stream has no loss (NaN) and adds nothing to that of its pair.
        pairs = torch.stack([scored.losses[name] for name in AV._fields]).nansum(0)[b:].reshape(2, k, b).mean(1)
        return LossOutput({**losses, "negative_audio": pairs[0], "negative_video": pairs[1]}, drawn.times)

    @torch.no_grad()
    def compare_shuffled(self, model: Callable[..., Any], batch: Any, generator: torch.Generator) -> PairComparison:
        """Compare the base losses of true and of shuffled pairs, see `MultiTaskObjective.compare_shuffled`."""
        crop, condition = unpack_batch(batch)
        return self.base.compare_shuffled(model, {"x0": self.window(crop), "condition": condition}, generator)

    def _negatives(self, i: int, crop: Tensor, generator: torch.Generator) -> Tensor:
        """Negatives of one stream, [k b c l ...]."""
        name, start, length, rate = AV._fields[i], self.window.start[i], self.window.length[i], self.window.rate[i]
        if len(crop) < 2 and (self.kinds.get("segment") or self.kinds.get("swap")):
            raise ValueError("a batch of 1 has no other sample to swap with: use at least 2 samples, or only the kind 'shift'")
        if self.kinds.get("shift"):
            self._check_margin(name, rate, crop.shape[2] - start - length, "after")
        return torch.stack([self._draw_negative(crop, start, length, rate, generator) for _ in range(self.count)])

    def _draw_negative(self, crop: Tensor, start: int, length: int, rate: "Fraction | int", generator: torch.Generator) -> Tensor:
        """One negative for each sample, [b c l ...]."""
        b, device = len(crop), crop.device
        u = torch.rand(6, b, generator=generator, device=generator.device).to(device)

        def to_integer(u: Tensor, n: int) -> Tensor:
            """Uniform u in [0, 1) to a uniform integer in 0 ... n - 1."""
            return (u * n).long().clamp(max=max(0, n - 1))

        least, most = (count(seconds, rate) for seconds in self.shift_seconds)
        steps = (least + to_integer(u[0], most - least + 1)) * torch.where(u[1] < 0.5, 1, -1)
        own = crop[:, :, start : start + length]
        other = own[(torch.arange(b, device=device) + 1 + to_integer(u[2], b - 1)) % b]
        kinds: dict[str, Callable[[], Tensor]] = {
            "shift": lambda: gather_windows(crop, start + steps, length),
            "segment": lambda: splice(own, other, 1 + to_integer(u[3], length - 1), u[4] < 0.5),
            "swap": lambda: other,
        }
        shares = torch.tensor(list(self.kinds.values()), dtype=torch.float64).cumsum(0)
        which = torch.bucketize(u[5], (shares / shares[-1]).float().to(device), right=True).clamp(max=len(shares) - 1)
        negative = own
        for index, (kind, share) in enumerate(self.kinds.items()):
            if share:
                here = (which == index).reshape(-1, *[1] * (own.ndim - 1))
                negative = torch.where(here, kinds[kind](), negative)
        return negative

    def _check_margin(self, name: str, rate: "Fraction | int", margin: int, side: str) -> None:
        most = count(self.shift_seconds[1], rate)
        if most > margin:
            raise ValueError(
                f"a shift of up to {self.shift_seconds[1]} s is {most} latent steps of {name}, but the crop has {margin} {side} "
                "the clip: use a longer margin or a shorter shift"
            )


def _repeat_condition(condition: Condition, times: int) -> Condition:
    """The text of a batch, repeated. `generated` is set later, from the random draw."""
    text, mask = (torch.cat([value] * times) for value in (condition.text, condition.text_mask))
    return replace(condition, text=text, text_mask=mask)


__getattr__ = renamed.attributes(
    __name__,
    {
        "Contrastive": "ContrastiveObjective",
        "KINDS": "NEGATIVE_KINDS",
        "Middle": "CropWindow",
        "spliced": "splice",
        "windows": "gather_windows",
    },
)
