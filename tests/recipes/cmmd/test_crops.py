"""Crops of clips with a margin."""

from fractions import Fraction

import torch

from sonovid import recipes
from sonovid.core.av import AV
from sonovid.core.geometry import Geometry
from sonovid.data import clips
from sonovid.data.manifest import read
from sonovid.recipes.cmmd.crops import add_margin, find_window, remove_margin
from sonovid.recipes.cmmd.train import build_audio_codec, load_video_codec

GEOMETRY = Geometry(6, Fraction(10), 32, 32, 16000)


def test_the_window_of_a_crop_s_latents_is_the_clip_s_latents():
    """Frames one by one exactly, mel frames but for the edges of their windows: 4 frames are 25 hops."""
    recipe = recipes.get("cmmd.tiny")
    codecs = AV(load_video_codec(recipe.codecs), build_audio_codec(recipe.codecs, recipe.geometry.sample_rate))
    window = find_window(GEOMETRY, 4, codecs)
    assert (window.start, window.length) == (AV(4, 25), AV(6, 37))
    assert window.rate == AV(Fraction(10), Fraction(125, 2))
    crop = clips.load_clip(clips.Window(read("scenes:bounces:1:seed=3")[0]), add_margin(GEOMETRY, 4))
    clip = remove_margin(crop, GEOMETRY, 4)
    assert clip.geometry == GEOMETRY
    assert clip.events == tuple(t - 0.4 for t in crop.events if 0.4 <= t < 1.0)

    def encode(one):
        frames = torch.from_numpy(one.frames).permute(3, 0, 1, 2)[None] / 127.5 - 1
        with torch.no_grad():
            return AV(codecs.video.encode(frames), codecs.audio.encode(torch.from_numpy(one.waveform)))

    cut, own = window(encode(crop)), encode(clip)
    torch.testing.assert_close(cut.video, own.video, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cut.audio[:, :, 1:-1], own.audio[:, :, 1:-1], atol=1e-4, rtol=1e-4)
