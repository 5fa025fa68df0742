"""The latent cache: what is written, resumed, refused and read back."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from sonovid.av import AV
from sonovid.data import clips, latents, manifest
from sonovid.geometry import Geometry

GEOMETRY = Geometry(4, Fraction(8), 16, 16, 16000)


def encode(given) -> AV:
    """Frames in blocks of 4x4, and the sound in blocks of 100, both averaged: a codec of no cleverness."""
    frames = torch.from_numpy(np.stack([clip.frames for clip in given])).movedim(-1, 1).float() / 255
    sound = torch.from_numpy(np.stack([clip.waveform for clip in given]))
    video = nn.functional.avg_pool3d(frames, (1, 4, 4))
    return AV(video, sound.reshape(len(given), 1, -1, 100).mean(-1, keepdim=True))


@pytest.fixture(scope="module")
def sought():
    return clips.windows(manifest.read("scenes:bounces:7"), GEOMETRY)


def write(folder, sought, encode=encode, **options):
    latents.write(folder, sought, GEOMETRY, encode, key="k", batch=2, shard=3, **options)


def test_what_is_read_is_what_was_encoded(tmp_path, sought):
    write(tmp_path, sought)
    cache = latents.open_latents(latents.finish(tmp_path))
    assert len(cache) == 7
    expected = encode([clip for _, clip in clips.stream(sought, GEOMETRY)])
    for (ours, row), index in zip((cache[i] for i in range(7)), range(7), strict=True):
        assert torch.equal(ours.video, expected.video[index])
        assert torch.equal(ours.audio, expected.audio[index])
        assert row["name"] == f"bounces/{index}"
    picked = cache.batch([5, 0])
    assert torch.equal(picked.video, expected.video[[5, 0]])
    assert cache.rows[3]["caption"] == clips.load(sought[3], GEOMETRY).caption
    assert cache.rows[3]["events"] == list(clips.load(sought[3], GEOMETRY).events)


def test_statistics_are_those_of_all_latents_by_channel(tmp_path, sought):
    write(tmp_path, sought)
    cache = latents.open_latents(latents.finish(tmp_path))
    video = encode([clip for _, clip in clips.stream(sought, GEOMETRY)]).video.movedim(1, 0).flatten(1).double()
    assert cache.statistics["video"]["mean"] == pytest.approx(video.mean(1).tolist(), rel=1e-6)
    assert cache.statistics["video"]["std"] == pytest.approx(video.std(1, correction=0).tolist(), rel=1e-6)


def test_an_interrupted_cache_is_gone_on_with_and_is_the_same(tmp_path, sought):
    write(tmp_path / "whole", sought)
    encoded = []

    def failing(given):
        if len(encoded) == 3:
            raise KeyboardInterrupt
        encoded.append(given)
        return encode(given)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "parts", sought, failing)
    with pytest.raises(ValueError, match="2 of 3 shards are not written"):
        latents.finish(tmp_path / "parts")
    with pytest.raises(ValueError, match="no finished latent cache"):
        latents.open_latents(tmp_path / "parts")
    seen = []
    write(tmp_path / "parts", sought, lambda given: seen.extend(given) or encode(given))
    assert len(seen) == 4, "the whole shard is not encoded anew"
    for folder in ("whole", "parts"):
        latents.finish(tmp_path / folder)
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "parts" / path.name).read_bytes(), path.name
    assert {p.name for p in (tmp_path / "whole").iterdir()} == {p.name for p in (tmp_path / "parts").iterdir()}


def test_several_processes_share_the_shards(tmp_path, sought):
    write(tmp_path / "one", sought)
    write(tmp_path / "two", sought, part=(1, 2))
    write(tmp_path / "two", sought, part=(0, 2))
    a, b = (latents.open_latents(latents.finish(tmp_path / name)) for name in ("one", "two"))
    assert a.rows == b.rows
    assert torch.equal(a.batch(range(7)).video, b.batch(range(7)).video)


def test_memory_and_disk_give_the_same(tmp_path, sought):
    write(tmp_path, sought)
    latents.finish(tmp_path)
    a, b = latents.open_latents(tmp_path), latents.open_latents(tmp_path, memory_gb=0.0)
    for x, y in zip(a.batch([6, 2, 4]), b.batch([6, 2, 4]), strict=True):
        assert torch.equal(x, y)


def test_clips_themselves_can_be_kept_and_a_stream_left_out(tmp_path, sought):
    def pixels(given) -> AV:
        return AV(torch.from_numpy(np.stack([clip.frames for clip in given])), None)

    write(tmp_path, sought, pixels, streams=AV(True, False))
    cache = latents.open_latents(latents.finish(tmp_path))
    found = cache.batch([4])
    assert found.audio is None
    np.testing.assert_array_equal(found.video[0].numpy(), clips.load(sought[4], GEOMETRY).frames)


def test_faulty_clips_leave_no_gap(tmp_path, sought):
    gone = clips.Window(manifest.Entry(str(tmp_path / "gone.mp4"), name="gone"))
    write(tmp_path / "cache", [gone, gone, gone, *sought[:2], gone, sought[2]])
    cache = latents.open_latents(latents.finish(tmp_path / "cache"))
    assert [row["name"] for row in cache.rows] == ["bounces/0", "bounces/1", "bounces/2"]
    expected = encode([clips.load(sought[2], GEOMETRY)]).video[0]
    assert torch.equal(cache[2][0].video, expected)


def test_another_cache_is_not_written_into(tmp_path, sought):
    write(tmp_path, sought)
    with pytest.raises(ValueError, match="take another folder"):
        latents.write(tmp_path, sought, GEOMETRY, encode, key="other", shard=3)
    assert json.loads((tmp_path / "cache.json").read_text())["key"] == "k"


def test_the_key_follows_weights_windows_and_geometry_and_nothing_else(sought):
    torch.manual_seed(0)
    layer = nn.Linear(3, 3)
    key = latents.key_of(sought, GEOMETRY, layer)
    assert key == latents.key_of(sought, GEOMETRY, layer)
    assert key != latents.key_of(sought[:-1], GEOMETRY, layer)
    assert key != latents.key_of(sought, GEOMETRY.lasting(1), layer)
    assert key != latents.key_of(sought, GEOMETRY, layer, "bf16")
    with torch.no_grad():
        layer.weight[0, 0] += 1e-6
    assert key != latents.key_of(sought, GEOMETRY, layer)


def test_half_precision_can_be_read_under_autocast(tmp_path, sought):
    write(tmp_path, sought, lambda given: encode(given).map(torch.Tensor.half))
    cache = latents.open_latents(latents.finish(tmp_path))
    with torch.autocast("cpu", torch.bfloat16):
        assert cache.batch([0, 1]).video.dtype == torch.float16
