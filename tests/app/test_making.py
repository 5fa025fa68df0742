"""A job to files: steps are watched, stops are heeded, and pipelines that tell less are served too."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sonovid.app.jobs import Live
from sonovid.app.making import Stopped, Watch, make, strip
from sonovid.app.models import card_of
from sonovid.app.request import VideoRequest


def test_a_pipeline_that_tells_neither_guidance_nor_what_it_foresees_is_served(tiny_pipeline, tmp_path):
    """As the pipelines of diffusers are: no denoiser of ours, no x0 in the callback, no guidance among the options."""

    def call(*args, callback_on_step_end, **options):
        def told(pipe, index, times, state):
            return callback_on_step_end(pipe, index, None, {"clip": state["clip"], "window": state["window"]})

        return tiny_pipeline(*args, callback_on_step_end=told, **options)

    class Foreign:
        geometry, classes, takes_words, makes = tiny_pipeline.geometry, tiny_pipeline.classes, True, tiny_pipeline.makes
        options, config = {"num_inference_steps": 3}, SimpleNamespace(system="foreign")
        __call__ = staticmethod(call)

    pipe = Foreign()
    card = card_of("foreign", pipe)
    assert (card.guidance_scale, card.continues, card.to_json()["guidance_scale"]) == (None, False, None)
    live = Live(looked=1e12)
    clips = make(pipe, card, VideoRequest(prompt="x", seed=1, model="foreign"), {}, tmp_path, Watch(live, lambda: False))
    assert (live.step, live.steps, live.strip) == (3, 3, None)
    assert clips[0]["num_frames"] == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["preview-0.png", "video-0.mp4"]


def test_a_stop_is_heeded_at_the_next_step(tiny_pipeline, tmp_path):
    card, live = card_of("tiny", tiny_pipeline), Live()
    live.stop.set()
    request = VideoRequest(prompt="x", seed=1, model="tiny", num_inference_steps=50)
    with pytest.raises(Stopped):
        make(tiny_pipeline, card, request, {}, tmp_path, Watch(live, lambda: False))
    assert live.step == 0
    with pytest.raises(Stopped):
        make(tiny_pipeline, card, request, {}, tmp_path, Watch(replace(live, stop=Live().stop), lambda: True))
    assert not list(tmp_path.iterdir())


def test_a_strip_is_a_row_of_frames():
    import io

    from PIL import Image

    frames = np.zeros((20, 16, 32, 3), np.uint8)
    picture = Image.open(io.BytesIO(strip(frames)))
    assert picture.size == (6 * 192, 96)
    assert Image.open(io.BytesIO(strip(frames[:2]))).size == (2 * 192, 96)
