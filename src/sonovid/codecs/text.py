"""Text encoders: hashed word embeddings without weights, and released text encoders."""

import hashlib
import json
import logging
import math
import os
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sonovid.core import atomic

log = logging.getLogger(__name__)

CONFIG = "config.json"
# Letters and digits of any script. An apostrophe within a word belongs to it.
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# Characters of a word that are hashed. Real words are shorter, but prompts may hold anything.
MAX_WORD_LENGTH = 48
NEIGHBOUR_WEIGHT, POSITION_WEIGHT = 0.4, 0.2


@runtime_checkable
class TextEncoder(Protocol):
    """Encodes prompts to embeddings [b k d] and a mask [b k], which is True where a word or token stands. `width` is d.

    The mask of a prompt without words is all False. k is the length of the longest prompt of the batch, at least one.
    """

    @property
    def width(self) -> int: ...

    def __call__(self, prompts: Sequence[str]) -> tuple[Float[Tensor, "b k d"], Bool[Tensor, "b k"]]: ...


class HashedText:
    """Word embeddings from a hash: no weights, no download, and the same values on every machine.

    A word is the sum of random signs of the whole word and of its character n-grams of length three to five; both parts have
    equal weight. Inflections of a word are therefore similar (Bojanowski et al. 2017, with hashing instead of training).
    Neighbouring words are mixed in, shifted by one channel to either side, so that "red ball" and "ball ... red" differ. The
    position of the word is added as sines and cosines.

    Args:
        width: Channels, a multiple of 8.
        max_words: Words beyond this number are cut, with a warning in the log.
    """

    def __init__(self, width: int = 256, max_words: int = 32):
        if width < 8 or width % 8 or max_words < 1:
            raise ValueError(f"HashedText: {width=}, {max_words=}; expected a multiple of 8 and at least one word")
        self._width, self.max_words = width, max_words

    @property
    def width(self) -> int:
        return self._width

    def __call__(self, prompts: Sequence[str]) -> tuple[Float[Tensor, "b k d"], Bool[Tensor, "b k"]]:
        lists = [self._truncate(split_words(prompt)) for prompt in _check_prompts(prompts)]
        longest = max([1, *map(len, lists)])
        text, mask = np.zeros((len(lists), longest, self.width), np.float32), np.zeros((len(lists), longest), bool)
        for row, row_mask, words in zip(text, mask, lists, strict=True):
            if words:
                row[: len(words)] = embed_words(words, self.width)
                row_mask[: len(words)] = True
        return torch.from_numpy(text), torch.from_numpy(mask)

    def _truncate(self, words: list[str]) -> list[str]:
        if len(words) > self.max_words:
            log.warning("prompt of %d words: only the first %d are used", len(words), self.max_words)
        return words[: self.max_words]

    def to_config(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"_class_name": type(self).__name__, "width": self.width, "max_words": self.max_words}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "HashedText":
        return cls(**{name: value for name, value in config.items() if not name.startswith("_")})

    def save_pretrained(self, folder: "str | os.PathLike", **_: Any) -> None:
        """Save the settings; there are no weights."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path / CONFIG, json.dumps(self.to_config(), indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, folder: "str | os.PathLike", **_: Any) -> "HashedText":
        """Load what `save_pretrained` saved.

        Raises:
            ValueError: The folder has no config, or the config of another class.
        """
        path = Path(folder) / CONFIG
        if not path.is_file():
            raise ValueError(f"{folder}: no {CONFIG} of a text encoder there")
        config = json.loads(path.read_text())
        if config.get("_class_name") != cls.__name__:
            raise ValueError(f"{path}: settings of {config.get('_class_name')!r}, expected {cls.__name__}")
        return cls.from_config(config)


def _check_prompts(prompts: Sequence[str]) -> Sequence[str]:
    """Raise ValueError for a single string, which is a sequence of strings too."""
    if isinstance(prompts, str):
        raise ValueError(f"text encoder: got the one string {prompts[:40]!r}; expected a list of prompts")
    return prompts


def split_words(prompt: str) -> list[str]:
    """Lower-cased words in order, without punctuation."""
    return WORD.findall(unicodedata.normalize("NFKC", prompt).casefold().replace("’", "'"))


def embed_words(words: Sequence[str], width: int) -> np.ndarray:
    """Embeddings of the words of a prompt, float32 [k d], with a root mean square near one."""
    embeddings = np.stack([embed_word(word[:MAX_WORD_LENGTH], width) for word in words])
    mixed = embeddings.copy()
    # Rolling by one channel to either side distinguishes neighbours from the word itself, and left from right.
    mixed[1:] += NEIGHBOUR_WEIGHT * np.roll(embeddings[:-1], 1, axis=1)
    mixed[:-1] += NEIGHBOUR_WEIGHT * np.roll(embeddings[1:], -1, axis=1)
    return (mixed + POSITION_WEIGHT * position_encoding(len(words), width)).astype(np.float32)


@lru_cache(maxsize=1 << 14)
def embed_word(word: str, width: int) -> np.ndarray:
    """Embedding of one word, float64 [d], with a root mean square of one."""
    marked = f"<{word}>"
    pieces = [marked[i : i + n] for n in (3, 4, 5) for i in range(len(marked) - n + 1)]
    # Integers until the one division, so that the order of summation cannot change the result.
    total = math.isqrt(len(pieces)) * hash_signs("word:" + word, width)
    for piece in pieces:
        total = total + hash_signs("piece:" + piece, width)
    vector = total / math.sqrt(int((total * total).sum()) / width)
    vector.setflags(write=False)
    return vector


def hash_signs(text: str, width: int) -> np.ndarray:
    """Signs +1 and -1, int64 [d], from the BLAKE2b hash of a text."""
    blocks = [hashlib.blake2b(f"{i}:{text}".encode()).digest() for i in range(-(-width // 512))]
    return 2 * np.unpackbits(np.frombuffer(b"".join(blocks), np.uint8))[:width].astype(np.int64) - 1


@lru_cache(maxsize=8)
def position_encoding(num_words: int, width: int) -> np.ndarray:
    """Sines and cosines of the word positions, float64 [k d].

    Values are rounded, since the last bits of a sine differ between libraries.
    """
    frequency = 100.0 ** (-np.arange(width // 2) / (width // 2))
    angle = np.arange(num_words)[:, None] * frequency
    return np.round(np.concatenate([np.sin(angle), np.cos(angle)], axis=1) * 1024) / 1024


# `model_type` of a checkpoint's config, and the class of transformers that is its text encoder.
ENCODER_CLASSES = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "clip": "CLIPTextModel",
    "clip_text_model": "CLIPTextModel",
    "clap": "ClapTextModelWithProjection",
    "clap_text_model": "ClapTextModelWithProjection",
}


class PretrainedText(nn.Module):
    """A released text encoder (T5, CLIP, CLAP) of transformers, frozen. The embeddings are its last hidden states.

    Args:
        encoder: Text encoder of transformers.
        tokenizer: Its tokenizer.
        max_words: Maximum number of tokens. Longer prompts, and those too long for the encoder, are cut with a warning in the
            log.
    """

    def __init__(self, encoder: nn.Module, tokenizer: Any, max_words: int = 300):
        super().__init__()
        self.encoder, self.tokenizer = encoder.requires_grad_(False).eval(), tokenizer
        limits = [max_words, tokenizer.model_max_length]
        config: Any = encoder.config
        if (positions := getattr(config, "max_position_embeddings", None)) is not None:
            # RoBERTa, the text encoder of CLAP, counts positions from after that of the padding token.
            limits.append(positions - (config.pad_token_id + 1 if config.model_type == "clap_text_model" else 0))
        self.max_words = min(limits)

    @property
    def width(self) -> int:
        config: Any = self.encoder.config
        return config.hidden_size

    def train(self, mode: bool = True) -> "PretrainedText":
        """Keep the encoder in evaluation mode: dropout in a frozen encoder would be noise in the condition."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, prompts: Sequence[str]) -> tuple[Float[Tensor, "b k d"], Bool[Tensor, "b k"]]:
        prompts = _check_prompts(prompts)
        has_words = [bool(prompt.strip()) for prompt in prompts]
        options = {"padding": True, "return_tensors": "pt", "max_length": self.max_words}
        lengths = [len(ids) for ids in self.tokenizer(list(prompts))["input_ids"]] if prompts else []
        if lengths and max(lengths) > self.max_words:
            log.warning("prompt of %d tokens: only the first %d are used", max(lengths), self.max_words)
        tokens = self.tokenizer(list(prompts), truncation=True, **options)
        device = next(self.encoder.parameters()).device
        ids, mask = tokens["input_ids"].to(device), tokens["attention_mask"].to(device)
        if ids.shape[1] == 0:
            # A tokenizer without an end token returns nothing for prompts without words.
            return torch.zeros(len(prompts), 1, self.width, device=device), torch.zeros(len(prompts), 1, device=device) > 0
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return hidden, mask.bool() & torch.tensor(has_words, device=device)[:, None]

    def save_pretrained(self, folder: "str | os.PathLike", **options: Any) -> None:
        """Save the encoder and its tokenizer in the format of transformers."""
        encoder: Any = self.encoder
        encoder.save_pretrained(folder, **options)
        self.tokenizer.save_pretrained(folder)

    @classmethod
    def from_pretrained(
        cls,
        source: "str | os.PathLike",
        *,
        subfolder: str = "",
        tokenizer_subfolder: str | None = None,
        max_words: int = 300,
        dtype: "torch.dtype | None" = None,
        variant: str | None = None,
        **_: Any,
    ) -> "PretrainedText":
        """Load by hub id or local folder, safetensors only. The config names the encoder.

        Args:
            source: Hub id or local folder.
            subfolder: Subfolder of the encoder in a diffusers pipeline, such as "text_encoder".
            tokenizer_subfolder: Subfolder of the tokenizer, such as "tokenizer". None: `subfolder`.
            max_words: See the class.
            dtype: Type of the weights. None: float32.
            variant: Variant of the weight files, such as "fp16".

        Raises:
            ValueError: The encoder is not one of `ENCODER_CLASSES`, or weights are missing.
        """
        import transformers

        # Without a dtype, transformers takes that of the config, which is often float16 in releases.
        dtype = torch.float32 if dtype is None else dtype
        options = {"trust_remote_code": False, "variant": variant}
        config = transformers.AutoConfig.from_pretrained(source, subfolder=subfolder, trust_remote_code=False)
        if config.model_type not in ENCODER_CLASSES:
            raise ValueError(f"{source}: a {config.model_type!r}; expected one of {', '.join(ENCODER_CLASSES)}")
        encoder, loading_info = getattr(transformers, ENCODER_CLASSES[config.model_type]).from_pretrained(
            source, **options, subfolder=subfolder, dtype=dtype, use_safetensors=True, output_loading_info=True
        )
        if loading_info["missing_keys"]:
            raise ValueError(f"{source}: no weights for {sorted(loading_info['missing_keys'])[0]}; the checkpoint is not whole")
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            source, subfolder=subfolder if tokenizer_subfolder is None else tokenizer_subfolder, trust_remote_code=False
        )
        return cls(encoder, tokenizer, max_words)
