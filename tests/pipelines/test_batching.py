"""Batches: concatenation, size, and results that do not depend on the batch up to rounding."""

import dataclasses

import numpy as np
import pytest
import torch

from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.condition import Condition
from sonovid.pipelines.batching import (
    WindowJob,
    check_batch_size,
    codec_batch_size,
    concat_jobs,
    find_batch_size,
    group_jobs,
    largest_layer_bytes,
    split_on_oom,
)

ONE = torch.ones(1, dtype=torch.bool)
WORDS = ["a hit", "a red ball bounces on a floor of stone", "", "rain", "a hit"]


def job(number, words=1, guided=True):
    condition = Condition(torch.full((1, words, 2), float(number)), torch.ones(1, words, dtype=torch.bool), AV(ONE, ONE))
    null = condition.without_text() if guided else None
    return WindowJob((number,), (0,), condition, null, AV(torch.full((1, 3), float(number)), torch.zeros(1, 2)))


def test_jobs_are_concatenated_in_order_and_shorter_text_is_padded():
    batch = concat_jobs([job(0, words=3), job(1), job(2, words=2)])
    assert (batch.clips, len(batch), batch.conditioning) == ((0, 1, 2), 3, AV(None, None))
    assert batch.condition.text_mask.sum(1).tolist() == [3, 1, 2]
    assert batch.null_condition.text_mask.sum() == 0
    assert batch.noise.video[:, 0].tolist() == [0, 1, 2]


def test_guided_and_unguided_jobs_do_not_mix():
    jobs = [job(0), job(1), job(2), job(3, guided=False), job(4)]
    assert [[one.clips[0] for one in part] for part in group_jobs(jobs, 2)] == [[0, 1], [2], [3], [4]]


def test_a_batch_that_runs_out_of_memory_is_halved():
    sizes = []

    def run(items):
        sizes.append(len(items))
        if len(items) > 2:
            raise torch.OutOfMemoryError("no memory")
        return [2 * item for item in items]

    assert split_on_oom(run, list(range(7))) == [0, 2, 4, 6, 8, 10, 12]
    assert sizes == [7, 3, 1, 2, 4, 2, 2]
    with pytest.raises(torch.OutOfMemoryError):
        split_on_oom(lambda items: (_ for _ in ()).throw(torch.OutOfMemoryError("none at all")), [1, 2])


def test_the_batch_size_depends_on_free_memory(monkeypatch):
    network = torch.nn.Sequential(torch.nn.Linear(1000, 4000), torch.nn.Linear(4000, 10))
    evaluate = lambda: network(torch.zeros(1, 1000))  # noqa: E731
    assert largest_layer_bytes(network, evaluate) == 4 * 5000
    assert not any(module._forward_hooks for module in network)
    for free, wanted in ((10**12, 4), (5 * 10**5, 2), (1, 1)):
        monkeypatch.setattr("sonovid.pipelines.batching.free_memory", lambda device, free=free: free)
        assert find_batch_size(network, evaluate, torch.device("cpu")) == wanted
        assert codec_batch_size(16 * 64 * 64, 2, torch.device("cpu")) == min(2, wanted if free > 10**6 else 1)


@pytest.mark.parametrize("size", [0, -1, 1.5, "many", True, None])
def test_invalid_batch_sizes_are_refused(tiny_pipeline, size):
    with pytest.raises(ValueError, match="batch_size="):
        tiny_pipeline("a hit", batch_size=size)
    assert check_batch_size(np.int64(3)) == 3


def difference(a, b):
    return max(float((x - y).abs().max() / y.abs().max()) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("size", [2, 3, 16, "auto"])
def test_a_clip_does_not_depend_on_its_batch_up_to_rounding(tiny_pipeline, size):
    options = {"generator": 3, "output_type": "latent", "negative_prompt": ["a bang", None, None, None, "a bang"]}
    alone = tiny_pipeline(WORDS, batch_size=1, **options).latents
    assert difference(tiny_pipeline(WORDS, batch_size=size, **options).latents, alone) < 1e-5
    single = tiny_pipeline(WORDS[1], generator=4, output_type="latent").latents
    assert all(torch.equal(x[1:2], y) for x, y in zip(alone, single, strict=True))


def test_evaluations_are_shared(tiny_pipeline):
    calls = []
    hook = tiny_pipeline.denoiser.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0].video)))
    try:
        tiny_pipeline("a hit", num_outputs_per_prompt=5, generator=0, batch_size=4, output_type="latent")
    finally:
        hook.remove()
    assert calls == [8, 8, 8, 2, 2, 2]


def noisy(seconds, seed):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (round(seconds * 8), 16, 16, 3), dtype=np.uint8)
    return Clip(frames, rng.normal(0, 0.1, (1, round(seconds * 8000))).astype(np.float32), fps=8, sample_rate=8000)


@pytest.mark.parametrize("stream", ["video", "audio"])
def test_windows_of_several_long_clips_are_batched(tiny_pipeline, stream):
    given = [noisy(2.5, 0), noisy(1, 1), noisy(3.25, 2)]
    options = {"generator": 0, stream: given}
    calls = []
    hook = tiny_pipeline.denoiser.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0].video)))
    try:
        many = tiny_pipeline("a hit", batch_size=8, **options).clips
    finally:
        hook.remove()
    assert len(calls) == 3
    alone = tiny_pipeline("a hit", batch_size=1, **options).clips
    for number, (a, b) in enumerate(zip(many, alone, strict=True)):
        made = tiny_pipeline("a hit", **{stream: given[number]}, generator=number, batch_size=1).clips[0]
        assert np.array_equal(b.frames, made.frames)
        assert np.array_equal(b.waveform, made.waveform)
        assert np.abs(a.frames.astype(int) - b.frames).max() <= 1
        assert np.abs(a.waveform - b.waveform).max() < 1e-4


def test_callbacks_see_and_change_one_clip_at_a_time(tiny_pipeline):
    seen = []

    def second_to_zero(pipe, step, times, told):
        seen.append((step, told["clip"], told["window"], len(told["latents"].video)))
        return {"latents": told["latents"].map(torch.zeros_like)} if told["clip"] == 1 and step == 2 else {}

    options = {"num_outputs_per_prompt": 2, "generator": 0, "output_type": "latent", "batch_size": 2}
    changed = tiny_pipeline("a hit", callback_on_step_end=second_to_zero, **options).latents
    plain = tiny_pipeline("a hit", **options).latents
    assert seen == [(step, clip, 0, 1) for step in range(3) for clip in range(2)]
    assert all(torch.equal(a[:1], b[:1]) and not a[1].any() for a, b in zip(changed, plain, strict=True))


def test_a_shared_generator_draws_in_the_order_of_the_clips(tiny_pipeline):
    options = {"num_outputs_per_prompt": 3, "output_type": "latent"}
    by_turns = [
        tiny_pipeline("a hit", generator=torch.Generator().manual_seed(1), batch_size=size, **options).latents for size in (1, 3)
    ]
    assert difference(*by_turns) < 1e-5


def test_concatenated_jobs_keep_their_conditioning():
    first = dataclasses.replace(job(0), conditioning=AV(torch.zeros(1, 3), None))
    second = dataclasses.replace(job(1), conditioning=AV(torch.ones(1, 3), None))
    batch = concat_jobs([first, second])
    assert batch.conditioning.audio is None
    assert batch.conditioning.video[:, 0].tolist() == [0, 1]
