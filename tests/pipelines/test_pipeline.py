"""The pipeline on real components with random weights."""

import dataclasses
import json
import shutil
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sonovid import SoundingVideoPipeline, media
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.diffusion.schedule import Cosine, RectifiedFlow
from sonovid.models.cmmd.unet import CMMD
from sonovid.models.uniform.transformer import UniForm
from sonovid.pipelines import loading, packaged
from sonovid.pipelines.arguments import MAX_PROMPT_LENGTH, parse_schedules


def same(a: AV, b: AV) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def clip():
    """A second and a half of moving noise with a sound, at a rate and size that are not the model's."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (45, 24, 40, 3), dtype=np.uint8)
    return Clip(frames, rng.normal(0, 0.1, (2, 36000)).astype(np.float32), fps=Fraction(30), sample_rate=24000)


def test_joint_generation_has_the_model_s_geometry(tiny_pipeline):
    out = tiny_pipeline("a hit", generator=0)
    (made,) = out.clips
    assert made.frames.shape == (8, 16, 16, 3)
    assert made.waveform.shape == (1, 8000)
    assert (made.fps, made.sample_rate, made.caption) == (Fraction(8), 8000, "a hit")
    assert (out.fps, out.sampling_rate, out.seeds) == (Fraction(8), 8000, [0])


def test_a_seed_gives_the_same_latents_for_any_number_of_clips(tiny_pipeline):
    alone = tiny_pipeline("a hit", generator=5, output_type="latent")
    options = {"output_type": "latent", "batch_size": 1}
    many = tiny_pipeline("a hit", generator=3, num_outputs_per_prompt=3, **options)
    mixed = tiny_pipeline(["a splash", "a hit"], generator=[9, 5], **options)
    assert many.seeds == [3, 4, 5]
    assert same(alone.latents, many.latents.map(lambda x: x[2:]))
    assert same(alone.latents, mixed.latents.map(lambda x: x[1:]))
    assert not torch.equal(many.latents.video[0], many.latents.video[1])


def test_ancestral_sampling_is_a_step_of_the_pipeline(tiny_pipeline, tmp_path, monkeypatch):
    """Random steps follow from the seed, whatever is sampled beside it; a learnt variance changes them."""
    parts = {name: getattr(tiny_pipeline, name) for name in ("video_codec", "audio_codec", "text_encoder", "geometry")}
    config = {**tiny_pipeline.denoiser.config, "learn_variance": True}
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        network = UniForm(**config)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    options = {"num_inference_steps": 3}
    pipe = SoundingVideoPipeline(network, **parts, step="ddpm", schedule=AV(Cosine(), Cosine()), predict="v", options=options)
    pipe.set_progress_bar_config(disable=True)
    alone = pipe("a hit", generator=5, output_type="latent")
    many = pipe("a hit", generator=4, num_outputs_per_prompt=2, output_type="latent", batch_size=1)
    assert same(alone.latents, many.latents.map(lambda x: x[1:]))
    pipe.save_pretrained(tmp_path / "model")
    again = SoundingVideoPipeline.from_pretrained(tmp_path / "model")
    assert again.config.step == "ddpm"
    assert same(alone.latents, again("a hit", generator=5, output_type="latent").latents)
    forward = network.forward
    monkeypatch.setattr(network, "forward", lambda *words: dataclasses.replace(forward(*words), variance=None))
    assert not same(alone.latents, pipe("a hit", generator=5, output_type="latent").latents)


def test_a_generator_equals_its_seed(tiny_pipeline):
    by_seed = tiny_pipeline("a hit", generator=5, output_type="latent")
    by_generator = tiny_pipeline("a hit", generator=torch.Generator().manual_seed(5), output_type="latent")
    assert same(by_seed.latents, by_generator.latents)


def test_the_global_random_state_is_unchanged(tiny_pipeline):
    before = torch.get_rng_state()
    tiny_pipeline("a hit", generator=0)
    tiny_pipeline("a hit")
    assert torch.equal(before, torch.get_rng_state())


def test_prompts_change_the_result_and_empty_prompts_are_not_guided(tiny_pipeline):
    hit, splash = (tiny_pipeline(words, generator=0, output_type="latent").latents for words in ("a hit", "a splash"))
    assert not torch.allclose(hit.video, splash.video)
    silent = [tiny_pipeline(None, generator=0, guidance_scale=s, output_type="latent").latents for s in (1, 7)]
    assert same(*silent)


@pytest.mark.parametrize(("arguments", "evaluations"), [({}, 6), ({"guidance_scale": 1}, 3), ({"prompt": None}, 3)])
def test_guidance_evaluates_twice_only_where_it_changes_the_result(tiny_pipeline, arguments, evaluations):
    calls = []
    hook = tiny_pipeline.denoiser.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0].video)))
    try:
        tiny_pipeline(**{"prompt": "a hit", "generator": 0, "output_type": "latent", **arguments})
    finally:
        hook.remove()
    # Both halves of guidance run as one batch.
    assert len(calls) == 3
    assert sum(calls) == evaluations


def test_guidance_of_a_conditioning_stream_costs_no_evaluation(tiny_pipeline, clip):
    calls = []
    hook = tiny_pipeline.denoiser.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        options = {"guidance_scale": 5, "audio_guidance_scale": 1, "seconds": 1, "output_type": "latent"}
        tiny_pipeline("a hit", video=clip, generator=0, **options)
    finally:
        hook.remove()
    assert len(calls) == 3


def test_streams_have_separate_guidance_scales(tiny_pipeline):
    plain = tiny_pipeline("a hit", generator=0, num_inference_steps=1, guidance_scale=1, output_type="latent").latents
    options = {"num_inference_steps": 1, "output_type": "latent", "guidance_scale": 1, "audio_guidance_scale": 4}
    sound = tiny_pipeline("a hit", generator=0, **options).latents
    torch.testing.assert_close(plain.video, sound.video)
    assert not torch.allclose(plain.audio, sound.audio)


def test_an_input_video_is_returned_unchanged_with_audio_of_equal_length(tiny_pipeline, clip):
    made = tiny_pipeline(video=clip, generator=0).clips[0]
    assert np.array_equal(made.frames, clip.frames)
    assert (made.fps, made.waveform.shape) == (clip.fps, (1, 12000))


def test_an_input_audio_is_returned_unchanged_with_video_of_equal_length(tiny_pipeline, clip):
    made = tiny_pipeline(audio=clip, generator=0).clips[0]
    assert np.array_equal(made.waveform, clip.waveform)
    assert (made.sample_rate, made.frames.shape) == (24000, (12, 16, 16, 3))


def test_a_conditioning_stream_changes_the_result(tiny_pipeline, clip):
    other = dataclasses.replace(clip, frames=255 - clip.frames, waveform=clip.waveform[:, ::-1].copy())
    for stream in ("video", "audio"):
        a, b = (tiny_pipeline(**{stream: c}, generator=0, seconds=1, output_type="latent").latents for c in (clip, other))
        assert not torch.allclose(
            getattr(a, "audio" if stream == "video" else "video"), getattr(b, "audio" if stream == "video" else "video")
        )


def test_conditioning_latents_are_those_of_the_codec(tiny_pipeline, clip):
    latents = tiny_pipeline(video=clip, generator=0, seconds=1, output_type="latent").latents
    from sonovid.pipelines.windows import fit_frames

    frames = fit_frames(clip.frames, clip.fps, tiny_pipeline.geometry, 8)
    x = torch.from_numpy(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1
    codec = tiny_pipeline.video_codec
    torch.testing.assert_close(latents.video, codec.whiten(codec.encode(x)))


def test_a_short_input_is_padded_and_the_result_trimmed(tiny_pipeline, clip):
    short = Clip(clip.frames[:7], None, fps=clip.fps)
    made = tiny_pipeline(video=short, generator=0).clips[0]
    assert made.waveform.shape == (1, round(Fraction(7, 30) * 8000))
    sound = Clip(None, clip.waveform[:, :5000], sample_rate=24000)
    assert len(tiny_pipeline(audio=sound, generator=0).clips[0].frames) == 2


def test_a_file_has_the_duration_of_its_video(tiny_pipeline, clip, tmp_path):
    path = media.write(tmp_path / "clip.mp4", dataclasses.replace(clip, frames=clip.frames[:41]))
    made = tiny_pipeline(video=path, generator=0).clips[0]
    assert made.waveform.shape[1] == round(Fraction(41, 30) * 8000)
    assert made.frames.shape[1:] == (16, 16, 3)


def test_audio_of_a_written_file_gives_as_many_frames_as_its_video(tiny_pipeline, clip, tmp_path):
    two = Clip(np.repeat(clip.frames[:1], 16, 0), np.resize(clip.waveform, (1, 32000)), fps=Fraction(8), sample_rate=16000)
    for name in ("clip.mp4", "clip.mov", "clip.mkv"):
        made = tiny_pipeline(audio=media.write(tmp_path / name, two), generator=0).clips[0]
        assert (len(made.frames), made.waveform.shape[1]) == (16, 32000)


def test_seconds_limits_the_result(tiny_pipeline, clip):
    made = tiny_pipeline("a hit", generator=0, seconds=0.5).clips[0]
    assert (len(made.frames), made.waveform.shape[1]) == (4, 4000)
    made = tiny_pipeline(audio=clip, generator=0, seconds=0.5).clips[0]
    assert (len(made.frames), made.waveform.shape[1]) == (4, 12000)


def test_output_types(tiny_pipeline):
    as_np, as_pt = (tiny_pipeline("a hit", generator=0, num_outputs_per_prompt=2, output_type=kind) for kind in ("np", "pt"))
    assert as_np.frames.shape == (2, 8, 16, 16, 3)
    assert as_np.audio.shape == (2, 1, 8000)
    assert as_np.frames.min() >= 0
    assert as_np.frames.max() <= 1
    assert as_pt.frames.shape == (2, 8, 3, 16, 16)
    np.testing.assert_array_equal(as_pt.frames.permute(0, 1, 3, 4, 2).numpy(), as_np.frames)
    frames, audio = tiny_pipeline("a hit", generator=0, output_type="np", return_dict=False)
    np.testing.assert_allclose(frames[0], as_np.frames[0], atol=1e-5)
    np.testing.assert_allclose(audio[0], as_np.audio[0], atol=1e-5)


def test_the_callback_sees_every_step_and_may_replace_latents(tiny_pipeline):
    seen = []

    def zero_at_the_end(pipe, step, times, told):
        seen.append((step, times.video, set(told)))
        return {"latents": told["latents"].map(torch.zeros_like)} if step == 2 else {}

    out = tiny_pipeline("a hit", generator=0, callback_on_step_end=zero_at_the_end, output_type="latent")
    assert [step for step, *_ in seen] == [0, 1, 2]
    assert seen[-1][1] == 0
    assert seen[0][2] == {"latents", "x0", "clip", "window"}
    assert all((x == 0).all() for x in out.latents)


def test_a_negative_prompt_guides_away_from_it(tiny_pipeline):
    plain, away, itself = (
        tiny_pipeline("a hit", negative_prompt=n, generator=0, output_type="latent").latents for n in (None, "a splash", "a hit")
    )
    assert not torch.allclose(plain.video, away.video)
    unguided = tiny_pipeline("a hit", guidance_scale=1, generator=0, output_type="latent").latents
    torch.testing.assert_close(itself.video, unguided.video)


def test_half_precision_keeps_codecs_in_float32(tiny_folder):
    pipe = SoundingVideoPipeline.from_pretrained(tiny_folder, dtype=torch.bfloat16)
    pipe.set_progress_bar_config(disable=True)
    assert pipe.dtype == torch.bfloat16
    assert pipe.video_codec.dtype == pipe.audio_codec.dtype == torch.float32
    assert np.isfinite(pipe("a hit", generator=0).clips[0].waveform).all()
    assert pipe.to("cpu", torch.float32).dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"video": "a.mp4", "audio": "a.wav"}, "both given"),
        ({"seconds": 3}, "1 s at most"),
        ({"seconds": -1}, "above zero"),
        ({"num_inference_steps": 0}, "whole number above zero"),
        ({"guidance_scale": -1}, "from 0 to 100"),
        ({"output_type": "gif"}, "'latent'"),
        ({"prompt": "x" * 10_000}, str(MAX_PROMPT_LENGTH)),
        ({"prompt": []}, "empty list"),
        ({"generator": [1, 2]}, "2 for 1 clips"),
        ({"num_outputs_per_prompt": 0}, "whole number above zero"),
        ({"video": "nowhere.mp4"}, "no such file"),
    ],
)
def test_unsupported_options_are_refused(tiny_pipeline, arguments, says):
    with pytest.raises(ValueError, match=says):
        tiny_pipeline(**{"prompt": "a hit", **arguments})


@pytest.mark.parametrize(
    ("waveform", "says"), [(np.zeros((1, 0)), "no samples"), (np.zeros((1, 900)), "silent"), (np.full((1, 900), np.nan), "NaN")]
)
def test_silent_or_empty_audio_is_refused(tiny_pipeline, waveform, says):
    with pytest.raises(ValueError, match=says):
        tiny_pipeline(audio=Clip(None, waveform.astype(np.float32)))


def test_an_input_clip_without_the_stream_is_refused(tiny_pipeline, clip):
    with pytest.raises(ValueError, match="lacks the video"):
        tiny_pipeline(video=Clip(None, clip.waveform))


# --- folders -----------------------------------------------------------------------------------------------------------


def test_a_saved_pipeline_is_bit_identical(tiny_pipeline, tiny_folder):
    again = SoundingVideoPipeline.from_pretrained(tiny_folder)
    again.set_progress_bar_config(disable=True)
    assert again.geometry == tiny_pipeline.geometry
    assert again.schedule == tiny_pipeline.schedule
    assert again.options == tiny_pipeline.options
    latents = [pipe("a hit", generator=1, output_type="latent").latents for pipe in (tiny_pipeline, again)]
    assert same(*latents)


def test_only_safetensors_are_written_in_the_layout_of_diffusers(tiny_folder):
    assert {p.suffix for p in tiny_folder.rglob("*") if p.is_file()} == {".json", ".safetensors"}
    index = json.loads((tiny_folder / "model_index.json").read_text())
    assert index["_class_name"] == "SoundingVideoPipeline"
    assert index["denoiser"] == ["sonovid.models.uniform.transformer", "UniForm"]


def test_saving_over_a_folder_replaces_it(tiny_pipeline, tiny_folder, tmp_path):
    place = tmp_path / "model"
    place.mkdir()
    (place / "left.bin").write_bytes(b"x")
    tiny_pipeline.save_pretrained(place)
    assert sorted(p.name for p in place.iterdir()) == sorted(p.name for p in tiny_folder.iterdir())
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def spoil_pickle(folder):
    (folder / "denoiser" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04")


def spoil_missing(folder):
    path = next((folder / "denoiser").glob("*.safetensors"))
    tensors = load_file(path)
    del tensors["modulation.weight"]
    save_file(tensors, path, {"format": "pt"})


def spoil_shape(folder):
    path = next((folder / "denoiser").glob("*.safetensors"))
    tensors = load_file(path)
    tensors["modulation.weight"] = tensors["modulation.weight"][:, :-1].contiguous()
    save_file(tensors, path, {"format": "pt"})


def spoil_nested(folder):
    path = next((folder / "audio_codec" / "vocoder").glob("*.safetensors"))
    tensors = load_file(path)
    del tensors["head.bias"]
    save_file(tensors, path, {"format": "pt"})


def spoil_truncated(folder):
    path = next((folder / "video_codec").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:500])


def spoil_weights(folder):
    next((folder / "video_codec").glob("*.safetensors")).unlink()


def spoil_library(folder):
    index = json.loads((folder / "model_index.json").read_text())
    index["denoiser"] = ["os", "system"]
    (folder / "model_index.json").write_text(json.dumps(index))


def spoil_index(folder):
    (folder / "model_index.json").write_text("{")


def spoil_component(folder):
    shutil.rmtree(folder / "text_encoder")


def spoil_schedule(folder):
    index = json.loads((folder / "model_index.json").read_text())
    index["schedule"] = [["Quadratic", {}], ["Cosine", {}]]
    (folder / "model_index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_pickle, "pickle"),
        (spoil_missing, "modulation.weight"),
        (spoil_shape, "modulation.weight"),
        (spoil_nested, "head.bias"),
        (spoil_truncated, "damaged"),
        (spoil_weights, "video_codec"),
        (spoil_library, "'os'"),
        (spoil_index, "cannot be read"),
        (spoil_component, "text_encoder is missing"),
        (spoil_schedule, "Quadratic"),
    ],
)
def test_an_incomplete_folder_is_a_one_line_error(tiny_folder, tmp_path, spoil, says):
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    spoil(folder)
    with pytest.raises(ValueError, match=says) as caught:
        SoundingVideoPipeline.from_pretrained(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_no_such_model(tmp_path):
    with pytest.raises(ValueError, match="no model_index"):
        SoundingVideoPipeline.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        SoundingVideoPipeline.from_pretrained(tmp_path / "nowhere")


def test_schedules_are_parsed_from_all_notations():
    assert parse_schedules(None) == AV(RectifiedFlow(), RectifiedFlow())
    assert parse_schedules(["Cosine", {"offset": 0.008}]) == AV(Cosine(0.008), Cosine(0.008))
    assert parse_schedules([["Cosine", {"offset": 0.0}], ["RectifiedFlow", {}]]) == AV(Cosine(), RectifiedFlow())
    assert parse_schedules(AV(Cosine(), RectifiedFlow())) == AV(Cosine(), RectifiedFlow())


def test_a_saved_folder_contains_no_local_paths(tiny_folder, tmp_path):
    SoundingVideoPipeline.from_pretrained(tiny_folder).save_pretrained(tmp_path / "again")
    settings = list((tmp_path / "again").rglob("*.json"))
    assert len(settings) > 4
    assert not [path for path in settings if str(tiny_folder) in path.read_text()]


@pytest.mark.parametrize(("name", "size", "megabytes"), [("packaged", 96, 90), ("uniform", 64, 40)])
def test_a_packaged_model_loads_and_contains_no_local_paths(name, size, megabytes):
    geometry = SoundingVideoPipeline.from_pretrained(name).geometry
    assert (geometry.seconds, geometry.width, geometry.height) == (2, size, size)
    folder = packaged.folder(name)
    assert not [path for path in folder.rglob("*.json") if "_name_or_path" in path.read_text()]
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1e6 * megabytes


def test_names_of_packaged_models():
    assert packaged.folder() == packaged.folder("packaged") == packaged.folder("shipped") != packaged.folder("uniform")
    assert loading.locate(None) == loading.locate("shipped") == packaged.folder()
    with pytest.raises(ValueError, match="does not have the packaged model 'nothing'"):
        packaged.folder("nothing")
    with pytest.raises(ValueError, match="or one of packaged, uniform"):
        loading.locate("nothing")


@pytest.fixture(scope="module")
def wordless(tiny_pipeline):
    """CMMD's way of sampling: no words, given streams noised along."""
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        network = CMMD(video=4, audio=(4, 1), width=16, head_width=8, groups=4, time_width=16)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    parts = (network, tiny_pipeline.video_codec, tiny_pipeline.audio_codec)
    pipe = SoundingVideoPipeline(
        *parts,
        geometry=tiny_pipeline.geometry,
        schedule=Cosine(0.008),
        options={"num_inference_steps": 3},
        system="cmmd",
        conditioning="replaced",
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_a_model_without_text_is_saved_loaded_and_sampled(wordless, clip, tmp_path):
    wordless.save_pretrained(tmp_path / "model")
    again = SoundingVideoPipeline.from_pretrained(tmp_path / "model")
    again.set_progress_bar_config(disable=True)
    assert (again.accepts_text, again.config.conditioning, again.text_encoder) == (False, "replaced", None)
    for given in ({}, {"video": clip}, {"audio": clip}):
        options = {"generator": 0, "seconds": 1, "output_type": "latent", **given}
        for before, after in zip(wordless(**options).latents, again(**options).latents, strict=True):
            torch.testing.assert_close(before, after, atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="not conditioned on text"):
        again("a hit")


def test_a_replaced_stream_is_noised_with_the_initial_noise(wordless, clip):
    seen, steps = [], []
    hook = wordless.denoiser.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[:2]))
    try:
        options = {"generator": 0, "seconds": 1, "output_type": "latent"}
        latents = wordless(video=clip, callback_on_step_end=lambda *told: steps.append(told) or {}, **options).latents
    finally:
        hook.remove()
    begin = seen[0][0].video
    for x, t in seen:
        assert torch.equal(t.video, t.audio)
        alpha, sigma = Cosine(0.008).coefficients(t.video)
        torch.testing.assert_close(x.video, alpha * latents.video + sigma * begin, atol=1e-4, rtol=1e-4)
    assert len(steps) == len(seen) == 3


def test_reconstruction_guidance_changes_the_generated_stream_only(wordless, clip):
    options = {"video": clip, "generator": 0, "seconds": 1, "output_type": "latent"}
    plain, led, more = (wordless(reconstruction_scale=s, **options).latents for s in (0, 1e-3, 2e-3))
    assert torch.equal(plain.video, led.video)
    assert (plain.audio - more.audio).norm() > (plain.audio - led.audio).norm() > 0
    assert same(plain, wordless(**options).latents)
    assert not any(weight.grad is not None for weight in wordless.denoiser.parameters())


def test_invalid_reconstruction_scales_are_refused(tiny_pipeline, wordless, clip):
    with pytest.raises(ValueError, match="enter this model clean"):
        tiny_pipeline(video=clip, reconstruction_scale=1)
    for scale in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="at least 0"):
            wordless(video=clip, reconstruction_scale=scale)
    with torch.inference_mode(), pytest.raises(ValueError, match="inference_mode"):
        wordless(video=clip, reconstruction_scale=1)
    with pytest.raises(ValueError, match="conditioning="):
        SoundingVideoPipeline(None, None, None, geometry=wordless.geometry, conditioning="beside")


def test_folders_from_before_joint_codecs_are_loaded_unchanged(tiny_folder, tiny_pipeline, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "old")
    index = json.loads((folder / "model_index.json").read_text())
    assert index.pop("joint_codec") == [None, None]
    assert index.pop("labels") == []
    (folder / "model_index.json").write_text(json.dumps(index))
    pipe = SoundingVideoPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    a, b = (one("a hit", generator=0, output_type="latent").latents for one in (pipe, tiny_pipeline))
    assert same(a, b)


def test_a_pipeline_has_two_codecs_or_a_joint_one(tiny_pipeline):
    denoiser, video, audio = (getattr(tiny_pipeline, name) for name in ("denoiser", "video_codec", "audio_codec"))
    joint = tiny_pipeline.codec
    for codecs in ({}, {"video_codec": video}, {"video_codec": video, "audio_codec": audio, "joint_codec": joint}):
        with pytest.raises(ValueError, match="expected video_codec and audio_codec, or joint_codec alone"):
            SoundingVideoPipeline(denoiser, geometry=tiny_pipeline.geometry, **codecs)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"label": "rain"}, "has no classes"),
        ({"label": []}, "empty list"),
        ({"guidance_against": "words"}, "modality, context, both"),
        ({"guidance_interval": (0.9, 0.1)}, "the smaller one first"),
        ({"guidance_interval": (0.5,)}, "expected two times"),
    ],
)
def test_options_of_other_models_are_refused(tiny_pipeline, arguments, says):
    with pytest.raises(ValueError, match=says):
        tiny_pipeline("a hit", **arguments)


def test_guidance_within_an_interval_of_times(tiny_pipeline, monkeypatch):
    """Four steps at times 1, .75, .5, .25: with guidance at the first two only, six evaluations of a sample instead of eight."""
    sizes = []
    forward = tiny_pipeline.denoiser.forward

    def counted(x, *rest, **more):
        sizes.append(len(x.video))
        return forward(x, *rest, **more)

    monkeypatch.setattr(tiny_pipeline.denoiser, "forward", counted)

    def latents(**more):
        sizes.clear()
        found = tiny_pipeline("a hit", generator=0, num_inference_steps=4, guidance_scale=3.0, output_type="latent", **more)
        return found.latents.video, sum(sizes)

    (whole, eight), (limited, six) = latents(), latents(guidance_interval=(0.7, 1))
    none, four = latents(guidance_interval=(0, 0))
    assert (eight, six, four) == (8, 6, 4)
    assert not torch.equal(whole, limited)
    assert not torch.equal(limited, none)
    assert torch.equal(whole, latents(guidance_interval=(0, 1))[0])
