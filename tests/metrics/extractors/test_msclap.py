"""MS-CLAP 2023: the published names brought to HTSAT's, against figures of its own code with the same weights."""

import numpy as np
import pytest
import torch

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample
from sonovid.metrics.extractors.msclap import BASE, PROJECTION, SAMPLE_RATE, MsClap, MsClapAudio, convert_state_dict

TINY = {"width": 8, "depths": (1, 1), "heads": (2, 2), "out": 12}


class TinyMsClap(MsClap):
    sizes = TINY


def published(sizes: dict) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the sound half of the checkpoint, written out from the sizes of its network."""
    width, depths, heads, out = (sizes[k] for k in ("width", "depths", "heads", "out"))
    shapes: dict[str, tuple[int, ...]] = {
        "spectrogram_extractor.stft.conv_real.weight": (513, 1, 1024),
        "spectrogram_extractor.stft.conv_imag.weight": (513, 1, 1024),
        "logmel_extractor.melW": (513, 64),
        "bn0.weight": (64,), "bn0.bias": (64,), "bn0.running_mean": (64,), "bn0.running_var": (64,),
        "bn0.num_batches_tracked": (),
        "patch_embed.proj.weight": (width, 1, 4, 4), "patch_embed.proj.bias": (width,),
        "patch_embed.norm.weight": (width,), "patch_embed.norm.bias": (width,),
    }  # fmt: skip
    for i, (depth, h) in enumerate(zip(depths, heads, strict=True)):
        d = width * 2**i
        for j in range(depth):
            b = f"layers.{i}.blocks.{j}."
            shapes |= {b + "norm1.weight": (d,), b + "norm1.bias": (d,), b + "norm2.weight": (d,), b + "norm2.bias": (d,)}
            shapes |= {b + "attn.relative_position_bias_table": (225, h), b + "attn.relative_position_index": (64, 64)}
            shapes |= {b + "attn.qkv.weight": (3 * d, d), b + "attn.qkv.bias": (3 * d,)}
            shapes |= {b + "attn.proj.weight": (d, d), b + "attn.proj.bias": (d,)}
            shapes |= {b + "mlp.fc1.weight": (4 * d, d), b + "mlp.fc1.bias": (4 * d,)}
            shapes |= {b + "mlp.fc2.weight": (d, 4 * d), b + "mlp.fc2.bias": (d,)}
        if i < len(depths) - 1:
            n = f"layers.{i}.downsample."
            shapes |= {n + "reduction.weight": (2 * d, 4 * d), n + "norm.weight": (4 * d,), n + "norm.bias": (4 * d,)}
    shapes |= {"norm.weight": (d,), "norm.bias": (d,), "tscam_conv.weight": (527, d, 2, 3), "head.weight": (527, 527)}
    named = {BASE + k: v for k, v in shapes.items()}
    named |= {PROJECTION + "linear1.weight": (out, d), PROJECTION + "linear2.weight": (out, out)}
    named |= {PROJECTION + "layer_norm.weight": (out,), PROJECTION + "layer_norm.bias": (out,)}
    return named | {"caption_encoder.base.wte.weight": (3, 3), "logit_scale": ()}


def waves(shape: tuple[int, ...], step: float) -> torch.Tensor:
    """Weights that any code can make alike."""
    count = int(np.prod(shape))
    return (0.1 * torch.sin(torch.arange(1, count + 1, dtype=torch.float64) * step)).float().reshape(shape)


def weights(sizes: dict) -> dict[str, torch.Tensor]:
    own = MsClapAudio(**sizes).state_dict()
    state = {}
    for i, (name, shape) in enumerate(sorted(published(sizes).items())):
        if name.endswith("relative_position_index"):
            state[name] = own["htsat.audio_encoder.layers.0.blocks.0.attention.self.relative_position_index"]
        elif name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
        else:
            value = waves(shape, 0.1 + 0.01 * i)
            state[name] = value.abs() + 0.01 if name.endswith(("running_var", "melW")) else value
    return state


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "CLAP_weights_2023.pth"
    torch.save({"model": weights(TINY), "epoch": 3}, file)
    extractor = TinyMsClap()
    extractor.load([file])
    return extractor


def test_all_of_the_published_sound_half_finds_its_place():
    with torch.device("meta"):
        own = {name: tuple(value.shape) for name, value in MsClapAudio().state_dict().items()}
        sizes = {"width": 96, "depths": (2, 2, 6, 2), "heads": (4, 8, 16, 32), "out": 1024}
        found = convert_state_dict({name: torch.empty(shape) for name, shape in published(sizes).items()})
    assert {name: tuple(value.shape) for name, value in found.items()} == own


def test_it_gives_the_figures_of_the_published_code(tiny):
    """Computed by msclap 1.3.4 (HTSAT of these sizes, its projection) from the same weights and the same sound."""
    sound = waves((1, 7 * SAMPLE_RATE), 0.37) + waves((1, 7 * SAMPLE_RATE), 0.011)
    with torch.no_grad():
        found = tiny.network(sound)[0].numpy()
    expected = [0.11079193, -0.0050572529, 0.20262252, 0.0014248205, 0.052841332, 0.0067943735, -0.15157299, 0.00089258363]
    expected += [-0.17660926, -0.011154197, 0.0079164645, -0.0065120137]
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_row_per_second_whatever_the_batch(tiny):
    def sound(seconds: float) -> Sample:
        noise = np.random.default_rng(round(seconds * 10)).normal(0, 0.1, (1, round(seconds * SAMPLE_RATE))).astype(np.float32)
        return Sample(Clip(None, noise, sample_rate=SAMPLE_RATE))

    prepared = [tiny.prepare(sound(s)) for s in (1.8, 0.4, 3.0)]
    together = tiny.embed(prepared)
    # CMMD's clips of 1.8 s have two, the least that a sample's own distance can be computed from.
    assert [a["features"].shape for a in together] == [(2, 12), (1, 12), (3, 12)]
    for one, p in zip(together, prepared, strict=True):
        assert np.allclose(one["features"], tiny.embed([p])[0]["features"], atol=1e-5)


def test_another_checkpoint_is_refused(tmp_path):
    file = tmp_path / "CLAP_weights_2022.pth"
    torch.save({"model": {"audio_encoder.base.conv_block1.conv1.weight": torch.zeros(3)}}, file)
    with pytest.raises(ValueError, match="no audio encoder of MS-CLAP 2023"):
        MsClap().load([file])
    torch.save({"model": weights(TINY)}, file)
    with pytest.raises(ValueError, match="another network than MsClapAudio"):
        MsClap().load([file])
