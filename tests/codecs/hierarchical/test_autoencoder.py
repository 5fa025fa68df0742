"""HierarchicalAutoencoder: shapes, determinism, saving, and the conditions of decoding."""

import json
from dataclasses import replace
from functools import cache, partial

import diffusers
import pytest
import torch
from tiny_autoencoder import GEOMETRY, MEL, autoencoder, window

from sonovid.codecs.audio_image import AudioImage
from sonovid.codecs.base import PairCodec
from sonovid.codecs.hierarchical import Decoding, HierarchicalAutoencoder, HierarchicalNetwork, Whitening
from sonovid.codecs.hierarchical.autoencoder import SCHEDULE
from sonovid.codecs.hierarchical.network import tiny
from sonovid.codecs.pretrained import PretrainedVideo
from sonovid.codecs.vocoder import GriffinLim
from sonovid.core.av import AV


@cache
def codec():
    return autoencoder()


@cache
def encoded():
    return codec().encode(*window())


def test_it_is_a_pair_codec():
    assert isinstance(codec(), PairCodec)
    assert codec().sample_rate == 4000
    shapes = codec().latent_shapes(GEOMETRY)
    assert shapes == AV((8, 1, 4, 4), (8, 2, 2))
    assert encoded().map(lambda z: tuple(z.shape[1:])) == shapes
    made = codec().decode(encoded(), 2000)
    assert made.map(lambda x: tuple(x.shape)) == AV((2, 3, 4, 16, 16), (2, 2000))
    assert all(x.isfinite().all() for x in made)


def test_a_single_stream_is_encoded_and_decoded():
    frames, sound = window()
    assert codec().encode(frames, None).audio is None
    assert torch.equal(codec().encode(None, sound).audio, encoded().audio)
    alone = codec().decode(AV(encoded().video, None), 2000)
    assert alone.audio is None
    assert alone.video.shape == frames.shape
    assert codec().decode(AV(None, encoded().audio), 500).audio.shape == (2, 500)


def test_decoding_is_deterministic_and_independent_of_the_batch():
    both, again = (codec().decode(encoded(), 2000) for _ in range(2))
    one = codec().decode(encoded().map(lambda z: z[1:]), 2000)
    for a, b, c in zip(both, again, one, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a[1:], c)


def test_rows_of_the_audio_image_are_mel_positions_and_columns_are_steps():
    own, x = codec(), window(1).audio
    rows_first = own.network.posterior(AV(None, own.encode_signal(None, x).audio)).audio[0]
    assert torch.equal(own.encode(None, x).audio, rows_first.mT)


@torch.no_grad()
def test_the_latents_of_the_other_stream_change_the_decoded_stream():
    z, other = encoded(), encoded().map(lambda x: x.flip(0))
    before = codec().decode(z, 2000)
    crossed = codec().decode(AV(z.video, other.audio), 2000)
    assert (before.video - crossed.video).abs().max() > 1e-5


@torch.no_grad()
def test_guidance_and_steps_are_settings():
    own = autoencoder(decoding=Decoding(steps=2, video_scale=1, audio_scale=1))
    plain = own.decode(encoded(), 2000)
    own.set_decoding(video_scale=3.0)
    guided = own.decode(encoded(), 2000)
    assert not torch.allclose(plain.video, guided.video, atol=1e-4)
    assert torch.equal(plain.audio, guided.audio)
    own.set_decoding(video_scale=1, steps=3)
    assert not torch.allclose(plain.video, own.decode(encoded(), 2000).video, atol=1e-5)
    with pytest.raises(ValueError, match="steps=0"):
        Decoding(steps=0)


@torch.no_grad()
def test_guidance_doubles_the_network_evaluations():
    own, calls = autoencoder(), []
    own.network.register_forward_hook(lambda *_: calls.append(1))
    one = encoded().map(lambda z: z[:1])
    own.decode(one, 2000)
    assert len(calls) == 4
    own.set_decoding(video_scale=1, audio_scale=1)
    own.decode(one, 2000)
    assert len(calls) == 6


@torch.no_grad()
@pytest.mark.parametrize("predict", ["eps", "x0"])
def test_a_decoder_that_knows_the_clean_latents_decodes_to_them(predict):
    own = autoencoder(predict=predict, decoding=Decoding(steps=3, video_scale=1, audio_scale=1))
    seen = own.encode_signal(*window(1))
    x0 = torch.cat([seen.video[0].movedim(0, 1), seen.audio])

    def says(x, t, told):
        alpha, sigma = (c[:, None, None, None] for c in SCHEDULE.coefficients(t))
        return x0 if predict == "x0" else (x - alpha * x0) / sigma

    own.network.decoder.forward = says
    made = own.decode(encoded().map(lambda z: z[:1]), 2000)
    assert torch.allclose(made.video[0].movedim(0, 1), own.decode_signal(seen.video[0].movedim(0, 1)), atol=1e-3)
    assert torch.allclose(made.audio, own.waveform(own.decode_signal(seen.audio), 2000), atol=1e-2)


def test_whitening_does_nothing_unless_set():
    z = encoded()
    assert all(torch.equal(a, b) for a, b in zip(codec().whiten(z), z, strict=True))
    own = autoencoder()
    own.set_whitening(AV({"mean": [0.5] * 8, "std": [2.0] * 8}, {"mean": [0.0], "std": [3.0]}))
    final = own.whiten(z)
    assert torch.allclose(final.video, (z.video - 0.5) / 2)
    assert torch.allclose(own.unwhiten(final).audio, z.audio, atol=1e-6)
    assert own.whiten(AV(None, z.audio)).video is None


def test_save_and_load_round_trip(tmp_path):
    own = autoencoder()
    own.whitening = AV(Whitening((0.5,), (2.0,)), Whitening())
    own.save_pretrained(tmp_path)
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {"config.json", "diffusion_pytorch_model.safetensors"}
    back = HierarchicalAutoencoder.from_pretrained(tmp_path)
    assert (back.geometry, back.log_mel, back.picture, back.decoding) == (GEOMETRY, MEL, own.picture, own.decoding)
    assert back.whitening == own.whitening
    made, wanted = back.decode(encoded(), 2000), own.decode(encoded(), 2000)
    assert all(torch.equal(a, b) for a, b in zip(made, wanted, strict=True))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "frame_codec": "Popen"}))
    with pytest.raises(ValueError, match="frame_codec is 'Popen', expected one of FrameAutoencoder, PretrainedVideo"):
        HierarchicalAutoencoder.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"no config\.json"):
        HierarchicalAutoencoder.from_pretrained(tmp_path / "network" / "nowhere")


def test_a_released_kl_vae_works_and_passes_gradients(tmp_path):
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        kl = diffusers.AutoencoderKL(
            block_out_channels=(8, 8, 8),
            down_block_types=["DownEncoderBlock2D"] * 3,
            up_block_types=["UpDecoderBlock2D"] * 3,
            norm_num_groups=4,
        )
        network = HierarchicalNetwork(**tiny())
    own = HierarchicalAutoencoder(network, PretrainedVideo(kl), MEL, AudioImage(16, 16), GEOMETRY, decoding=Decoding(steps=1))
    assert isinstance(own.vocoder, GriffinLim)
    own.save_pretrained(tmp_path)
    back = HierarchicalAutoencoder.from_pretrained(tmp_path)
    z = back.encode(*window(1))
    assert torch.equal(z.video, own.eval().encode(*window(1)).video)
    perceived = torch.randn(2, 4, 4, 4, requires_grad=True)
    own.decode_signal(perceived).sum().backward()
    assert perceived.grad.abs().min() > 0
    assert all(p.grad is None for p in own.frame_codec.parameters())


def test_signal_latents_are_whitened_by_the_frame_codec():
    own, frames = codec(), window().video
    seen = own.encode_signal(frames, None).video
    assert torch.allclose(seen * 0.5 + 0.1, own.frame_codec.encode(frames), atol=1e-6)
    pictures = own.decode_signal(seen[:, :, 1])
    assert torch.allclose(pictures, own.frame_codec.decode(own.frame_codec.encode(frames))[:, :, 1], atol=1e-5)


def test_windows_of_other_lengths_or_sizes_are_refused():
    frames, sound = window()
    with pytest.raises(ValueError, match="a window of this autoencoder has 4 of 16x16"):
        codec().encode(frames[:, :, :3], None)
    with pytest.raises(ValueError, match="audio of 1999 samples; a window of this autoencoder has 2000: cut it"):
        codec().encode(None, sound[:, 1:])
    with pytest.raises(ValueError, match="windows of"):
        codec().latent_shapes(replace(GEOMETRY, num_frames=8))
    with pytest.raises(ValueError, match="video latents"):
        codec().decode(AV(torch.zeros(1, 8, 1, 2, 2), None), 2000)
    with pytest.raises(ValueError, match="give at least one"):
        codec().decode(AV(None, None), 2000)


def test_a_wide_audio_image_beside_square_frames(tmp_path):
    wide = autoencoder(audio_size=(4, 12), picture=AudioImage(16, 48))
    frames, sound = window()
    latents = wide.encode(frames, sound)
    assert latents.map(lambda z: tuple(z.shape)) == wide.latent_shapes(GEOMETRY).map(lambda shape: (2, *shape))
    assert tuple(latents.audio.shape) == (2, 8, 6, 2)
    decoded = wide.decode(latents, 2000)
    assert decoded.map(lambda x: tuple(x.shape)) == AV((2, 3, 4, 16, 16), (2, 2000))
    wide.save_pretrained(tmp_path)
    again = HierarchicalAutoencoder.from_pretrained(tmp_path).decode(latents, 2000)
    decoded.map(partial(torch.testing.assert_close, rtol=0, atol=1e-5), again)


def test_incompatible_components_are_refused():
    own = codec()
    with pytest.raises(
        ValueError, match=r"latents \(4, 2, 4\) of an audio image of 8x16, but the network was made for \(4, 4, 4\)"
    ):
        HierarchicalAutoencoder(own.network, own.frame_codec, MEL, AudioImage(8, 16), GEOMETRY)
    other = HierarchicalNetwork(**{**tiny(), "num_frames": 8})
    with pytest.raises(ValueError, match="the network was made for"):
        HierarchicalAutoencoder(other, own.frame_codec, MEL, AudioImage(16, 16), GEOMETRY)
