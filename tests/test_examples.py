"""The worked examples run, are short enough to read at one sitting, and do what they say."""

import importlib.util
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from sonovid import Geometry, media

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    """The module of one example."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # Where a class comes from is looked up by its module's name, as when features are computed by other processes.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(path):
    assert len(path.read_text().splitlines()) <= 100


def test_a_new_world_is_a_function_of_its_seed(tmp_path, monkeypatch, capsys):
    world = load("add_world")
    short, long = (Geometry(frames, Fraction(16), 32, 32, 8000) for frames in (16, 32))
    first, longer = world.BLINKS.render(3, short), world.BLINKS.render(3, long)
    assert (first.frames == longer.frames[:16]).all()
    assert first.events == tuple(time for time in longer.events if time < 1)
    assert world.attributes(3)["colour"] in first.caption
    # Sound and light begin with each event.
    for time in longer.events:
        assert abs(longer.waveform[0, int(time * 8000) + 1 :][:200]).max() > 0.1
        assert longer.frames[int(time * 16) + 1].max() > 100 or time * 16 + 1 >= 32
    monkeypatch.setattr(sys, "argv", ["add_world.py", str(tmp_path / "blinks.mp4")])
    world.main()
    assert len(media.read(tmp_path / "blinks.mp4").frames) == 32
    assert "events at" in capsys.readouterr().out


def test_a_new_metric_has_an_interval_and_a_floor(capsys):
    load("add_metric").main()
    line = capsys.readouterr().out
    assert line.startswith("motion_level_correlation: ")
    value, floor = float(line.split(": ")[1].split(",")[0]), float(line.split(": ")[2])
    assert value > floor


def test_a_new_codec_is_saved_and_gives_frames_back(capsys):
    codec = load("add_codec")
    codec.main()
    assert float(capsys.readouterr().out.split("PSNR ")[1].split()[0]) > 20
    whole = codec.BlockTransform(block=4, kept=4)
    frames = torch.rand(2, 3, 3, 8, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.testing.assert_close(whole.decode(whole.encode(frames)), frames)
    assert whole.encode(frames).shape[1:] == whole.latent_shape(Geometry(3, Fraction(8), 8, 12, 8000))
    with pytest.raises(ValueError, match="multiples of 4"):
        whole.latent_shape(Geometry(3, Fraction(8), 9, 12, 8000))


def test_a_new_system_trains_and_generates(tmp_path, capsys):
    system = load("add_system")
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        system.main(str(tmp_path / "small.mp4"), steps=4, count=2)
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert losses[-1] < losses[0]
    clip = media.read(tmp_path / "small.mp4")
    assert clip.frames.shape == (16, 64, 64, 3)
    assert clip.waveform is not None
