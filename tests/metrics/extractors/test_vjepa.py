"""V-JEPA 2 on a tiny random model: rows, batches, what is refused."""

import numpy as np
import pytest

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample
from sonovid.metrics.extractors.vjepa import VJepa2


def film(frames: int, seed: int = 0) -> Sample:
    return Sample(Clip(np.random.default_rng(seed).integers(0, 256, (frames, 40, 60, 3), dtype=np.uint8), None))


@pytest.fixture(scope="module")
def jepa(tmp_path_factory, randomised):
    import transformers

    config = transformers.VJEPA2Config(
        patch_size=64, hidden_size=24, num_attention_heads=2, num_hidden_layers=1, mlp_ratio=1, num_pooler_layers=1,
        pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=1, pred_num_mask_tokens=1, pred_mlp_ratio=1,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("hub") / "vjepa2"
    randomised(transformers.VJEPA2Model(config)).save_pretrained(folder)
    extractor = VJepa2()
    extractor.load([folder])
    return extractor


def test_rows_whatever_the_batch_and_the_order(jepa):
    prepared = [jepa.prepare(film(n, seed=n)) for n in (33, 16)]
    assert prepared[0]["windows"].shape == (2, 16, 3, 256, 256)
    one, two = jepa.embed(prepared)
    assert one["features"].shape == (2, 24)
    back = jepa.embed([prepared[1], prepared[1], prepared[0]])
    assert np.allclose(back[0]["features"], two["features"], atol=1e-5)
    assert np.allclose(back[1]["features"], two["features"], atol=1e-5)
    assert np.allclose(back[2]["features"], one["features"], atol=1e-5)
    assert not np.allclose(one["features"][0], one["features"][1], atol=1e-3)


def test_another_model_is_refused(clap_folder):
    with pytest.raises(ValueError, match="contains a 'clap'; expected a 'vjepa2'"):
        VJepa2().load([clap_folder])
