"""Logs: means by stream, noise level and conditioning; lines that a resumed run removes."""

import json
import math

import pytest
import torch

from sonovid.core.av import AV
from sonovid.training import logs
from sonovid.training.logs import LossMeter, TrainingLog


def test_means_by_stream_noise_level_and_conditioning():
    meter = LossMeter(torch.device("cpu"))
    nan = math.nan
    times = AV(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.9, 0.5, 0.0]))
    meter.add({"video": torch.tensor([nan, 2.0, 4.0]), "audio": torch.tensor([1.0, 3.0, nan])}, times)
    meter.add({"video": torch.tensor([nan, 6.0, nan]), "audio": torch.tensor([3.0, nan, nan])}, times)
    found = meter.take()
    assert found["loss/video"] == 4.0
    assert found["loss/audio"] == pytest.approx(7 / 3)
    assert (found["loss_together/video"], found["loss_given/video"]) == (4.0, 4.0)
    assert (found["loss_together/audio"], found["loss_given/audio"]) == (3.0, 2.0)
    assert found["loss_given_at/audio/0.9375"] == 2.0
    assert found["loss_together_at/video/0.5625"] == 4.0
    assert found["loss_given_at/video/0.9375"] == 4.0
    assert sum(name.startswith("loss_given_at/audio") for name in found) == 1
    assert meter.take() == {}


def test_times_per_frame_and_losses_without_times():
    meter = LossMeter(torch.device("cpu"))
    meter.add({"audio": torch.tensor([1.0])}, AV(torch.zeros(1, 4), torch.tensor([[0.0, 0.3]])))
    meter.add({"pixels": torch.tensor([0.5, 1.5])}, None)
    found = meter.take()
    assert found["loss_given_at/audio/0.3125"] == 1.0
    assert found["loss/pixels"] == 1.0


def test_an_infinite_loss_is_reported():
    meter = LossMeter(torch.device("cpu"))
    meter.add({"pixels": torch.tensor([math.inf, 1.0])}, None)
    assert math.isinf(meter.take()["loss/pixels"])


def test_means_over_processes():
    a, b = LossMeter(torch.device("cpu")), LossMeter(torch.device("cpu"))
    a.add({"pixels": torch.tensor([1.0, 2.0, 3.0])}, None)
    b.add({"pixels": torch.tensor([10.0])}, None)
    assert a.take(lambda x: x + b.sums["pixels"])["loss/pixels"] == 4.0


def test_a_resumed_log_drops_lines_after_the_checkpoint(tmp_path):
    first = TrainingLog(tmp_path)
    for step in (3, 6, 9):
        first.write("train", step, {"loss/video": 1.0 / step})
    first.close()
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"kind": "train", "st')
    again = TrainingLog(tmp_path, step=6)
    again.write("train", 7, {"loss/video": 0.5})
    again.write("validation", 7, {"loss/video": 0.25})
    again.close()
    assert [line["step"] for line in logs.read_log(tmp_path / "log.jsonl")] == [3, 6, 7]
    assert [line["loss/video"] for line in logs.read_log(tmp_path / "log.jsonl", "validation")] == [0.25]


def test_tensorboard_has_the_same_values(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = TrainingLog(tmp_path)
    log.write("train", 4, {"loss/video": 0.75, "note": "words are for the file alone"})
    log.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss/video")] == [(4, 0.75)]
    assert json.loads((tmp_path / "log.jsonl").read_text())["note"]
