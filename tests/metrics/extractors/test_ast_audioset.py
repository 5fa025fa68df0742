"""AST on a tiny random model: its front end against transformers' own, batches, lengths, refusals."""

import numpy as np
import pytest
import torch

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors.ast_audioset import SAMPLE_RATE, AstAudioSet


def sound(seconds: float, seed: int = 0) -> Sample:
    noise = np.random.default_rng(seed).normal(0, 0.2, (1, round(seconds * SAMPLE_RATE))).astype(np.float32)
    return Sample(Clip(None, noise, sample_rate=SAMPLE_RATE))


def saved(folder, randomised, labels: int):
    import transformers

    config = transformers.ASTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, frequency_stride=16, time_stride=16,
        num_labels=labels,
    )  # fmt: skip
    randomised(transformers.ASTForAudioClassification(config)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tagger(tmp_path_factory, randomised):
    extractor = AstAudioSet()
    extractor.load([saved(tmp_path_factory.mktemp("hub") / "ast", randomised, 527)])
    return extractor


@pytest.mark.parametrize("seconds", [0.03, 2.0, 11.0])
def test_it_is_the_published_pipeline(tagger, seconds):
    import transformers

    sample = sound(seconds)
    front_end = transformers.ASTFeatureExtractor()
    with torch.no_grad():
        inputs = front_end(sample.clip.waveform[0], sampling_rate=SAMPLE_RATE, return_tensors="pt")
        expected = tagger.model(**inputs).logits[0].numpy()
    (arrays,) = tagger.embed([tagger.prepare(sample)])
    assert arrays["features"].shape == (16,)
    assert np.allclose(arrays["logits"], expected, atol=2e-4)


def test_the_same_whatever_the_batch(tagger):
    prepared = [tagger.prepare(sound(s, i)) for i, s in enumerate((1.0, 4.0, 0.2))]
    for one, p in zip(tagger.embed([*prepared, prepared[0]]), [*prepared, prepared[0]], strict=True):
        alone = tagger.embed([p])[0]
        assert np.allclose(one["logits"], alone["logits"], atol=1e-5)
        assert np.allclose(one["features"], alone["features"], atol=1e-5)


def test_what_does_not_fit(tagger, tmp_path, randomised):
    with pytest.raises(UnusableClipError, match="399 samples"):
        tagger.prepare(sound(399 / SAMPLE_RATE))
    with pytest.raises(ValueError, match="2 classes"):
        AstAudioSet().load([saved(tmp_path / "two", randomised, 2)])
