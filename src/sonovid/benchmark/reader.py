"""A network trained on scenes that reads events out of pictures, and what is shown out of both streams.

It is the yardstick of generated pictures: at eight frames a second peaks of motion say little about when something was struck.
It learns on true frames, on the same through an autoencoder, and on true sound; it never sees a generated clip.
"""

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Float32, UInt8
from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from sonovid.codecs.mel import LogMel
from sonovid.core import atomic

# What the network reads: pictures of 64x64, and sound at 16 kHz.
SIZE, SAMPLE_RATE = 64, 16000
# An event is placed in one of so many parts of a frame.
BINS_PER_FRAME = 2
WEIGHTS = Path(__file__).parent / "reader.safetensors"


class EventReader(nn.Module):
    """Frames [b 3 t 64 64] in [-1, 1] and log-mel frames [b 64 l] to logits of an event in each half frame and of attributes.

    Args:
        classes: the values of each attribute, by its name.
        width: channels of the layers over time.
    """

    def __init__(self, classes: Mapping[str, Sequence[str]], width: int = 64):
        super().__init__()
        self.classes = {name: list(values) for name, values in classes.items()}
        self.frames = nn.Sequential(
            nn.Conv2d(5, 24, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(24, 32, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(32, width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 16, 1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(16 * (SIZE // 8) ** 2, 2 * width),
        )
        self.time = nn.ModuleList(nn.Conv1d(2 * width, 2 * width, 3, padding=1) for _ in range(3))
        self.events = nn.Conv1d(2 * width, BINS_PER_FRAME, 3, padding=1)
        self.sound = nn.Sequential(
            nn.Conv1d(64, width, 5, stride=2, padding=2), nn.SiLU(), nn.Conv1d(width, width, 5, stride=2, padding=2), nn.SiLU()
        )
        self.heads = nn.ModuleDict({name: nn.Linear(3 * width, len(values)) for name, values in self.classes.items()})

    def forward(
        self, frames: Float[Tensor, "b 3 t h w"], mel: Float[Tensor, "b f l"]
    ) -> tuple[Float[Tensor, "b k"], dict[str, Float[Tensor, "b _"]]]:
        """Logits [b 2t] of events, and [b classes] of each attribute."""
        grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n) for n in frames.shape[-2:]], indexing="ij"))
        flat = rearrange(frames, "b c t h w -> (b t) c h w")
        h = self.frames(torch.cat([flat, grid.expand(len(flat), -1, -1, -1)], 1))
        h = rearrange(h, "(b t) d -> b d t", b=len(frames))
        for layer in self.time:
            h = h + F.silu(layer(h))
        heard = self.sound((mel + 3) / 3).amax(-1)
        both = torch.cat([h.mean(-1), heard], 1)
        return rearrange(self.events(h), "b k t -> b (t k)"), {name: head(both) for name, head in self.heads.items()}


def log_mel() -> LogMel:
    """The spectrogram that the reader hears: 64 bands every 250 samples at 16 kHz."""
    return LogMel(hop=250, floor=1e-3)


def to_input(frames: UInt8[np.ndarray, "b t h w 3"]) -> Float[Tensor, "b 3 t h w"]:
    """Frames in [-1, 1]."""
    return rearrange(torch.from_numpy(frames).float() / 127.5 - 1, "b t h w c -> b c t h w")


@torch.inference_mode()
def read_events(reader: EventReader, frames: UInt8[np.ndarray, "t h w 3"], fps: Fraction) -> list[float]:
    """Times in seconds of the events that the reader finds in pictures alone: the middles of the likeliest half frames."""
    seconds = len(frames) / float(fps)
    silence = log_mel()(torch.zeros(1, round(seconds * SAMPLE_RATE)))
    likely = reader(to_input(frames[None]), silence)[0][0].sigmoid().numpy()
    padded = np.concatenate([[0], likely, [0]])
    peak = (padded[1:-1] > 0.5) & (padded[1:-1] >= padded[:-2]) & (padded[1:-1] > padded[2:])
    return [float((k + 0.5) / (fps * BINS_PER_FRAME)) for k in np.flatnonzero(peak)]


@torch.inference_mode()
def read_attributes(
    reader: EventReader, frames: UInt8[np.ndarray, "t h w 3"], waveform: Float32[np.ndarray, "n"]
) -> dict[str, str]:
    """The likeliest value of each attribute of a clip; waveform: one channel at 16 kHz."""
    _, logits = reader(to_input(frames[None]), log_mel()(torch.from_numpy(np.ascontiguousarray(waveform))[None]))
    return {name: reader.classes[name][int(value.argmax())] for name, value in logits.items()}


def save(reader: EventReader, path: Path, about: Mapping[str, float | int]) -> None:
    """Write a reader in half precision, with its classes and what is known of it."""
    state = {name: tensor.half().contiguous() for name, tensor in reader.state_dict().items()}
    with atomic.atomic_file(path) as aside:
        aside.write_bytes(save_tensors(state, {"classes": json.dumps(reader.classes), "about": json.dumps(dict(about))}))


def load(path: Path = WEIGHTS) -> EventReader:
    """The reader whose weights lie in a file: by default the one that comes with the package.

    Raises:
        ValueError: no such file, or one of another network.
    """
    if not path.is_file():
        raise ValueError(
            f"{path}: no reader of events there; python -m benchmarks metrics.train_reader --out FILE makes one in minutes"
        )
    with safe_open(path, "pt") as file:
        about = file.metadata() or {}
    if "classes" not in about:
        raise ValueError(f"{path}: holds no reader of events: its classes are not named")
    reader = EventReader(json.loads(about["classes"]))
    reader.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return reader.eval().requires_grad_(False)


@cache
def packaged() -> EventReader:
    """The packaged reader, read once."""
    return load()
