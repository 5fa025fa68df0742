"""Released checkpoints of MM-Diffusion: every tensor has its place, and kernels do what they did."""

import pytest
import torch
import torch.nn.functional as F
from released_mmdiffusion import checkpoint, shapes

from sonovid.models.mmdiffusion import MMDiffusion, released
from sonovid.models.mmdiffusion.unet import paper

SIZE = {"width": 8, "multipliers": (1, 2, 3), "blocks": 2, "windows": (0, 1, 2)}


def model(**changes):
    return MMDiffusion(**{**SIZE, **changes}, heads=2, head_width=4, groups=4).eval()


def test_every_tensor_of_the_published_size_has_its_place():
    with torch.device("meta"):
        network = MMDiffusion(**paper())
        size = {name: network.config[name] for name in ("width", "multipliers", "blocks", "windows")}
        state = {name: torch.empty(shape) for name, shape in shapes(**size).items()}
        converted = released.convert(state, network)
    assert {name: value.shape for name, value in converted.items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }
    assert len(set(map(released.convert_key, state))) == len(state)


def test_kernels_compute_what_they_did():
    state, network = checkpoint(**SIZE), model()
    network.load_state_dict(released.convert(state, network))
    block, name = network.down[0].residual, "input_blocks.1.0"
    x = torch.randn(1, 4, 6, 5, 8)  # b t h w c
    within = F.conv2d(
        x[0].permute(0, 3, 1, 2), state[f"{name}.video_in_layers.2.video_conv_spatial.weight"],
        state[f"{name}.video_in_layers.2.video_conv_spatial.bias"], padding=1,
    )  # fmt: skip
    wanted = F.conv1d(
        within.permute(2, 3, 1, 0).flatten(0, 1), state[f"{name}.video_in_layers.2.video_conv_temporal.weight"],
        state[f"{name}.video_in_layers.2.video_conv_temporal.bias"], padding=1,
    )  # fmt: skip
    found = block.video_convolution(x)[0].flatten(1, 2).permute(1, 2, 0)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    heard = torch.randn(1, 12, 8)
    wanted = F.conv1d(
        heard.transpose(1, 2), state[f"{name}.audio_in_layers.2.audio_conv.weight"],
        state[f"{name}.audio_in_layers.2.audio_conv.bias"], padding=2, dilation=2,
    )  # fmt: skip
    torch.testing.assert_close(block.audio_convolution(heard).transpose(1, 2), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda state: state.pop("time_embed.2.bias"), "lacks 1 tensors, such as time.linear_2.bias"),
        (lambda state: state.update(strange=torch.zeros(1)), "strange: no tensor of a released"),
        (lambda state: state.update({"input_blocks.1.0.strange.weight": torch.zeros(1)}), "no tensor of a released"),
        (lambda state: state.update({"time_embed.2.bias": torch.zeros(3)}), r"shape \(3,\)"),
    ],
)
def test_other_tensors_are_refused(change, word):
    state = checkpoint(**SIZE)
    change(state)
    with pytest.raises(ValueError, match=word):
        released.convert(state, model())


def test_a_checkpoint_with_other_levels_is_refused():
    with pytest.raises(ValueError, match="other levels, blocks or windows"):
        released.convert(checkpoint(**SIZE), model(windows=(0, 0, 1)))
