"""Conventions of diffusers: each works as it does there, or raises an error that names the alternative."""

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from diffusers import AutoencoderKL, DDIMScheduler, DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from diffusers.utils import BaseOutput
from PIL import Image

from sonovid import SoundingVideoPipeline
from sonovid.codecs.pretrained import PretrainedVideo
from sonovid.core.av import AV
from sonovid.diffusion.schedule import Tabulated
from sonovid.models.uniform.transformer import UniForm
from sonovid.pipelines.request import Request


def latents(pipe, *words, **options):
    return pipe(*words, **{"generator": 0, "output_type": "latent", **options}).latents


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(("kind", "first"), [("clip", "clips"), ("np", "frames"), ("pt", "frames"), ("pil", "frames")])
def test_an_output_keeps_the_contract_of_BaseOutput(tiny_pipeline, kind, first):
    out = tiny_pipeline("a hit", generator=0, output_type=kind)
    assert isinstance(out, BaseOutput)
    assert isinstance(tiny_pipeline, DiffusionPipeline)
    assert out[first] is getattr(out, first) is out[0] is out.to_tuple()[0]
    assert next(iter(out.keys())) == first
    assert {"latents", "seeds", "sampling_rate", "fps"} < set(out.keys())
    assert (out["sampling_rate"], out["seeds"]) == (8000, [0])


def test_a_tuple_is_video_and_audio_for_every_output_type(tiny_pipeline):
    pairs = {
        kind: tiny_pipeline("a hit", generator=0, output_type=kind, return_dict=False)
        for kind in ("clip", "np", "pt", "pil", "latent")
    }
    assert all(len(pair) == 2 for pair in pairs.values())
    assert pairs["clip"][0][0].shape == (8, 16, 16, 3)
    assert pairs["clip"][1][0].shape == (1, 8000)
    assert isinstance(pairs["pil"][0][0][7], Image.Image)
    assert np.array_equal(np.asarray(pairs["pil"][0][0][7]), pairs["clip"][0][0][7])
    assert pairs["pt"][0].shape == (1, 8, 3, 16, 16)
    assert pairs["latent"][1].shape[0] == 1


def test_two_names_of_one_argument(tiny_pipeline):
    assert same(latents(tiny_pipeline, "a", num_videos_per_prompt=2), latents(tiny_pipeline, "a", num_outputs_per_prompt=2))
    with pytest.raises(ValueError, match="two names"):
        tiny_pipeline("a", num_videos_per_prompt=2, num_outputs_per_prompt=2)


def test_numpy_integers_are_accepted(tiny_pipeline):
    options = {"num_inference_steps": np.int64(2), "num_outputs_per_prompt": np.int32(1), "batch_size": np.int64(1)}
    assert same(
        latents(tiny_pipeline, "a", generator=np.int64(3), **options),
        latents(tiny_pipeline, "a", generator=3, num_inference_steps=2),
    )
    assert tiny_pipeline("a", generator=[np.uint8(3)], output_type="latent").seeds == [3]


def test_negative_prompts_may_be_a_list(tiny_pipeline):
    both = latents(tiny_pipeline, ["a", "b"], negative_prompt=["c", "d"], batch_size=1)
    assert same(both.map(lambda x: x[1:]), latents(tiny_pipeline, "b", negative_prompt="d", generator=1))
    with pytest.raises(ValueError, match="1 for 2 prompts"):
        tiny_pipeline(["a", "b"], negative_prompt=["c"])


def test_prompt_embeds_equal_prompts(tiny_pipeline):
    with pytest.raises(ValueError, match="2 prompts and 1 negative prompts"):
        tiny_pipeline.encode_prompt(["a hit", "a red ball falls"], ["rain"])
    words, mask, negative, negative_mask = tiny_pipeline.encode_prompt(["a hit", "a red ball falls"], "rain")
    assert words.shape[:2] == mask.shape == negative_mask.shape
    given = {"prompt_embeds": words, "prompt_attention_mask": mask, "negative_prompt_embeds": negative}
    by_vectors = latents(tiny_pipeline, negative_prompt_attention_mask=negative_mask, **given)
    by_words = latents(tiny_pipeline, ["a hit", "a red ball falls"], negative_prompt="rain")
    for a, b in zip(by_vectors, by_words, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="both given"):
        tiny_pipeline("a", prompt_embeds=words)


def test_noise_may_be_passed(tiny_pipeline):
    noise = tiny_pipeline.unit_noise(torch.Generator().manual_seed(0))
    for given in (noise, tuple(noise), noise._asdict()):
        assert same(latents(tiny_pipeline, "a hit", latents=given, generator=9), latents(tiny_pipeline, "a hit"))
    with pytest.raises(ValueError, match="for 2 clips"):
        tiny_pipeline(["a", "b"], latents=noise)


def test_a_callback_selects_its_tensors_and_may_interrupt(tiny_pipeline):
    seen = []

    def stop(pipe, step, times, told):
        seen.append(set(told))
        pipe._interrupt = step == 1

    tiny_pipeline("a", callback_on_step_end=stop, callback_on_step_end_tensor_inputs=["x0"], generator=0)
    assert seen == [{"x0", "clip", "window"}] * 2
    assert tiny_pipeline.interrupt
    assert not same(latents(tiny_pipeline, "a"), AV(*map(torch.zeros_like, latents(tiny_pipeline, "a"))))
    assert not tiny_pipeline.interrupt
    with pytest.raises(ValueError, match="some of"):
        tiny_pipeline("a", callback_on_step_end_tensor_inputs=["noise_pred"])


def test_supported_sizes_are_accepted_and_others_refused(tiny_pipeline):
    assert same(latents(tiny_pipeline, "a", height=16, width=16, num_frames=8), latents(tiny_pipeline, "a"))
    assert len(tiny_pipeline("a", num_frames=16, generator=0).clips[0].frames) == 16
    assert tiny_pipeline("a", height=32, generator=0).clips[0].frames.shape == (8, 32, 16, 3)
    for wrong in ({"width": 17}, {"num_frames": 7}):
        with pytest.raises(ValueError, match=r"17|7"):
            tiny_pipeline("a", **wrong)
    with pytest.raises(TypeError):
        tiny_pipeline("a", eta=0.0)


def test_floats_are_durations_in_decimal_notation(tiny_pipeline):
    assert tiny_pipeline("a", seconds=0.1 + 0.9, generator=0).clips[0].waveform.shape == (1, 8000)
    assert len(tiny_pipeline("a", seconds=np.float32(0.6), generator=0).clips[0].frames) == 5


def with_scheduler(pipe, scheduler):
    other = SoundingVideoPipeline.from_pipe(pipe)
    other.scheduler = scheduler
    other.set_progress_bar_config(disable=True)
    return other


def test_a_scheduler_of_diffusers_replaces_the_solver(tiny_pipeline):
    other = with_scheduler(tiny_pipeline, FlowMatchEulerDiscreteScheduler(shift=1.0))
    times = other.plan(Request(num_inference_steps=3)).times
    assert times.video[0] == 1
    assert times.video[-1] == 0
    assert not same(latents(other, "a"), latents(tiny_pipeline, "a"))
    other.scheduler = None
    assert same(latents(other, "a"), latents(tiny_pipeline, "a"))
    with pytest.raises(ValueError, match="DDIMScheduler: its betas"):
        other.scheduler = DDIMScheduler()


def test_a_scheduler_with_betas_needs_the_same_table(tiny_pipeline):
    table = SoundingVideoPipeline.from_pipe(tiny_pipeline, schedule=AV(Tabulated(), Tabulated()), predict="eps")
    other = with_scheduler(table, DDIMScheduler())
    assert all(torch.isfinite(x).all() for x in latents(other, "a"))
    assert other.scheduler.video.config.prediction_type == "sample"


def test_unsupported_options_are_errors(tiny_pipeline, tiny_folder, tmp_path):
    with pytest.raises(ValueError, match="safe_serialization"):
        tiny_pipeline.save_pretrained(tmp_path / "a", safe_serialization=False)
    with pytest.raises(ValueError, match=r"pipe\.push_to_hub"):
        tiny_pipeline.save_pretrained(tmp_path / "a", push_to_hub=True)
    with pytest.raises(ValueError, match="supports tiling"):
        tiny_pipeline.enable_vae_tiling()
    with pytest.raises(TypeError, match="no components"):
        SoundingVideoPipeline.from_pretrained(tiny_folder, unet=None)


def test_a_variant_and_a_device_map(tiny_pipeline, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path / "a", variant="fp16")
    assert list((tmp_path / "a").rglob("*.safetensors"))
    assert all(".fp16." in path.name for path in (tmp_path / "a").rglob("*.safetensors"))
    again = SoundingVideoPipeline.from_pretrained(tmp_path / "a", variant="fp16", device_map="cpu")
    again.set_progress_bar_config(disable=True)
    assert same(latents(again, "a"), latents(tiny_pipeline, "a"))


def test_slicing_decodes_one_window_at_a_time(tiny_pipeline):
    sizes = []
    hook = tiny_pipeline.video_codec.decoder.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    try:
        tiny_pipeline("a", num_outputs_per_prompt=2, generator=0)
        tiny_pipeline.enable_vae_slicing()
        tiny_pipeline("a", num_outputs_per_prompt=2, generator=0)
    finally:
        tiny_pipeline.disable_vae_slicing()
        hook.remove()
    assert sizes == [16, 8, 8]


def test_tiling_reaches_a_released_autoencoder(tiny_pipeline):
    autoencoder = AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4, latent_channels=4, sample_size=16,
    )  # fmt: skip
    other = SoundingVideoPipeline.from_pipe(tiny_pipeline, video_codec=PretrainedVideo(autoencoder))
    other.enable_vae_tiling()
    assert autoencoder.use_tiling
    tiles = []
    hook = autoencoder.decoder.register_forward_pre_hook(lambda _, inputs: tiles.append(tuple(inputs[0].shape[-2:])))
    frames = other.video_codec.decode(torch.zeros(1, 4, 1, 16, 16))
    assert frames.shape == (1, 3, 1, 32, 32)
    assert len(tiles) > 1
    assert max(tiles) == (8, 8)
    other.disable_vae_tiling()
    tiles.clear()
    other.video_codec.decode(torch.zeros(1, 4, 1, 16, 16))
    hook.remove()
    assert tiles == [(16, 16)]


def test_another_pipeline_shares_the_components(tiny_pipeline):
    other = SoundingVideoPipeline.from_pipe(tiny_pipeline, options={"num_inference_steps": 2})
    other.set_progress_bar_config(disable=True)
    assert other.denoiser is tiny_pipeline.denoiser
    assert same(latents(other, "a"), latents(tiny_pipeline, "a", num_inference_steps=2, guidance_scale=3.0))
    with pytest.raises(ValueError, match="unet"):
        SoundingVideoPipeline.from_pipe(tiny_pipeline, unet=None)


def test_sequentially_offloaded_weights_run(tiny_folder, tiny_pipeline):
    """Sequential offloading keeps weights on `meta`, another device than that of the computation.

    By accelerate's own call, as the one of diffusers names its device "cpu:0", which accelerate does not take for "cpu".
    """
    pipe = SoundingVideoPipeline.from_pretrained(tiny_folder)
    pipe.set_progress_bar_config(disable=True)
    for network in (pipe.denoiser, pipe.video_codec):
        cpu_offload(network, torch.device("cpu"))
    assert next(pipe.denoiser.parameters()).device.type == "meta"
    assert pipe.device.type == pipe._execution_device.type == "cpu"
    made = pipe("a hit", generator=0)
    assert np.array_equal(made.clips[0].frames, tiny_pipeline("a hit", generator=0).clips[0].frames)


def test_models_are_offloaded_after_the_call(tiny_folder):
    pipe = SoundingVideoPipeline.from_pretrained(tiny_folder)
    pipe.set_progress_bar_config(disable=True)
    pipe.enable_model_cpu_offload(device="cpu")
    moved = []
    for hook in pipe._all_hooks:
        hook.hook.init_hook, offload = hook.hook.init_hook, hook.offload
        hook.offload = lambda offload=offload: (moved.append(1), offload())
    assert pipe("a hit", generator=0, num_outputs_per_prompt=2).clips[1].waveform.shape == (1, 8000)
    assert pipe._execution_device.type == "cpu"
    assert len(pipe._all_hooks) == 1


def test_lora_is_loaded_saved_and_unloaded(tiny_folder, tiny_pipeline, tmp_path):
    pytest.importorskip("peft")
    pipe = SoundingVideoPipeline.from_pretrained(tiny_folder)
    pipe.set_progress_bar_config(disable=True)
    names = [name for name, module in pipe.denoiser.named_modules() if name.endswith(("qkv", "mlp_in"))]
    assert isinstance(pipe.denoiser, UniForm)
    weights = {}
    for name in names:
        linear = pipe.denoiser.get_submodule(name)
        weights[f"denoiser.{name}.lora_A.weight"] = torch.full((2, linear.in_features), 0.02)
        weights[f"denoiser.{name}.lora_B.weight"] = torch.full((linear.out_features, 2), 0.02)
    plain = latents(pipe, "a")
    pipe.load_lora_weights(weights)
    adapted = latents(pipe, "a")
    assert not same(plain, adapted)
    pipe.save_lora_weights(tmp_path)
    pipe.unload_lora_weights()
    assert same(plain, latents(pipe, "a"))
    pipe.load_lora_weights(tmp_path)
    assert same(adapted, latents(pipe, "a"))
    pipe.fuse_lora()
    for a, b in zip(adapted, latents(pipe, "a"), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="not in UniForm"):
        pipe.load_lora_weights({"unet.up.lora_A.weight": torch.ones(2, 2)})


@pytest.mark.parametrize(
    ("text", "says"),
    [("a \ud83d hit", r"character 3 is U\+D83D"), ("a\x00b", r"character 2 is U\+0000"), ("a\x1b[0m", r"character 2 is U\+001B")],
)
@pytest.mark.parametrize("where", ["prompt", "negative_prompt"])
def test_invalid_characters_are_refused(tiny_pipeline, text, says, where):
    with pytest.raises(ValueError, match=f"{where}: {says}"):
        tiny_pipeline(**{"prompt": "a hit", where: text})


def test_line_ends_in_a_prompt_are_white_space(tiny_pipeline):
    assert latents(tiny_pipeline, "a\thit\n") is not None


def test_seconds_beyond_the_input_is_refused(tiny_pipeline):
    sound = np.random.default_rng(0).normal(0, 0.1, 4000)
    for given in ({"audio": sound, "sample_rate": 8000}, {"video": np.zeros((4, 16, 16, 3), np.uint8), "fps": 8}):
        with pytest.raises(ValueError, match=r"seconds=0\.9: the input (audio|video) lasts 0\.5 s"):
            tiny_pipeline(**given, seconds=0.9)
