"""VideoMAE: the giant against published sizes and names, the base model through transformers, windows and refusals."""

import numpy as np
import pytest
import torch

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors.videomae import ContentDebiased, VideoMaeBase, VideoMaeGiant, sinusoids

TINY = {"width": 8, "depth": 2, "heads": 2, "hidden": 12, "patch": 56, "classes": 3}


class TinyGiant(ContentDebiased):
    sizes = TINY


def film(frames: int, height: int = 30, width: int = 40, seed: int = 0) -> Sample:
    return Sample(Clip(np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8), None))


@pytest.fixture(scope="module")
def giant(tmp_path_factory, randomised):
    file = tmp_path_factory.mktemp("weights") / "vit_g_hybrid_pt_1200e_ssv2_ft.pth"
    network = randomised(VideoMaeGiant(**TINY))
    torch.save({"module": network.state_dict()}, file)
    extractor = TinyGiant()
    extractor.load([file])
    return extractor


@pytest.fixture(scope="module")
def base(tmp_path_factory, randomised):
    import transformers

    config = transformers.VideoMAEConfig(
        image_size=224,
        patch_size=56,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        num_labels=3,
    )
    folder = tmp_path_factory.mktemp("hub") / "videomae"
    randomised(transformers.VideoMAEForVideoClassification(config)).save_pretrained(folder)
    extractor = VideoMaeBase()
    extractor.load([folder])
    return extractor


def test_the_giant_has_the_published_size():
    with torch.device("meta"):
        network = VideoMaeGiant()
    # The patches, forty blocks, the last norm, and the head over 174 classes.
    assert sum(p.numel() for p in network.parameters()) == 1_657_216 + 1_009_950_720 + 2_816 + 245_166
    names = network.state_dict()
    assert names["patch_embed.proj.weight"].shape == (1408, 3, 2, 14, 14)
    assert names["blocks.39.attn.q_bias"].shape == (1408,)
    assert names["blocks.0.attn.qkv.weight"].shape == (4224, 1408)
    assert "blocks.0.attn.qkv.bias" not in names
    assert names["blocks.7.mlp.fc1.weight"].shape == (6144, 1408)
    assert names["fc_norm.weight"].shape == (1408,)


def test_places_are_the_published_ones():
    table = sinusoids(5, 6)[0].numpy()
    assert np.allclose(table[0], [0, 1, 0, 1, 0, 1])
    assert np.allclose(table[3], [np.sin(3), np.cos(3), *(f(3 / 10000 ** (2 / 6)) for f in (np.sin, np.cos)),
                                  *(f(3 / 10000 ** (4 / 6)) for f in (np.sin, np.cos))])  # fmt: skip


@pytest.mark.parametrize("which", ["giant", "base"])
def test_a_row_per_sixteen_frames_whatever_the_batch(which, request):
    extractor = request.getfixturevalue(which)
    prepared = [extractor.prepare(film(n, seed=n)) for n in (16, 50, 31)]
    together = extractor.embed(prepared)
    assert [len(arrays["features"]) for arrays in together] == [1, 3, 1]
    assert together[0]["features"].shape[1] == 8
    backwards = extractor.embed(prepared[::-1] + prepared[:1])
    for one, other in zip([*together[::-1], together[0]], backwards, strict=True):
        assert np.allclose(one["features"], other["features"], atol=1e-5)
    assert not np.allclose(together[1]["features"][0], together[1]["features"][1], atol=1e-3)


@pytest.mark.parametrize("which", ["giant", "base"])
def test_the_order_of_frames_matters(which, request):
    extractor = request.getfixturevalue(which)
    sample = film(16)
    back = Sample(Clip(sample.clip.frames[::-1].copy(), None))
    there, again = extractor.embed([extractor.prepare(sample), extractor.prepare(back)])
    assert not np.allclose(there["features"], again["features"], atol=1e-3)


def test_the_giant_sees_all_of_a_picture_and_the_base_its_middle(giant, base):
    wide = film(16, 224, 448)
    assert giant.prepare(wide)["windows"].shape == base.prepare(wide)["windows"].shape == (1, 16, 3, 224, 224)
    edged = wide.clip.frames.copy()
    edged[:, :, :100] = 0
    edged = Sample(Clip(edged, None))
    assert np.array_equal(base.prepare(wide)["windows"], base.prepare(edged)["windows"])
    assert not np.array_equal(giant.prepare(wide)["windows"], giant.prepare(edged)["windows"])
    white = Sample(Clip(np.full((16, 30, 40, 3), 255, np.uint8), None))
    assert np.allclose(giant.prepare(white)["windows"], 1)
    assert np.allclose(
        base.prepare(white)["windows"][0, 0, :, 0, 0], (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    )


def test_the_base_model_is_the_one_of_transformers_own_classifier(base):
    pictures = torch.from_numpy(base.prepare(film(16))["windows"])
    with torch.no_grad():
        assert torch.allclose(base.model.classifier(base.features(pictures)), base.model(pixel_values=pictures).logits, atol=1e-6)


def test_too_few_frames(giant):
    with pytest.raises(UnusableClipError, match="15 frames; 16"):
        giant.prepare(film(15))


def test_another_network_is_refused_in_one_line(tmp_path, base):
    other = tmp_path / "other.pth"
    torch.save({"model": {"head.weight": torch.zeros(3, 8)}}, other)
    wide = tmp_path / "wide.pth"
    torch.save(VideoMaeGiant(**(TINY | {"width": 16})).state_dict(), wide)
    more = tmp_path / "more.pth"
    torch.save(VideoMaeGiant(**(TINY | {"depth": 3})).state_dict(), more)
    cases = ((other, "missing"), (wide, "of another shape"), (more, "unknown"))
    for file, words in cases:
        with pytest.raises(ValueError, match=words) as caught:
            TinyGiant().load([file])
        assert "\n" not in str(caught.value)
        assert file.name in str(caught.value)
