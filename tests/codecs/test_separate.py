"""SeparateCodecs: each stream uses its own codec, and missing streams stay None."""

import torch

from sonovid.codecs.base import PairCodec
from sonovid.codecs.separate import SeparateCodecs
from sonovid.core.av import AV


def test_each_stream_goes_through_its_own_codec(tiny_pipeline):
    video, audio, geometry = tiny_pipeline.video_codec, tiny_pipeline.audio_codec, tiny_pipeline.geometry
    codec = SeparateCodecs(video, audio)
    assert isinstance(codec, PairCodec)
    assert codec.sample_rate == 8000
    assert codec.latent_shapes(geometry) == (tuple(video.latent_shape(geometry)), audio.latent_shape(geometry))
    generator = torch.Generator().manual_seed(0)
    frames, sound = torch.rand(2, 3, 8, 16, 16, generator=generator) * 2 - 1, torch.randn(2, 8000, generator=generator) * 0.1
    with torch.no_grad():
        raw = codec.encode(frames, sound)
        assert torch.equal(raw.video, video.encode(frames))
        assert torch.equal(raw.audio, audio.encode(sound))
        assert raw.map(lambda x: tuple(x.shape[1:])) == codec.latent_shapes(geometry)
        made = codec.decode(raw, 7990)
        assert torch.equal(made.video, video.decode(raw.video))
        assert made.audio.shape == (2, 7990)
        for x, y in zip(raw, codec.unwhiten(codec.whiten(raw)), strict=True):
            torch.testing.assert_close(x, y)


def test_a_missing_stream_stays_none(tiny_pipeline):
    codec = tiny_pipeline.codec
    with torch.no_grad():
        raw = codec.encode(None, torch.zeros(1, 8000))
        assert raw.video is None
        final = codec.whiten(raw)
        assert final.video is None
        assert codec.decode(codec.unwhiten(AV(None, final.audio)), 8000).video is None
