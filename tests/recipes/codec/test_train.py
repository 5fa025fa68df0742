"""Codecs trained from their recipes, and the pieces of clips they are trained on."""

import json

import numpy as np
import pytest
import torch

from sonovid import recipes
from sonovid.codecs.audio import MelAutoencoder
from sonovid.codecs.spacetime import VideoAutoencoder
from sonovid.codecs.video import FrameAutoencoder
from sonovid.codecs.vocoder import SpectralVocoder
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.data.latents import InMemoryLatents
from sonovid.recipes.codec import train as codec_training
from sonovid.training import logs


@pytest.mark.parametrize(
    ("name", "kind", "figure"),
    [
        ("frames", FrameAutoencoder, "psnr"),
        ("video", VideoAutoencoder, "psnr_moving"),
        ("mel", MelAutoencoder, "mel_error"),
        ("vocoder", SpectralVocoder, "mel_error"),
    ],
)
def test_a_codec_is_trained_and_loads(tmp_path, name, kind, figure):
    folder = recipes.run(f"codec.{name}.tiny", {"out": str(tmp_path), "steps": "2"})
    assert isinstance(kind.from_pretrained(folder), kind)
    (shown,) = (tmp_path / "samples").iterdir()
    assert json.loads((shown / "figures.json").read_text())[figure] > 0
    assert list(shown.glob("*.png"))
    assert logs.read_log(tmp_path / "log.jsonl", "validation")


def test_training_a_frame_autoencoder_brings_its_pictures_nearer(tmp_path):
    options = {"steps": "80", "batch_size": "8", "learning_rate": "3e-3", "decay": "constant", "average": "0.9"}
    recipes.run("codec.frames.tiny", {"out": str(tmp_path), "log_every": "20", "checkpoint_every": "200", **options})
    lines = logs.read_log(tmp_path / "log.jsonl")
    assert lines[-1]["loss/pixels"] < 0.75 * lines[0]["loss/pixels"]


def test_a_decoder_alone_learns_and_latents_stay(tmp_path):
    first = recipes.run("codec.video.tiny", {"out": str(tmp_path / "first"), "steps": "2"})
    options = {"initial": str(first), "decoder_only": "true", "steps": "3", "average": "0"}
    before, after = (
        VideoAutoencoder.from_pretrained(f).eval()
        for f in (first, recipes.run("codec.video.tiny", {"out": str(tmp_path / "second"), **options}))
    )
    frames = torch.rand(1, 3, 4, 32, 32) * 2 - 1
    latents = before.encode(frames)
    assert torch.equal(after.encode(frames), latents)
    assert not torch.equal(after.decode(latents), before.decode(latents))


def test_clips_are_kept_as_they_are():
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    wave = np.array([[0.5, -1.0, 1.0, 0.0], [0.5, -1.0, 1.0, 1.0]], np.float32)
    kept = codec_training.untouched([Clip(frames, wave)])
    assert torch.equal(kept.video[0], torch.from_numpy(frames))
    assert kept.audio[0].tolist() == [16384, -32767, 32767, 16384]


def test_pieces_cover_each_clip_once():
    cache = InMemoryLatents([{}, {}, {}], AV(None, torch.stack([torch.arange(10) + 100 * index for index in range(3)])))
    pieces = codec_training.Pieces(cache, 1, 3, 10)
    assert len(pieces) == 9
    assert pieces(range(9)).flatten().tolist() == [100 * clip + i for clip in range(3) for i in range(9)]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("frames", {"geometry.height": "36"}, "multiples of 8"),
        ("video", {"geometry.height": "40"}, "multiples of 16"),
        ("video", {"frames": "6"}, "multiple of 4"),
        ("mel", {"levels": "4", "geometry.num_frames": "3"}, "multiple of 16"),
        ("vocoder", {"seconds": "0"}, "above zero"),
        ("vocoder", {"seconds": "0.001"}, "at least"),
        ("vocoder", {"through": "nowhere"}, "no recipe.json"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, name, options, said):
    with pytest.raises(ValueError, match=said):
        recipes.run(f"codec.{name}.tiny", {"out": str(tmp_path), **options})
