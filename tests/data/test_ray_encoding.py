"""Encoding with Ray gives the same shards as one process, also if a worker is lost."""

import os
import signal
from fractions import Fraction

import numpy as np
import pytest
import torch

from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data import clips, latents, manifest, ray_encoding
from sonovid.data.entry import Entry

GEOMETRY = Geometry(4, Fraction(8), 16, 16, 16000)


def encode(given) -> AV:
    frames = torch.from_numpy(np.stack([clip.frames for clip in given])).movedim(-1, 1).float()
    return AV(frames.mean((3, 4), keepdim=True).half(), None)


class DyingOnce:
    """An encoder whose first process is killed in the middle of its work, and the next is not."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __call__(self, given) -> AV:
        if not os.path.exists(self.mark):
            open(self.mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return encode(given)


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    gone = clips.Window(Entry(str(tmp_path_factory.mktemp("none") / "gone.mp4"), name="gone"))
    scenes = clips.find_windows(manifest.read("scenes:bounces:5"), GEOMETRY)
    return [scenes[0], gone, *scenes[1:]]


def test_windows_clips_and_arrays_travel_unchanged():
    entry = Entry("a.mp4", "a caption", "a label", 1.5, 2.0, (0.25, 0.5), "a", None)
    for window in (clips.Window(entry, 2.5), clips.Window(Entry("", name="hits/3", scene=("hits", 3)))):
        assert ray_encoding.window_from_json(ray_encoding.window_to_json(window)) == window
    frames, wave = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3), np.zeros((1, 7), np.float32)
    clip = Clip(frames, wave, Fraction(30000, 1001), 44100, "caption", "label", (0.1,))
    back = ray_encoding.clip_from_bytes(ray_encoding.clip_to_bytes(clip))
    np.testing.assert_array_equal(back.frames, frames)
    assert (back.fps, back.sample_rate, back.caption, back.label, back.events) == (clip.fps, 44100, "caption", "label", (0.1,))
    assert ray_encoding.clip_from_bytes(ray_encoding.clip_to_bytes(Clip(None, wave))).frames is None
    assert ray_encoding.clip_from_bytes(ray_encoding.clip_to_bytes(None)) is None
    info, arrays = ray_encoding.encoded_from_bytes(
        ray_encoding.encoded_to_bytes(({"name": "a"}, AV(torch.arange(3).half(), None)))
    )
    assert (info, arrays.audio) == ({"name": "a"}, None)
    assert torch.equal(arrays.video, torch.arange(3).half())
    assert ray_encoding.encoded_from_bytes(ray_encoding.encoded_to_bytes((None, AV(None, None)))) == (None, AV(None, None))


def test_rows_are_put_in_order():
    made = [({"name": str(i)}, AV(None, None)) for i in range(4)]
    rows = ({"index": i, "encoded": ray_encoding.encoded_to_bytes(made[i])} for i in (2, 0, 3, 1))
    assert list(ray_encoding.in_order(rows, 4)) == made


def test_without_ray_it_is_said(windows, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'sonovid\[ray\]'"):
        list(ray_encoding.ray_encoder(encode, GEOMETRY)(windows))


@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_leaves_the_same_shards_though_a_worker_is_killed(windows, tmp_path):
    one, several = (latents.LatentStore(tmp_path / name, GEOMETRY, "k", shard_size=4) for name in ("one", "several"))
    one.write(one.plan(windows), latents.local_encoder(encode, GEOMETRY, batch=2))
    several.write(several.plan(windows), ray_encoding.ray_encoder(DyingOnce(tmp_path / "died"), GEOMETRY, batch=2))
    assert (tmp_path / "died").exists()
    files = sorted(path.relative_to(one.folder) for path in one.folder.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(several.folder) for path in several.folder.rglob("*") if path.is_file())
    for name in files:
        assert (one.folder / name).read_bytes() == (several.folder / name).read_bytes(), name
