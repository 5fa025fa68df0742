"""Tiny networks of the published classes with random weights, saved as their publishers save them."""

import os

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"


def _randomised(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Every parameter drawn anew, so that no part of a network starts silent; statistics of batch norms too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator)
                # Scales of norms about one: nearly nought they would silence all that lies behind.
                scale = tensor.ndim == 1 and name.endswith("weight")
                tensor.copy_(noise.abs() + 0.5 if name.endswith("running_var") else scale + 0.2 * noise)
    return model


@pytest.fixture(scope="session")
def randomised():
    """A network to the same network with random weights throughout."""
    return _randomised


def tokenizer(folder) -> None:
    """A byte-level tokenizer of RoBERTa's kind, trained on a few words."""
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        ["a dog barks in the rain", "a wooden stick"], vocab_size=300, special_tokens=["<s>", "<pad>", "</s>"]
    )
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>"}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, model_max_length=512, **names)
    fast.save_pretrained(folder)


@pytest.fixture(scope="session")
def clap_folder(tmp_path_factory):
    """A ClapModel with its tokenizer and its front end, in a folder."""
    import transformers
    from transformers import ClapAudioConfig, ClapConfig, ClapTextConfig

    text = ClapTextConfig(
        vocab_size=320, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=66, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    audio = ClapAudioConfig(
        patch_embeds_hidden_size=8, depths=[1, 1], num_attention_heads=[2, 2], hidden_size=16, num_mel_bins=16, spec_size=64
    )
    config = ClapConfig(text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=12)
    folder = tmp_path_factory.mktemp("hub") / "clap"
    _randomised(transformers.ClapModel(config)).save_pretrained(folder)
    transformers.ClapFeatureExtractor(16, hop_length=1920, frequency_min=50, truncation="rand_trunc").save_pretrained(folder)
    tokenizer(folder)
    return folder
