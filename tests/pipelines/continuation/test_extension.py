"""Long videos from a small UniForm with random weights."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.pipelines.continuation import ContinuationSettings, extend
from sonovid.pipelines.continuation.extension import HAND_OFFS


def clip(seconds, fps=Fraction(12), size=(24, 40), rate=12000, audio=True):
    """Smooth moving pictures and a tone, at a rate and size that are not the model's."""
    t = int(seconds * fps)
    base = np.linspace(40, 200, size[1])[None, None, :, None] + 30 * np.sin(np.arange(t))[:, None, None, None]
    frames = np.broadcast_to(base, (t, *size, 3)).astype(np.uint8)
    time = np.arange(int(seconds * rate)) / rate
    sound = (0.2 * np.sin(2 * np.pi * 300 * time))[None].astype(np.float32) if audio else None
    return Clip(frames, sound, fps=fps, sample_rate=rate)


def whole(windows):
    """All windows put one after another, and the windows."""
    windows = list(windows)
    frames = np.concatenate([one.clip.frames for one in windows])
    return Clip(frames, np.concatenate([one.clip.waveform for one in windows], axis=1), Fraction(8), 8000), windows


@pytest.mark.parametrize("hand_off", HAND_OFFS)
@pytest.mark.parametrize("overlap", [2, 4, 6])
def test_a_prompt_gives_a_video_of_the_requested_length(tiny_pipeline, hand_off, overlap):
    settings = ContinuationSettings(prompt="a hit", hand_off=hand_off, overlap=overlap, num_inference_steps=2)
    chunks = extend(tiny_pipeline, seconds=2.6, settings=settings, generator=3)
    made, windows = whole(chunks)
    assert made.frames.shape == (21, 16, 16, 3)
    assert made.waveform.shape == (1, 21000)
    assert [one.begin for one in windows] == [i * (8 - overlap) for i in range(len(windows))]
    assert chunks.num_windows == len(windows) == -(-(21 - overlap) // (8 - overlap))
    assert windows[0].crossfade is None
    assert all(one.crossfade is not None and one.clip.frames.shape[1:] == (16, 16, 3) for one in windows[1:])
    joins = [one.crossfade for one in windows[1:]]
    assert [join.begin for join in joins] == [one.begin / 8 for one in windows[1:]]
    assert all(join.end - join.begin == overlap / 8 for join in joins)


def test_the_first_window_equals_a_single_generation(tiny_pipeline):
    alone = tiny_pipeline("a hit", generator=3).clips[0]
    chunks = extend(tiny_pipeline, seconds=2, settings=ContinuationSettings(prompt="a hit"), generator=3)
    first = next(iter(chunks))
    np.testing.assert_array_equal(first.clip.frames, alone.frames[:4])
    np.testing.assert_array_equal(first.clip.waveform, alone.waveform[:, :4000])


def test_shared_latents_are_carried_over_unchanged(tiny_pipeline):
    for pull in (None, 0.5):
        settings = ContinuationSettings(prompt="a hit", overlap=4, reconstruction_scale=pull, num_inference_steps=2)
        _, windows = whole(extend(tiny_pipeline, seconds=2, settings=settings, generator=3))
        for before, after in pairwise(windows):
            assert torch.equal(before.latents.video[:, :, -4:], after.latents.video[:, :, :4])
            assert torch.equal(before.latents.audio[:, :, -8:], after.latents.audio[:, :, :8])
            assert not torch.equal(before.latents.video[:, :, :4], after.latents.video[:, :, 4:])
    # The past is heeded: another first window, another second one, from the same noise.
    settings = ContinuationSettings(prompt="a hit", overlap=4, num_inference_steps=2)
    other = whole(extend(tiny_pipeline, clip(1.0), seconds=2, settings=settings, generator=3))[1]
    assert not torch.equal(windows[0].latents.video, other[1].latents.video)


def test_extending_a_clip_keeps_its_beginning(tiny_pipeline, tmp_path):
    given = clip(1.5)
    media.write(tmp_path / "given.mkv", given)
    alike = []
    for source in (given, tmp_path / "given.mkv"):
        chunks = extend(
            tiny_pipeline, source, seconds=3, settings=ContinuationSettings(overlap=2, num_inference_steps=2), generator=0
        )
        made, windows = whole(chunks)
        assert (made.frames.shape[0], made.waveform.shape[1]) == (24, 24000)
        assert [one.latents is None for one in windows] == [True, True, False, False]
        assert chunks.num_windows == 2
        own = media.read(tmp_path / "given.mkv", fps=8, size=(16, 16))
        np.testing.assert_array_equal(made.frames[:10], own.frames[:10])
        heard = media.read(tmp_path / "given.mkv", sample_rate=8000).waveform
        np.testing.assert_allclose(made.waveform[:, :9900], heard[:, :9900], atol=2e-3)
        alike.append(made)
    np.testing.assert_array_equal(alike[0].frames, alike[1].frames)


def test_the_clip_conditions_the_first_window(tiny_pipeline):
    settings = ContinuationSettings(overlap=4, num_inference_steps=2)
    (_, window) = whole(
        extend(tiny_pipeline, clip(1.0, Fraction(8), (16, 16), 8000), seconds=1.5, settings=settings, generator=0)
    )[1]
    x = torch.from_numpy(clip(1.0, Fraction(8), (16, 16), 8000).frames.copy()).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    latents = tiny_pipeline.video_codec.whiten(tiny_pipeline.video_codec.encode(x))
    torch.testing.assert_close(window.latents.video[:, :, :4], latents[:, :, -4:])


@pytest.mark.parametrize("stream", ["video", "audio"])
def test_one_stream_is_extended_with_the_other_as_conditioning(tiny_pipeline, stream):
    given = clip(3.0, Fraction(8), (16, 16), 8000)
    only = replace(given, **({"waveform": None} if stream == "video" else {"frames": None}))
    short = clip(1.0, Fraction(8), (16, 16), 8000)
    settings = ContinuationSettings(overlap=4, num_inference_steps=2)
    made, windows = whole(extend(tiny_pipeline, short, seconds=3, **{stream: only}, settings=settings, generator=0))
    if stream == "video":
        np.testing.assert_array_equal(made.frames, given.frames)
        np.testing.assert_allclose(made.waveform[:, :3900], short.waveform[:, :3900], atol=1e-6)
        assert np.abs(made.waveform[:, 8000:] - given.waveform[:, 8000:]).max() > 0.01
    else:
        np.testing.assert_allclose(made.waveform, given.waveform, atol=1e-6)
        np.testing.assert_array_equal(made.frames[:4], short.frames[:4])
        assert (made.frames[8:] != given.frames[8:]).any()
    sampled = [one for one in windows if one.latents is not None]
    name = "audio" if stream == "video" else "video"
    shared = 8 if name == "audio" else 4
    before, after = (getattr(one.latents, name) for one in sampled[:2])
    assert torch.equal(before[:, :, -shared:], after[:, :, :shared])


@pytest.mark.parametrize(("keep", "lacking"), [("video", False), ("audio", False), ("both", True)])
def test_missing_or_dropped_streams_of_the_clip_are_generated_first(tiny_pipeline, keep, lacking):
    given = clip(1.5, Fraction(8), (16, 16), 8000, audio=not lacking)
    made, _ = whole(
        extend(tiny_pipeline, given, seconds=2.5, keep=keep, settings=ContinuationSettings(num_inference_steps=2), generator=0)
    )
    assert (made.frames.shape[0], made.waveform.shape[1]) == (20, 20000)
    if keep == "audio":
        np.testing.assert_allclose(made.waveform[:, :7900], given.waveform[:, :7900], atol=1e-6)
        assert (made.frames[:8] != given.frames[:8]).any()
    else:
        np.testing.assert_array_equal(made.frames[:8], given.frames[:8])
        made_for_it = tiny_pipeline(video=replace(given, waveform=None), generator=0, num_inference_steps=2).clips[0]
        np.testing.assert_allclose(made.waveform[:, :7900], made_for_it.waveform[:, :7900], atol=1e-6)


def test_a_seed_gives_the_same_video_and_another_gives_another(tiny_pipeline):
    settings = ContinuationSettings(prompt="a hit", num_inference_steps=2)
    one, again, other = (
        whole(extend(tiny_pipeline, seconds=1.5, settings=settings, generator=generator))[0]
        for generator in (7, torch.Generator().manual_seed(7), 8)
    )
    np.testing.assert_array_equal(one.frames, again.frames)
    np.testing.assert_array_equal(one.waveform, again.waveform)
    assert (one.frames != other.frames).any()


def test_at_most_two_windows_of_the_past_are_kept(tiny_pipeline):
    chunks, kept = extend(tiny_pipeline, seconds=6, settings=ContinuationSettings(num_inference_steps=1), generator=0), []
    inner = chunks._join

    def watched(past, now, at):
        kept.append((len(past.frames), len(past.waveform)))
        return inner(past, now, at)

    chunks._join = watched
    assert len(list(chunks)) == 11
    assert max(kept) == (16, 16000)


def test_the_guidance_interval_is_that_of_the_settings(tiny_pipeline):
    """Windows of the same noise differ by guidance alone; without any time with guidance they are those of scale 1."""

    def frames(**more):
        settings = ContinuationSettings(prompt="a hit", num_inference_steps=2, **more)
        return whole(extend(tiny_pipeline, seconds=1.5, settings=settings, generator=3))[0].frames

    guided, none = frames(guidance_scale=3.0), frames(guidance_scale=1.0)
    assert not np.array_equal(guided, none)
    assert np.array_equal(frames(guidance_scale=3.0, guidance_interval=(0, 0)), none)
    assert np.array_equal(frames(guidance_scale=3.0, guidance_interval=(0, 1)), guided)


def test_after_step_is_called_for_each_step(tiny_pipeline):
    steps = []
    chunks = extend(
        tiny_pipeline,
        seconds=2,
        settings=ContinuationSettings(num_inference_steps=3),
        generator=0,
        after_step=lambda: steps.append(1),
    )
    list(chunks)
    assert len(steps) == chunks.num_windows * chunks.num_steps == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": clip(0.7), "seconds": 3}, r"a clip of 0.625 s: .*needs a window, 1 s, or more"),
        ({"clip": clip(1.5), "seconds": 1.5}, r"seconds=1.5: the clip lasts 1.5 s already"),
        ({"seconds": 0}, "above zero"),
        ({"seconds": 3, "keep": "video"}, "applies only to an input clip"),
        ({"seconds": 3, "keep": "sound"}, "'both', 'video', 'audio'"),
        ({"seconds": 3, "video": clip(1), "audio": clip(1)}, "both given"),
        (
            {"clip": clip(1), "seconds": 3, "video": clip(2)},
            r"video: it lasts 2 s at 8 frames per second, less than the 3 s requested",
        ),
        ({"clip": clip(1), "seconds": 3, "audio": replace(clip(3), waveform=None)}, "lacks the video or the audio"),
        ({"seconds": 3, "settings": ContinuationSettings(hand_off="pixels")}, "hand_off='pixels'"),
        ({"seconds": 3, "settings": ContinuationSettings(overlap=3)}, "overlap=3: expected a multiple of 2 frames, from 2 to 6"),
        ({"seconds": 3, "settings": ContinuationSettings(overlap=8)}, "overlap=8"),
        ({"seconds": 3, "settings": ContinuationSettings(reconstruction_scale=-1)}, "reconstruction_scale=-1"),
        ({"seconds": 3, "settings": ContinuationSettings(label="dog")}, "has no classes"),
    ],
)
def test_invalid_arguments_are_refused_before_sampling(tiny_pipeline, options, message):
    with pytest.raises(ValueError, match=message):
        extend(tiny_pipeline, **options, generator=0)


def test_a_model_without_continuation_is_refused(tiny_pipeline):
    from sonovid.models.mmldm import MMLDM
    from sonovid.models.mmldm.transformer import tiny
    from sonovid.pipelines.continuation.conditioning import select_strategy

    with pytest.raises(
        ValueError, match=r"\(MMLDM\) generates single windows and does not support continuation.*mmldm.\*.continuation"
    ):
        select_strategy(MMLDM(**tiny()), tiny_pipeline.geometry)
    with pytest.raises(ValueError, match=r"\(Linear\) generates single windows"):
        select_strategy(torch.nn.Linear(1, 1), tiny_pipeline.geometry)


def test_deprecated_names_work_with_a_warning(tiny_pipeline):
    from sonovid.pipelines import continuation

    with pytest.warns(DeprecationWarning, match="ContinuationSettings"):
        settings = continuation.Manner(pull=None, num_inference_steps=1)
    assert settings == ContinuationSettings(reconstruction_scale=None, num_inference_steps=1)
    with pytest.warns(DeprecationWarning, match="extend"):
        chunk = next(iter(continuation.go_on(tiny_pipeline, seconds=1, manner=settings, generator=0)))
    with pytest.warns(DeprecationWarning, match="crossfade"):
        assert chunk.join is None
    with pytest.warns(DeprecationWarning, match="accepts_text"):
        assert tiny_pipeline.takes_words
    with pytest.warns(DeprecationWarning, match="DriftReport"):
        assert continuation.Drift is continuation.DriftReport
