"""Components loaded by the sources that recipes name."""

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
