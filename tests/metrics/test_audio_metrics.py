"""Metrics of sound (metrics/audio.py), from files to numbers, with narrow random networks in the place of the published ones."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.metrics import audio
from sonovid.metrics.base import ClipDistance, Distance, PairedScore, SetScore
from sonovid.metrics.catalogue import metric_requirements
from sonovid.metrics.evaluate import EvaluationConfig, evaluate
from sonovid.metrics.extractors.audioclip import AudioClipFeatures
from sonovid.metrics.extractors.cnn14 import Cnn14, PannsFeatures
from sonovid.metrics.extractors.vggish import VGGish, VGGishFeatures
from sonovid.metrics.frechet import frechet, per_clip
from sonovid.metrics.kernels import kad, kid, kvd
from sonovid.metrics.sets import open_set
from sonovid.metrics.sizes import frechet_infinity

BY_NAME = {metric.name: metric for metric in audio.METRICS}


class SmallVGGish(VGGishFeatures):
    widths: ClassVar = {"width": 2, "hidden": 8, "features": 4}
    weights = (replace(VGGishFeatures.weights[0], sha256=""),)


class SmallPanns(PannsFeatures):
    widths: ClassVar = {"width": 1, "classes": 7}
    weights = (replace(PannsFeatures.weights[0], sha256=""),)


SMALL = {VGGishFeatures: SmallVGGish, PannsFeatures: SmallPanns}


def small(name):
    """A metric on the narrow network."""
    return replace(BY_NAME[name], extractor=SMALL[BY_NAME[name].extractors[0]])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        for kind, network in ((SmallVGGish, VGGish), (SmallPanns, Cnn14)):
            state = network(**kind.widths).state_dict()
            state = {name: 2.4 * value if value.ndim == 4 else value for name, value in state.items()}
            torch.save({"model": state}, folder / kind.weights[0].name)
    return folder


def write(folder, count, seed, seconds):
    folder.mkdir()
    draw = np.random.default_rng(seed)
    for i in range(count):
        time = np.arange(round(8000 * seconds)) / 8000
        tone = 0.3 * np.sin(2 * np.pi * draw.uniform(200, 3000) * time) + draw.normal(0, 0.02, len(time))
        media.write(folder / f"{i:02d}.wav", Clip(None, tone[None].astype(np.float32), sample_rate=8000))
    return open_set(folder)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("media")
    return write(root / "generated", 10, 1, 2.0), write(root / "reference", 12, 2, 2.0)


def test_names_bear_their_network():
    assert len(BY_NAME) == len(audio.METRICS)
    words = {kind: kind.name.split("_")[0] for metric in audio.METRICS for kind in metric.extractors}
    assert all(words[metric.extractors[0]] in metric.name for metric in audio.METRICS)
    assert not {metric.family for metric in audio.METRICS} & set(BY_NAME)


def test_what_is_lower_is_better_but_for_the_inception_score():
    assert {metric.name for metric in audio.METRICS if metric.better == "higher"} == {"is_panns"}


def rows(n, d, seed):
    return np.random.default_rng(seed).standard_normal((n, d)) + 0.1 * seed


def test_distances_are_the_functions_that_they_are_said_to_be():
    x, y = rows(40, 5, 1), rows(50, 5, 2)
    expected = {
        "fad_vggish": frechet(x, y),
        "fad_vggish_audioldm": frechet(x, y),
        "fad_inf_vggish": frechet_infinity(x, y, seed=0).value,
        "kad_vggish": kad(x, y),
        "fd_panns": frechet(x, y),
        "kad_panns": kad(x, y),
        "kid_panns": kvd(x, y),
        "fad_audioclip_x1e4": frechet(x, y),
        "fad_birdnet": frechet(x, y),
        "kad_birdnet": kad(x, y),
    }
    found = {m.name: m.distance(x, y) for m in audio.METRICS if isinstance(m, Distance)}
    assert found == pytest.approx(expected, rel=1e-12)
    assert [m.name for m in audio.METRICS if isinstance(m, ClipDistance)] == ["fad_vggish_per_sample"]
    np.testing.assert_allclose(BY_NAME["fad_vggish_per_sample"].distances([x[:3]], y), per_clip([x[:3]], y))
    assert {m.name for m in audio.METRICS if isinstance(m, Distance) and m.by_size} == {
        "fad_vggish", "fad_vggish_audioldm", "fd_panns", "fad_audioclip_x1e4", "fad_birdnet",
    }  # fmt: skip


def test_kid_of_whole_sets_is_what_the_mean_over_subsets_tends_to():
    x, y = rows(60, 3, 1), rows(60, 3, 2)
    subsets = kid(x, y, subsets=100, size=20)
    error = subsets.std / np.sqrt(100)
    assert BY_NAME["kid_panns"].distance(x, y) == pytest.approx(subsets.mean, abs=4 * error)


def test_features_times_100_make_audioclip_s_distance_10_000_times_as_large():
    x, y = rows(30, 4, 1), rows(30, 4, 2)
    metric = BY_NAME["fad_audioclip_x1e4"]
    assert metric.key == "hundredfold"
    assert metric.distance(100 * x, 100 * y) == pytest.approx(1e4 * frechet(x, y))
    extractor = AudioClipFeatures()
    extractor.device, extractor.network = "cpu", lambda sounds: sounds[:, :2]
    found = extractor.embed([{"waveform": np.array([0.25, -1, 3], np.float32)}])[0]
    np.testing.assert_allclose(found["hundredfold"], 100 * found["features"])


def test_the_inception_score_is_of_ten_splits():
    metric = BY_NAME["is_panns"]
    assert isinstance(metric, SetScore)
    sure = 50 * np.eye(4)[np.arange(400) % 4]
    assert metric.score(sure) == pytest.approx(4, abs=0.1)
    assert metric.score(np.zeros((20, 4))) == pytest.approx(1)
    with pytest.raises(ValueError, match="splits=10"):
        metric.score(np.zeros((9, 4)))


def test_kl_is_of_the_reference_against_the_generated():
    metric = BY_NAME["kl_panns"]
    assert isinstance(metric, PairedScore)
    p, q = np.log([0.5, 0.5]), np.log([0.9, 0.1])
    expected = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    assert metric.score({"logits": q}, {"logits": p}) == pytest.approx(expected)
    assert metric.score({"logits": q}, {"logits": q}) == pytest.approx(0, abs=1e-12)


NAMES = ["fad_vggish", "fad_vggish_per_sample", "kad_vggish", "fd_panns", "kid_panns", "is_panns", "kl_panns"]


def test_from_files_to_numbers_and_the_record_names_the_weights(sets, weights):
    generated, reference = sets
    config = EvaluationConfig(weights, resamples=3)
    found = evaluate(generated, reference, [small(name) for name in NAMES], config)
    assert not found.skipped, found.skipped
    values = {one.name: one.value for one in found.results}
    assert list(values) == NAMES
    assert all(np.isfinite(value) for value in values.values())
    same = evaluate(reference, reference, [small(name) for name in ("fad_vggish", "fd_panns", "kl_panns")], config)
    itself = {one.name: one.value for one in same.results}
    assert itself["fad_vggish"] < 1e-3 * values["fad_vggish"]
    assert itself["fd_panns"] < 1e-3 * values["fd_panns"]
    assert itself["kl_panns"] == pytest.approx(0, abs=1e-9)
    told = str(found.results[0])
    assert "vggish-10086976.pth" in told
    assert "0.96 s without overlap" in told


def test_clips_that_are_too_short_are_left_out_and_counted(tmp_path, weights, sets):
    short = write(tmp_path / "short", 3, 5, 0.9)
    found = evaluate(short, sets[1], [small("fad_vggish"), small("fd_panns")], EvaluationConfig(weights, resamples=2))
    assert [one.name for one in found.results] == ["fd_panns"]
    assert "VGGish needs 0.975 s" in found.skipped[0].reason
    warning = BY_NAME["fad_vggish"].warn({"clips": 3, "seconds": 0.9, "fps": None, "size": None, "sample_rate": 8000})
    assert warning == "clips of 0.9 s: VGGish needs 0.975 s"
    assert not BY_NAME["fad_vggish"].warn({"clips": 3, "seconds": 1.6, "fps": None, "size": None, "sample_rate": 8000})


@pytest.mark.parametrize("name", [name for name, metric in BY_NAME.items() if metric.extractors[0].weights])
def test_without_weights_one_line_says_what_to_fetch_and_from_where(name, tmp_path, monkeypatch):
    monkeypatch.delenv("SONOVID_WEIGHTS", raising=False)
    missing = metric_requirements(BY_NAME[name], tmp_path).missing
    file = BY_NAME[name].extractors[0].weights[0]
    assert missing.startswith(f"{file.name} is not available: fetch it from https://")
    assert "\n" not in missing
