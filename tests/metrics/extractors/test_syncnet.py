"""SyncNet: published names, sizes and cepstra, stretches against single windows, and the two scores of known embeddings."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from sonovid.core.clip import Clip
from sonovid.metrics import semantic
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors import syncnet as subject
from sonovid.metrics.extractors.syncnet import SAMPLE_RATE, SyncNet, SyncNetAudio, SyncNetVideo, cepstra, mean_distances

TINY = {"narrow": 16, "features": 6}


class TinyVideo(SyncNetVideo):
    sizes = TINY


class TinyAudio(SyncNetAudio):
    sizes = TINY


@pytest.fixture(scope="module")
def both(tmp_path_factory, randomised):
    path = tmp_path_factory.mktemp("weights") / "syncnet_v2.model"
    torch.save(randomised(SyncNet(**TINY)).state_dict(), path)
    video, audio = TinyVideo(), TinyAudio()
    video.load([path])
    audio.load([path])
    return video, audio


def clip(frames: int, samples: int, seed: int = 0) -> Sample:
    generator = np.random.default_rng(seed)
    pictures = generator.integers(0, 256, (frames, 24, 32, 3), dtype=np.uint8)
    waveform = generator.normal(0, 0.1, (1, samples)).astype(np.float32)
    return Sample(Clip(pictures, waveform, fps=Fraction(25), sample_rate=SAMPLE_RATE))


def test_names_and_sizes_are_the_published_ones():
    with torch.device("meta"):
        network = SyncNet()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    # The released file has 54.57 MB.
    assert sum(value.numel() for value in network.state_dict().values()) == 13_640_270
    assert shapes["netcnnaud.0.weight"] == (64, 1, 3, 3)
    assert shapes["netcnnaud.18.weight"] == (512, 256, 5, 4)
    assert shapes["netcnnlip.0.weight"] == (96, 3, 5, 7, 7)
    assert shapes["netcnnlip.18.bias"] == (512,)
    assert shapes["netfcaud.3.weight"] == shapes["netfclip.3.weight"] == (1024, 512)
    assert shapes["netfclip.1.running_var"] == (512,)


def test_cepstra_are_those_of_python_speech_features():
    """Stored figures of its version 0.6, of 16-bit samples of a sweep with silence in it."""
    n = np.arange(9000)
    waveform = (0.4 * np.sin(n * n / 9000) + 0.02 * np.random.default_rng(0).normal(size=9000)).astype(np.float32)
    waveform[3000:4200] = 0
    found = cepstra(waveform)
    assert found.shape == (55, 13)
    stored = [
        [19.2323, -12.9403, 8.8147, -10.493],
        [21.1966, -2.7384, -8.7144, -3.4104],
        [-36.0437, 0.0, 0.0, 0.0],
        [23.6553, -23.4118, -26.6386, 15.7025],
        [24.4489, -27.9212, 23.448, 19.0185],
    ]
    np.testing.assert_allclose(found[[0, 7, 20, 30, -1]][:, [0, 1, 5, 12]], stored, atol=2e-4)


def test_a_stretch_gives_the_embeddings_of_its_windows(both, monkeypatch):
    """Frames are BGR in [0, 255]; audio windows of 20 steps begin every 4 steps."""
    video, audio = both
    sample = clip(12, 12 * 640 + 100)
    prepared = video.prepare(sample), audio.prepare(sample)
    monkeypatch.setattr(subject, "CHUNK", 3)
    found = video.embed([prepared[0]])[0]["features"], audio.embed([prepared[1]])[0]["features"]
    assert found[0].shape == found[1].shape == (7, 6)
    frames = torch.from_numpy(prepared[0]["pictures"][:, ::-1].copy()).float()
    sound = torch.from_numpy(prepared[1]["cepstra"])
    with torch.inference_mode():
        for i in range(7):
            network = video.network
            lip = network.netfclip(network.netcnnlip(frames[i : i + 5].transpose(0, 1)[None]).flatten(1))
            speech = network.netfcaud(network.netcnnaud(sound[4 * i : 4 * i + 20].T[None, None]).flatten(1))
            np.testing.assert_allclose(found[0][i], lip[0], rtol=1e-4, atol=1e-3)
            np.testing.assert_allclose(found[1][i], speech[0], rtol=1e-4, atol=1e-3)


def test_short_clips_are_left_out(both):
    video, audio = both
    with pytest.raises(UnusableClipError, match="6 are needed"):
        video.prepare(clip(5, 6 * 640))
    with pytest.raises(UnusableClipError, match=r"SyncNet needs 0\.24 s"):
        audio.prepare(clip(6, 6 * 640 - 1))
    assert len(audio.embed([audio.prepare(clip(6, 6 * 640))])[0]["features"]) == 1


@pytest.mark.parametrize("late", [0, 4, -7])
def test_the_least_distance_is_at_the_offset_of_the_audio(late):
    rows = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    video, audio = {"features": rows[10:50]}, {"features": rows[10 - late : 50 - late]}
    distances = mean_distances(video, audio)
    assert distances.shape == (31,)
    assert distances.argmin() - 15 == late
    # By definition, with zeros beyond the ends, and the epsilon of torch's pairwise distance.
    padded = np.pad(audio["features"], ((15, 15), (0, 0)))
    expected = [np.linalg.norm(video["features"] - padded[i : i + 40] + 1e-6, axis=1).mean() for i in range(31)]
    np.testing.assert_allclose(distances, expected, rtol=1e-5)
    assert semantic.lip_sync_distance(video, audio) == pytest.approx(min(expected), rel=1e-5)
    assert semantic.lip_sync_confidence(video, audio) == pytest.approx(np.sort(expected)[15] - min(expected), rel=1e-5)


def test_of_different_lengths_the_shorter_counts():
    rows = np.random.default_rng(2).normal(size=(50, 8)).astype(np.float32)
    short, long = {"features": rows[:40]}, {"features": rows}
    np.testing.assert_array_equal(mean_distances(short, long), mean_distances(short, short))
    np.testing.assert_array_equal(mean_distances(long, short), mean_distances(short, short))
