"""LPIPS, a perceptual distance of images on VGG16 features (Zhang et al. 2018). The user provides the weights."""

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

# Channels of the convolutions of VGG16 by stage. Features are compared at the end of each stage, before its pooling.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# Normalisation of images in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class LPIPS(nn.Module):
    """LPIPS: squared differences of normalised features, weighted by channel, averaged over positions, summed over stages."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {}
        self.ends: list[int] = []
        channels, index = 3, 0
        for stage in STAGES:
            for width in stage:
                layers[str(index)] = nn.Conv2d(channels, width, 3, padding=1)
                channels, index = width, index + 2
            self.ends.append(index - 2)
            index += 1
        self.features = nn.ModuleDict(layers)
        self.weighing = nn.ModuleList(nn.Conv2d(stage[-1], 1, 1, bias=False) for stage in STAGES)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None], persistent=False)

    def stages(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Features of images in [-1, 1] after each stage, normalised to unit length over the channels."""
        x, found = (images - self.shift) / self.scale, []
        for name, layer in self.features.items():
            x = F.relu(layer(x))
            if int(name) in self.ends:
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
                x = F.max_pool2d(x, 2)
        return found

    def forward(self, images: Float[Tensor, "b 3 h w"], reference: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b"]:
        """The distance of images in [-1, 1] with sides of at least 16 pixels; zero for equal images."""
        parts = zip(self.weighing, self.stages(images), self.stages(reference), strict=True)
        return torch.stack([weight((a - b).square()).mean((1, 2, 3)) for weight, a, b in parts]).sum(0)

    @classmethod
    def from_file(cls, path: "str | Path") -> "LPIPS":
        """Load the weights from a file and freeze them.

        Args:
            path: a safetensors file with the published names: `features.N.weight` and `.bias` of the convolutions of VGG16, and
                `linI.model.1.weight` of the channel weights of stage I.

        Raises:
            ValueError: the file is not a safetensors file, or a tensor is missing or has another shape.
        """
        path = Path(path).expanduser()
        if not path.is_file() or path.suffix != ".safetensors":
            raise ValueError(f"perceived={path}: expected a .safetensors file with the weights of VGG16 and of LPIPS")
        weights, distance = load_file(path), cls()
        renamed = {name: name.replace("weighing.", "lin").replace(".weight", ".model.1.weight") for name in _channel_weights()}
        state = {}
        for name, own in distance.state_dict().items():
            published = renamed.get(name, name)
            if published not in weights or weights[published].shape != own.shape:
                raise ValueError(f"perceived={path}: contains no {published} of shape {tuple(own.shape)}")
            state[name] = weights[published].float()
        distance.load_state_dict(state)
        return distance.eval().requires_grad_(False)


def _channel_weights() -> list[str]:
    return [f"weighing.{i}.weight" for i in range(len(STAGES))]
