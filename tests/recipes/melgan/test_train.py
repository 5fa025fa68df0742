"""MelGAN trained from its recipe on a folder of audio, and resumed."""

import json

import numpy as np
import pytest
import torch

from sonovid import media, recipes
from sonovid.codecs.melgan import MelGAN
from sonovid.core.clip import Clip
from sonovid.recipes import melgan
from sonovid.training import logs


@pytest.fixture(scope="module")
def audio_folder(tmp_path_factory):
    """A folder of audio files of two types, longer than a training sequence."""
    folder, rng = tmp_path_factory.mktemp("audio"), np.random.default_rng(0)
    for i, suffix in enumerate((".wav", ".wav", ".flac")):
        wave = rng.normal(0, 0.1, (1, 20_000)).astype(np.float32)
        media.write(folder / f"{i}{suffix}", Clip(None, wave, sample_rate=16000))
    return folder


def options(folder, out, **more: str) -> dict[str, str]:
    return {"data": str(folder), "data.held_out": "0.3", "out": str(out), **more}


def test_a_vocoder_trained_on_a_folder_of_audio_loads(audio_folder, tmp_path):
    folder = recipes.run("vocoder.melgan.tiny", options(audio_folder, tmp_path))
    vocoder = MelGAN.from_pretrained(folder)
    assert vocoder(torch.zeros(1, 80, 4)).shape == (1, 1024)
    (shown,) = (tmp_path / "samples").iterdir()
    figures = json.loads((shown / "figures.json").read_text())
    assert figures["mel_error"] > 0
    assert figures["spectral_distance"] > 0
    assert {path.name for path in shown.iterdir()} == {"figures.json", "made.wav", "mel.png", "true.wav"}
    names = set(logs.read_log(tmp_path / "log.jsonl")[-1])
    assert {"loss/mel", "loss/verdict", "loss/features", "loss/adversary_true", "loss/adversary_made"} <= names
    board = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = board.EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={board.AUDIO: 0}).Reload()
    assert {"true/0", "made/0"} <= set(events.Tags()["audio"])


def test_a_resumed_training_equals_an_uninterrupted_one(audio_folder, tmp_path):
    """The generator and the discriminator, each with its optimiser."""
    for name, legs in (("whole", ["4"]), ("halves", ["2", "4"])):
        for steps in legs:
            recipes.run(
                "vocoder.melgan.tiny", options(audio_folder, tmp_path / name, steps=steps, resume="latest", decay="constant")
            )
    whole, halves = (MelGAN.from_pretrained(tmp_path / name / "model").state_dict() for name in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


def test_initialisation_from_a_trained_vocoder(audio_folder, tmp_path):
    first = recipes.run("vocoder.melgan.tiny", options(audio_folder, tmp_path / "a", **{"judge.on": "false"}))
    still = {"learning_rate": "0", "start": str(first)}
    second = recipes.run("vocoder.melgan.tiny", options(audio_folder, tmp_path / "b", **still))
    before, after = (MelGAN.from_pretrained(folder).state_dict() for folder in (first, second))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    with pytest.raises(ValueError, match="another size"):
        recipes.run("vocoder.melgan.tiny", options(audio_folder, tmp_path / "c", start=str(first), **{"network.width": "4"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network.ratios": "4,4"}, "must be mel.hop=256"),
        ({"samples": "1000"}, "multiple of mel.hop"),
        ({"samples": "256"}, "no less than mel.n_fft"),
        ({"samples": "65536"}, "audio is cut to 8192"),
    ],
)
def test_invalid_values_are_rejected(audio_folder, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        recipes.run("vocoder.melgan.tiny", options(audio_folder, tmp_path, **change))


def test_the_published_recipe_has_the_values_of_table_5():
    recipe = melgan.paper()
    assert (recipe.mel.bins, recipe.mel.n_fft, recipe.mel.hop, recipe.geometry.sample_rate) == (80, 512, 256, 16000)
    assert recipe.samples == recipe.geometry.num_samples == 65_536
    assert (recipe.losses.matching, recipe.losses.mel, recipe.losses.adversarial) == (2, 10, 1)
    assert recipe.judge.on
    assert recipe.losses.filters
    assert recipe.losses.spectrum == 0


def test_all_recipes_have_the_same_spectrogram():
    assert melgan.scenes().mel == melgan.tiny().mel == melgan.paper().mel
