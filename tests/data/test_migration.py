"""Migration of version 1 caches."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sonovid.core.av import AV
from sonovid.core.geometry import Geometry
from sonovid.data import clips, latents, manifest, migration
from sonovid.data.entry import Entry

GEOMETRY = Geometry(4, Fraction(8), 16, 16, 16000)


def means(given) -> AV:
    """The mean colour of each frame, and the loudness of each clip."""
    video = torch.from_numpy(np.stack([clip.frames for clip in given])).float().mean((2, 3)).movedim(-1, 1)
    return AV(
        video[..., None, None].contiguous(),
        torch.from_numpy(np.stack([clip.waveform for clip in given])).square().mean(-1)[..., None, None],
    )


def first_version(root, windows, *parts, shard):
    """A cache as the first version wrote it: the clips in order, those that cannot be read left out."""
    key = migration.v1_key(windows, GEOMETRY, *parts)
    folder = root / f"train-{key[:12]}"
    folder.mkdir(parents=True)
    about = {"key": key, "windows": len(windows), "shard": shard, "geometry": GEOMETRY.to_config()}
    (folder / "cache.json").write_text(json.dumps(about))
    for number in range(-(-len(windows) // shard)):
        chunk = windows[number * shard : (number + 1) * shard]
        found = [(window, clip) for window, clip in clips.stream_clips(chunk, GEOMETRY) if clip is not None]
        rows = [{"name": w.entry.name, "start": w.start, "caption": c.caption, "label": c.label} for w, c in found]
        rows = [{**row, "events": list(clip.events)} for row, (_, clip) in zip(rows, found, strict=True)]
        (folder / f"{number:05d}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        tensors = dict(zip(AV._fields, means([clip for _, clip in found]), strict=True)) if found else {}
        save_file(tensors, folder / f"{number:05d}.safetensors")
    return folder


@pytest.fixture
def windows(tmp_path):
    """Clips of files and of scenes, one of them unreadable."""
    clips.write_scenes(tmp_path / "clips", "hits", 3, 0, GEOMETRY, quiet=True)
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    files = clips.find_windows(manifest.read(tmp_path / "clips"), GEOMETRY)
    broken = clips.Window(Entry(str(tmp_path / "broken.mp4"), name="broken"))
    return [files[0], broken, *files[1:], *clips.find_windows(manifest.read("scenes:bounces:2"), GEOMETRY)]


@pytest.mark.parametrize("shard", [2, 100])
def test_a_cache_of_the_first_version_is_taken_over_without_encoding(tmp_path, windows, shard, caplog):
    folder = first_version(tmp_path / "cache", windows, "codec", shard=shard)
    store = latents.LatentStore(tmp_path / "cache", GEOMETRY, "codec", shard_size=4)
    assert migration.migrate(tmp_path / "cache", store, windows, "codec") == 6
    assert f"6 clips migrated from the cache of an earlier version, {folder}" in caplog.text
    assert store.plan(windows) == []
    fresh = latents.LatentStore(tmp_path / "fresh", GEOMETRY, "codec", shard_size=4)
    fresh.write(fresh.plan(windows), latents.local_encoder(means, GEOMETRY, batch=1))
    fresh.reload()
    ours, theirs = store.select(windows), fresh.select(windows)
    assert list(ours.rows) == list(theirs.rows)
    assert len(ours) == 5
    for x, y in zip(ours.batch(range(5)), theirs.batch(range(5)), strict=True):
        assert torch.equal(x, y)


def test_one_of_other_clips_or_codecs_is_left_alone(tmp_path, windows):
    first_version(tmp_path / "cache", windows, "codec", shard=2)
    for asked, codec in ((windows[:-1], "codec"), (windows, "another")):
        store = latents.LatentStore(tmp_path / "cache", GEOMETRY, codec)
        assert migration.migrate(tmp_path / "cache", store, asked, codec) == 0
        assert store.plan(asked)
    assert len(migration.find_v1_caches(tmp_path / "cache")) == 1
    assert migration.find_v1_caches(tmp_path / "none") == []
