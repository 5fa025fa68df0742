"""Open-Sora's video autoencoder: published size, causality, and checkpoints in the released layout."""

from fractions import Fraction

import pytest
import torch
from released_layouts import open_sora
from safetensors.torch import load_file, save_file

from sonovid.codecs.open_sora import CausalConv3d, OpenSoraVideo, spatial_vae_config
from sonovid.core.geometry import Geometry

TINY = {"spatial": spatial_vae_config((32, 32), layers=1), "widths": (32, 32, 32, 64), "blocks": 1}


def tiny(**changes):
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        return OpenSoraVideo(**{**TINY, **changes}).eval()


def frames_of(count, size=16):
    return torch.rand(1, 3, count, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_the_published_size_and_grid():
    with torch.device("meta"):
        model = OpenSoraVideo()
    # Its authors' table says 384 M; the released settings give 83.65 M for frames and 309.69 M for time.
    assert [sum(p.numel() for p in half.parameters()) for half in (model.spatial_vae, model.temporal_vae)] == [
        83_653_863,
        309_687_144,
    ]
    assert model.latent_shape(Geometry(68, Fraction(17), 256, 256, 16000)) == (4, 20, 32, 32)
    with pytest.raises(ValueError, match=r"66 frames: .* 17 at a time, and at the end a multiple of 4: such as 63"):
        model.latent_shape(Geometry(66, Fraction(17), 256, 256, 16000))
    with pytest.raises(ValueError, match="multiples of 8"):
        model.latent_shape(Geometry(68, Fraction(17), 260, 256, 16000))


@torch.no_grad()
@pytest.mark.parametrize("count", [4, 17, 21, 34])
def test_latent_shape_matches_the_latents(count):
    model, frames = tiny(), frames_of(count)
    latents = model.encode(frames)
    assert tuple(latents.shape[1:]) == model.latent_shape(Geometry(count, Fraction(17), 16, 16, 16000))
    assert model.decode(latents).shape == frames.shape
    torch.testing.assert_close(model.unwhiten(model.whiten(latents)), latents)
    assert torch.equal(model.whiten(latents)[:, 1], (latents[:, 1] - 0.34) / 2.32)


@torch.no_grad()
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_are_causal(stride):
    conv, x = CausalConv3d(2, 2, 3, stride=stride), torch.randn(1, 2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    for frame in range(8):
        other = x.clone()
        other[:, :, frame] += 1
        moved = (conv(other) - conv(x)).abs().amax((0, 1, 3, 4)) > 1e-6
        # With a stride of 2 the first place sees one frame of zeros, and frames 0 and 1.
        sees = [range(i * stride + stride - 3, i * stride + stride) for i in range(len(moved))]
        assert moved.tolist() == [frame in seen for seen in sees], frame


@torch.no_grad()
def test_chunks_are_independent():
    model, frames = tiny(), frames_of(34)
    latents = model.encode(frames)
    torch.testing.assert_close(model.encode(frames[:, :, 17:]), latents[:, :, 5:], atol=1e-5, rtol=0)
    torch.testing.assert_close(model.decode(latents)[:, :, 17:], model.decode(latents[:, :, 5:]), atol=1e-5, rtol=0)
    # Three latents of zeros fill a chunk of 17 from the front, not frames of black, which the 2-D half would make something of.
    coded = model.frame_codec.encode(frames[0, :, :17].movedim(1, 0)).latent_dist.mode().movedim(0, 1)[None] * 0.18215
    filled = torch.cat([torch.zeros_like(coded[:, :, :3]), coded], 2)
    torch.testing.assert_close(model.temporal_vae.encode(filled), latents[:, :, :5], atol=1e-5, rtol=0)


def test_the_released_layout_is_loaded_for_any_size(tmp_path):
    model = tiny(halve=(True, False, True), latents_mean=(0.1, 0.2, 0.3, 0.4))
    again = OpenSoraVideo.from_released(open_sora(tmp_path / "released", model))
    assert again.config.halve == [True, False, True]
    torch.testing.assert_close(torch.tensor(again.config.latents_mean), torch.tensor([0.1, 0.2, 0.3, 0.4]))
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    again.save_pretrained(tmp_path / "own")
    own = OpenSoraVideo.from_pretrained(tmp_path / "own").eval()
    assert torch.equal(own.encode(frames_of(4)), model.encode(frames_of(4)))


def test_incomplete_checkpoints_are_refused_in_one_line(tmp_path):
    folder = open_sora(tmp_path / "released", tiny())
    weights = load_file(folder / "model.safetensors")

    def fails(said, changed):
        save_file(changed, folder / "model.safetensors")
        with pytest.raises(ValueError, match=said) as raised:
            OpenSoraVideo.from_released(folder)
        assert "\n" not in str(raised.value)

    part = "temporal_vae.quant_conv.conv.bias"
    fails(f"1 tensors are missing, such as {part}", {name: v for name, v in weights.items() if name != part})
    fails("1 tensors are unexpected, such as more", weights | {"more": torch.zeros(1)})
    fails(rf"{part} is \(3,\), expected \(8,\)", weights | {part: torch.zeros(3)})
    fails("not those of Open-Sora", {"weight": torch.zeros(1)})
    (folder / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="no VideoAutoencoderPipeline there"):
        OpenSoraVideo.from_released(folder)
