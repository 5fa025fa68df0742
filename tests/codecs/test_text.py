"""Text encoders: hashed words, and tiny random encoders of transformers saved to disk."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from sonovid.codecs.text import HashedText, PretrainedText, TextEncoder, embed_word, split_words


def cosine(a, b) -> float:
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


def test_words_without_punctuation_or_case():
    assert split_words('A "red" Ball, bounces… twice!') == ["a", "red", "ball", "bounces", "twice"]
    assert split_words("it's can’t") == ["it's", "can't"]
    assert split_words(" -- ... !? _") == []
    assert split_words("ein grüner Ball 3 мяч 球") == ["ein", "grüner", "ball", "3", "мяч", "球"]


def test_shapes_and_masks():
    encoder = HashedText(width=64, max_words=5)
    assert isinstance(encoder, TextEncoder)
    assert encoder.width == 64
    text, mask = encoder(["a red ball", "", "rain"])
    assert text.shape == (3, 3, 64)
    assert text.dtype == torch.float32
    assert mask.tolist() == [[True] * 3, [False] * 3, [True, False, False]]
    assert not text[~mask].any()
    text, mask = encoder(["", "?!"])
    assert text.shape == (2, 1, 64)
    assert not mask.any()
    assert encoder([])[0].shape == (0, 1, 64)


def test_a_prompt_does_not_depend_on_its_batch():
    encoder = HashedText()
    alone = encoder(["a red ball"])[0][0]
    among = encoder(["a red ball", "a stick hits a metal can three times on the floor"])[0][0]
    assert torch.equal(among[:3], alone)


def test_the_same_everywhere():
    """Pinned bits: the shipped model was trained on these very vectors."""
    text, _ = HashedText()(["A wooden stick hits a metal can twice", "naïve Ωmega 球"])
    assert hashlib.sha256(text.numpy().tobytes()).hexdigest()[:16] == "358571de8d07e139"


def test_inflections_lie_near_and_other_words_far():
    ball, balls, bouncing, bounces, metal = (embed_word(w, 256) for w in ("ball", "balls", "bouncing", "bounces", "metal"))
    assert cosine(ball, balls) > 0.25
    assert cosine(bouncing, bounces) > 0.25
    assert abs(cosine(ball, metal)) < 0.2
    assert np.isclose((ball**2).mean(), 1)


def test_neighbours_and_places_are_told():
    encoder = HashedText()
    red_ball, _ = encoder(["a red ball and a blue box"])
    blue_ball, _ = encoder(["a blue ball and a red box"])
    # The same words, bound otherwise: the ball's own vector differs, and less than another word would.
    near, far = (red_ball[0, 2] - blue_ball[0, 2]).norm(), (red_ball[0, 2] - red_ball[0, 6]).norm()
    assert 0.2 * far < near < 0.8 * far
    twice, _ = encoder(["rain rain rain rain"])
    assert not torch.allclose(twice[0, 1], twice[0, 2])


def test_long_prompts_are_cut_and_logged(caplog):
    encoder = HashedText(width=16, max_words=4)
    with caplog.at_level("WARNING", logger="sonovid"):
        text, mask = encoder(["one two three four five six"])
    assert mask.sum() == 4
    assert "6 words" in caplog.text
    assert torch.isfinite(text).all()
    assert encoder(["x" * 10_000])[1].sum() == 1


@pytest.mark.parametrize("bad", [{"width": 12}, {"width": 0}, {"max_words": 0}])
def test_settings_that_cannot_be(bad):
    with pytest.raises(ValueError, match="HashedText"):
        HashedText(**bad)


def test_one_string_is_refused():
    with pytest.raises(ValueError, match="list of prompts"):
        HashedText()("a red ball")


def test_wide_vectors_do_not_repeat():
    vector = embed_word("ball", 1024)
    assert abs(cosine(vector[:512], vector[512:])) < 0.2


def test_hashed_is_saved_and_loaded(tmp_path):
    encoder = HashedText(width=24, max_words=7)
    encoder.save_pretrained(tmp_path / "text_encoder")
    loaded = HashedText.from_pretrained(tmp_path / "text_encoder")
    assert loaded.to_config() == encoder.to_config()
    assert torch.equal(loaded(["a dog"])[0], encoder(["a dog"])[0])
    (tmp_path / "config.json").write_text('{"_class_name": "Other"}')
    with pytest.raises(ValueError, match="Other"):
        HashedText.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"no config\.json"):
        HashedText.from_pretrained(tmp_path / "nowhere")


def test_hashing_needs_no_transformers():
    code = "import sys; from sonovid.codecs.text import HashedText; HashedText()(['a']); assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


WORDS = ["<pad>", "</s>", "<unk>", "a", "red", "ball", "rain"]


def tiny(kind: str, folder, **sizes: int) -> None:
    """A random encoder and a tokenizer of seven words, saved to disk as their makers would; sizes: other than the usual."""
    import transformers
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=12
    )
    text = {"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"intermediate_size": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    text |= {name: size for name, size in sizes.items() if name != "projection_dim"}
    torch.manual_seed(0)
    if kind == "t5":
        of_t5 = {"vocab_size": len(WORDS), "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
        model = transformers.T5EncoderModel(transformers.T5Config(**of_t5, pad_token_id=0, eos_token_id=1))
    elif kind == "clip":
        model = transformers.CLIPTextModel(transformers.CLIPTextConfig(**text, max_position_embeddings=10))
    else:
        config = transformers.ClapTextConfig(**text, max_position_embeddings=9, projection_dim=sizes.get("projection_dim", 8))
        model = transformers.ClapTextModelWithProjection(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize(("kind", "limit"), [("t5", 12), ("clip", 10), ("clap", 8)])
def test_pretrained_encoders(kind, limit, tmp_path, caplog):
    tiny(kind, tmp_path / "a")
    encoder = PretrainedText.from_pretrained(tmp_path / "a")
    assert isinstance(encoder, TextEncoder)
    assert (encoder.width, encoder.max_words) == (16, limit)
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not encoder.train().training
    text, mask = encoder(["a red ball", "", "rain"])
    assert text.shape == (3, 4, 16)
    assert mask.tolist() == [[True] * 4, [False] * 4, [True, True, False, False]]
    alone, _ = encoder(["rain"])
    assert torch.allclose(alone[0], text[2, :2], atol=1e-5)
    with caplog.at_level("WARNING", logger="sonovid"):
        assert encoder(["rain " * 50])[1].sum() == limit
    assert "51 tokens" in caplog.text
    encoder.save_pretrained(tmp_path / "b")
    again = PretrainedText.from_pretrained(tmp_path / "b", max_words=3)
    assert again.max_words == 3
    assert torch.allclose(again(["rain"])[0], alone, atol=1e-5)


def test_pretrained_refuses_what_is_no_text_encoder_or_not_whole(tmp_path):
    from safetensors.torch import load_file, save_file

    tiny("t5", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(
        {name: w for name, w in weights.items() if "layer_norm" not in name}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ValueError, match="not whole"):
        PretrainedText.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ValueError, match="gpt2"):
        PretrainedText.from_pretrained(tmp_path)


def test_pretrained_refuses_pickles(tmp_path):
    tiny("t5", tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "kept")
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        PretrainedText.from_pretrained(tmp_path)
