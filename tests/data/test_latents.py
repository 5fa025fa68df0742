"""The latent cache: encoding, adding and removing clips, resuming, errors and reading."""

import io
import json
import os
import tarfile
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from sonovid.core.av import AV
from sonovid.core.geometry import Geometry
from sonovid.data import clips, latents, manifest, shards

GEOMETRY = Geometry(4, Fraction(8), 16, 16, 16000)


def encode(given) -> AV:
    """Frames in blocks of 4x4, and the sound in blocks of 100, both averaged: a codec of no cleverness."""
    frames = torch.from_numpy(np.stack([clip.frames for clip in given])).movedim(-1, 1).float() / 255
    sound = torch.from_numpy(np.stack([clip.waveform for clip in given]))
    video = nn.functional.avg_pool3d(frames, (1, 4, 4))
    return AV(video, sound.reshape(len(given), 1, -1, 100).mean(-1, keepdim=True))


class Counting:
    """An encoder that counts the clips it is given."""

    def __init__(self, most=10**9):
        self.batches, self.most = 0, most

    def __call__(self, given):
        if self.batches == self.most:
            raise KeyboardInterrupt
        self.batches += 1
        return encode(given)


@pytest.fixture(scope="module")
def sought():
    return clips.find_windows(manifest.read("scenes:bounces:7"), GEOMETRY)


@pytest.fixture
def folder(tmp_path):
    """Five clips with captions."""
    clips.write_scenes(tmp_path / "clips", "hits", 5, 0, GEOMETRY, quiet=True)
    (tmp_path / "clips" / "manifest.jsonl").unlink()
    return tmp_path / "clips"


def store_at(root, *parts, **options):
    return latents.LatentStore(root, GEOMETRY, *(parts or ("k",)), **{"shard_size": 3, **options})


def write(root, sought, encode=encode, streams=clips.BOTH, part=(0, 1), **options):
    """The latents of some windows, encoded where they are not there yet."""
    store = store_at(root, streams=streams, **options)
    store.write(store.plan(sought), latents.local_encoder(encode, GEOMETRY, streams=streams, batch=2), part=part)
    store.reload()
    return store


def in_folder(folder):
    return clips.find_windows(manifest.read(folder), GEOMETRY)


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_what_is_read_is_what_was_encoded(tmp_path, sought):
    cache = write(tmp_path, sought).select(sought)
    assert len(cache) == 7
    expected = encode([clip for _, clip in clips.stream_clips(sought, GEOMETRY)])
    for (ours, row), index in zip((cache[i] for i in range(7)), range(7), strict=True):
        assert torch.equal(ours.video, expected.video[index])
        assert torch.equal(ours.audio, expected.audio[index])
        assert row["name"] == f"bounces/{index}"
    picked = cache.batch([5, 0])
    assert torch.equal(picked.video, expected.video[[5, 0]])
    assert cache.rows[3]["caption"] == clips.load_clip(sought[3], GEOMETRY).caption
    assert cache.rows[3]["events"] == list(clips.load_clip(sought[3], GEOMETRY).events)
    assert [row["name"] for row in cache.rows[5:]] == ["bounces/5", "bounces/6"]


def test_statistics_are_those_of_the_clips_that_are_asked_for(tmp_path, sought):
    store = write(tmp_path, sought)
    chosen = [sought[i] for i in (6, 1, 4, 3)]
    statistics = store.select(chosen).statistics
    for name in AV._fields:
        x = getattr(encode([clip for _, clip in clips.stream_clips(chosen, GEOMETRY)]), name).movedim(1, 0).flatten(1).double()
        assert statistics[name]["mean"] == pytest.approx(x.mean(1).tolist(), rel=1e-6)
        assert statistics[name]["std"] == pytest.approx(x.std(1, correction=0).tolist(), rel=1e-6)


def test_how_clips_are_spread_over_shards_changes_no_bit(tmp_path, sought):
    one = write(tmp_path / "one", sought)
    for first in (sought[4:], sought[:2], sought):
        several = write(tmp_path / "several", first, shard_size=2)
    a, b = one.select(sought), several.select(sought)
    assert len(several.index.paths) == 4
    assert list(a.rows) == list(b.rows)
    assert equal(a.batch(range(7)), b.batch(range(7)))
    assert a.statistics == b.statistics


def test_only_clips_that_are_added_are_encoded(tmp_path, folder):
    root = tmp_path / "cache"
    before = write(root, in_folder(folder)[:4]).select(in_folder(folder)[:4]).batch(range(4))
    counting = Counting()
    added = write(root, in_folder(folder), counting).select(in_folder(folder))
    assert counting.batches == 1
    assert equal(added.batch(range(4)), before)
    # Dropped: nothing is encoded, and the statistics are those of what is left.
    next(folder.glob("*3.mp4")).unlink()
    dropped = write(root, in_folder(folder), counting).select(in_folder(folder))
    assert counting.batches == 1
    assert [row["name"][-5:] for row in dropped.rows] == ["0.mp4", "1.mp4", "2.mp4", "4.mp4"]
    assert dropped.statistics != added.statistics
    # Changed: that one alone is encoded.
    os.utime(next(folder.glob("*1.mp4")), ns=(1, 1))
    write(root, in_folder(folder), counting)
    assert counting.batches == 2


def test_captions_and_labels_change_without_anything_being_encoded(tmp_path, folder):
    write(tmp_path / "cache", in_folder(folder))
    next(folder.glob("*2.txt")).write_text("another caption\n")
    counting = Counting()
    cache = write(tmp_path / "cache", in_folder(folder), counting).select(in_folder(folder))
    assert counting.batches == 0
    assert cache.rows[2]["caption"] == "another caption"
    assert cache.rows[1]["caption"] == manifest.read(folder)[1].caption


def test_a_folder_that_was_moved_keeps_its_cache(tmp_path, folder):
    write(tmp_path / "cache", in_folder(folder))
    counting = Counting()
    write(tmp_path / "cache", in_folder(folder.rename(tmp_path / "elsewhere")), counting)
    assert counting.batches == 0


def test_an_interrupted_cache_is_gone_on_with_and_is_the_same(tmp_path, sought):
    write(tmp_path / "whole", sought)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "parts", sought, Counting(most=2))
    store = store_at(tmp_path / "parts")
    with pytest.raises(ValueError, match="bounces/3 is not cached there yet"):
        store.select(sought)
    counting = Counting()
    write(tmp_path / "parts", sought, counting)
    assert counting.batches == 2, "the whole shard is not encoded anew"
    files = {path.relative_to(tmp_path / "whole"): path for path in (tmp_path / "whole").rglob("*") if path.is_file()}
    assert len(files) == 3 * 3 + 1
    for name, path in files.items():
        assert path.read_bytes() == (tmp_path / "parts" / name).read_bytes(), name
    assert len([path for path in (tmp_path / "parts").rglob("*") if path.is_file()]) == len(files)


def test_several_processes_share_the_shards(tmp_path, sought):
    one = write(tmp_path / "one", sought)
    plans = [store_at(tmp_path / "two") for _ in range(2)]
    planned = [store.plan(sought) for store in plans]
    for number in (1, 0):
        plans[number].write(planned[number], latents.local_encoder(encode, GEOMETRY, batch=2), part=(number, 2))
    two = store_at(tmp_path / "two")
    assert [path.name for path in two.index.paths] == [path.name for path in one.index.paths]
    assert equal(one.select(sought).batch(range(7)), two.select(sought).batch(range(7)))


def test_memory_and_disk_give_the_same(tmp_path, sought):
    store = write(tmp_path, sought)
    a, b = store.select(sought), store.select(sought, memory_gb=0.0)
    assert (a.in_memory, b.in_memory) == (True, False)
    assert equal(a.batch([6, 2, 4]), b.batch([6, 2, 4]))
    assert isinstance(b._bytes(0), np.memmap)


def test_a_clip_s_latents_do_not_depend_on_those_encoded_with_it(tmp_path, sought):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv3d(8, 4, 3, stride=2))

    def codec(given) -> AV:
        frames = torch.from_numpy(np.stack([clip.frames for clip in given])).movedim(-1, 1).float() / 255
        return AV(network(frames), None)

    def latents_of(root, order):
        store = store_at(root)
        for windows in order:
            store.write(store.plan(windows), latents.local_encoder(codec, GEOMETRY, batch=4))
            store.reload()
        return store.select(sought).batch(range(7)).video

    assert torch.equal(latents_of(tmp_path / "a", [sought]), latents_of(tmp_path / "b", [[w] for w in reversed(sought)]))


def test_clips_themselves_can_be_kept_and_a_stream_left_out(tmp_path, sought):
    def pixels(given) -> AV:
        return AV(torch.from_numpy(np.stack([clip.frames for clip in given])), None)

    cache = write(tmp_path, sought, pixels, streams=AV(True, False)).select(sought)
    found = cache.batch([4])
    assert found.audio is None
    np.testing.assert_array_equal(found.video[0].numpy(), clips.load_clip(sought[4], GEOMETRY).frames)
    assert cache.statistics == {}


def test_faulty_clips_leave_no_gap_and_are_not_tried_again(tmp_path, sought):
    gone = clips.Window(manifest.Entry(str(tmp_path / "gone.mp4"), name="gone"))
    asked = [gone, gone, gone, *sought[:2], gone, sought[2]]
    store = write(tmp_path / "cache", asked)
    cache = store.select(asked)
    assert [row["name"] for row in cache.rows] == ["bounces/0", "bounces/1", "bounces/2"]
    expected = encode([clips.load_clip(sought[2], GEOMETRY)]).video[0]
    assert torch.equal(cache[2][0].video, expected)
    assert store.plan(asked) == []
    with pytest.raises(ValueError, match="none of 1 clips could be read"):
        store.select([gone])


def test_half_precision_can_be_read_under_autocast_and_bfloat16_is_kept_as_float(tmp_path, sought):
    cache = write(tmp_path / "half", sought, lambda given: encode(given).map(torch.Tensor.half)).select(sought)
    with torch.autocast("cpu", torch.bfloat16):
        assert cache.batch([0, 1]).video.dtype == torch.float16
    cache = write(tmp_path / "brain", sought, lambda given: encode(given).map(torch.Tensor.bfloat16)).select(sought)
    assert cache.batch([0]).video.dtype == torch.float32


def test_stores_follow_weights_geometry_and_streams_and_nothing_else(tmp_path):
    torch.manual_seed(0)
    layer = nn.Linear(3, 3)
    key = store_at(tmp_path, layer).key
    assert key == store_at(tmp_path, layer).key == store_at(tmp_path, layer, shard_size=9).key
    assert key != latents.LatentStore(tmp_path, GEOMETRY.with_duration(1), layer).key
    assert key != store_at(tmp_path, layer, "bf16").key
    assert key != store_at(tmp_path, layer, streams=AV(True, False)).key
    with torch.no_grad():
        layer.weight[0, 0] += 1e-6
    assert key != store_at(tmp_path, layer).key


def test_pruning_leaves_what_is_used_as_it_was(tmp_path, sought):
    store = write(tmp_path, sought)
    before, whole = store.select(sought).batch([1, 5, 6]), sum(path.stat().st_size for path in store.index.paths)
    assert store.prune([sought[1], sought[5], sought[6]]) == 4
    assert len(store.index.places) == 3
    assert equal(store.select([sought[1], sought[5], sought[6]]).batch(range(3)), before)
    assert {path.suffix for path in store.folder.iterdir()} == {".tar", ".jsonl", ".safetensors", ".json"}
    assert sum(path.stat().st_size for path in store.folder.glob("*.tar")) < whole
    assert store.prune([]) == 3
    assert [path.name for path in store.folder.iterdir()] == [latents.META_FILE]


def test_shards_are_tar_files_of_arrays_and_json(tmp_path, sought):
    store = write(tmp_path, sought)
    path = store.index.paths[0]
    keys = [row.key for row in shards.read(path).rows]
    with tarfile.open(path) as tar:
        assert tar.getnames() == [f"{key}.{end}" for key in keys for end in ("json", "video.npy", "audio.npy")]
        info = json.load(tar.extractfile(tar.getnames()[0]))
        array = np.load(io.BytesIO(tar.extractfile(tar.getnames()[1]).read()), allow_pickle=False)
    window = next(window for window in sought if store.clip_key(window) == keys[0])
    assert info["name"] == window.entry.name
    np.testing.assert_array_equal(array, store.select([window]).batch([0]).video[0].numpy())


def test_webdataset_and_datasets_read_the_shards(tmp_path, sought):
    webdataset, datasets = pytest.importorskip("webdataset"), pytest.importorskip("datasets")
    store = write(tmp_path, sought, lambda given: encode(given).map(torch.Tensor.half))
    cache = store.select(sought)
    ours = {row["name"]: cache[i][0] for i, row in enumerate(cache.rows)}
    paths = [str(path) for path in store.index.paths]
    read = list(webdataset.WebDataset(paths, shardshuffle=False).decode())
    assert len(read) == 7
    for sample in read:
        own = ours[sample["json"]["name"]]
        np.testing.assert_array_equal(sample["video.npy"], own.video.numpy())
        np.testing.assert_array_equal(sample["audio.npy"], own.audio.numpy())
    loaded = datasets.load_dataset("webdataset", data_files=paths, split="train", streaming=True)
    assert [sample["json"]["name"] for sample in loaded] == [sample["json"]["name"] for sample in read]
    sample = next(iter(loaded))
    np.testing.assert_array_equal(np.array(sample["video.npy"], np.float16), ours[sample["json"]["name"]].video.numpy())


def test_a_window_further_on_is_another_clip(tmp_path, sought):
    later = replace(sought[0], start=0.5)
    store = store_at(tmp_path)
    assert store.clip_key(later) != store.clip_key(sought[0])
