"""C3D on UCF-101: 101 logits for 16 frames, for the inception score of video (Tran et al. 2015; Saito et al. 2017)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, WeightFile
from sonovid.metrics.extractors.frames import get_frames
from sonovid.metrics.extractors.front_ends import map_frames, resize_bicubic
from sonovid.metrics.extractors.weights import build_network, read_state_dict

FRAMES = 16
CONVOLUTIONS = {"1a": 1, "2a": 2, "3a": 4, "3b": 4, "4a": 8, "4b": 8, "5a": 8, "5b": 8}

WEIGHTS = WeightFile(
    "conv3d_deepnetA_ucf.npz", "https://github.com/rezoo/tgan2/releases/download/v1.0/conv3d_deepnetA_ucf.npz (314 MB)"
)
MEAN = WeightFile("mean2.npz", "https://github.com/rezoo/tgan2/releases/download/v1.0/mean2.npz")


class C3D(nn.Module):
    """Frames [b 3 16 112 112] in BGR order with the mean subtracted, to logits [b 101]; 78 409 573 parameters at full width."""

    def __init__(self, width: int = 64, hidden: int = 4096, classes: int = 101) -> None:
        super().__init__()
        in_channels = 3
        for name, multiple in CONVOLUTIONS.items():
            self.add_module(f"conv{name}", nn.Conv3d(in_channels, multiple * width, 3, padding=1))
            in_channels = multiple * width
        self.fc6 = nn.Linear(in_channels * 4 * 4, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, classes)

    def forward(self, x: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c"]:
        for name in CONVOLUTIONS:
            x = F.relu(self.get_submodule(f"conv{name}")(x))
            if name in ("1a", "2a", "3b", "4b", "5b"):
                # Partial windows at the border count, as in Caffe and Chainer: 7 positions become 4.
                x = F.max_pool3d(x, (1 if name == "1a" else 2, 2, 2), ceil_mode=True)
        x = F.relu(self.fc6(rearrange(x, "b c t h w -> b (c t h w)")))
        return self.fc8(F.relu(self.fc7(x)))


class C3DLogits(Extractor):
    """`logits` [101] of the first 16 frames, resized and mean-subtracted as in TGAN and MM-Diffusion.

    StyleGAN-V's `c3d_ucf101.pt` holds the same weights for another resizing and crop of the mean (TGANv2's) and is not supported.
    """

    name = "c3d"
    what = "C3D's UCF-101 logits of the first 16 frames"
    input_spec: ClassVar[InputSpec] = InputSpec(video=True)
    weights = (WEIGHTS, MEAN)
    settings: ClassVar = {
        "frames": "the first 16, at the file's own rate",
        "size": "128x128 whatever the shape, bicubic without antialiasing, neither rounded nor clipped; the middle 112x112",
        "channels": "blue, green, red, in 0..255, less mean2.npz (its columns 21 to 148, then the middle)",
        "logits": "101, before any softmax",
    }
    batch_size = 4
    network: C3D
    # Overrides of the published sizes, for tests.
    widths: ClassVar[Mapping[str, int]] = {}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.device = device
        # Chainer names the weights conv1a/W and conv1a/b.
        state = {key.strip("/"): value for key, value in read_state_dict(files[0]).items()}
        state = {key.replace("/W", ".weight").replace("/b", ".bias"): value for key, value in state.items()}
        self.network = build_network(partial(C3D, **self.widths), state, name=files[0].name, device=device)
        mean = read_state_dict(files[1]).get("mean", torch.zeros(0))
        if mean.numel() != 3 * FRAMES * 128 * 171:
            raise ValueError(
                f"{files[1].name}: not the mean of C3D: expected `mean` of 3x16x128x171 values, got {list(mean.shape)}"
            )
        mean = mean.reshape(3, FRAMES, 128, 171).float()
        self.mean = mean[:, :, 8:120, 29:141].to(device)

    def prepare(self, sample: Sample) -> Arrays:
        frames = get_frames(sample, FRAMES)[:FRAMES]
        middle = map_frames(frames, lambda part: resize_bicubic(part, (128, 128))[:, :, 8:120, 8:120])
        return {"frames": rearrange(middle.flip(1), "t c h w -> c t h w").contiguous().numpy()}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        windows = (torch.from_numpy(one["frames"]).to(self.device) - self.mean for one in prepared)
        return [{"logits": self.network(window[None])[0].cpu().numpy()} for window in windows]
