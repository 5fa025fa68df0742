"""MM-LDM's continuation network trained from its recipe, and long videos generated with it."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from sonovid import media, recipes
from sonovid.cli import main
from sonovid.codecs.hierarchical import Decoding, HierarchicalAutoencoder, HierarchicalNetwork
from sonovid.core.geometry import Geometry
from sonovid.core.labels import ClassLabels
from sonovid.data import clips
from sonovid.data.manifest import read
from sonovid.data.scenes.bounces import RESTITUTION
from sonovid.models.mmldm import Continuation
from sonovid.pipelines.continuation import ContinuationSettings, extend
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes.components import build_audio_image, load_video_codec
from sonovid.recipes.configs import CodecConfig
from sonovid.recipes.mmldm import autoencoder
from sonovid.recipes.mmldm import generator as generator_recipes
from sonovid.recipes.mmldm.autoencoder.train import network_config
from sonovid.recipes.mmldm.continuation.train import WindowPairBatches, build_pipeline, encode_two_windows
from sonovid.recipes.mmldm.generator import train as generator_train
from sonovid.training import logs
from sonovid.training.seeding import seeded_init

GEOMETRY = Geometry(4, Fraction(8), 32, 32, 16000)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    """A pipeline of MM-LDM with random weights."""
    first, second = autoencoder.tiny(), generator_recipes.tiny()
    frames = load_video_codec(CodecConfig(video="tiny"))
    classes = ClassLabels(tuple(RESTITUTION))
    with seeded_init(0):
        network = HierarchicalNetwork(**network_config(first, frames, len(classes)))
    image = build_audio_image(first.base.picture, GEOMETRY)
    codec = HierarchicalAutoencoder(network, frames, *image, GEOMETRY, decoding=Decoding(steps=2)).eval()
    pipe = generator_train.build_pipeline(
        second, generator_train.build_network(second, codec, len(classes)), codec, None, classes
    )
    folder = tmp_path_factory.mktemp("generator") / "model"
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(generator, tmp_path_factory):
    """The continuation network on pairs of windows."""
    out = tmp_path_factory.mktemp("continuation")
    values = {"out": str(out), "generator": str(generator), "data": "scenes:bounces:5:seed=0", "steps": "4"}
    recipes.run("mmldm.tiny.continuation", values)
    return out


@pytest.fixture(scope="module")
def pipe(trained):
    pipe = SoundingVideoPipeline.from_pretrained(trained / "model")
    pipe.set_progress_bar_config(disable=True)
    with torch.no_grad():
        draw = torch.Generator().manual_seed(0)
        # After few steps the previous window has almost no effect, and latents are zeros. Noise makes the effect measurable.
        for parameter in (*pipe.denoiser.parameters(), *pipe.joint_codec.network.parameters()):
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
    return pipe


def load_clip(seconds, seed=3):
    return clips.load_clip(clips.Window(read(f"scenes:bounces:1:seed={seed}")[0]), replace(GEOMETRY, num_frames=int(8 * seconds)))


def concatenate(windows):
    windows = list(windows)
    frames = np.concatenate([one.clip.frames for one in windows])
    return frames, np.concatenate([one.clip.waveform for one in windows], axis=1), windows


def test_training_starts_from_the_generator_and_writes_long_samples(trained, generator):
    pipe, first = (SoundingVideoPipeline.from_pretrained(folder) for folder in (trained / "model", generator))
    assert isinstance(pipe.denoiser, Continuation)
    assert list(pipe.classes.names) == list(first.classes.names)
    assert pipe.geometry == GEOMETRY
    before, after = first.denoiser.state_dict(), pipe.denoiser.network.state_dict()
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert max(float((before[key] - after[key]).abs().max()) for key in before) < 0.1
    assert any(float(linear.weight.abs().max()) > 0 for linear in pipe.denoiser.before.outs)
    (long,) = trained.rglob("*-long.mp4")
    assert media.probe(long).duration == Fraction(3, 2)
    found = logs.read_log(trained / "log.jsonl", "validation")
    assert all(any(stream in key for key in found[-1]) for stream in ("video", "audio"))


def test_two_windows_are_encoded_separately(generator):
    pipe = SoundingVideoPipeline.from_pretrained(generator)
    clip = load_clip(1)
    found = encode_two_windows([clip], codec=pipe.codec, geometry=GEOMETRY, device=torch.device("cpu"), precision="no")
    halves = WindowPairBatches(lambda indices: {"x0": found, "condition": None})([0])
    for index, half in ((0, "previous_window"), (1, "x0")):
        frames = torch.from_numpy(clip.frames[4 * index : 4 * index + 4].copy()).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        with torch.no_grad():
            alone = pipe.codec.encode(frames, torch.from_numpy(clip.waveform[:, 8000 * index : 8000 * index + 8000].copy()))
        for a, b in zip(halves[half], alone, strict=True):
            torch.testing.assert_close(a.float(), b, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("name", ["scenes", "tiny"])
def test_a_continuation_recipe_predicts_what_its_generator_predicts(name):
    first, third = (recipes.get(f"mmldm.{name}{last}", {}) for last in ("", ".continuation"))
    assert third.regression.predict == first.regression.predict


@pytest.mark.parametrize("hand_off", ["latents", "decoded"])
def test_three_windows_without_and_with_a_clip(pipe, hand_off):
    settings = ContinuationSettings(label=pipe.classes.names[0], hand_off=hand_off)
    frames, sound, windows = concatenate(extend(pipe, seconds=1.5, settings=settings, generator=0))
    assert (frames.shape, sound.shape) == ((12, 32, 32, 3), (1, 24000))
    assert [one.begin for one in windows] == [0, 4, 8]
    assert [one.crossfade is None for one in windows] == [True, False, False]
    assert all(one.crossfade.begin == one.crossfade.end == one.begin / 8 for one in windows[1:])
    assert all(one.crossfade.pixels.within for one in windows[1:])
    clip = load_clip(0.75)
    frames, sound, windows = concatenate(extend(pipe, clip, seconds=2, settings=settings, generator=0))
    assert (len(frames), sound.shape[1]) == (16, 32000)
    np.testing.assert_array_equal(frames[:6], clip.frames)
    np.testing.assert_array_equal(sound[:, :12000], clip.waveform)
    assert [one.latents is None for one in windows] == [True, True, False, False, False]


def test_windows_depend_on_the_previous_one(pipe):
    def after(clip, **options):
        settings = ContinuationSettings(label=pipe.classes.names[0])
        return concatenate(extend(pipe, clip, seconds=1, settings=settings, generator=0, **options))[2][-1].latents

    one, other = load_clip(0.5), load_clip(0.5, seed=8)
    base = after(one)
    again = after(one)
    assert all(torch.equal(a, b) for a, b in zip(base, again, strict=True))
    for changed in (replace(one, frames=other.frames), replace(one, waveform=other.waveform)):
        assert all(not torch.allclose(a, b) for a, b in zip(base, after(changed), strict=True))


def test_previous_latents_are_sampled_or_encoded_again(pipe):
    inner, seen = pipe.denoiser.embed_context, []

    def watched(condition, b, dropped=None, before=None):
        seen.append(before)
        return inner(condition, b, dropped, before)

    for hand_off in ("latents", "decoded"):
        seen.clear()
        pipe.denoiser.embed_context = watched
        try:
            windows = concatenate(extend(pipe, seconds=1, settings=ContinuationSettings(hand_off=hand_off), generator=0))[2]
        finally:
            del pipe.denoiser.embed_context
        same = [torch.equal(a, b) for a, b in zip(seen[-1], windows[0].latents, strict=True)]
        assert seen[0] is None
        assert all(same) == (hand_off == "latents")
    with torch.no_grad():
        frames = torch.from_numpy(windows[0].clip.frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        encoded = pipe.codec.whiten(pipe.codec.encode(frames, torch.from_numpy(windows[0].clip.waveform)))
    for a, b in zip(seen[-1], encoded, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stream", ["video", "audio"])
def test_one_stream_is_continued_beside_a_conditioning_stream(pipe, stream):
    given = load_clip(1.5)
    only = replace(given, **({"waveform": None} if stream == "video" else {"frames": None}))
    frames, sound, _ = concatenate(extend(pipe, load_clip(0.5, seed=8), seconds=1.5, **{stream: only}, generator=0))
    if stream == "video":
        np.testing.assert_array_equal(frames, given.frames)
    else:
        np.testing.assert_array_equal(sound, given.waveform)
    assert (len(frames), sound.shape[1]) == (12, 24000)


def test_a_single_window_is_generated_as_by_any_model(pipe):
    made = pipe(label=pipe.classes.names[0], generator=0).clips[0]
    assert made.frames.shape == (4, 32, 32, 3)
    first = next(iter(extend(pipe, seconds=1, settings=ContinuationSettings(label=pipe.classes.names[0]), generator=0)))
    np.testing.assert_array_equal(first.clip.frames, made.frames)
    clip = load_clip(0.5)
    assert pipe(video=replace(clip, waveform=None), generator=0).clips[0].waveform.shape == (1, 8000)


def test_continuation_from_the_command_line(trained, tmp_path, capsys):
    media.write(tmp_path / "clip.mkv", load_clip(0.5))
    words = ["--continue", str(tmp_path / "clip.mkv"), "--seconds", "1.5", "--keep", "video", "--drift", str(tmp_path / "d.json")]
    assert main(["generate", *words, "--model", str(trained / "model"), "-o", str(tmp_path / "long.mp4"), "--quiet"]) == 0
    assert media.probe(tmp_path / "long.mp4").duration == Fraction(3, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "generator is empty"),
        ({"generator": "uniform"}, "a UniForm; expected MM-LDM's generator"),
        ({"generator": "{g}", "regression.predict": "v"}, "the generator predicts eps"),
        ({"generator": "{g}", "depth": "9"}, "depth 9; expected 1 to the generator's 2"),
        ({"generator": "{g}", "before.alone": "0.9"}, "expected shares"),
    ],
)
def test_invalid_values_are_rejected(generator, tmp_path, changes, message):
    changes = {key: value.format(g=generator) for key, value in changes.items()}
    with pytest.raises(ValueError, match=message):
        recipes.run("mmldm.tiny.continuation", {"out": str(tmp_path), **changes})


def test_a_generator_without_continuation_network_is_rejected(generator):
    pipe = SoundingVideoPipeline.from_pretrained(generator)
    with pytest.raises(ValueError, match=r"does not support continuation.*mmldm.\*.continuation"):
        extend(pipe, seconds=1)
    with pytest.raises(ValueError, match="its windows share no frames"):
        extend(with_continuation_network(pipe), seconds=1, settings=ContinuationSettings(overlap=2))


def with_continuation_network(pipe):
    """The same pipeline with a continuation network."""
    return build_pipeline(pipe, Continuation.from_generator(pipe.denoiser))
