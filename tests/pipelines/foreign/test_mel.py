"""The spectrogram of LTX-2 against librosa, with the settings that diffusers uses for the same audio VAE."""

import numpy as np
import pytest
import torch

from sonovid.pipelines.foreign.mel import LTX2Mel


def test_agrees_with_librosa():
    librosa = pytest.importorskip("librosa")
    sound = np.random.default_rng(0).uniform(-0.8, 0.8, (2, 16000)).astype(np.float32)
    sound[1, 8000:] = 0
    ours = LTX2Mel()(torch.from_numpy(sound))
    settings = {"n_fft": 1024, "hop_length": 160, "n_mels": 64, "power": 1.0, "fmin": 0, "fmax": 8000, "pad_mode": "reflect"}
    theirs = librosa.feature.melspectrogram(y=sound, sr=16000, **settings)
    assert ours.shape == (2, 101, 64)
    np.testing.assert_allclose(ours.transpose(1, 2).numpy(), np.log(theirs.clip(1e-5)), atol=1e-4)


@pytest.mark.parametrize("num_samples", [160, 640, 1600])
def test_short_sounds(num_samples):
    mel = LTX2Mel()(torch.zeros(1, num_samples))
    assert mel.shape == (1, num_samples // 160 + 1, 64)
    assert torch.allclose(mel, torch.tensor(1e-5).log())
