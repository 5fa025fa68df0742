"""Components loaded by the sources that recipes name."""

import json

import pytest
import torch

from sonovid.recipes.components import load_vocoder


def test_a_hifi_gan_of_transformers_is_a_vocoder(tmp_path):
    from released_layouts import audioldm, hifi_gan

    from sonovid.codecs.mel import LogMel
    from sonovid.codecs.pretrained import HifiGanVocoder

    hifi_gan(tmp_path / "theirs", bins=80, rates=(16, 16), sampling_rate=22050)
    log_mel = LogMel(22050, 80, 1024, 1024, 256)
    made = load_vocoder(tmp_path / "theirs", log_mel, "base.vocoder")
    assert isinstance(made, HifiGanVocoder)
    made.save_pretrained(tmp_path / "ours")
    mel = torch.randn(1, 80, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(load_vocoder(tmp_path / "ours", log_mel)(mel), made(mel))
    assert made(mel).shape == (1, 1024)
    # A pipeline's folder, whose vocoder lies below it.
    audioldm(tmp_path / "audioldm")
    assert load_vocoder(tmp_path / "audioldm", LogMel())(torch.zeros(1, 64, 2)).shape == (1, 320)
    message = (
        r"base\.vocoder=.*: made for a spectrogram of sample_rate 16000, bins 64, hop 160; the recipe's has sample_rate 22050"
    )
    with pytest.raises(ValueError, match=message):
        load_vocoder(tmp_path / "audioldm", log_mel, "base.vocoder")
    with pytest.raises(ValueError, match=r"base\.vocoder=.*: no vocoder there; .* or SpeechT5HifiGan"):
        load_vocoder(tmp_path, log_mel, "base.vocoder")


def test_a_mel_autoencoder_with_griffin_lim_is_an_audio_codec(tmp_path):
    from sonovid.codecs.audio import MelAutoencoder
    from sonovid.codecs.mel import LogMel
    from sonovid.codecs.vocoder import GriffinLim
    from sonovid.recipes.components import load_audio_codec
    from sonovid.recipes.configs import CodecConfig

    log_mel = LogMel(bins=128, hop=250, floor=3e-4)
    MelAutoencoder(bins=128, latent_channels=4, width=16, blocks=1, levels=1).save_pretrained(tmp_path / "mel")
    (tmp_path / "mel" / "recipe.json").write_text(
        json.dumps({"mel": {"bins": 128, "hop": 250, "floor": 3e-4}, "geometry": {"sample_rate": 16000}})
    )
    GriffinLim(log_mel, iterations=2).save_pretrained(tmp_path / "griffin-lim")
    codec = load_audio_codec(CodecConfig(audio=str(tmp_path / "mel"), vocoder=str(tmp_path / "griffin-lim")))
    assert codec.decode(codec.encode(torch.randn(1, 2000)), 2000).shape == (1, 2000)
    named = load_audio_codec(CodecConfig(audio=str(tmp_path / "mel"), vocoder="griffin-lim"))
    assert isinstance(named.vocoder, GriffinLim)
    assert named.vocoder.log_mel.bins == 128
    with pytest.raises(ValueError, match=r"or codecs\.vocoder=griffin-lim"):
        load_audio_codec(CodecConfig(audio=str(tmp_path / "mel")))


def test_the_packaged_vocoder_goes_with_its_own_spectrogram_alone():
    from sonovid.codecs.mel import LogMel
    from sonovid.codecs.spectrogram import SpectrogramCodec
    from sonovid.pipelines import packaged

    log_mel = SpectrogramCodec.from_pretrained(packaged.folder("uniform") / "audio_codec").log_mel
    for name in ("uniform", "shipped"):  # The latter is its former name.
        assert load_vocoder(name, log_mel)(torch.zeros(1, log_mel.bins, 4)).shape == (1, 4 * log_mel.hop)
    with pytest.raises(ValueError, match=r"codecs\.vocoder=uniform: made for a spectrogram of .*bins 64.* has .*bins 80"):
        load_vocoder("uniform", LogMel(22050, 80, 1024, 1024, 256))
