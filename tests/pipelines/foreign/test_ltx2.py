"""LTX-2: the range of input frames, and the latents of input audio."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from tiny_models import skip_without

from sonovid.pipelines.foreign import Request, diffusers_loading
from sonovid.pipelines.foreign.ltx2 import encode_audio, video_condition

FRAMES = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def inner(foreign_folder):
    import diffusers

    return diffusers.LTX2Pipeline.from_pretrained(foreign_folder("ltx2"))


def test_input_frames_have_the_right_scale(inner):
    """Bytes become [-1, 1]. As floats in [0, 1] the same frames would be taken for all but black, without an error."""
    import diffusers
    from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

    pipe = diffusers_loading.convert_pipeline(diffusers.LTX2ConditionPipeline, inner)
    how = {"height": 32, "width": 32, "num_frames": 9, "device": torch.device("cpu")}
    expected = torch.from_numpy(FRAMES).permute(3, 0, 1, 2)[None] / 127.5 - 1
    arrived = pipe.preprocess_conditions([video_condition(FRAMES)], **how)[0][0]
    torch.testing.assert_close(arrived.float(), expected, atol=1e-2, rtol=0)
    trap = pipe.preprocess_conditions([LTX2VideoCondition(frames=FRAMES / np.float32(255))], **how)[0][0]
    assert (trap.float() - expected).abs().max() > 1


def test_frames_that_are_not_bytes_are_refused():
    skip_without("ltx2")
    with pytest.raises(ValueError, match="frames of float32: expected uint8"):
        video_condition(FRAMES / np.float32(255))


@pytest.mark.parametrize("num_frames", [9, 25, 121])
def test_an_input_audio_has_latents_of_the_generated_shape(inner, num_frames):
    """The same number as diffusers draws noise for, and decoded a sound of the length of the pictures."""
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 48000 * num_frames // 24)).astype(np.float32)
    asked = ("", None, num_frames, Fraction(24), (32, 32), torch.Generator())
    with torch.no_grad():
        latents = encode_audio(inner, Request(*asked, waveform=sound, sample_rate=48000))
    assert latents.shape == (1, 2, round(num_frames / 24 * 25), 16)
    with torch.no_grad():
        stereo = encode_audio(inner, Request(*asked, waveform=np.repeat(sound, 2, axis=0), sample_rate=48000))
    assert torch.equal(latents, stereo)


def test_converted_pipelines_share_their_networks(inner):
    import diffusers

    other = diffusers_loading.convert_pipeline(diffusers.LTX2DFRPipeline, inner)
    assert isinstance(other, diffusers.LTX2DFRPipeline)
    assert other.transformer is inner.transformer
    assert diffusers_loading.convert_pipeline(diffusers.LTX2Pipeline, inner) is inner
