"""Model FLOPs utilisation: counted once, by hand, and written to the log."""

import pytest
import torch
from tiny_run import job
from torch import nn

from sonovid.training import logs, run
from sonovid.training.loop import train
from sonovid.training.utilization import UtilizationMeter, peak_rate


def test_a_forward_pass_is_counted_once_and_by_hand():
    layer, meter = nn.Linear(10, 20), UtilizationMeter(torch.device("cpu"), peak=1e6)
    layer.compile(backend="eager")
    assert meter.mfu(1.0) is None
    for rows in (4, 8):
        with meter.counting():
            layer(torch.zeros(rows, 10)).sum().backward()
    # Two operations for each weight and row. The backward pass lies within the context here, and has one product: no gradient of
    # the input is needed.
    assert meter.forward_flops == 2 * 2 * 4 * 200
    assert meter.mfu(5.0) == pytest.approx(3 * 3200 * 5 / 1e6)


def test_gpus_are_known_by_name():
    assert peak_rate("NVIDIA H200") == 989e12
    assert peak_rate("NVIDIA H100 PCIe") < peak_rate("NVIDIA H100 80GB HBM3")
    assert peak_rate("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_rate("Some other GPU") is None


def test_nothing_is_counted_on_a_cpu():
    meter = UtilizationMeter(torch.device("cpu"))
    with meter.counting():
        nn.Linear(2, 2)(torch.zeros(1, 2))
    assert (meter.forward_flops, meter.mfu(1.0)) == (0, None)


def test_the_log_has_the_utilisation(tmp_path, monkeypatch):
    train(job(steps=3), tmp_path / "unknown")
    assert all("mfu" not in line for line in logs.read_log(tmp_path / "unknown" / "log.jsonl"))
    monkeypatch.setattr(run, "UtilizationMeter", lambda device: UtilizationMeter(device, peak=1e5))
    train(job(steps=3, accumulate=2), tmp_path / "known")
    lines = [line for line in logs.read_log(tmp_path / "known" / "log.jsonl") if line["kind"] == "train"]
    assert lines
    # Six samples, weights of 10 x 16 and 16 x 8, two passes a step.
    flops = 3 * 2 * 6 * (160 + 128)
    for line in lines:
        assert line["mfu"] == pytest.approx(flops * line["clips_per_second"] / 6 / 1e5, rel=1e-3)
