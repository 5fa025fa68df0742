"""Released classes at tiny random sizes, saved to disk as their authors save them."""

from fractions import Fraction

import diffusers
import pytest
import torch
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from sonovid.codecs.mel import LogMel
from sonovid.codecs.pretrained import MelImageAutoencoder, PretrainedVideo, load_audioldm
from sonovid.codecs.spectrogram import SpectrogramCodec
from sonovid.core.geometry import Geometry

BLOCKS = {"block_out_channels": (8, 8, 8), "norm_num_groups": 4, "layers_per_block": 1}


def kl_autoencoder(channels, latent_channels):
    down, up = ("DownEncoderBlock2D",) * 3, ("UpDecoderBlock2D",) * 3
    return diffusers.AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        latent_channels=latent_channels,
        down_block_types=down,
        up_block_types=up,
        **BLOCKS,
    )


def cogvideox():
    return diffusers.AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )


def wan():
    return diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )


def test_an_image_autoencoder_works_frame_by_frame(tmp_path):
    kl_autoencoder(3, 4).save_pretrained(tmp_path)
    codec = PretrainedVideo.from_pretrained(tmp_path)
    geometry = Geometry(3, Fraction(8), 32, 48, 16000)
    frames = torch.rand(2, 3, 3, 32, 48) * 2 - 1
    latents = codec.encode(frames)
    assert tuple(latents.shape) == (2, *codec.latent_shape(geometry)) == (2, 4, 3, 8, 12)
    torch.testing.assert_close(
        latents[:, :, 1], codec.autoencoder.encode(frames[:, :, 1]).latent_dist.mode(), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(codec.whiten(latents), latents * codec.autoencoder.config.scaling_factor)
    torch.testing.assert_close(codec.unwhiten(codec.whiten(latents)), latents)
    assert codec.decode(latents).shape == frames.shape


@pytest.mark.parametrize("make", [cogvideox, wan], ids=lambda f: f.__name__)
@pytest.mark.parametrize("num_frames", [9, 7])
def test_a_video_autoencoder_takes_any_number_of_frames(tmp_path, make, num_frames):
    make().save_pretrained(tmp_path)
    codec = PretrainedVideo.from_pretrained(tmp_path)
    geometry = Geometry(num_frames, Fraction(8), 32, 32, 16000)
    frames = torch.rand(1, 3, num_frames, 32, 32) * 2 - 1
    latents = codec.encode(frames)
    assert tuple(latents.shape[1:]) == codec.latent_shape(geometry)
    assert codec.decode(latents, num_frames).shape == frames.shape
    torch.testing.assert_close(codec.unwhiten(codec.whiten(latents)), latents, atol=1e-5, rtol=1e-4)


def test_audioldm_loads_from_its_folder_and_stays_synchronous(tmp_path):
    kl_autoencoder(1, 8).save_pretrained(tmp_path / "vae")
    config = SpeechT5HifiGanConfig(
        model_in_dim=64,
        sampling_rate=16000,
        upsample_initial_channel=64,
        upsample_rates=[5, 4, 2, 2, 2],
        upsample_kernel_sizes=[16, 16, 8, 4, 4],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        normalize_before=False,
    )
    SpeechT5HifiGan(config).save_pretrained(tmp_path / "vocoder")
    codec = load_audioldm(tmp_path)
    geometry = Geometry(68, Fraction(17), 256, 256, 16000)
    assert codec.latent_shape(geometry) == (8, 100, 16)
    wave = torch.randn(1, 16000) * 0.1
    latents = codec.encode(wave)
    assert latents.shape == (1, 8, 25, 16)
    made = codec.decode(latents, 16000)
    assert made.shape == (1, 16000)
    assert made[:, -100:].abs().sum() > 0
    codec.save_pretrained(tmp_path / "joined")
    assert torch.equal(SpectrogramCodec.from_pretrained(tmp_path / "joined").encode(wave), latents)


def test_mel_images_of_invalid_sizes_are_refused():
    with pytest.raises(ValueError, match="multiples of 4"):
        MelImageAutoencoder(kl_autoencoder(1, 8)).latent_grid(
            LogMel().num_frames(Geometry(17, Fraction(17), 8, 8, 16000)) + 1, 64
        )


def test_other_models_are_refused(tmp_path):
    diffusers.UNet2DModel(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
    ).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="'UNet2DModel' is not an autoencoder"):
        PretrainedVideo.from_pretrained(tmp_path)
