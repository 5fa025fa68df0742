"""CLIP: transformers' own pipeline on frames and captions, and refusals."""

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers import CLIPConfig, CLIPTextConfig, CLIPVisionConfig

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample
from sonovid.metrics.extractors.openai_clip import ClipCaption, ClipFrames
from sonovid.metrics.semantic import clip_similarity


@pytest.fixture(scope="module")
def folder(tmp_path_factory, randomised, clap_folder):
    path = tmp_path_factory.mktemp("hub") / "clip"
    layers = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = CLIPTextConfig(**layers, vocab_size=320, max_position_embeddings=20, eos_token_id=2, pad_token_id=1, bos_token_id=0)
    vision = CLIPVisionConfig(**layers, image_size=224, patch_size=56)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=12)
    randomised(transformers.CLIPModel(config)).save_pretrained(path)
    transformers.AutoTokenizer.from_pretrained(clap_folder).save_pretrained(path)
    return path


def test_frames_and_captions_are_embedded_as_by_transformers(folder):
    frames, captions = ClipFrames(), ClipCaption()
    frames.load([folder])
    captions.load([folder])
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 14, 3), dtype=np.uint8)
    # Smooth pictures: those that the network sees.
    images = np.stack([np.asarray(Image.fromarray(one).resize((420, 270), Image.Resampling.BICUBIC)) for one in images])
    found = frames.embed([frames.prepare(Sample(Clip(images, None)))])[0]["features"]
    model = transformers.CLIPModel.from_pretrained(folder)
    front_end = transformers.CLIPImageProcessorPil() if hasattr(transformers, "CLIPImageProcessorPil") else None
    if front_end is None:
        front_end = transformers.CLIPImageProcessor()
    with torch.no_grad():
        pixels = front_end(list(images), return_tensors="pt")["pixel_values"]
        expected = torch.nn.functional.normalize(model.get_image_features(pixel_values=pixels).pooler_output, dim=-1).numpy()
    # A square more or less in the middle of 348 columns, and Pillow's fixed-point filters.
    assert np.allclose(found, expected, atol=5e-3)
    assert np.allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)
    rows = captions.embed([captions.prepare(Sample(None, text)) for text in ("a dog", "a wooden stick in the rain " * 9)])
    alone = captions.embed([captions.prepare(Sample(None, "a dog"))])[0]
    assert np.allclose(rows[0]["features"], alone["features"], atol=1e-5)
    score = clip_similarity({"features": found}, alone)
    assert score == pytest.approx(float((found @ alone["features"]).mean()), abs=1e-6)


def test_another_model_is_refused(clap_folder):
    with pytest.raises(ValueError, match="expected a 'clip'"):
        ClipFrames().load([clap_folder])
