"""Token embeddings and pooled vectors with tiny random CLIP and CLAP encoders and with hashing."""

import pytest
import torch
from test_text import tiny

from sonovid.codecs.joint_text import JointText
from sonovid.codecs.text import HashedText, PretrainedText


def released(folder) -> JointText:
    tiny("clip", folder / "clip")
    tiny("clap", folder / "clap")
    return JointText(*(PretrainedText.from_pretrained(folder / name) for name in ("clip", "clap")), places=10)


@pytest.mark.parametrize("kind", ["released", "hashed"])
def test_tokens_are_padded_and_vectors_have_unit_length(kind, tmp_path):
    encoder = released(tmp_path) if kind == "released" else JointText(HashedText(16), HashedText(8), places=10)
    prompts = ["a red ball", "", "rain"]
    text, mask = encoder(prompts)
    vector = encoder.pooled(prompts)
    assert text.shape == (3, 10, encoder.width) == (3, 10, 16)
    assert mask.tolist() == [[True] * 10, [False] * 10, [True] * 10]
    assert vector.shape == (3, 8)
    torch.testing.assert_close(vector.norm(dim=1)[[0, 2]], torch.ones(2))
    alone = encoder(["rain"])[0], encoder.pooled(["rain"])
    torch.testing.assert_close(alone[0][0], text[2])
    torch.testing.assert_close(alone[1][0], vector[2])
    null = encoder.null_condition()
    torch.testing.assert_close(null[0], text[1])
    torch.testing.assert_close(null[1], vector[1])


@pytest.mark.parametrize("kind", ["released", "hashed"])
def test_save_and_load_round_trip(kind, tmp_path):
    encoder = released(tmp_path) if kind == "released" else JointText(HashedText(16), HashedText(8), places=4)
    encoder.save_pretrained(tmp_path / "joint")
    loaded = JointText.from_pretrained(tmp_path / "joint")
    for name in ("forward", "pooled"):
        one, other = (getattr(e, name)(["red rain"]) for e in (encoder, loaded))
        assert torch.equal(one[0], other[0])


def test_clip_sees_no_mask_as_in_stable_diffusion(tmp_path):
    encoder = released(tmp_path)
    ids = encoder.words.tokenizer(["rain"], padding="max_length", max_length=10, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert torch.equal(encoder(["rain"])[0], encoder.words.encoder(input_ids=ids).last_hidden_state)


def test_invalid_encoders_are_refused(tmp_path):
    encoder = released(tmp_path)
    with pytest.raises(ValueError, match="77 places, but the token encoder takes 10"):
        JointText(encoder.words, encoder.vector)(["rain"])
    with pytest.raises(ValueError, match="expected CLAP's"):
        JointText(encoder.words, encoder.words, 10).pooled(["rain"])
    with pytest.raises(ValueError, match="no settings of a JointText"):
        JointText.from_pretrained(tmp_path)
