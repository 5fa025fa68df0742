"""The reader of events: lengths and rates, files, and what is refused."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sonovid.benchmark.reader import EventReader, load, log_mel, read_attributes, read_events, save, to_input

CLASSES = {"world": ["bounces", "hits"], "colour": ["blue", "red", "green"]}


@pytest.fixture(scope="module")
def reader():
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        return EventReader(CLASSES).eval()


def test_events_lie_within_the_clip_in_the_middles_of_half_frames(reader):
    frames = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    certain = EventReader(CLASSES).eval()
    certain.load_state_dict(reader.state_dict())
    # An untrained reader's logits are all alike; spread about their median, some are peaks.
    with torch.inference_mode():
        silence = log_mel()(torch.zeros(1, 24000))
        logits = certain(to_input(frames[None]), silence)[0]
    certain.events.weight.data *= 1000
    certain.events.bias.data = 1000 * (certain.events.bias.data - logits.median())
    found = read_events(certain, frames, Fraction(8))
    assert found
    assert all(0 < time < 1.5 for time in found)
    assert all((time * 32) % 2 == 1 for time in found)
    # Silence throughout: nothing to be read where every half frame is unlikely.
    certain.events.weight.data.zero_()
    certain.events.bias.data.fill_(-5)
    assert read_events(certain, frames, Fraction(8)) == []


def test_attributes_are_of_its_classes(reader):
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    found = read_attributes(reader, frames, np.zeros(8000, np.float32))
    assert found.keys() == CLASSES.keys()
    assert all(value in CLASSES[name] for name, value in found.items())


def test_a_file_gives_back_the_same_reader(reader, tmp_path):
    save(reader, tmp_path / "r.safetensors", {"events F1": 0.9})
    again = load(tmp_path / "r.safetensors")
    assert again.classes == CLASSES
    for name, tensor in reader.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match=r"train_reader"):
        load(tmp_path / "nothing")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not an event reader"):
        load(tmp_path / "other.safetensors")
