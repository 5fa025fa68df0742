"""I3D on Kinetics-400: 400 logits for 16 frames, for FVD and KVD (Carreira & Zisserman 2017; Unterthiner et al. 2019)."""

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
from sonovid.metrics.extractors.front_ends import map_frames, resize_center_crop
from sonovid.metrics.extractors.weights import build_network, read_state_dict, read_torchscript

FRAMES, SIDE = 16, 224

WEIGHTS = WeightFile(
    "i3d_pretrained_400.pt",
    "https://github.com/songweige/TATS/raw/main/tats/fvd/i3d_pretrained_400.pt (51 MB)",
    licence="not stated for this file; DeepMind's I3D, which it was converted from, is Apache-2.0",
)
TORCHSCRIPT = WeightFile(
    "i3d_torchscript.pt",
    "https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt?dl=1 (51 MB)",
    sha256="bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
    licence="not stated for this file; DeepMind's I3D, which it was converted from, is Apache-2.0",
)
# Channels of each Inception block: 1x1, then twice 1x1 and 3x3, then the 1x1 after the pooling (Szegedy et al. 2015, table 1).
MIXED = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}


def same_padding(x: Float[Tensor, "b c t h w"], kernel: Sequence[int], stride: Sequence[int]) -> Float[Tensor, "b c T H W"]:
    """Zero padding as TensorFlow's SAME: of an odd number, the extra zero is at the end."""
    sides: list[int] = []
    for size, k, s in zip(x.shape[:1:-1], reversed(kernel), reversed(stride), strict=True):
        total = max(k - (size % s or s), 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, sides)


class Unit(nn.Module):
    """A convolution, a batch norm and a ReLU; `plain` has a bias instead of the last two."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, *, plain: bool = False) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel, stride, bias=plain)
        # As in TATS and all users of its file; piergiaj's original repository has 1e-3.
        self.bn = None if plain else nn.BatchNorm3d(out_channels, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv3d(same_padding(x, self.conv3d.kernel_size, self.conv3d.stride))
        return x if self.bn is None else F.relu(self.bn(x))


class Pool(nn.Module):
    """Max pooling with zero padding; the zeros take part in the maximum."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(same_padding(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """An Inception block: four parallel branches."""

    def __init__(self, in_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.b0 = Unit(in_channels, channels[0])
        self.b1a = Unit(in_channels, channels[1])
        self.b1b = Unit(channels[1], channels[2], 3)
        self.b2a = Unit(in_channels, channels[3])
        self.b2b = Unit(channels[3], channels[4], 3)
        self.b3a = Pool((3, 3, 3), (1, 1, 1))
        self.b3b = Unit(in_channels, channels[5])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], 1)


class I3D(nn.Module):
    """Frames in [-1, 1], [b 3 t 224 224] with t >= 9, to logits averaged over time, [b 400].

    The state dict keys are those of `i3d_pretrained_400.pt`, 12 711 881 parameters.

    Args:
        classes: of the classifier.
        narrow: divisor of all widths, for tests.
    """

    def __init__(self, classes: int = 400, narrow: int = 1) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64 // narrow, 7, 2)
        self.MaxPool3d_2a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64 // narrow, 64 // narrow)
        self.Conv3d_2c_3x3 = Unit(64 // narrow, 192 // narrow, 3)
        self.MaxPool3d_3a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        width = 192 // narrow
        for name, channels in MIXED.items():
            if name == "4b":
                self.MaxPool3d_4a_3x3 = Pool((3, 3, 3), (2, 2, 2))
            if name == "5b":
                self.MaxPool3d_5a_2x2 = Pool((2, 2, 2), (2, 2, 2))
            layer = Mixed(width, [c // narrow for c in channels])
            self.add_module(f"Mixed_{name}", layer)
            width = sum(channels[i] // narrow for i in (0, 2, 4, 5))
        self.logits = Unit(width, classes, plain=True)

    def mixed(self, x: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b d T H W"]:
        """The output of the last Inception block: 1/8 of the frames and 1/32 of each side, rounded up."""
        for name, layer in self.named_children():
            if name != "logits":
                x = layer(x)
        return x

    def pooled(self, x: Float[Tensor, "b d T H W"]) -> Float[Tensor, "b c"]:
        """The logits after 2x7x7 average pooling, averaged over time."""
        return rearrange(self.logits(F.avg_pool3d(x, (2, 7, 7), stride=1)), "b c t 1 1 -> b c t").mean(2)

    def forward(self, x: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c"]:
        return self.pooled(self.mixed(x))


class I3DLogits(Extractor):
    """`features` [k 400], a row for every 16 frames, resized as in TATS and MM-Diffusion.

    Deviation: MM-Diffusion draws from all windows of 16 frames of longer videos, which overlap by 15. Here windows do not
    overlap, and the remainder is dropped. For clips of 16 frames, as in its tables, both use the same single window.
    """

    name = "i3d400"
    what = "I3D's Kinetics-400 logits of every 16 frames, shorter side to 224 and centre crop"
    input_spec: ClassVar[InputSpec] = InputSpec(video=True)
    weights = (WEIGHTS,)
    settings: ClassVar = {
        "frames": "every 16 in a row from the first on, without overlap, at the file's own rate",
        "size": "bilinear without antialiasing until the shorter side is 224, the middle 224x224",
        "range": "[-1, 1]",
        "layer": "logits, mean over time",
        "normalisation": "batch statistics of training, eps 1e-5",
    }
    batch_size = 4
    network: I3D
    # Overrides of the published sizes, for tests.
    widths: ClassVar[Mapping[str, int]] = {}

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.device = device
        self.network = build_network(partial(I3D, **self.widths), read_state_dict(files[0]), name=files[0].name, device=device)

    def prepare(self, sample: Sample) -> Arrays:
        frames = get_frames(sample, FRAMES)
        frames = frames[: len(frames) // FRAMES * FRAMES]
        images = map_frames(frames, lambda part: resize_center_crop(part / 255, SIDE) * 2 - 1)
        return {"windows": rearrange(images, "(k t) c h w -> k c t h w", t=FRAMES).numpy()}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        # One window at a time on a CPU, where batches are no faster; this bounds the memory for long videos.
        step = 1 if self.device == "cpu" else 8
        rows: list[Arrays] = []
        for one in prepared:
            windows = torch.from_numpy(one["windows"]).split(step)
            rows.append({"features": torch.cat([self.network(some.to(self.device)) for some in windows]).cpu().numpy()})
        return rows


class I3DLogitsStyleGAN(Extractor):
    """`features` [1 400] of the first 16 frames, as in StyleGAN-V and Sony's evaluation, by the program in their file.

    The file is a TorchScript archive that rescales and resizes its input. It is executed as it is. TorchScript can only compute
    with tensors; it opens no files and runs no Python.
    """

    name = "i3d400_styleganv"
    what = "I3D's Kinetics-400 logits of the first 16 frames, resized to 224x224 by StyleGAN-V's own program"
    input_spec: ClassVar[InputSpec] = InputSpec(video=True)
    weights = (TORCHSCRIPT,)
    settings: ClassVar = {
        "frames": "the first 16, at the file's own rate",
        "size": "224x224 whatever the shape, by the archive (resize=True)",
        "range": "by the archive (rescale=True), from 0..255",
        "layer": "logits, mean over time (return_features=True)",
    }
    batch_size = 4
    network: torch.jit.ScriptModule

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        self.device, self.file = device, files[0].name
        self.network = read_torchscript(files[0], device)
        try:
            found = self.run(torch.zeros(1, 3, FRAMES, SIDE, SIDE, dtype=torch.uint8))
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ValueError(f"{self.file}: not StyleGAN-V's I3D: it fails on 16 frames ({lines[-1][:160]})") from None
        if found.shape != (1, 400):
            raise ValueError(
                f"{self.file}: not StyleGAN-V's I3D: its output for 16 frames has shape {list(found.shape)}, expected [1, 400]"
            )

    def prepare(self, sample: Sample) -> Arrays:
        return {"window": rearrange(get_frames(sample, FRAMES)[:FRAMES], "t h w c -> c t h w").copy()}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        return [{"features": self.run(torch.from_numpy(one["window"])[None]).cpu().numpy()} for one in prepared]

    @torch.inference_mode()
    def run(self, window: Tensor) -> Tensor:
        """The archive's features for frames [1 3 16 h w] in 0..255."""
        return self.network(window.to(self.device), rescale=True, resize=True, return_features=True)
