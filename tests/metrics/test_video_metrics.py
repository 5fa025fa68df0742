"""Metrics of pictures (metrics/video.py), from files to numbers, with narrow random networks instead of the published ones."""

from dataclasses import replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
import torch

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.metrics import video
from sonovid.metrics.base import Distance
from sonovid.metrics.catalogue import metric_requirements
from sonovid.metrics.evaluate import EvaluationConfig, evaluate
from sonovid.metrics.extractors.i3d import I3D, I3DLogits
from sonovid.metrics.frechet import frechet
from sonovid.metrics.kernels import kvd
from sonovid.metrics.sets import open_set

BY_NAME = {metric.name: metric for metric in video.METRICS}


class SmallI3D(I3DLogits):
    widths: ClassVar = {"classes": 5, "narrow": 16}


def write(folder, count, seed, frames=16):
    folder.mkdir()
    draw = np.random.default_rng(seed)
    for i in range(count):
        pictures = np.full((frames, 32, 48, 3), draw.integers(0, 200, 3), np.uint8)
        pictures[frames // 2 :, 8:24, 8:40] = draw.integers(0, 255, 3)
        media.write(folder / f"{i}.mp4", Clip(pictures, None, fps=Fraction(10)))
    return open_set(folder)


def test_names_bear_their_network():
    assert len(BY_NAME) == len(video.METRICS)
    assert all(metric.extractors[0].name in metric.name for metric in video.METRICS)
    assert not {metric.family for metric in video.METRICS} & set(BY_NAME)


def test_distances_are_the_functions_that_they_are_said_to_be():
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((20, 4)), draw.standard_normal((25, 4)) + 0.5
    expected = {"fvd_i3d400": frechet(x, y), "fvd_i3d400_styleganv": frechet(x, y, ddof=0), "kvd_i3d400": kvd(x, y)}
    assert {m.name: m.distance(x, y) for m in video.METRICS if isinstance(m, Distance)} == pytest.approx(expected, rel=1e-12)
    assert expected["fvd_i3d400"] != pytest.approx(expected["fvd_i3d400_styleganv"], rel=1e-3)
    assert {m.name for m in video.METRICS if isinstance(m, Distance) and m.by_size} == {"fvd_i3d400", "fvd_i3d400_styleganv"}


def test_inception_scores_of_whole_sets_and_of_tenths():
    sure = 50 * np.eye(4)[np.arange(40) % 4]
    assert BY_NAME["is_c3d"].score(sure) == pytest.approx(4, rel=1e-5)
    assert BY_NAME["is_c3d_10splits"].score(sure) < 4
    assert BY_NAME["is_c3d"].score(np.zeros((3, 4))) == pytest.approx(1, rel=1e-5)
    # MM-Diffusion's sum, by its letter.
    logits = np.random.default_rng(0).standard_normal((30, 6))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    theirs = np.exp(np.sum(p * np.log(p + 1e-7) - p * np.log(p.mean(0, keepdims=True) + 1e-7)) / 30)
    assert BY_NAME["is_c3d"].score(logits) == pytest.approx(theirs, rel=1e-9)


def test_from_files_to_numbers(tmp_path):
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        state = {name: 2.4 * value if value.ndim == 5 else value for name, value in I3D(**SmallI3D.widths).state_dict().items()}
    torch.save(state, tmp_path / "i3d_pretrained_400.pt")
    generated, reference = write(tmp_path / "generated", 4, 1), write(tmp_path / "reference", 5, 2)
    metrics = [replace(BY_NAME[name], extractor=SmallI3D) for name in ("fvd_i3d400", "kvd_i3d400")]
    config = EvaluationConfig(tmp_path, resamples=3)
    found = evaluate(generated, reference, metrics, config)
    assert not found.skipped, found.skipped
    values = {one.name: one.value for one in found.results}
    same = {one.name: one.value for one in evaluate(reference, reference, metrics, config).results}
    assert same["fvd_i3d400"] < 1e-3 * values["fvd_i3d400"]
    assert same["kvd_i3d400"] < 0, "unbiased: of two equal sets it is below zero"
    assert "i3d_pretrained_400.pt" in str(found.results[0])


def test_clips_under_sixteen_frames_are_left_out(tmp_path):
    torch.save(I3D(**SmallI3D.widths).state_dict(), tmp_path / "i3d_pretrained_400.pt")
    short, reference = write(tmp_path / "short", 2, 1, frames=12), write(tmp_path / "reference", 2, 2, frames=12)
    with pytest.raises(ValueError, match="12 frames"):
        evaluate(
            short,
            reference,
            [replace(BY_NAME["fvd_i3d400"], extractor=SmallI3D)],
            EvaluationConfig(tmp_path),
        )
    info = {"clips": 2, "seconds": 1.2, "fps": 10.0, "size": (32, 48), "sample_rate": None}
    assert BY_NAME["fvd_i3d400"].warn(info) == "clips of 12 frames: the network needs 16"
    assert not BY_NAME["fvd_i3d400"].warn({**info, "seconds": 1.6})
    assert not BY_NAME["fvd_i3d400"].warn({**info, "fps": None})


@pytest.mark.parametrize("name", BY_NAME)
def test_without_weights_one_line_says_what_to_fetch_and_from_where(name, tmp_path, monkeypatch):
    monkeypatch.delenv("SONOVID_WEIGHTS", raising=False)
    missing = metric_requirements(BY_NAME[name], tmp_path).missing
    file = BY_NAME[name].extractors[0].weights[0]
    assert missing.startswith(f"{file.name} is not available: fetch it from https://")
    assert "\n" not in missing
