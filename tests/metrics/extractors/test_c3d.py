"""C3D: the names and shapes of the published file, its layers against sums written out, its preprocessing against OpenCV."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from peers import on_meta, values

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors.c3d import C3D, C3DLogits

# Chainer's links of TGAN's C3DVersion1: name, rows, columns with the kernel.
PUBLISHED = {
    "conv1a": (64, 3, 3, 3, 3),
    "conv2a": (128, 64, 3, 3, 3),
    "conv3a": (256, 128, 3, 3, 3),
    "conv3b": (256, 256, 3, 3, 3),
    "conv4a": (512, 256, 3, 3, 3),
    "conv4b": (512, 512, 3, 3, 3),
    "conv5a": (512, 512, 3, 3, 3),
    "conv5b": (512, 512, 3, 3, 3),
    "fc6": (4096, 8192),
    "fc7": (4096, 4096),
    "fc8": (101, 4096),
}


class Small(C3DLogits):
    widths: ClassVar = {"width": 1, "hidden": 8}


def saved(folder, width=1, hidden=8, seed=0, mean=None):
    """Weights as Chainer writes them, and a mean, as files."""
    rng = np.random.default_rng(seed)
    with torch.device("meta"):
        state = C3D(width, hidden).state_dict()
    chainer = {
        name.replace(".weight", "/W").replace(".bias", "/b"): 0.2 * rng.standard_normal(v.shape).astype(np.float32)
        for name, v in state.items()
    }
    np.savez(folder / "conv3d_deepnetA_ucf.npz", **chainer)
    mean = rng.uniform(80, 120, (3, 16, 128, 171)).astype(np.float32) if mean is None else mean
    np.savez(folder / "mean2.npz", mean=mean)
    return [folder / "conv3d_deepnetA_ucf.npz", folder / "mean2.npz"], chainer, mean


def clip(t=16, h=40, w=60, seed=0):
    return Sample(Clip(np.random.default_rng(seed).integers(0, 256, (t, h, w, 3), dtype=np.uint8), None))


def test_names_and_shapes_are_those_of_the_published_file():
    state = on_meta(C3D)
    expected = {f"{name}.weight": shape for name, shape in PUBLISHED.items()}
    expected |= {f"{name}.bias": shape[:1] for name, shape in PUBLISHED.items()}
    assert {name: tuple(value.shape) for name, value in state.items()} == expected
    assert values(state) == 78_409_573


def pool(x, time):
    """Chainer's pooling with cover_all: windows of two, the last one of what is left."""
    t, h, w = x.shape[1:]
    step = 2 if time else 1
    cells = [
        [[x[:, a : a + step, b : b + 2, c : c + 2].max((1, 2, 3)) for c in range(0, w, 2)] for b in range(0, h, 2)]
        for a in range(0, t, step)
    ]
    return np.moveaxis(np.array(cells), -1, 0)


def convolution(x, weight, bias):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3, 3), (1, 2, 3))
    return np.einsum("cthwijk,dcijk->dthw", windows, weight) + bias[:, None, None, None]


def test_logits_are_those_of_the_sums_written_out(tmp_path):
    files, weights, _ = saved(tmp_path, mean=np.full((3, 16, 128, 171), 100, np.float32))
    extractor = Small()
    extractor.load(files)
    frames = (100 + np.random.default_rng(1).standard_normal((3, 16, 112, 112))).astype(np.float32)
    x = frames - 100
    for name in ("1a", "2a", "3a", "3b", "4a", "4b", "5a", "5b"):
        x = np.maximum(convolution(x, weights[f"conv{name}/W"], weights[f"conv{name}/b"]), 0)
        if name in ("1a", "2a", "3b", "4b", "5b"):
            x = pool(x, time=name != "1a")
    assert x.shape == (8, 1, 4, 4)
    x = x.ravel()
    for name in ("fc6", "fc7"):
        x = np.maximum(weights[f"{name}/W"] @ x + weights[f"{name}/b"], 0)
    expected = weights["fc8/W"] @ x + weights["fc8/b"]
    np.testing.assert_allclose(extractor.embed([{"frames": frames}])[0]["logits"], expected, rtol=1e-4, atol=1e-5)


def test_frames_are_scaled_turned_to_bgr_and_cut_as_in_tgan(tmp_path):
    cv2 = pytest.importorskip("cv2")
    files, _, mean = saved(tmp_path)
    sample = clip(t=20)
    prepared = Small().prepare(sample)["frames"]
    theirs = np.stack(
        [cv2.resize(f.astype(np.float32), (128, 128), interpolation=cv2.INTER_CUBIC) for f in sample.clip.frames[:16]]
    )
    theirs = theirs.transpose(3, 0, 1, 2)[::-1]
    np.testing.assert_allclose(prepared, theirs[:, :, 8:120, 8:120], atol=0.5)
    extractor = Small()
    extractor.load(files)
    np.testing.assert_array_equal(extractor.mean.numpy(), mean[:, :, :, 21 : 21 + 128][:, :, 8 : 8 + 112, 8 : 8 + 112])


def test_short_clips_are_unfit():
    with pytest.raises(UnusableClipError, match="15 frames"):
        C3DLogits().prepare(clip(15))


def test_wrong_weights_and_a_wrong_mean_are_refused(tmp_path):
    (tmp_path / "wide").mkdir()
    wide, _, _ = saved(tmp_path / "wide", width=2)
    with pytest.raises(ValueError, match=r"conv3d_deepnetA_ucf\.npz: weights of another network than C3D"):
        Small().load(wide)
    files, _, _ = saved(tmp_path, mean=np.zeros((3, 16, 112, 112), np.float32))
    with pytest.raises(ValueError, match=r"mean2\.npz: not the mean of C3D"):
        Small().load(files)
