"""sonovid import: a checkpoint in the released layout, of tiny random networks, with outputs of the released code."""

import json
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file

from sonovid.cli import main
from sonovid.pipelines.pipeline import SoundingVideoPipeline

sys.path.append(str(Path(__file__).parents[1] / "codecs"))
from test_text import tiny

PARITY = Path(__file__).parents[3] / "shared" / "parity"
WEIGHTS = "diffusion_pytorch_model.safetensors"
SCHEDULERS = {
    "scheduler_v": {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear"},
    "scheduler_a": {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear"},
}

pytestmark = pytest.mark.skipif(not PARITY.is_dir(), reason="the released code's tiny checkpoints are not at hand")


def pickled(folder: Path, name: str) -> None:
    """Weights as the authors' trainer leaves them."""
    found = next(folder.glob("*.safetensors"))
    torch.save(load_file(found), folder / name)
    found.unlink()


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    pipe = tmp_path_factory.mktemp("released") / "pipe"
    case, base = PARITY / "svg_cmcpe_tiny" / "case_a", PARITY / "svg_base_tiny" / "case_a"
    for name, source in (("unet_svg", case / "unet_svg"), ("unet_v", base / "unet_v"), ("unet_a", base / "unet_a")):
        (pipe / name).mkdir(parents=True)
        config = json.loads((source / "config.json").read_text())
        (pipe / name / "config.json").write_text(json.dumps(config))
        torch.save(load_file(source / WEIGHTS), pipe / name / "diffusion_pytorch_model.bin")
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        for name, channels, latents, levels in (("vae_v", 3, 4, 2), ("vae_a", 1, 8, 3)):
            vae = AutoencoderKL(
                in_channels=channels,
                out_channels=channels,
                down_block_types=("DownEncoderBlock2D",) * levels,
                up_block_types=("UpDecoderBlock2D",) * levels,
                block_out_channels=(8,) * levels,
                latent_channels=latents,
                norm_num_groups=4,
            )
            vae.save_pretrained(pipe / name)
            pickled(pipe / name, "diffusion_pytorch_model.bin")
        vocoder = SpeechT5HifiGan(
            SpeechT5HifiGanConfig(
                model_in_dim=64,
                upsample_initial_channel=16,
                upsample_rates=[10, 16],
                upsample_kernel_sizes=[20, 32],
                resblock_kernel_sizes=[3],
                resblock_dilation_sizes=[[1]],
                sampling_rate=16000,
            )
        )
        vocoder.save_pretrained(pipe / "vocoder")
        pickled(pipe / "vocoder", "pytorch_model.bin")
        # The text networks' widths are the U-Nets': words of 24 channels, a vector of 20.
        for name, kind, widths in (("v", "clip", {"hidden_size": 24}), ("a", "clap", {"projection_dim": 20})):
            folder = pipe / f"text_encoder_{name}"
            tiny(kind, folder, **widths)
            (pipe / f"tokenizer_{name}").mkdir()
            for path in folder.glob("*token*"):
                shutil.move(path, pipe / f"tokenizer_{name}" / path.name)
            pickled(folder, "pytorch_model.bin")
    for name, settings in SCHEDULERS.items():
        (pipe / name).mkdir()
        (pipe / name / "scheduler_config.json").write_text(json.dumps({**settings, "num_train_timesteps": 1000}))
    (pipe / "model_index.json").write_text(json.dumps({"_class_name": "VideoAudioGenWithSVGPipeline"}))
    return pipe.parent


@pytest.fixture(scope="module")
def imported(released, tmp_path_factory):
    out = tmp_path_factory.mktemp("imported") / "model"
    assert main(["import", "svg-baseline", str(released), str(out), "--frames", "8", "--size", "16"]) == 0
    return out


def test_the_model_folder_holds_no_pickle_and_loads(imported):
    assert not [path for path in imported.rglob("*") if path.suffix == ".bin"]
    pipe = SoundingVideoPipeline.from_pretrained(imported)
    io = load_file(PARITY / "svg_cmcpe_tiny" / "case_a" / "io.safetensors")
    assert pipe.denoiser.config.as_released
    assert pipe.geometry.num_frames == 8
    assert (pipe.options["guidance_scale"], pipe.options["audio_guidance_scale"], pipe.options["gamma"]) == (7.5, 2.5, 1.5)
    assert io["x_video"].shape[1] == pipe.video_codec.latent_channels


@pytest.mark.parametrize("given", [{}, {"num_inference_steps": 2, "gamma": 1.0}])
def test_it_samples_words_to_both(imported, given):
    pipe = SoundingVideoPipeline.from_pretrained(imported)
    pipe.set_progress_bar_config(disable=True)
    clip = pipe("a red ball", negative_prompt="rain", generator=0, **{"num_inference_steps": 2, **given}).clips[0]
    assert clip.frames.shape == (8, 16, 16, 3)
    assert clip.waveform.shape == (1, 16000)


def test_a_stream_can_be_given(imported):
    pipe = SoundingVideoPipeline.from_pretrained(imported)
    pipe.set_progress_bar_config(disable=True)
    clip = pipe("a red ball", generator=0, num_inference_steps=1).clips[0]
    again = pipe("rain", video=clip, generator=1, num_inference_steps=2).clips[0]
    assert (again.frames == clip.frames).all()
    assert abs(again.waveform - clip.waveform).max() > 0


def test_what_does_not_fit_is_one_line(released, tmp_path, capsys):
    def fails(folder, *words):
        assert main(["import", "svg-baseline", str(folder), str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert all(word in said for word in words), said
        assert said.count("\n") == 1

    fails(tmp_path, "no model_index.json")
    (tmp_path / "model_index.json").write_text('{"_class_name": "AnimateDiffPipeline"}')
    fails(tmp_path, "AnimateDiffPipeline, not the pipeline of the SVG baseline")
    copy = tmp_path / "copy"
    shutil.copytree(released, copy)
    state = torch.load(copy / "pipe" / "unet_svg" / "diffusion_pytorch_model.bin", weights_only=True)
    state.popitem()
    torch.save(state, copy / "pipe" / "unet_svg" / "diffusion_pytorch_model.bin")
    fails(copy, "1 tensors missing")
    torch.save({"a": Path("x")}, copy / "pipe" / "unet_svg" / "diffusion_pytorch_model.bin")
    fails(copy, "holds more than tensors")
    shutil.rmtree(copy / "pipe" / "vocoder")
    fails(copy, "vocoder is missing")


@pytest.mark.parametrize(
    ("run", "steps", "options"),
    [
        ("n4_gamma1.5", 4, {}),
        ("n3_nogamma", 3, {"gamma": 1.0, "guidance_scale": 3.0, "audio_guidance_scale": 1.0}),
    ],
)
def test_the_pipeline_samples_what_the_released_one_did(released, run, steps, options):
    """Their trajectories, from their noise and with their embedded words, through the call that users make."""
    from sonovid.cli.import_checkpoint import load_svg_baseline
    from sonovid.core.av import AV

    kept = load_file(PARITY / "svg_cmcpe_tiny" / "case_a" / "sampler_trajectory.safetensors")
    wanted = {key.removeprefix(f"{run}."): value for key, value in kept.items() if key.startswith(run)}
    # 4 frames and 0.96 s, so that the sound has 24 steps.
    pipe = load_svg_baseline(released, fps=Fraction(25, 6), num_frames=4, size=(32, 32))
    pipe.set_progress_bar_config(disable=True)
    said = {"bad quality, worse quality": 0, "a red ball": 1}

    class Embedded:
        """What their encoders gave for these words."""

        def __call__(self, prompts):
            text = wanted["text_video_uncond_cond"][[said[words] for words in prompts]]
            return text, torch.ones(text.shape[:2], dtype=torch.bool)

        def pooled(self, prompts):
            return wanted["text_audio_uncond_cond"][[said[words] for words in prompts]]

    object.__setattr__(pipe, "text_encoder", Embedded())
    pipe.unit_noise = lambda *_: AV(wanted["init_video"], wanted["init_audio"])
    path = []

    def keep(pipe, index, times, told):
        path.append((told["latents"], told["x0"]))
        return {}

    pipe("a red ball", num_inference_steps=steps, callback_on_step_end=keep, output_type="latent", **options)
    assert len(path) == steps
    for index, (x, x0) in enumerate(path):
        last = index == steps - 1
        names = ("final",) if last else (f"step{index + 1}.x", f"step{index + 1}.x0hat")
        for pair, name in zip((x, x0), names, strict=False):
            for ours, theirs in zip(pair, (wanted[f"{name}_video"], wanted[f"{name}_audio"]), strict=True):
                scale = max(1.0, float(theirs.abs().max()))
                torch.testing.assert_close(ours / scale, theirs / scale, atol=1e-5, rtol=0)
