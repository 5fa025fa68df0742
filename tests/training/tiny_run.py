"""A tiny run for the tests of the loop: a pair of correlated vectors and a denoiser with dropout.

Run as a script where it is to be killed or distributed.
"""

import argparse
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from sonovid.core.av import AV
from sonovid.training.config import TrainingConfig
from sonovid.training.job import Job
from sonovid.training.loop import train


class Tiny(ModelMixin, ConfigMixin):
    """A network from two vectors and their times to two vectors."""

    _no_split_modules: ClassVar[list[str]] = ["Linear"]

    @register_to_config
    def __init__(self, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(10, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, 8))
        self.never_used = nn.Linear(2, 2)

    def forward(self, x: AV, t: AV) -> AV:
        both = self.layers(torch.cat([x.video, x.audio, t.video[:, None], t.audio[:, None]], 1))
        return AV(*both.chunk(2, 1))


@dataclass(frozen=True)
class Output:
    losses: dict[str, Tensor]
    times: AV | None = None
    discriminator_input: dict | None = None


@dataclass(frozen=True)
class Flow:
    """Rectified flow of the pair. In one of three samples the video is a condition without loss."""

    kill_in_call: int = 0
    by: int = signal.SIGKILL
    calls: list = None  # type: ignore[assignment]

    def __call__(self, model, batch, generator) -> Output:
        if self.kill_in_call:
            self.calls.append(None)
            if len(self.calls) == self.kill_in_call:
                os.kill(os.getpid(), self.by)
        x0, given = batch["x0"], batch["index"] % 3 == 0
        t = torch.rand(len(given), generator=generator)
        times = AV(torch.where(given, 0.0, t), t)
        eps = x0.map(lambda x: torch.randn(x.shape, generator=generator))
        noisy = x0.map(lambda x, e, s: (1 - s[:, None]) * x + s[:, None] * e, eps, times)
        error = model(noisy, times).map(lambda p, x, e: (p - (e - x)).square().mean(1), x0, eps)
        return Output({"video": error.video.masked_fill(given, torch.nan), "audio": error.audio}, times)


class Pairing(NamedTuple):
    true: tuple
    shuffled: tuple


def pairs(model, batch, generator) -> Pairing:
    shuffled = {**batch, "x0": AV(batch["x0"].video, batch["x0"].audio.roll(1, 0))}
    state = generator.get_state()
    true = Flow()(model, batch, generator)
    generator.set_state(state)
    other = Flow()(model, shuffled, generator)
    return Pairing((true.losses, true.times), (other.losses, other.times))


def vectors(indices) -> dict:
    """A pair that follows from the index; the audio is the reversed and halved video."""
    video = torch.stack([torch.randn(4, generator=torch.Generator().manual_seed(i)) for i in indices])
    return {"x0": AV(video, 0.5 * video.flip(1)), "index": torch.as_tensor(list(indices))}


def job(kill_in_call: int = 0, dropout: float = 0.1, by: int = signal.SIGKILL, **settings) -> Job:
    torch.manual_seed(7)
    common = TrainingConfig(
        steps=20,
        batch_size=6,
        warm_up=4,
        log_every=3,
        checkpoint_every=5,
        validate_every=10,
        validate_size=12,
        average=0.9,
        keep=3,
    )
    return Job(
        model=Tiny(dropout=dropout),
        objective=Flow(kill_in_call, by, []),
        batch=vectors,
        size=50,
        validation=lambda indices: vectors([1000 + i for i in indices]),
        validation_size=12,
        config=replace(common, **settings),
        compare_pairs=pairs,
        recipe={"name": "tiny"},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--kill-in-call", type=int, default=0)
    parser.add_argument("--by", type=int, default=signal.SIGKILL)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--strategy", default="ddp")
    parser.add_argument("--resume")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    own = job(arguments.kill_in_call, accumulate=arguments.accumulate, by=arguments.by, strategy=arguments.strategy)
    train(own, arguments.out, resume=arguments.resume)
