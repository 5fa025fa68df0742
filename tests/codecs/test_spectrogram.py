import json
from fractions import Fraction

import pytest
import torch

from sonovid.codecs.audio import IdentityMel, MelAutoencoder
from sonovid.codecs.base import AudioCodec
from sonovid.codecs.mel import LogMel
from sonovid.codecs.spectrogram import SpectrogramCodec
from sonovid.codecs.vocoder import GriffinLim, SpectralVocoder
from sonovid.core.geometry import Geometry


def tiny(**options):
    autoencoder = MelAutoencoder(width=16, blocks=1, latent_channels=4)
    return SpectrogramCodec(autoencoder, SpectralVocoder(width=16, depth=1), LogMel(hop=250, floor=1e-3), **options).eval()


def test_latent_shape_matches_the_latents():
    codec = tiny()
    assert isinstance(codec, AudioCodec)
    geometry = Geometry(16, Fraction(8), 64, 64, 16000)
    latents = codec.encode(torch.randn(2, geometry.num_samples) * 0.1)
    assert tuple(latents.shape) == (2, *codec.latent_shape(geometry))
    assert codec.decode(latents, geometry.num_samples).shape == (2, geometry.num_samples)
    assert codec.decode(latents, 31000).shape == (2, 31000)
    assert codec.decode(latents, 33000).shape == (2, 33000)


def test_saved_and_loaded_it_gives_the_same_latents_and_sound(tmp_path):
    codec = tiny(latents_mean=[1.0, 0.0, 0.0, 0.0], latents_std=[2.0, 1.0, 1.0, 1.0])
    codec.save_pretrained(tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.suffix in {".bin", ".pt", ".pkl"}]
    again = SpectrogramCodec.from_pretrained(tmp_path).eval()
    assert again.log_mel == codec.log_mel
    wave = torch.randn(1, 16000) * 0.1
    final = codec.whiten(codec.encode(wave))
    assert torch.equal(final, again.whiten(again.encode(wave)))
    assert torch.equal(codec.decode(codec.unwhiten(final), 16000), again.decode(again.unwhiten(final), 16000))


def test_a_folder_cannot_name_foreign_code(tmp_path):
    tiny().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["vocoder"] = "os.system"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"vocoder is 'os.system', expected one of"):
        SpectrogramCodec.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"no config\.json"):
        SpectrogramCodec.from_pretrained(tmp_path / "vocoder" / "nowhere")


def test_mel_frames_themselves_can_be_the_latents(tmp_path):
    """CMMD's space: 80 bins, windows of 32 ms, hops of 16 ms."""
    settings = LogMel(bins=80, n_fft=512, window=512, hop=256)
    codec = SpectrogramCodec(IdentityMel(80), SpectralVocoder(bins=80, n_fft=512, hop=256, width=16, depth=1), settings)
    assert codec.latent_shape(Geometry(112, Fraction(125, 2), 64, 64, 16000)) == (1, 112, 80)
    codec.save_pretrained(tmp_path)
    wave = torch.randn(1, 256 * 112) * 0.1
    assert torch.equal(codec.encode(wave), SpectrogramCodec.from_pretrained(tmp_path).encode(wave))


def test_a_vocoder_without_weights_is_saved_too(tmp_path):
    settings = LogMel(bins=80, n_fft=512, window=512, hop=256, partial=True)
    affine = {"latents_mean": [-5.5], "latents_std": [6.0]}
    codec = SpectrogramCodec(IdentityMel(80), GriffinLim(settings, iterations=3), settings, **affine)
    codec.save_pretrained(tmp_path)
    again = SpectrogramCodec.from_pretrained(tmp_path)
    assert again.log_mel == settings
    latents = codec.encode(torch.randn(1, 4096) * 0.1)
    assert torch.equal(codec.decode(latents, 4096), again.decode(latents, 4096))
