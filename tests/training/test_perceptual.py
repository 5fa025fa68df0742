"""LPIPS with weights under their published names."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from sonovid.training.perceptual import LPIPS

# VGG16 as published: 13 convolutions at these places among activations and poolings.
PLACES = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256)}
PLACES |= {17: (256, 512), 19: (512, 512), 21: (512, 512), 24: (512, 512), 26: (512, 512), 28: (512, 512)}


@pytest.fixture(scope="module")
def weights():
    draw = torch.Generator().manual_seed(0)
    found = {}
    for place, (into, out) in PLACES.items():
        found[f"features.{place}.weight"] = torch.randn(out, into, 3, 3, generator=draw) * (2 / (9 * into)) ** 0.5
        found[f"features.{place}.bias"] = 0.1 * torch.randn(out, generator=draw)
    for i, width in enumerate((64, 128, 256, 512, 512)):
        found[f"lin{i}.model.1.weight"] = torch.rand(1, width, 1, 1, generator=draw)
    return found


def test_lpips_matches_its_definition(tmp_path, weights):
    save_file(weights, tmp_path / "lpips.safetensors")
    distance = LPIPS.from_file(tmp_path / "lpips.safetensors")
    made, true = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(1)).unbind(0)

    def features(x):
        x = (x - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor([0.458, 0.448, 0.450])[:, None, None]
        found = []
        for place in range(31):
            if place in PLACES:
                x = F.conv2d(x, weights[f"features.{place}.weight"], weights[f"features.{place}.bias"], padding=1)
            elif place in (4, 9, 16, 23, 30):
                x = F.max_pool2d(x, 2)
            else:
                x = x.clamp(min=0)
                if place in (3, 8, 15, 22, 29):
                    found.append(F.normalize(x, dim=1))
        return found

    wanted = torch.zeros(2)
    for i, (a, b) in enumerate(zip(features(made), features(true), strict=True)):
        wanted += ((a - b) ** 2 * weights[f"lin{i}.model.1.weight"]).sum(1).mean((1, 2))
    torch.testing.assert_close(distance(made, true), wanted)
    assert distance(true, true).tolist() == [0.0, 0.0]
    assert not any(p.requires_grad for p in distance.parameters())


def test_invalid_weight_files_raise(tmp_path, weights):
    path = tmp_path / "lpips.safetensors"
    save_file({name: x for name, x in weights.items() if name != "lin3.model.1.weight"}, path)
    with pytest.raises(ValueError, match=r"contains no lin3\.model\.1\.weight of shape \(1, 512, 1, 1\)"):
        LPIPS.from_file(path)
    with pytest.raises(ValueError, match=r"expected a \.safetensors file"):
        LPIPS.from_file(tmp_path / "vgg.pth")
