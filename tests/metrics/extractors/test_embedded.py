import shutil
from fractions import Fraction
from hashlib import sha256

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data.scenes import render
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors.embedded import (
    FILE,
    SHA256,
    ScenesAudio,
    ScenesVideo,
    networks,
    split_audio,
    split_frames,
    timing,
)

# Far from every seed of training and of the figures.
SEED = 71_000_000
SHIFT = 2560  # 160 ms


@pytest.fixture(scope="module")
def pair():
    video, audio = ScenesVideo(), ScenesAudio()
    video.load([])
    audio.load([])
    return video, audio


def clips(world, count, first=SEED, seconds=2):
    return [render(world, first + i, Geometry(8 * seconds, Fraction(8), 64, 64, 16000)) for i in range(count)]


def embed(extractor, clips):
    return extractor.embed([extractor.prepare(Sample(clip)) for clip in clips])


def moved(clip, samples):
    """The clip with its sound later by so many samples, cut out of a longer one: nothing is filled in."""
    start = 16000 - samples
    return Clip(clip.frames[8:24], clip.waveform[:, start : start + 32000], clip.fps, clip.sample_rate)


@pytest.fixture(scope="module")
def timed(pair):
    """Timing of 12 scenes with the right sound, sounds 160 ms late and early, and the sound of the next scene."""
    long = [clip for world in ("hits", "bounces") for clip in clips(world, 6, seconds=4)]
    video = embed(pair[0], [moved(clip, 0) for clip in long])
    audio = {shift: embed(pair[1], [moved(clip, shift) for clip in long]) for shift in (-SHIFT, 0, SHIFT)}
    found = {s: [timing(v["steps"], a["steps"]) for v, a in zip(video, rows, strict=True)] for s, rows in audio.items()}
    partners = audio[0][1:] + audio[0][:1]
    return found | {"partner": [timing(v["steps"], a["steps"]) for v, a in zip(video, partners, strict=True)]}


def test_the_packaged_weights_are_those_of_this_version():
    assert sha256(FILE.read_bytes()).hexdigest() == SHA256
    assert FILE.stat().st_size < 8_000_000
    assert ScenesVideo.settings["sha256"] == SHA256


def test_wrong_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match="reinstall sonovid"):
        networks(tmp_path / "none.safetensors")
    changed = tmp_path / "changed.safetensors"
    shutil.copy(FILE, changed)
    data = bytearray(changed.read_bytes())
    data[-1] ^= 1
    changed.write_bytes(data)
    with pytest.raises(ValueError, match="not the weights of this version"):
        networks(changed)
    weights = load_file(FILE)
    name = sorted(weights)[0]
    other = tmp_path / "other.safetensors"
    save_file({**weights, name: torch.zeros(3)}, other)
    with pytest.raises(ValueError, match="of another shape"):
        networks(other, sha256(other.read_bytes()).hexdigest())
    other.write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match="cannot be read"):
        networks(other, sha256(other.read_bytes()).hexdigest())


@pytest.mark.parametrize(("frames", "shape"), [(12, (1, 12)), (15, (1, 15)), (16, (1, 16)), (31, (1, 16)), (40, (2, 16))])
def test_pictures_and_sound_are_cut_alike(frames, shape):
    pictures = split_frames(np.zeros((frames, 64, 64, 3), np.uint8))
    sound = split_audio(np.zeros(frames * 2000, np.float32))
    assert pictures.shape[:2] == shape
    assert sound.shape == (shape[0], shape[1] * 2000)


def test_a_sound_that_ends_a_little_early_is_filled_and_a_shorter_one_refused():
    assert split_audio(np.ones(32000 - 640, np.float32)).shape == (1, 32000)
    assert split_audio(np.ones(32000 - 641, np.float32)).shape == (1, 30000)
    with pytest.raises(UnusableClipError, match=r"1\.46 s"):
        split_audio(np.ones(23359, np.float32))
    with pytest.raises(UnusableClipError, match="needs"):
        split_frames(np.zeros((11, 64, 64, 3), np.uint8))
    with pytest.raises(UnusableClipError, match="NaN"):
        split_audio(np.full(32000, np.nan, np.float32))


def test_a_clip_without_a_stream_is_unfit(pair):
    clip = clips("hits", 1)[0]
    with pytest.raises(UnusableClipError, match="no audio"):
        pair[1].prepare(Sample(Clip(clip.frames, None)))
    with pytest.raises(UnusableClipError, match="no video"):
        pair[0].prepare(Sample(Clip(None, clip.waveform)))


def test_features_do_not_depend_on_the_batch(pair):
    some = clips("dance", 2) + clips("landscape", 1, seconds=4)
    for extractor in pair:
        together, apart = embed(extractor, some), [embed(extractor, [clip])[0] for clip in some]
        for a, b in zip(together, apart, strict=True):
            assert a["features"].dtype == np.float32
            np.testing.assert_array_equal(a["features"], b["features"])
            np.testing.assert_array_equal(a["steps"], b["steps"])
        assert [len(rows["features"]) for rows in together] == [1, 1, 2]
        assert [rows["steps"].shape[1] for rows in together] == [64, 64, 64]


def test_darkness_and_silence_have_finite_features(pair):
    clip = Clip(np.zeros((16, 64, 64, 3), np.uint8), np.zeros((1, 32000), np.float32), Fraction(8))
    video, audio = (embed(extractor, [clip])[0] for extractor in pair)
    assert np.isfinite(video["features"]).all()
    assert np.isfinite(audio["features"]).all()
    found = timing(video["steps"], audio["steps"])
    assert 0 <= found.score <= 1


def test_worlds_are_told_apart_by_features(pair):
    """By the nearest mean of five scenes each, of the worlds that are not made of many kinds (chance: 3 of 9)."""
    known = {world: clips(world, 5) for world in ("bounces", "dance", "kitchen")}
    asked = {world: clips(world, 3, SEED + 100) for world in known}
    for extractor in pair:
        means = np.stack([np.concatenate([r["features"] for r in embed(extractor, c)]).mean(0) for c in known.values()])
        right = 0
        for k, scenes in enumerate(asked.values()):
            for rows in embed(extractor, scenes):
                right += int(((means - rows["features"]) ** 2).sum(1).argmin() == k)
        assert right >= 8, f"{extractor.name}: {right} of 9"


def test_a_sound_out_of_time_scores_less(timed):
    mean = {name: np.mean([t.score for t in found]) for name, found in timed.items()}
    assert mean[0] > 0.6
    assert mean[SHIFT] < 0.7 * mean[0]
    assert mean[-SHIFT] < 0.7 * mean[0]
    assert mean["partner"] < 0.4 * mean[0]


def test_the_offset_is_found_with_its_sign(timed):
    for shift, ms in ((-SHIFT, -160), (0, 0), (SHIFT, 160)):
        assert np.nanmedian([t.offset for t in timed[shift]]) == pytest.approx(ms, abs=25)


def test_a_strangers_sound_is_told_unrelated(timed):
    assert np.mean([t.related for t in timed["partner"]]) < 0.5 < np.mean([t.related for t in timed[0]])
    assert any(np.isnan(t.offset) for t in timed["partner"])


def test_windows_are_put_together(pair):
    """Two windows of one offset: the same offset, and the mean of the scores."""
    clip = clips("hits", 1, seconds=4)[0]
    (video,), (audio,) = embed(pair[0], [clip]), embed(pair[1], [clip])
    whole = timing(video["steps"], audio["steps"])
    parts = [timing(video["steps"][k : k + 1], audio["steps"][k : k + 1]) for k in range(2)]
    assert whole.score == pytest.approx(np.mean([p.score for p in parts]))
    assert whole.related == pytest.approx(np.mean([p.related for p in parts]))
    assert min(p.offset for p in parts) - 20 <= whole.offset <= max(p.offset for p in parts) + 20
