"""Captions by tiny random models of both kinds: one that is asked and shown several frames, one that names a picture."""

import numpy as np
import pytest
import torch

from sonovid.curation.captioning import Captioner

WORDS = ["<pad>", "</s>", "<unk>", "<image>", "a", "red", "ball", "falls", "what", "is", "it", "rain"]
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)


def tokenizer():
    import transformers
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<unk>"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, model_max_length=200, extra_special_tokens={"image_token": "<image>"}, **special
    )


def asked(folder):
    """A LLaVA of four patches a picture, with a template for talking."""
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**sizes, image_size=8, patch_size=4),
        text_config=transformers.LlamaConfig(**sizes, vocab_size=len(WORDS), pad_token_id=0, eos_token_id=1),
        image_token_index=3,
    )
    torch.manual_seed(0)
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    pictures = transformers.CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    transformers.LlavaProcessor(
        image_processor=pictures,
        tokenizer=tokenizer(),
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


def named(folder):
    """A BLIP, which takes one picture and no question."""
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BlipConfig(
        text_config={**sizes, "vocab_size": len(WORDS), "encoder_hidden_size": 16, "pad_token_id": 0, "bos_token_id": 2}
        | {"eos_token_id": 1, "sep_token_id": 1},
        vision_config={**sizes, "image_size": 8, "patch_size": 4},
    )
    torch.manual_seed(0)
    transformers.BlipForConditionalGeneration(config).save_pretrained(folder)
    pictures = transformers.BlipImageProcessor(size={"height": 8, "width": 8})
    transformers.BlipProcessor(pictures, tokenizer()).save_pretrained(folder)
    return folder


def frames(seed=0, count=3):
    return np.random.default_rng(seed).integers(0, 255, (count, 12, 16, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_a_model_that_talks_sees_every_frame_and_its_answer_is_without_the_question(tmp_path):
    captioner = Captioner.from_pretrained(asked(tmp_path), prompt="what is it", tokens=5)
    assert captioner.is_chat_model
    shown = []
    captioner.model.model.vision_tower.register_forward_hook(
        lambda module, inputs, kwargs, out: shown.append(out), with_kwargs=True
    )
    caption = captioner(frames())
    assert shown[0].last_hidden_state.shape[:2] == (3, 5)
    assert set(caption.split()) <= set(WORDS)
    assert len(caption.split()) <= 5
    assert captioner(frames()) == caption


def test_a_model_that_names_is_shown_the_middle_frame(tmp_path):
    captioner = Captioner.from_pretrained(named(tmp_path), tokens=6)
    assert not captioner.is_chat_model
    seen = []
    captioner.model.vision_model.register_forward_pre_hook(
        lambda m, args, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True
    )
    many = frames(count=5)
    captioner(many)
    captioner(many[2:3])
    assert torch.equal(seen[0], seen[1])


def test_what_is_no_such_model_is_said_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="cannot load an image-text model"):
        Captioner.from_pretrained(tmp_path / "none")
    with pytest.raises(ValueError, match="tokens=0"):
        Captioner(torch.nn.Linear(1, 1), None, tokens=0)
    from safetensors.torch import load_file, save_file

    path = asked(tmp_path) / "model.safetensors"
    weights = load_file(path)
    weights.pop(next(name for name in weights if "mlp" in name and "language" in name))
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(ValueError, match="incomplete"):
        Captioner.from_pretrained(tmp_path)
