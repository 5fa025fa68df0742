"""Fine-tuning from a trained model, and training of one stream with the other frozen."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import Tiny, job
from torch import nn

from sonovid.training.initialization import freeze_other_stream, initialize_from, stream_of
from sonovid.training.loop import train


def test_init_loads_the_weights_and_starts_at_step_zero(tmp_path):
    first = train(job(), tmp_path / "first")
    train(job(init=str(first), steps=2, learning_rate=0.0, weight_decay=0.0), tmp_path / "second")
    ours, theirs = (
        load_file(folder / "diffusion_pytorch_model.safetensors") for folder in (first, tmp_path / "second" / "model")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (tmp_path / "second" / "checkpoint-000002").is_dir()


def test_init_from_another_network_raises(tmp_path):
    folder = train(job(steps=2), tmp_path)
    with pytest.raises(ValueError, match=r"layers\.0\.weight is \(16, 10\) there and \(8, 10\) here"):
        initialize_from(Tiny(width=8), str(folder))
    with pytest.raises(ValueError, match="it has no weight, so it is another network"):
        initialize_from(nn.Linear(2, 2), str(folder))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no safetensors in"):
        initialize_from(Tiny(), str(tmp_path / "empty"))


class TwoStreams(Tiny):
    """The tiny model with a layer for each stream after the shared layers."""

    def __init__(self) -> None:
        super().__init__(dropout=0.0)
        self.head_video, self.head_audio = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x, t):
        both = super().forward(x, t)
        return type(both)(self.head_video(both.video), self.head_audio(both.audio))


def test_streams_trains_one_stream(tmp_path):
    torch.manual_seed(0)
    model = TwoStreams()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(replace(job(streams="audio", steps=5), model=model), tmp_path)
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {"head_audio.weight", "layers.0.weight"} <= moved
    assert not {name for name in moved if "video" in name}


def test_stream_of_parameter_names():
    assert stream_of("unets.video.conv_in.weight") == stream_of("grid.embed_video.bias") == "video"
    assert stream_of("audio_out.time.weight") == "audio"
    assert stream_of("blocks.0.attention.weight") is None
    assert stream_of("joins.video.to_audio.weight") is None
    with pytest.raises(ValueError, match="streams=audio: no weights of a Linear"):
        freeze_other_stream(nn.Linear(2, 2), "audio")
