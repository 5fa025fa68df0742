import pytest
import torch

from sonovid.codecs import composite
from sonovid.codecs.audio import MelAutoencoder
from sonovid.codecs.spectrogram import PARTS, SpectrogramCodec
from sonovid.codecs.vocoder import SpectralVocoder


@pytest.fixture
def folder(tmp_path):
    SpectrogramCodec(MelAutoencoder(width=16, blocks=1), SpectralVocoder(width=16, depth=1)).save_pretrained(tmp_path)
    return tmp_path


def test_settings_and_components_round_trip(folder):
    config = composite.read_config(folder, "an audio codec")
    assert config["_class_name"] == "SpectrogramCodec"
    part = composite.load_part(folder, config, "vocoder", PARTS)
    saved = SpectralVocoder.from_pretrained(folder / "vocoder").state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in part.state_dict().items())


def test_foreign_classes_pickles_and_missing_settings_are_refused(folder):
    config = composite.read_config(folder, "an audio codec")
    with pytest.raises(ValueError, match=r"vocoder is 'os\.system'"):
        composite.load_part(folder, {**config, "vocoder": "os.system"}, "vocoder", PARTS)
    weights = next((folder / "vocoder").glob("*.safetensors"))
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(OSError, match="safetensors"):
        composite.load_part(folder, config, "vocoder", PARTS)
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"no config\.json of an audio codec"):
        composite.read_config(folder, "an audio codec")
