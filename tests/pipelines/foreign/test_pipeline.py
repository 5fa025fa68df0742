"""Every family of diffusers models, end to end with tiny random models on disk."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from tiny_models import CLASSES

from sonovid import media
from sonovid.core.av import Task
from sonovid.core.clip import Clip
from sonovid.core.geometry import count
from sonovid.pipelines.foreign import ForeignPipeline
from sonovid.pipelines.pipeline import SoundingVideoPipeline

# Words are filled up to a thousand tokens unless told otherwise, which is most of the work of a tiny model.
WORDS = {"max_sequence_length": 16}
# Of each family: a size, a length that its own grid of frames does not have, and a rate, which H3 alone has fixed.
ASKED = {
    "ltx2": {"size": (32, 64), "seconds": Fraction(12, 24), "fps": 24, **WORDS},
    "kandinsky6": {"size": (16, 32), "seconds": Fraction(7, 24), "fps": 24, **WORDS},
    "cosmos3": {"size": (16, 32), "seconds": Fraction(7, 24), "fps": 24},
    "minimax_h3": {"size": (32, 32), "seconds": Fraction(5), "fps": None},
}


@pytest.fixture(scope="module")
def loaded(foreign_folder):
    pipes = {}

    def pipe(name):
        if name not in pipes:
            pipes[name] = SoundingVideoPipeline.from_pretrained(foreign_folder(name), dtype=torch.float32)
            pipes[name].set_progress_bar_config(disable=True)
        return pipes[name]

    return pipe


def film(num_frames, size, fps=24, sample_rate=16000, seed=0):
    """Random pictures and a random sound of the same length."""
    draw = np.random.default_rng(seed)
    frames = draw.integers(0, 256, (num_frames, *size, 3), dtype=np.uint8)
    sound = draw.uniform(-0.5, 0.5, (2, count(Fraction(num_frames, fps), sample_rate))).astype(np.float32)
    return Clip(frames, sound, fps=Fraction(fps), sample_rate=sample_rate)


@pytest.mark.parametrize("name", CLASSES)
def test_text_to_both_streams_of_equal_length(loaded, name):
    pipe = loaded(name)
    assert isinstance(pipe, ForeignPipeline)
    out = pipe("a ball bounces", num_inference_steps=2, num_outputs_per_prompt=2, generator=3, **ASKED[name])
    first, second = out.clips
    height, width = ASKED[name]["size"]
    assert first.frames.shape == (ASKED[name]["seconds"] * 24, height, width, 3)
    assert first.fps == 24
    assert first.sample_rate == pipe.geometry.sample_rate
    assert first.waveform.shape == (pipe.family.capabilities.channels, count(first.seconds, first.sample_rate))
    assert first.frames.std() > 1
    assert first.waveform.std() > 1e-4
    # Clip i of a call is that of seed + i.
    assert out.seeds == [3, 4]
    again = pipe("a ball bounces", num_inference_steps=2, generator=4, **ASKED[name]).clips[0]
    assert np.array_equal(again.frames, second.frames)
    assert np.array_equal(again.waveform, second.waveform)
    assert not np.array_equal(first.frames, second.frames)


@pytest.mark.parametrize("name", ["ltx2", "kandinsky6", "cosmos3"])
def test_rates_stay_fractions(loaded, name):
    asked = {**ASKED[name], "fps": "29.97", "seconds": Fraction(9 * 1001, 30000)}
    clip = loaded(name)("a ball", num_inference_steps=1, generator=0, **asked).clips[0]
    assert clip.fps == Fraction(30000, 1001)
    assert len(clip.frames) == 9
    assert clip.waveform.shape[1] == count(Fraction(9 * 1001, 30000), clip.sample_rate)


def test_h3_has_one_rate(loaded):
    with pytest.raises(ValueError, match="MiniMax-H3 generates 24 frames per second and no other rate"):
        loaded("minimax_h3")("a ball", fps=25)


@pytest.mark.parametrize("name", ["ltx2", "cosmos3"])
def test_audio_for_a_video_keeps_the_video(loaded, name):
    pipe, given = loaded(name), film(10, (16, 32))
    asked = {"num_inference_steps": 2, "size": ASKED[name]["size"], **(WORDS if name == "ltx2" else {})}
    one, two = (pipe("a ball", video=given, generator=seed, **asked).clips[0] for seed in (0, 1))
    for clip in (one, two):
        assert np.array_equal(clip.frames, given.frames)
        assert clip.waveform.shape[1] == count(Fraction(10, 24), clip.sample_rate)
    assert not np.array_equal(one.waveform, two.waveform)
    other = pipe("a ball", video=film(10, (16, 32), seed=1), generator=0, **asked).clips[0]
    assert not np.array_equal(one.waveform, other.waveform), "the sound does not depend on the pictures"


@pytest.mark.parametrize("name", ["ltx2", "cosmos3"])
def test_the_input_video_conditions_the_model_for_any_seed(loaded, name, monkeypatch):
    """The condition holds every latent frame: what is decoded of the pictures is their own reconstruction."""
    pipe, seen = loaded(name), []
    generate = type(pipe.family).generate
    monkeypatch.setattr(type(pipe.family), "generate", lambda self, *rest: seen.append(generate(self, *rest)) or seen[-1])
    asked = {"num_inference_steps": 2, "size": ASKED[name]["size"], **(WORDS if name == "ltx2" else {})}
    for seed in (0, 1):
        pipe("a ball", video=film(9, ASKED[name]["size"]), generator=seed, **asked)
    assert np.array_equal(seen[0].frames, seen[1].frames)
    assert not np.array_equal(seen[0].waveform, seen[1].waveform)


def test_video_for_an_audio_keeps_the_audio(loaded, monkeypatch):
    pipe, seen = loaded("ltx2"), []
    given = Clip(None, film(12, (8, 8)).waveform, sample_rate=16000)
    generate = type(pipe.family).generate
    monkeypatch.setattr(type(pipe.family), "generate", lambda self, *rest: seen.append(generate(self, *rest)) or seen[-1])
    asked = {"num_inference_steps": 2, "size": (32, 32), **WORDS}
    one, two = (pipe("a ball", audio=given, generator=seed, **asked).clips[0] for seed in (0, 1))
    for clip in (one, two):
        assert np.array_equal(clip.waveform, given.waveform)
        assert clip.frames.shape == (12, 32, 32, 3)
    assert not np.array_equal(one.frames, two.frames)
    # The model hears the given sound alone, bit for bit, whatever the seed.
    assert np.array_equal(seen[0].waveform, seen[1].waveform)
    other = Clip(None, film(12, (8, 8), seed=1).waveform, sample_rate=16000)
    assert not np.array_equal(one.frames, pipe("a ball", audio=other, generator=0, **asked).clips[0].frames)


def test_a_file_keeps_its_duration(loaded, tmp_path):
    """A rate that is not the model's: the sound lasts as long as the file's own pictures."""
    source = media.write(tmp_path / "clip.mp4", film(10, (16, 16), fps=25))
    clip = loaded("ltx2")("a ball", video=source, generator=0, num_inference_steps=1, size=(32, 32), **WORDS).clips[0]
    assert clip.waveform.shape[1] == count(Fraction(10, 25), clip.sample_rate)
    assert abs(clip.seconds - Fraction(10, 25)) < Fraction(1, 24)


def test_a_first_frame(loaded):
    from PIL import Image

    images = [Image.new("RGB", (64, 32), colour) for colour in ("black", "white")]
    for name in ("ltx2", "kandinsky6", "cosmos3"):
        asked = {**ASKED[name], "num_inference_steps": 1, "generator": 0}
        dark, light = (loaded(name)("a ball", image=image, **asked).clips[0].frames for image in images)
        assert not np.array_equal(dark, light), name
    with pytest.raises(ValueError, match="does not support a first frame"):
        loaded("minimax_h3")("a ball", image=images[0])
    with pytest.raises(ValueError, match="together with an input stream"):
        loaded("ltx2")("a ball", image=images[0], video=film(9, (32, 32)))


def test_arrays_and_tensors(loaded):
    asked = {**ASKED["ltx2"], "num_inference_steps": 1, "generator": 0}
    clip = loaded("ltx2")("a ball", **asked).clips[0]
    out = loaded("ltx2")("a ball", output_type="pt", **asked)
    assert out.frames.shape == (1, 12, 3, 32, 64)
    assert torch.equal((out.frames[0] * 255).round().byte(), torch.from_numpy(clip.frames).permute(0, 3, 1, 2))
    frames, audio = loaded("ltx2")("a ball", output_type="np", return_dict=False, **asked)
    assert frames.shape == (1, 12, 32, 64, 3)
    assert np.array_equal(audio[0], clip.waveform)


@pytest.mark.parametrize("name", ["ltx2", "kandinsky6", "cosmos3"])
def test_the_callback_is_called_for_each_step(loaded, name):
    steps = []
    loaded(name)(
        "a ball",
        num_inference_steps=3,
        num_outputs_per_prompt=2,
        generator=0,
        callback_on_step_end=lambda pipe, index, times, values: steps.append((values["clip"], index)),
        **ASKED[name],
    )
    assert steps == [(clip, index) for clip in range(2) for index in range(3)]


def test_further_arguments_reach_diffusers(loaded):
    asked = {**ASKED["ltx2"], "num_inference_steps": 2, "generator": 0}
    plain = loaded("ltx2")("a ball", **asked).clips[0]
    assert not np.array_equal(
        plain.frames, loaded("ltx2")("a ball", guidance_rescale=0.0, modality_scale=1.0, **asked).clips[0].frames
    )
    for name in CLASSES:
        with pytest.raises(TypeError, match="no argument colour"):
            loaded(name)("a ball", colour="red", **ASKED[name])


def test_guidance_per_stream(loaded):
    asked = {**ASKED["ltx2"], "num_inference_steps": 2, "generator": 0, "modality_scale": 1.0, "audio_modality_scale": 1.0}
    asked |= {"guidance_rescale": 0.0, "audio_guidance_rescale": 0.0}
    one, two = (loaded("ltx2")("a ball", guidance_scale=2, audio_guidance_scale=scale, **asked).clips[0] for scale in (2, 8))
    assert not np.array_equal(one.waveform, two.waveform)
    with pytest.raises(ValueError, match="one guidance scale for both streams"):
        loaded("kandinsky6")("a ball", guidance_scale=2, audio_guidance_scale=3)
    with pytest.raises(ValueError, match="guidance is distilled"):
        loaded("minimax_h3")("a ball", guidance_scale=2)


@pytest.mark.parametrize(
    ("name", "call", "complaint"),
    [
        ("ltx2", {"prompt": None}, "needs text: pass a prompt"),
        ("ltx2", {"size": (30, 32)}, "height 30: LTX-2 needs multiples of 32"),
        ("ltx2", {"seconds": 30}, "generates 20 s at most"),
        ("ltx2", {"output_type": "latent"}, "returns one of"),
        ("ltx2", {"label": "dog"}, "label: LTX-2 does not support it"),
        ("ltx2", {"num_inference_steps": 0}, "expected a whole number above zero"),
        ("ltx2", {"guidance_scale": -1}, "expected a number from 0 to 100"),
        (
            "kandinsky6",
            {"video": film(9, (16, 16))},
            "does not generate audio for a video; it generates video and audio",
        ),
        ("cosmos3", {"audio": film(9, (16, 16))}, "does not generate video for an audio"),
    ],
)
def test_unsupported_options_are_refused(loaded, name, call, complaint):
    with pytest.raises(ValueError, match=complaint):
        loaded(name)(**{"prompt": "a ball", **call})


def test_a_clip_that_is_too_long_is_refused(loaded):
    with pytest.raises(ValueError, match=r"lasts 25.00 s, and LTX-2 generates 20.00 s at once"):
        loaded("ltx2")("a ball", video=film(100, (8, 8), fps=4), size=(32, 32))


def test_offload_gives_the_same(loaded, foreign_folder):
    asked = {**ASKED["ltx2"], "num_inference_steps": 1, "generator": 0}
    plain = loaded("ltx2")("a ball", **asked).clips[0]
    pipe = SoundingVideoPipeline.from_pretrained(foreign_folder("ltx2"), dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pipe.enable_model_cpu_offload(device="cpu")
    assert hasattr(pipe.transformer, "_hf_hook")
    assert np.array_equal(pipe("a ball", **asked).clips[0].frames, plain.frames)
    # Sound for pictures and pictures for a sound run in pipelines of their own, around the same networks.
    given = film(9, (32, 32))
    assert pipe("a ball", video=given, num_inference_steps=1, size=(32, 32), **WORDS).clips[0].waveform.any()
    assert pipe("a ball", audio=given, num_inference_steps=1, size=(32, 32), **WORDS).clips[0].frames.any()


def test_modular_pipelines_are_offloaded_too(loaded, foreign_folder):
    asked = {**ASKED["minimax_h3"], "num_inference_steps": 2, "generator": 0}
    plain = loaded("minimax_h3")("a ball", **asked).clips[0]
    pipe = SoundingVideoPipeline.from_pretrained(foreign_folder("minimax_h3"), dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pipe.enable_model_cpu_offload(device="cpu")
    assert np.array_equal(pipe("a ball", **asked).clips[0].frames, plain.frames)
    with pytest.raises(ValueError, match="cannot offload it layer by layer"):
        pipe.enable_sequential_cpu_offload()


def test_dtype_tiling_and_lora_are_forwarded(foreign_folder, tmp_path):
    pipe = SoundingVideoPipeline.from_pretrained(foreign_folder("ltx2"), dtype=torch.bfloat16)
    pipe.set_progress_bar_config(disable=True)
    assert pipe.transformer.dtype == torch.bfloat16
    asked = {**ASKED["ltx2"], "num_inference_steps": 1, "generator": 0}
    plain = pipe("a ball", **asked).clips[0]
    pipe.enable_vae_tiling()
    assert pipe.vae.use_tiling
    pytest.importorskip("peft", reason="diffusers loads LoRA by peft, which is not installed")
    from safetensors.torch import save_file

    width = pipe.transformer.config.num_attention_heads * pipe.transformer.config.attention_head_dim
    name = "transformer.transformer_blocks.0.attn1.to_q"
    draw = torch.Generator().manual_seed(0)
    shapes = {"A": (2, width), "B": (width, 2)}
    weights = {f"{name}.lora_{half}.weight": torch.randn(shape, generator=draw) for half, shape in shapes.items()}
    save_file(weights, tmp_path / "lora.safetensors")
    pipe.load_lora_weights(tmp_path / "lora.safetensors")
    assert not np.array_equal(pipe("a ball", **asked).clips[0].frames, plain.frames)
    (tmp_path / "lora.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"expected a \.safetensors file"):
        pipe.load_lora_weights(tmp_path / "lora.bin")


def test_the_default_dtype_is_that_of_the_files(foreign_folder, tmp_path):
    pipe = SoundingVideoPipeline.from_pretrained(foreign_folder("ltx2"), dtype=torch.bfloat16)
    pipe.inner.save_pretrained(tmp_path / "half")
    assert SoundingVideoPipeline.from_pretrained(tmp_path / "half").transformer.dtype == torch.bfloat16
    assert SoundingVideoPipeline.from_pretrained(foreign_folder("ltx2")).transformer.dtype == torch.float32


def test_the_tasks_of_every_family():
    from sonovid.pipelines.foreign import FAMILIES

    can = {family.capabilities.family: set(family.capabilities.tasks) for family in FAMILIES}
    assert can == {
        "LTX-2": {Task.JOINT, Task.VIDEO_TO_AUDIO, Task.AUDIO_TO_VIDEO},
        "Kandinsky 6": {Task.JOINT},
        "Cosmos 3": {Task.JOINT, Task.VIDEO_TO_AUDIO},
        "MiniMax-H3": {Task.JOINT},
    }
