"""Every system is fine-tuned from a trained model with tiny components: LoRA layers, or all weights of one stream."""

import json

import pytest
import torch

from sonovid import recipes
from sonovid.core.model import read_weights
from sonovid.pipelines import lora
from sonovid.pipelines.light import LightPipeline
from sonovid.training.initialization import stream_of

pytest.importorskip("peft", reason="LoRA layers are those of peft, which is not installed")

DATA = {"data": "scenes:bounces+hits:4:seed=0", "data.held_out": "0", "batch_size": "2"}
# Steps that move weights visibly, and EMA weights that follow.
VISIBLE = {"steps": "2", "learning_rate": "0.02", "warm_up": "1", "average": "0"}
# The U-Nets have hundreds of linear layers; diffusers' motion modules call proj_in with input=.
LORA_LAYERS = {"uniform": "", "cmmd": "out", "svg": "to_q,proj_in", "mmldm": "", "mmdiffusion": "out"}


class TrainedSystem:
    """A trained tiny model of a system, and trainings that start from it on the same latents."""

    def __init__(self, system: str, root) -> None:
        self.name, self.root, self.values = f"{system}.tiny", root, dict(DATA)
        self.lora_layers = LORA_LAYERS[system]
        if system == "mmldm":
            recipes.run("mmldm.tiny.autoencoder", {"out": str(root / "autoencoder"), "steps": "1", **DATA})
            self.values["codec.autoencoder"] = str(root / "autoencoder" / "model")
        # Another seed than that of the trainings below gives other initial weights.
        self.model = self.train("first", steps="1", seed="1")
        self.values["data.cache"] = str(root / "first" / "latents")

    def train(self, name: str, **values: str):
        return recipes.run(self.name, {"out": str(self.root / name), **self.values, **values})

    def fine_tune(self, name: str, **values: str):
        return self.train(name, init=str(self.model), **{**VISIBLE, **values})


@pytest.fixture(scope="module", params=list(LORA_LAYERS))
def system(request, tmp_path_factory):
    return TrainedSystem(request.param, tmp_path_factory.mktemp(request.param))


def weights(folder):
    return read_weights(folder / "denoiser")


def moved(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_lora_trains_low_rank_updates_of_the_trained_model(system):
    before, folder = weights(system.model), system.root / "lora"
    after = weights(system.fine_tune("lora", lora_rank="2", lora_alpha="4", lora_layers=system.lora_layers))
    changed = moved(before, after)
    assert changed
    assert all(name.endswith(".weight") and before[name].ndim == 2 for name in changed)
    assert max((after[name] - before[name]).abs().max() for name in changed) > 1e-3
    # Rounding of the sum leaves singular values of about 1e-7 behind the second.
    assert all((torch.linalg.svdvals(after[name] - before[name])[2:] < 1e-5).all() for name in changed)
    # The exported model is the trained model with the saved LoRA layers.
    assert json.loads((folder / "lora" / "adapter_config.json").read_text())["lora_alpha"] == 4
    network = LightPipeline.from_pretrained(system.model).denoiser
    lora.load(network, folder / "lora", "default")
    lora.fuse(network)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, after[name], atol=1e-6, rtol=1e-5)


def test_training_one_stream_does_not_move_the_weights_of_the_other(system):
    before, after = weights(system.model), weights(system.fine_tune("audio", streams="audio"))
    changed = moved(before, after)
    assert {name for name in before if stream_of(name) == "video"}, "the system has weights of the video alone"
    assert {name for name in changed if stream_of(name) == "audio"}
    assert not {name for name in changed if stream_of(name) == "video"}


def test_guidance_and_steps_are_distilled(system):
    """A student of four steps with guidance, then one of two steps: half the evaluations each time."""
    values = {**DATA, "data.cache": system.values["data.cache"], **VISIBLE, "validation_clips": "0"}
    guided = recipes.run(
        "distillation.tiny",
        {**values, "out": str(system.root / "guided"), "teacher": str(system.model), "student.substeps": "0",
         "student.sampling_steps": "4", "student.guidance": "2"},
    )  # fmt: skip
    few = recipes.run("distillation.tiny", {**values, "out": str(system.root / "few"), "teacher": str(guided)})
    first, second, third = (json.loads((folder / "model_index.json").read_text()) for folder in (system.model, guided, few))
    assert [one["options"]["num_inference_steps"] for one in (second, third)] == [4, 2]
    assert all(one["options"]["guidance_scale"] == one["options"]["audio_guidance_scale"] == 1 for one in (second, third))
    assert (second["step"], third["step"]) == (first["step"], "ddim")
    same = ("conditioning", "geometry", "labels", "predict", "schedule", "system")
    assert all(first[name] == second[name] == third[name] for name in same)
    assert moved(weights(system.model), weights(guided))
    clip = LightPipeline.from_pretrained(few)(generator=0).clips[0]
    assert clip.frames is not None
    assert clip.waveform is not None


def test_guidance_is_distilled_into_what_the_data_teach(system):
    values = {**DATA, "data.cache": system.values["data.cache"], **VISIBLE, "validation_clips": "0"}
    values |= {"teacher": str(system.model), "student.substeps": "0", "student.target": "data"}
    values |= {"student.guidance": "2", "student.guidance_interval": "[0.5, 1]"}
    pipe = LightPipeline.from_pretrained(system.model)
    if not pipe.accepts_text or pipe.config.conditioning == "shown":
        with pytest.raises(ValueError, match=r"student\.target='data'"):
            recipes.run("distillation.tiny", {**values, "out": str(system.root / "data")})
        return
    made = recipes.run("distillation.tiny", {**values, "out": str(system.root / "data")})
    assert moved(weights(system.model), weights(made))
    options = json.loads((made / "model_index.json").read_text())["options"]
    assert (options["guidance_scale"], options["guidance_interval"]) == (1, [0, 1])


def test_there_must_be_something_to_distil(system):
    values = {**DATA, "out": str(system.root / "nothing"), "teacher": str(system.model)}
    with pytest.raises(ValueError, match="no guidance to distil"):
        recipes.run("distillation.tiny", {**values, "student.substeps": "0", "student.guidance": "1"})
