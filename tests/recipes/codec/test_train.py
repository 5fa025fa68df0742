"""Codecs trained from their recipes."""

import json

import pytest
import torch

from sonovid import recipes
from sonovid.codecs.audio import MelAutoencoder
from sonovid.codecs.spacetime import VideoAutoencoder
from sonovid.codecs.video import FrameAutoencoder
from sonovid.codecs.vocoder import SpectralVocoder
from sonovid.pipelines import packaged
from sonovid.training import logs

PACKAGED = packaged.folder("packaged") / "audio_codec" / "autoencoder"


@pytest.mark.parametrize(
    ("name", "kind", "figure"),
    [
        ("frames", FrameAutoencoder, "psnr"),
        ("video", VideoAutoencoder, "psnr_moving"),
        ("mel", MelAutoencoder, "mel_error"),
        ("vocoder", SpectralVocoder, "mel_error"),
    ],
)
def test_a_trained_codec_loads(tmp_path, name, kind, figure):
    folder = recipes.run(f"codec.{name}.tiny", {"out": str(tmp_path), "steps": "2"})
    assert isinstance(kind.from_pretrained(folder), kind)
    (shown,) = (tmp_path / "samples").iterdir()
    assert json.loads((shown / "figures.json").read_text())[figure] > 0
    assert list(shown.glob("*.png"))
    assert logs.read_log(tmp_path / "log.jsonl", "validation")


def test_training_a_frame_autoencoder_reduces_its_loss(tmp_path):
    options = {"steps": "80", "batch_size": "8", "learning_rate": "3e-3", "decay": "constant", "average": "0.9"}
    recipes.run("codec.frames.tiny", {"out": str(tmp_path), "log_every": "20", "checkpoint_every": "200", **options})
    lines = logs.read_log(tmp_path / "log.jsonl")
    assert lines[-1]["loss/pixels"] < 0.75 * lines[0]["loss/pixels"]


def test_training_only_the_decoder_keeps_the_latents(tmp_path):
    first = recipes.run("codec.video.tiny", {"out": str(tmp_path / "first"), "steps": "2"})
    options = {"initial": str(first), "decoder_only": "true", "focus": "1", "noise": "0.2", "steps": "3", "average": "0"}
    before, after = (
        VideoAutoencoder.from_pretrained(f).eval()
        for f in (first, recipes.run("codec.video.tiny", {"out": str(tmp_path / "second"), **options}))
    )
    frames = torch.rand(1, 3, 4, 32, 32) * 2 - 1
    latents = before.encode(frames)
    assert torch.equal(after.encode(frames), latents)
    assert not torch.equal(after.decode(latents), before.decode(latents))


def test_a_decoder_alone_is_not_trained_on_a_random_encoder(tmp_path):
    with pytest.raises(ValueError, match="name the trained autoencoder, initial=FOLDER"):
        recipes.run("codec.video.tiny", {"out": str(tmp_path), "decoder_only": "true"})


def test_a_mel_autoencoder_is_trained_on_near_its_latents(tmp_path):
    first = recipes.run("codec.mel.tiny", {"out": str(tmp_path / "first"), "steps": "2"})
    mel = torch.randn(4, 64, 16) - 3
    before = MelAutoencoder.from_pretrained(first).encode(mel)
    options = {"initial": str(first), "loud": "4", "steps": "20", "learning_rate": "3e-3", "average": "0"}
    distances = []
    for keep in ("0", "100"):
        folder = recipes.run("codec.mel.tiny", {"out": str(tmp_path / keep), "keep": keep, **options})
        distances.append(float((MelAutoencoder.from_pretrained(folder).encode(mel) - before).detach().square().mean()))
    assert 0 < distances[1] < 0.8 * distances[0]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("frames", {"geometry.height": "36"}, "multiples of 8"),
        ("video", {"geometry.height": "40"}, "multiples of 16"),
        ("video", {"frames": "6"}, "multiple of 4"),
        ("mel", {"levels": "4", "geometry.num_frames": "3"}, "multiple of 16"),
        ("mel", {"initial": "{packaged}"}, "made for 128 bins"),
        ("vocoder", {"seconds": "0"}, "above zero"),
        ("vocoder", {"seconds": "0.001"}, "at least"),
        ("vocoder", {"through": "nowhere"}, "no recipe.json"),
    ],
)
def test_invalid_values_are_rejected(tmp_path, name, options, message):
    with pytest.raises(ValueError, match=message):
        recipes.run(f"codec.{name}.tiny", {"out": str(tmp_path), **{k: v.format(packaged=PACKAGED) for k, v in options.items()}})
