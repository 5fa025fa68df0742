"""Generating the files of a job: progress, stopping, and pipelines of diffusers."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sonovid.app.generation import JobStopped, StepCallback, frame_strip, generate_clips
from sonovid.app.jobs import JobProgress
from sonovid.app.models import build_model_card
from sonovid.app.request import VideoRequest


def test_a_pipeline_that_tells_neither_guidance_nor_what_it_foresees_is_served(tiny_pipeline, tmp_path):
    """As the pipelines of diffusers are: no denoiser of ours, no x0 in the callback, no guidance among the options."""

    def call(*args, callback_on_step_end, **options):
        def told(pipe, index, times, state):
            return callback_on_step_end(pipe, index, None, {"clip": state["clip"], "window": state["window"]})

        return tiny_pipeline(*args, callback_on_step_end=told, **options)

    class Foreign:
        geometry, classes, accepts_text, generated_streams = (
            tiny_pipeline.geometry,
            tiny_pipeline.classes,
            True,
            tiny_pipeline.generated_streams,
        )
        options, config = {"num_inference_steps": 3}, SimpleNamespace(system="foreign")
        __call__ = staticmethod(call)

    pipe = Foreign()
    card = build_model_card("foreign", pipe)
    assert (card.guidance_scale, card.can_extend, card.to_json()["guidance_scale"]) == (None, False, None)
    live = JobProgress(last_viewed=1e12)
    clips = generate_clips(
        pipe, card, VideoRequest(prompt="x", seed=1, model="foreign"), {}, tmp_path, StepCallback(live, lambda: False)
    )
    assert (live.step, live.steps, live.frame_strip) == (3, 3, None)
    assert clips[0]["num_frames"] == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["preview-0.png", "video-0.mp4"]


def test_a_stop_is_heeded_at_the_next_step(tiny_pipeline, tmp_path):
    card, live = build_model_card("tiny", tiny_pipeline), JobProgress()
    live.stop.set()
    request = VideoRequest(prompt="x", seed=1, model="tiny", num_inference_steps=50)
    with pytest.raises(JobStopped):
        generate_clips(tiny_pipeline, card, request, {}, tmp_path, StepCallback(live, lambda: False))
    assert live.step == 0
    with pytest.raises(JobStopped):
        generate_clips(
            tiny_pipeline, card, request, {}, tmp_path, StepCallback(replace(live, stop=JobProgress().stop), lambda: True)
        )
    assert not list(tmp_path.iterdir())


def test_a_strip_is_a_row_of_frames():
    import io

    from PIL import Image

    frames = np.zeros((20, 16, 32, 3), np.uint8)
    picture = Image.open(io.BytesIO(frame_strip(frames)))
    assert picture.size == (6 * 192, 96)
    assert Image.open(io.BytesIO(frame_strip(frames[:2]))).size == (2 * 192, 96)
