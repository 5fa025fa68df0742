"""I3D: the names and shapes of its published file, the numbers of the network that the file was made with, its preprocessing."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from peers import built, listing, on_meta, peer, values

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors.i3d import FRAMES, I3D, I3DLogits, I3DLogitsStyleGAN
from sonovid.metrics.extractors.weights import build_network, mismatches


def clip(t=16, h=24, w=32, seed=0):
    frames = np.random.default_rng(seed).integers(0, 256, (t, h, w, 3), dtype=np.uint8)
    return Sample(Clip(frames, None, fps=Fraction(10)))


def test_names_and_shapes_are_those_of_the_published_file():
    state = on_meta(I3D)
    assert values(state) == 12_711_881
    # Of cd-fvd's InceptionI3d, which loads i3d_pretrained_400.pt strictly.
    assert listing(state) == "c9ebe278c79190ef6bd74b6b30c66d9a31a2b05e7031928a4145d728974117f9"


def test_names_and_shapes_are_those_of_pytorch_i3d():
    theirs = on_meta(peer("cdfvd", "third_party.i3d.pytorch_i3d").InceptionI3d)
    assert not mismatches(on_meta(I3D), theirs)


@torch.inference_mode()
def test_numbers_are_those_of_pytorch_i3d():
    theirs = built(peer("cdfvd", "third_party.i3d.pytorch_i3d").InceptionI3d)
    mine = build_network(I3D, theirs.state_dict(), name="theirs")
    # Odd sizes: every layer has to add its zeros where theirs does.
    x = torch.rand(1, 3, 5, 45, 38, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = theirs(x, return_pre_pool=True)
    torch.testing.assert_close(mine.mixed(x), expected, atol=1e-6, rtol=1e-5)
    assert expected.std() > 1e-3
    x = torch.rand(2, 1024, 3, 7, 7, generator=torch.Generator().manual_seed(1))
    pooled = theirs.logits(theirs.avg_pool(x)).squeeze(3).squeeze(3).mean(2)
    torch.testing.assert_close(mine.pooled(x), pooled, atol=1e-6, rtol=1e-5)


def test_sixteen_frames_are_one_row_of_400():
    network = built(partial(I3D, narrow=8))
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, FRAMES, 224, 224)).shape == (2, 400)


def test_every_sixteen_frames_are_a_window_and_the_rest_is_dropped():
    extractor = I3DLogits()
    whole = extractor.prepare(clip(37))["windows"]
    assert whole.shape == (2, 3, 16, 224, 224)
    assert whole.dtype == np.float32
    second = Sample(Clip(clip(37).clip.frames[16:32], None, fps=Fraction(10)))
    np.testing.assert_array_equal(extractor.prepare(second)["windows"][0], whole[1])


def test_pictures_reach_from_minus_one_to_one_and_their_middle_is_kept():
    frames = np.zeros((16, 20, 40, 3), np.uint8)
    frames[:, :, 10:30] = 255
    window = I3DLogits().prepare(Sample(Clip(frames, None)))["windows"][0]
    assert np.all(window[..., 6:-6] > 1 - 1e-5), "the middle square is white but for what the scaling mixes in at its sides"
    assert window[..., 0].max() < 0.5
    assert np.all(I3DLogits().prepare(Sample(Clip(np.zeros_like(frames), None)))["windows"] == -1)


@pytest.mark.parametrize("extractor", [I3DLogits, I3DLogitsStyleGAN])
def test_clips_that_are_too_short_or_have_no_pictures_are_unfit(extractor):
    with pytest.raises(UnusableClipError, match="15 frames"):
        extractor().prepare(clip(15))
    with pytest.raises(UnusableClipError, match="no video"):
        extractor().prepare(Sample(Clip(None, np.zeros((1, 100), np.float32))))


class Archive(torch.nn.Module):
    """The signature of StyleGAN-V's archive, as small as it comes."""

    def __init__(self, classes: int = 400):
        super().__init__()
        self.layer = torch.nn.Linear(3, classes)

    def forward(self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
        x = x.float()
        if rescale:
            x = 2 * x / 255 - 1
        x = self.layer(x.mean([2, 3, 4]))
        return x if return_features else x.softmax(-1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_stylegan_v_s_archive_is_run_as_it_is(tmp_path):
    archive = built(Archive)
    torch.jit.script(archive).save(str(tmp_path / "i3d_torchscript.pt"))
    extractor = I3DLogitsStyleGAN()
    extractor.load([tmp_path / "i3d_torchscript.pt"])
    samples = [clip(20, seed=0), clip(16, 12, 50, seed=1)]
    found = extractor.embed([extractor.prepare(sample) for sample in samples])
    for sample, arrays in zip(samples, found, strict=True):
        x = torch.from_numpy(sample.clip.frames[:16]).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        np.testing.assert_allclose(arrays["features"], archive.layer(x.mean([2, 3, 4])).detach().numpy(), atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_another_archive_is_refused_in_one_line(tmp_path):
    torch.jit.script(built(partial(Archive, classes=5))).save(str(tmp_path / "other.pt"))
    with pytest.raises(ValueError, match=r"other\.pt: not StyleGAN-V's I3D: its output for 16 frames has shape \[1, 5\]"):
        I3DLogitsStyleGAN().load([tmp_path / "other.pt"])
    torch.jit.script(torch.nn.Linear(3, 2)).save(str(tmp_path / "layer.pt"))
    with pytest.raises(ValueError, match=r"layer\.pt: not StyleGAN-V's I3D: it fails on 16 frames") as caught:
        I3DLogitsStyleGAN().load([tmp_path / "layer.pt"])
    assert "\n" not in str(caught.value)
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="expected a TorchScript archive"):
        I3DLogitsStyleGAN().load([tmp_path / "weights.pt"])
