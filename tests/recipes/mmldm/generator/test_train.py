"""MM-LDM's generator trained from its recipe with tiny components, and sampled."""

from dataclasses import replace
from fractions import Fraction

import av
import pytest
import torch

from sonovid import media, recipes
from sonovid.cli import main
from sonovid.cli.reconstructions import reconstruct_clips
from sonovid.codecs.hierarchical import HierarchicalAutoencoder, HierarchicalNetwork
from sonovid.core.av import AV, Task
from sonovid.core.geometry import Geometry
from sonovid.data import clips
from sonovid.data.manifest import read
from sonovid.models.mmldm import MMLDM
from sonovid.models.mmldm.transformer import paper
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes.components import build_audio_image
from sonovid.recipes.latent_data import prepare_latents
from sonovid.recipes.mmldm.autoencoder.train import network_config
from sonovid.recipes.mmldm.generator.train import build_objective, keep_stream
from sonovid.training import logs

GEOMETRY = Geometry(4, Fraction(8), 32, 32, 16000)


@pytest.fixture(scope="module")
def trained(autoencoder, tmp_path_factory):
    """The folder of a training of the generator of two steps."""
    out = tmp_path_factory.mktemp("generator")
    recipes.run("mmldm.tiny", {"out": str(out), "codec.autoencoder": str(autoencoder / "model"), "steps": "2"})
    return out


@pytest.fixture(scope="module")
def pipe(trained):
    pipe = SoundingVideoPipeline.from_pretrained(trained / "model")
    pipe.set_progress_bar_config(disable=True)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        # After two steps conditioning streams and blocks have almost no effect. Noise makes the effect measurable.
        for parameter in pipe.denoiser.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return pipe


@pytest.fixture(scope="module")
def true():
    return clips.load_clip(clips.Window(read("scenes:landscape:1:seed=3")[0]), GEOMETRY)


def test_the_saved_pipeline_has_the_autoencoder_and_the_generator(trained, pipe):
    assert (pipe.accepts_text, pipe.config.conditioning, pipe.config.system) == (False, "shown", "mmldm")
    assert pipe.video_codec is pipe.audio_codec is None
    assert isinstance(pipe.codec, HierarchicalAutoencoder)
    names = {path.name for path in (trained / "samples" / "step-000002").iterdir()}
    assert {"0-true.mp4", "0-both.mp4", "0-video_to_audio.mp4", "0-audio_to_video.mp4"} <= names
    (line,) = logs.read_log(trained / "log.jsonl")
    assert {"loss/video", "loss/audio"} <= line.keys()


def test_the_pipeline_has_the_whitening_of_the_training_latents(autoencoder, trained, pipe):
    recipe = recipes.get("mmldm.tiny", {"out": str(trained), "codec.autoencoder": str(autoencoder / "model")})
    statistics = prepare_latents(recipe, pipe.codec).training.statistics
    for name, own in zip(AV._fields, pipe.codec.whitening, strict=True):
        assert list(own.mean) == pytest.approx(statistics[name]["mean"])
        assert list(own.std) == pytest.approx(statistics[name]["std"])


def test_all_tasks_are_sampled_and_conditioning_streams_are_kept(pipe, true):
    label = pipe.classes.names[0]
    both = pipe(label=label, generator=0).clips[0]
    sound = pipe(video=true, generator=0).clips[0]
    pictures = pipe(audio=true, generator=0, guidance_against="both").clips[0]
    for clip in (both, sound, pictures):
        assert clip.geometry == GEOMETRY
        assert clip.waveform.shape[1] == GEOMETRY.num_samples
    assert (both.label, sound.label) == (label, "")
    assert (sound.frames == true.frames).all()
    assert (pictures.waveform == true.waveform).all()


def test_classes_guidance_and_conditioning_streams_have_an_effect(pipe, true):
    def latents(**asked):
        return pipe(**{"generator": 0, "output_type": "latent", **asked}).latents

    first, second = latents(label=list(pipe.classes.names[:2])).map(lambda x: x.chunk(2)).video
    assert not torch.allclose(first, second)
    # Without a class there is nothing to guide by.
    assert torch.equal(latents(guidance_scale=1.0).video, latents(guidance_scale=7.0).video)
    plain, away = (latents(label=pipe.classes.names[0], guidance_scale=s).video for s in (1.0, 7.0))
    assert not torch.allclose(plain, away)
    ways = [latents(video=true, label=pipe.classes.names[0], guidance_against=a).audio for a in ("modality", "context", "both")]
    assert not any(torch.allclose(ways[i], ways[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    other = replace(true, frames=255 - true.frames)
    assert not torch.allclose(latents(video=true).audio, latents(video=other).audio)
    # The given stream comes out as its clean latents.
    raw = pipe.codec.encode(torch.from_numpy(true.frames).movedim(-1, 0)[None].float() / 127.5 - 1, None)
    torch.testing.assert_close(latents(video=true).video, pipe.codec.whiten(raw).video)


def test_the_context_is_embedded_once_for_all_steps(pipe, true):
    calls = []
    hook = pipe.denoiser.context_in.register_forward_hook(lambda *_: calls.append(1))
    try:
        pipe(video=true, label=pipe.classes.names[0], num_inference_steps=5, output_type="latent", guidance_against="both")
    finally:
        hook.remove()
    assert len(calls) == 2


def test_the_command_line_generates_clips_of_a_class(trained, pipe, tmp_path, capsys):
    label, path = pipe.classes.names[0], tmp_path / "out.mp4"
    words = ["generate", "--model", str(trained / "model"), "-o", str(path), "--steps", "1"]
    assert main([*words, "--label", label]) == 0
    assert len(media.read(path).frames) == GEOMETRY.num_frames
    with av.open(str(path)) as container:
        assert f"class: {label}" in container.metadata["comment"]
    # A model without words needs nothing to go by.
    assert main([*words, "--overwrite"]) == 0
    capsys.readouterr()
    assert main([*words, "--overwrite", "--label", label + "s"]) != 0
    assert f"did you mean '{label}'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"label": "jazz"}, "not one of this model's classes, which are .*explosion"),
        ({"prompt": "rain"}, "not conditioned on text"),
        ({"reconstruction_scale": 1.0}, "is shown the conditioning stream"),
        ({"label": ["wind"], "prompt": []}, "empty list"),
    ],
)
def test_invalid_inputs_are_rejected(pipe, asked, message):
    with pytest.raises(ValueError, match=message):
        pipe(**asked)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mmldm.tiny", {}, "codec.autoencoder is empty"),
        ("mmldm.tiny", {"codec.autoencoder": "uniform"}, "no autoencoder of MM-LDM there"),
        ("mmldm.tiny", {"codec.autoencoder": "HERE", "geometry.num_frames": "8"}, "set geometry.* alike"),
        ("mmldm.tiny", {"codec.autoencoder": "HERE", "data.cache": "CACHE"}, "is one cache, written by one codec for some clips"),
        ("mmldm.tiny.autoencoder", {"base.vocoder": "uniform", "picture.bins": "32"}, "made for a spectrogram of .*bins 64"),
    ],
)
def test_invalid_values_are_rejected(autoencoder, tmp_path, name, options, message):
    (cache, *_) = (autoencoder / "latents").glob("store-*")
    named = {"HERE": str(autoencoder / "model"), "CACHE": str(cache)}
    with pytest.raises(ValueError, match=message):
        recipes.run(name, {"out": str(tmp_path), **{key: named.get(value, value) for key, value in options.items()}})


def test_clips_without_labels_are_reported(autoencoder, true, tmp_path, caplog):
    (tmp_path / "clips").mkdir()
    for number in range(3):
        media.write(tmp_path / "clips" / f"{number}.mp4", true)
    options = {"data": str(tmp_path / "clips"), "data.held_out": "0", "steps": "1"}
    with pytest.raises(ValueError, match=r"network\.context=class: no clip has a label"):
        recipes.run("mmldm.tiny", {"out": str(tmp_path / "a"), "codec.autoencoder": str(autoencoder / "model"), **options})
    caplog.clear()
    recipes.run("mmldm.tiny.autoencoder", {"out": str(tmp_path / "b"), "losses.adversarial": "0", **options})
    assert "none of 3 clips has a label" in caplog.text
    assert HierarchicalAutoencoder.from_pretrained(tmp_path / "b" / "model").network.config.num_classes == 0


def test_reconstructions_are_of_the_first_window_of_each_clip(autoencoder, trained, true, tmp_path):
    long = replace(true, frames=true.frames.repeat(2, 0), waveform=true.waveform.repeat(2, 1))
    (tmp_path / "clips").mkdir()
    media.write(tmp_path / "clips" / "long.mkv", long)
    media.write(tmp_path / "clips" / "short.mkv", replace(true, frames=true.frames[:2], waveform=true.waveform[:, :4000]))
    for folder in (autoencoder / "model", trained / "model"):
        with reconstruct_clips(str(folder), str(tmp_path / "clips")) as (made, given):
            assert [path.name for path in made.glob("*.mkv")] == ["long.mkv"]
            first, second = (media.read(where / "long.mkv") for where in (made, given))
        assert (
            (first.frames.shape, first.waveform.shape)
            == (second.frames.shape, second.waveform.shape)
            == ((4, 32, 32, 3), (1, 8000))
        )
        assert (second.frames == long.frames[:4]).all()
        assert (first.frames != second.frames).any()


@pytest.mark.parametrize("name", ["landscape", "aist", "audioset"])
def test_the_published_recipes_have_the_paper_s_sizes(name):
    first, second = recipes.get(f"mmldm.{name}.autoencoder"), recipes.get(f"mmldm.{name}")
    assert (first.geometry, first.geometry.num_samples) == (second.geometry, {"audioset": 176400}.get(name, 70560))

    # 80 bins of 275 frames, or of 689 where a window lasts 4 s, as in the released code.
    log_mel, image = build_audio_image(first.base.picture, first.geometry)
    assert (log_mel.bins, first.geometry.num_samples // log_mel.hop) == (80, {"audioset": 689}.get(name, 275))
    assert (image.height, image.width) == (256, 256)

    class Frames:
        def latent_shape(self, geometry):
            return (4, geometry.num_frames, geometry.height // 8, geometry.width // 8)

    with torch.device("meta"):
        network = HierarchicalNetwork(**network_config(first, Frames(), 9))
        assert network.latent_sizes == AV((16, 16), (8, 8))
        rest = {name: getattr(second.network, name) for name in ("depth", "width", "heads")}
        assert rest == {key: paper("S")[key] for key in rest}
    assert 40 < sum(p.numel() for p in network.encoders.parameters()) / 1e6 < 400
    regress = build_objective(second.regression)
    assert regress.tasks == pytest.approx({Task.JOINT: 0.9, Task.VIDEO_TO_AUDIO: 0.05, Task.AUDIO_TO_VIDEO: 0.05})
    assert (second.training.learning_rate, second.sampling.guidance) == (1e-4 if name == "audioset" else 1e-5, 9.0)


def test_a_text_conditional_generator_is_trained(autoencoder, trained, tmp_path):
    shared = {"codec.autoencoder": str(autoencoder / "model"), "data.cache": str(trained / "latents"), "validation_clips": "1"}
    words = {"network.context": "text", "network.context_tokens": "8", "codec.text_width": "16", "codec.text_words": "8"}
    recipes.run("mmldm.tiny", {"out": str(tmp_path), "steps": "1", **shared, **words})
    assert "0-text_to_both.mp4" in {path.name for path in (tmp_path / "samples" / "step-000001").iterdir()}
    pipe = SoundingVideoPipeline.from_pretrained(tmp_path / "model")
    pipe.set_progress_bar_config(disable=True)
    assert pipe.accepts_text
    assert len(pipe.classes) == 0
    context, null = pipe.guidance_conditions("rain on a tin roof", None, Task.JOINT)
    with torch.no_grad():
        assert not torch.equal(pipe.denoiser.embed_context(context, 1), pipe.denoiser.embed_context(null, 1))
    assert pipe("rain on a tin roof", generator=0).clips[0].geometry == GEOMETRY
    with pytest.raises(ValueError, match=r"the context has network\.context_width=16 and context_tokens=2; set them alike"):
        recipes.run("mmldm.tiny", {"out": str(tmp_path / "b"), **shared, "network.context": "text", "codec.text_width": "16"})


@pytest.mark.parametrize("stream", ["video", "audio"])
def test_a_generator_of_one_stream_generates_only_that_stream(autoencoder, trained, true, stream, tmp_path):
    shared = {"codec.autoencoder": str(autoencoder / "model"), "data.cache": str(trained / "latents")}
    recipes.run("mmldm.tiny", {"out": str(tmp_path), "network.streams": stream, "steps": "2", **shared})
    (line,) = logs.read_log(tmp_path / "log.jsonl")
    other = "audio" if stream == "video" else "video"
    assert f"loss/{stream}" in line
    assert f"loss/{other}" not in line
    assert {path.name for path in (tmp_path / "samples" / "step-000002").iterdir()} == {"0-true.mp4", "0-both.mp4", "0.txt"}
    pipe = SoundingVideoPipeline.from_pretrained(tmp_path / "model")
    pipe.set_progress_bar_config(disable=True)
    clip = pipe(label=pipe.classes.names[0], generator=0).clips[0]
    assert (clip.frames is None, clip.waveform is None) == (stream == "audio", stream == "video")
    made = pipe(generator=0, output_type="np")
    assert (made.frames is None, made.audio is None) == (stream == "audio", stream == "video")
    with pytest.raises(ValueError, match=f"generates {stream} alone"):
        pipe(video=true)


@pytest.mark.parametrize("stream", ["video", "audio"])
def test_the_other_stream_is_emptied(stream):
    x0 = keep_stream(stream)(AV(torch.ones(2, 4, 1, 4, 4), torch.ones(2, 4, 4, 4)))
    sizes = {"video": (4, 4, 4), "audio": (4, 4, 4)}
    model = MMLDM(**{n: s if n == stream else None for n, s in sizes.items()}, width=16, depth=1, heads=2, context_width=8)
    found = model(x0, AV(torch.ones(2), torch.ones(2))).prediction
    assert found.map(lambda x: x.numel() > 0) == AV(stream == "video", stream == "audio")
