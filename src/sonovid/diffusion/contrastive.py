"""The joint contrastive loss: true pairs denoised well, pairs that do not belong together badly (CMMD, section 3.3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.geometry import count
from sonovid.diffusion.objective import RandomDraw, MultiTaskObjective, PairComparison, LossOutput, unpack_batch

NEGATIVE_KINDS = ("shift", "segment", "swap")


@dataclass(frozen=True)
class CropWindow:
    """Where a clip lies in the longer crop that its latents were made of.

    start, length: latent steps of each stream (axis 2) before the clip, and in it. rate: latent steps per second.
    """

    start: AV
    length: AV
    rate: AV

    def __call__(self, crop: AV) -> AV:
        """The clip itself."""
        return crop.map(lambda x, first, count: x[:, :, first : first + count], self.start, self.length)


def gather_windows(x: Float[Tensor, "b c l *rest"], start: Int[Tensor, "b"], length: int) -> Float[Tensor, "b c length *rest"]:
    """From each sample the `length` steps of axis 2 that begin at its own start; nothing wraps round."""
    steps = start[:, None] + torch.arange(length, device=x.device)
    steps = steps.reshape(len(x), 1, length, *[1] * (x.ndim - 3)).expand(-1, x.shape[1], -1, *x.shape[3:])
    return x.gather(2, steps)


def splice(
    own: Float[Tensor, "b c l *rest"], other: Float[Tensor, "b c l *rest"], split: Int[Tensor, "b"], other_first: Tensor
) -> Float[Tensor, "b c l *rest"]:
    """The beginning of one and the rest of the other, from step `split` on; `other_first` [b] says which begins."""
    before = torch.arange(own.shape[2], device=own.device) < split[:, None]
    from_other = before == other_first[:, None]
    return torch.where(from_other.reshape(len(own), 1, own.shape[2], *[1] * (own.ndim - 3)), other, own)


class Negatives(NamedTuple):
    """Negatives of both streams, clean, [k b c ...], and a noise for each of them."""

    x0: AV
    eps: AV


@dataclass(frozen=True, kw_only=True)
class ContrastiveObjective:
    """L(a, v) - eta E L(a-, v) - eta E L(a, v-), with L the plain loss of a pair, both streams (CMMD, eq. 9, algorithm 1).

    A negative has a noise of its own and the time of its pair; the stream it is put beside keeps its noise. What a negative's
    stream is asked for is its own target. All pairs go through the network as one batch of 1 + 2 count parts.

    plain: the loss of a pair. middle: where the clip lies in its crop. kinds: how often each kind of negative is drawn:
        "shift": the stream moved forward or backward, out of the longer crop, by a number of its latent steps drawn from those
        nearest to `seconds`;
        "segment": up to a random step, or from it on, another sample's; "swap": another sample's altogether.
    seconds: least and most of a shift. count: negatives of each stream for each sample.
    eta: the weight of each of both terms, see `weights`.

    Deviation: the paper moves by 2 to 4 frames, which it also gives as 200 to 400 ms. Sound moves by its own, finer steps, the
    times rounded to them.

    The loss is bounded by nothing from below: it is for small eta only, and for networks that are trained already.
    """

    plain: MultiTaskObjective
    middle: CropWindow
    kinds: Mapping[str, float | int] = field(default_factory=lambda: {"shift": 1.0})
    seconds: tuple[float | int, float | int] = (0.2, 0.4)
    count: int = 1
    eta: float | int = 5e-5

    def __post_init__(self) -> None:
        if not set(self.kinds) <= set(NEGATIVE_KINDS) or min(self.kinds.values(), default=-1) < 0 or sum(self.kinds.values()) <= 0:
            raise ValueError(f"kinds={dict(self.kinds)}: expected shares of {', '.join(NEGATIVE_KINDS)}, at least 0 and not all of them 0")
        if self.count < 1:
            raise ValueError(f"count={self.count}: expected at least one negative of each stream")
        if not 0 < self.seconds[0] <= self.seconds[1]:
            raise ValueError(f"seconds={self.seconds}: expected the least and the most of a shift, above zero")
        for name, rate, begin in zip(AV._fields, self.middle.rate, self.middle.start, strict=True):
            if not self.kinds.get("shift"):
                break
            if count(self.seconds[0], rate) == 0:
                raise ValueError(
                    f"a shift of {self.seconds[0]} s is no latent step of {name}, of which there are {float(rate):g} in a second"
                )
            self._check_margin(name, rate, begin, "before")

    @property
    def weights(self) -> dict[str, float]:
        """What the named losses weigh in the sum that is trained on."""
        return {"negative_video": -float(self.eta), "negative_audio": -float(self.eta)}

    def __call__(self, model: Callable[..., Any], batch: Any, generator: torch.Generator) -> LossOutput:
        """Losses of one batch whose `x0` holds crops, an AV of final latents longer than the clip on both sides.

        "video" and "audio" are those of the true pairs, "negative_video" and "negative_audio" L(a, v-) and L(a-, v), each the sum
        over both streams and the mean over `count`. Their `weights` make them the loss.

        Raises:
            ValueError: the crop's margin is shorter than a shift, or there is no other sample to take a part from.
        """
        crop, condition = unpack_batch(batch)
        x0 = self.middle(crop)
        drawn, negatives = self.plain.draw(x0, generator), self.draw(crop, generator)
        return self.at(drawn, negatives, model, x0, condition)

    def draw(self, crop: AV, generator: torch.Generator) -> Negatives:
        """Negatives of both streams for each sample of a batch of crops."""
        made = [self._negatives(i, crop[i], generator) for i in range(2)]
        eps = [torch.randn(x.shape, generator=generator, device=generator.device).to(x) for x in made]
        return Negatives(AV(*made), AV(*eps))

    def at(self, drawn: RandomDraw, negatives: Negatives, model: Callable[..., Any], x0: AV, condition: Condition) -> LossOutput:
        """Losses with everything random drawn already."""
        b, k = len(x0.video), self.count
        parts = 1 + 2 * k

        def beside(own: AV, other: AV) -> AV:
            """The true pair, then pairs with a negative sound, then pairs with negative pictures."""
            video = torch.cat([own.video, *[own.video] * k, *other.video])
            return AV(video, torch.cat([own.audio, *other.audio, *[own.audio] * k]))

        many = RandomDraw(
            generated=drawn.generated.map(lambda g: g.repeat(parts)),
            times=drawn.times.map(lambda t: t.repeat(parts)),
            eps=beside(drawn.eps, negatives.eps),
            without_text=drawn.without_text.repeat(parts),
            self_conditioned=drawn.self_conditioned.repeat(parts),
        )
        scored = self.plain.at(many, model, beside(x0, negatives.x0), _repeated(condition, parts))
        losses = {name: loss[:b] for name, loss in scored.losses.items()}
        # A stream that is given is not scored, and adds nothing to the loss of its pair.
        pairs = torch.stack([scored.losses[name] for name in AV._fields]).nansum(0)[b:].reshape(2, k, b).mean(1)
        return LossOutput({**losses, "negative_audio": pairs[0], "negative_video": pairs[1]}, drawn.times)

    @torch.no_grad()
    def paired_and_shuffled(self, model: Callable[..., Any], batch: Any, generator: torch.Generator) -> PairComparison:
        """The plain loss of true pairs beside that of shuffled ones, see `MultiTask.paired_and_shuffled`."""
        crop, condition = unpack_batch(batch)
        return self.plain.paired_and_shuffled(model, {"x0": self.middle(crop), "condition": condition}, generator)

    def _negatives(self, i: int, crop: Tensor, generator: torch.Generator) -> Tensor:
        """Negatives of one stream, [k b c l ...]."""
        name, start, length, rate = AV._fields[i], self.middle.start[i], self.middle.length[i], self.middle.rate[i]
        if len(crop) < 2 and (self.kinds.get("segment") or self.kinds.get("swap")):
            raise ValueError("a batch of 1 has no other sample to swap with: give at least 2 samples, or shifts alone")
        if self.kinds.get("shift"):
            self._check_margin(name, rate, crop.shape[2] - start - length, "after")
        return torch.stack([self._one(crop, start, length, rate, generator) for _ in range(self.count)])

    def _one(self, crop: Tensor, start: int, length: int, rate: "Fraction | int", generator: torch.Generator) -> Tensor:
        """One negative for each sample, [b c l ...]."""
        b, device = len(crop), crop.device
        u = torch.rand(6, b, generator=generator, device=generator.device).to(device)

        def whole(u: Tensor, n: int) -> Tensor:
            """0 ... n - 1, alike often."""
            return (u * n).long().clamp(max=max(0, n - 1))

        least, most = (count(seconds, rate) for seconds in self.seconds)
        steps = (least + whole(u[0], most - least + 1)) * torch.where(u[1] < 0.5, 1, -1)
        own = crop[:, :, start : start + length]
        other = own[(torch.arange(b, device=device) + 1 + whole(u[2], b - 1)) % b]
        makers: dict[str, Callable[[], Tensor]] = {
            "shift": lambda: gather_windows(crop, start + steps, length),
            "segment": lambda: splice(own, other, 1 + whole(u[3], length - 1), u[4] < 0.5),
            "swap": lambda: other,
        }
        shares = torch.tensor(list(self.kinds.values()), dtype=torch.float64).cumsum(0)
        which = torch.bucketize(u[5], (shares / shares[-1]).float().to(device), right=True).clamp(max=len(shares) - 1)
        negative = own
        for index, (kind, share) in enumerate(self.kinds.items()):
            if share:
                here = (which == index).reshape(-1, *[1] * (own.ndim - 1))
                negative = torch.where(here, makers[kind](), negative)
        return negative

    def _check_margin(self, name: str, rate: "Fraction | int", margin: int, side: str) -> None:
        most = count(self.seconds[1], rate)
        if most > margin:
            raise ValueError(
                f"a shift of up to {self.seconds[1]} s is {most} latent steps of {name}, but the crop has {margin} {side} "
                "the clip: take a longer margin or a shorter shift"
            )


def _repeated(condition: Condition, times: int) -> Condition:
    """The words of a batch, one copy after the other; what is generated is drawn, and so put in later."""
    text, mask = (torch.cat([value] * times) for value in (condition.text, condition.text_mask))
    return replace(condition, text=text, text_mask=mask)
