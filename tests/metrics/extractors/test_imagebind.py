"""ImageBind's halves with a small install of the same interface: what each is shown, and what is said where it is missing."""

import sys
from fractions import Fraction

import numpy as np
import pytest
import torch

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnavailableError
from sonovid.metrics.extractors.imagebind import (
    ImageBindAudio,
    ImageBindFrames,
    ImageBindText,
    ImageBindVideo,
    clip_starts,
    filter_bank,
    frames_in_windows,
    resize_short_side,
    side_crops,
)

# What a user's install offers, as small as it comes: the call, the kinds of input, and means over clips.
NETWORK = """
import torch
from torch import nn

class ImageBindModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({
            "vision": nn.Conv2d(3, 8, 56, 56), "audio": nn.Conv2d(1, 8, 32, 32), "text": nn.Embedding(300, 8)})
        self.drop = nn.Dropout(0.5)

    def forward(self, inputs):
        found = {}
        for kind, x in inputs.items():
            many = x.ndim >= 5
            if many:
                b, s = x.shape[:2]
                x = x.reshape(b * s, *x.shape[2:])
            if kind == "vision" and x.ndim == 5:
                x = x.mean(2)
            y = self.drop(self.layers[kind](x))
            y = y.mean(1) if kind == "text" else y.flatten(2).mean(2)
            found[kind] = y.reshape(b, s, -1).mean(1) if many else y
        return found

def imagebind_huge(pretrained=False):
    print("building")
    return ImageBindModel()
"""
DATA = """
import torch

def load_and_transform_text(text, device):
    return torch.tensor([[ord(c) % 300 for c in t[:77].ljust(77)] for t in text])
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory, randomised):
    """An installed package, and its weights."""
    site = tmp_path_factory.mktemp("site")
    (site / "imagebind" / "models").mkdir(parents=True)
    for name, text in (("__init__", ""), ("models/__init__", ""), ("models/imagebind_model", NETWORK), ("data", DATA)):
        (site / "imagebind" / f"{name}.py").write_text(text)
    sys.path.insert(0, str(site))
    try:
        from imagebind.models.imagebind_model import ImageBindModel

        file = site / "imagebind_huge.pth"
        torch.save(randomised(ImageBindModel()).state_dict(), file)
        yield file
    finally:
        sys.path.remove(str(site))
        for name in [name for name in sys.modules if name.split(".")[0] == "imagebind"]:
            del sys.modules[name]


def clip(seconds: float, seed: int = 0, caption: str = "a dog") -> Sample:
    generator = np.random.default_rng(seed)
    frames = generator.integers(0, 256, (round(8 * seconds), 24, 48, 3), dtype=np.uint8)
    waveform = generator.normal(0, 0.2, (1, round(16000 * seconds))).astype(np.float32)
    return Sample(Clip(frames, waveform, fps=Fraction(8), sample_rate=16000), caption)


def loaded(kind, weights):
    extractor = kind()
    extractor.load([weights])
    return extractor


def test_clips_are_spread_over_the_whole():
    assert clip_starts(10, 5) == [0, 2, 4, 6, 8]
    assert clip_starts(4, 3) == [0, 1, 2]
    assert clip_starts(1.5, 3) == [0, 0, 0]


def test_filter_banks_are_204_frames_and_nought_behind_the_sound():
    two = filter_bank(np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32))
    assert two.shape == (1, 128, 204)
    assert np.allclose(two[..., 198:], 4.268 / 9.138)
    assert not np.allclose(two[..., 197], 4.268 / 9.138)


def test_three_squares_along_the_longer_side():
    frames = np.zeros((2, 224, 448, 3), np.uint8)
    frames[:, :, 224:] = 255
    three = side_crops(resize_short_side(frames, "bilinear", 224))
    assert three.shape == (3, 2, 3, 224, 224)
    assert three[0].max() == 0
    assert three[1].mean() == pytest.approx(0.5)
    assert three[2].min() == 1
    tall = side_crops(resize_short_side(frames.transpose(0, 2, 1, 3), "bilinear", 224))
    assert tall[0].max() == 0
    assert tall[2].min() == 1


@pytest.mark.parametrize("kind", [ImageBindVideo, ImageBindFrames, ImageBindAudio, ImageBindText])
def test_the_same_whatever_the_batch(kind, weights, capfd):
    extractor = loaded(kind, weights)
    prepared = [extractor.prepare(clip(s, i, w)) for i, (s, w) in enumerate(((4.5, "rain"), (1.0, "a dog"), (2.0, "a stick")))]
    together = extractor.embed([*prepared, prepared[0]])
    for one, p in zip(together, [*prepared, prepared[0]], strict=True):
        for key, value in extractor.embed([p])[0].items():
            assert np.allclose(one[key], value, atol=1e-5)
    assert not np.allclose(together[0]["features"][..., -1], together[1]["features"].reshape(-1)[-1], atol=1e-4)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_what_the_halves_see(weights):
    video = ImageBindVideo().prepare(clip(4))["video"]
    assert video.shape == (1, 15, 3, 2, 224, 224)
    whole = clip(4).clip.frames
    first = side_crops(resize_short_side(whole[[0, 15]], "bilinear", 224))[0]
    shown = video[0, 0].transpose(1, 0, 2, 3) * np.array([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    assert np.allclose(shown + np.array([0.48145466, 0.4578275, 0.40821073])[:, None, None], first, atol=1e-5)
    audio = ImageBindAudio().prepare(clip(4))
    assert audio["clips"].shape == (1, 3, 1, 128, 204)
    assert audio["spans"].tolist() == [[0, 2], [0.5, 2.5], [1, 3], [1.5, 3.5], [2, 4]]
    assert np.array_equal(audio["clips"][0, 1], audio["windows"][2, 0])


def test_frames_within_windows(weights):
    frames = loaded(ImageBindFrames, weights)
    audio = loaded(ImageBindAudio, weights)
    one, two = frames.embed([frames.prepare(clip(3))])[0], audio.embed([audio.prepare(clip(3))])[0]
    within, sounds = frames_in_windows(one, two)
    assert [len(w) for w in within] == [16, 16, 16]
    assert np.array_equal(within[1], one["features"][4:20])
    assert len(sounds) == 3
    # A longer sound of another clip, as a floor has it: windows behind the last frame do not count.
    (longer,) = audio.embed([audio.prepare(clip(8, 1))])
    within, sounds = frames_in_windows(one, longer)
    assert len(within) == len(sounds) == 6
    assert len(within[-1]) == 4


def test_wrong_weights_and_no_install(weights, tmp_path, monkeypatch):
    torch.save({"layers.text.weight": torch.zeros(3, 3)}, tmp_path / "imagebind_huge.pth")
    with pytest.raises(ValueError, match="another network than ImageBind-huge") as caught:
        loaded(ImageBindAudio, tmp_path / "imagebind_huge.pth")
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "imagebind.models.imagebind_model", None)
    with pytest.raises(UnavailableError, match="non-commercial use") as caught:
        loaded(ImageBindAudio, weights)
    assert "\n" not in str(caught.value)
