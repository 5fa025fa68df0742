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


def test_init_finds_the_network_of_its_class_below_the_folder(tmp_path):
    trained = Tiny()
    trained.save_pretrained(tmp_path / "joint" / "network")
    fresh = Tiny()
    assert not torch.equal(fresh.layers[0].weight, trained.layers[0].weight)
    initialize_from(fresh, str(tmp_path))
    assert torch.equal(fresh.layers[0].weight, trained.layers[0].weight)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lora_rank": 2}, "lora_rank=2: LoRA layers adapt a trained network; name it by init="),
        ({"lora_rank": -1}, "lora_rank=-1: expected a rank above zero"),
        ({"lora_alpha": 2.0}, "need lora_rank=RANK"),
        ({"lora_rank": 2, "init": "FIRST", "lora_layers": ("qkv",)}, "no linear layer qkv .* names end in 0, 3, never_used"),
    ],
)
def test_lora_settings_that_cannot_be_are_refused(tmp_path, values, message):
    Tiny().save_pretrained(tmp_path / "first")
    values = {name: str(tmp_path / "first") if value == "FIRST" else value for name, value in values.items()}
    with pytest.raises(ValueError, match=message):
        train(job(**values), tmp_path / "run")


def test_a_network_outside_the_systems_trains_lora_layers(tmp_path):
    pytest.importorskip("peft", reason="LoRA layers are those of peft, which is not installed")
    first = train(job(steps=2), tmp_path / "first")
    second = train(job(init=str(first), lora_rank=1, optimizer="muon", gradient_checkpointing=True), tmp_path / "second")
    before, after = (load_file(folder / "diffusion_pytorch_model.safetensors") for folder in (first, second))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"layers.0.weight", "layers.3.weight"}
    assert (tmp_path / "second" / "lora" / "pytorch_lora_weights.safetensors").is_file()


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
