"""The event reader: a network that detects events in video, and recognises attributes of a scene in both streams.

It is used to score generated video, because at eight frames per second peaks of motion do not locate impacts. It was trained on
true frames, on their reconstructions by an autoencoder, and on true audio, but not on generated clips.
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

# The network's input: frames of 64x64, and audio at 16 kHz.
SIZE, SAMPLE_RATE = 64, 16000
# Frames per second of the scenes that it was trained on. Clips of other rates are read at this one.
FPS = Fraction(8)
# Temporal resolution of events, in bins per frame.
BINS_PER_FRAME = 2
WEIGHTS = Path(__file__).parent / "reader.safetensors"


class EventReader(nn.Module):
    """Frames [b 3 t 64 64] in [-1, 1] and log-mel [b 64 l] to logits of events in each half frame and of attributes.

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
    """The reader's spectrogram: 64 bands every 250 samples at 16 kHz."""
    return LogMel(hop=250, floor=1e-3)


def to_input(frames: UInt8[np.ndarray, "b t h w 3"]) -> Float[Tensor, "b 3 t h w"]:
    """Convert uint8 frames to [-1, 1]."""
    return rearrange(torch.from_numpy(frames).float() / 127.5 - 1, "b t h w c -> b c t h w")


@torch.inference_mode()
def read_events(reader: EventReader, frames: UInt8[np.ndarray, "t h w 3"], fps: Fraction) -> list[float]:
    """Detect events in video: the times in seconds of the most likely half frames."""
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
    """Recognise the attributes of a clip; waveform: mono at 16 kHz."""
    _, logits = reader(to_input(frames[None]), log_mel()(torch.from_numpy(np.ascontiguousarray(waveform))[None]))
    return {name: reader.classes[name][int(value.argmax())] for name, value in logits.items()}


def save(reader: EventReader, path: Path, about: Mapping[str, float | int]) -> None:
    """Save a reader in half precision, with its classes and metadata."""
    state = {name: tensor.half().contiguous() for name, tensor in reader.state_dict().items()}
    with atomic.atomic_file(path) as aside:
        aside.write_bytes(save_tensors(state, {"classes": json.dumps(reader.classes), "about": json.dumps(dict(about))}))


def load(path: Path = WEIGHTS) -> EventReader:
    """Load a reader; default: the packaged one.

    Raises:
        ValueError: no such file, or one of another network.
    """
    if not path.is_file():
        raise ValueError(
            f"{path}: no event reader there; python -m benchmarks metrics.train_reader --out FILE makes one in minutes"
        )
    with safe_open(path, "pt") as file:
        about = file.metadata() or {}
    if "classes" not in about:
        raise ValueError(f"{path}: not an event reader: the classes are missing")
    reader = EventReader(json.loads(about["classes"]))
    reader.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return reader.eval().requires_grad_(False)


@cache
def packaged() -> EventReader:
    """The packaged reader, loaded once."""
    return load()
