"""The perceptual distance of pictures on VGG16's features, with weights that the user brings (LPIPS, Zhang et al. 2018)."""

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

# Channels of VGG16's convolutions, by stage; a stage ends where its features are compared, and a pooling follows.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# What pictures in [-1, 1] are centred and scaled by.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class LPIPS(nn.Module):
    """Differences of normalised features after each of five stages, weighed by channel, averaged over places and summed.

    The weights' names are the published ones: `features.N.weight` and `.bias` of VGG16's convolutions, and `linI.model.1.weight`
    of the weighing of stage I, in one safetensors file.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {}
        self.ends: list[int] = []
        at, place = 3, 0
        for stage in STAGES:
            for width in stage:
                layers[str(place)] = nn.Conv2d(at, width, 3, padding=1)
                at, place = width, place + 2
            self.ends.append(place - 2)
            place += 1
        self.features = nn.ModuleDict(layers)
        self.weighing = nn.ModuleList(nn.Conv2d(stage[-1], 1, 1, bias=False) for stage in STAGES)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None], persistent=False)

    def stages(self, pictures: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Features of pictures in [-1, 1] after each stage, of unit length at every place."""
        x, found = (pictures - self.shift) / self.scale, []
        for name, layer in self.features.items():
            x = F.relu(layer(x))
            if int(name) in self.ends:
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
                x = F.max_pool2d(x, 2)
        return found

    def forward(self, made: Float[Tensor, "b 3 h w"], true: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b"]:
        """The distance of pictures, at least 16 pixels on a side; zero for the same ones."""
        parts = zip(self.weighing, self.stages(made), self.stages(true), strict=True)
        return torch.stack([weigh((a - b).square()).mean((1, 2, 3)) for weigh, a, b in parts]).sum(0)

    @classmethod
    def from_file(cls, path: "str | Path") -> "PerceptualDistance":
        """The distance with weights from a file, frozen.

        Raises:
            ValueError: no safetensors file, or a tensor is missing in it or has another shape.
        """
        path = Path(path).expanduser()
        if not path.is_file() or path.suffix != ".safetensors":
            raise ValueError(f"perceived={path}: expected a .safetensors file with the weights of VGG16 and of LPIPS")
        given, distance = load_file(path), cls()
        renamed = {name: name.replace("weighing.", "lin").replace(".weight", ".model.1.weight") for name in _weighing()}
        state = {}
        for name, own in distance.state_dict().items():
            published = renamed.get(name, name)
            if published not in given or given[published].shape != own.shape:
                raise ValueError(f"perceived={path}: {published} of shape {tuple(own.shape)} is not in it")
            state[name] = given[published].float()
        distance.load_state_dict(state)
        return distance.eval().requires_grad_(False)


def _weighing() -> list[str]:
    return [f"weighing.{i}.weight" for i in range(len(STAGES))]
