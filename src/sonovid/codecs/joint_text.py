"""Text encoding with two encoders: token embeddings for video and one pooled vector for audio (SVG)."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sonovid.codecs.text import HashedText, PretrainedText
from sonovid.core import atomic

CONFIG = "config.json"
KINDS: dict[str, Any] = {"HashedText": HashedText, "PretrainedText": PretrainedText}
PARTS = ("words", "vector")


class JointText(nn.Module):
    """Encodes prompts to token embeddings [b k d] by one encoder and to one vector [b e] of unit length by another.

    Either encoder may be a `HashedText`, whose vector is the mean of its word embeddings.

    Args:
        words: Encoder of the token embeddings. With CLIP, as in Stable Diffusion, padding is attended to and no mask is passed.
        vector: Encoder of the pooled vector, such as CLAP.
        places: Number of tokens k that prompts are padded to.
    """

    def __init__(self, words: HashedText | PretrainedText, vector: HashedText | PretrainedText, places: int = 77):
        super().__init__()
        self.words, self.vector, self.places = words, vector, places

    @property
    def width(self) -> int:
        """Channels of a token embedding."""
        return self.words.width

    @torch.no_grad()
    def forward(self, prompts: Sequence[str]) -> tuple[Float[Tensor, "b k d"], Bool[Tensor, "b k"]]:
        """Encode prompts to token embeddings.

        Returns:
            Embeddings [b k d] and a mask [b k]. A row of the mask is True throughout, or False throughout where the prompt has no
            words.
        """
        if isinstance(self.words, HashedText):
            text, _ = self.words(prompts)
            text = nn.functional.pad(text[:, : self.places], (0, 0, 0, max(0, self.places - text.shape[1])))
        else:
            tokens = self._tokenize(self.words, prompts, self.places)
            text = self.words.encoder(input_ids=tokens["input_ids"]).last_hidden_state
        has_words = torch.tensor([bool(prompt.strip()) for prompt in prompts], device=text.device)
        return text, has_words[:, None].expand(-1, self.places)

    @torch.no_grad()
    def pooled(self, prompts: Sequence[str]) -> Float[Tensor, "b e"]:
        """Encode prompts to one vector of unit length each. A `HashedText` gives zeros for a prompt without words.

        Raises:
            ValueError: The encoder of a transformers model has no text projection.
        """
        if isinstance(self.vector, HashedText):
            text, mask = self.vector(prompts)
            vector = (text * mask[..., None]).sum(1)
        else:
            tokens = self._tokenize(self.vector, prompts, None)
            output = self.vector.encoder(**tokens)
            if getattr(output, "text_embeds", None) is None:
                raise ValueError(
                    "JointText: the audio text encoder returns no text_embeds; expected CLAP's with its projection "
                    "(ClapTextModelWithProjection)"
                )
            vector = output.text_embeds
        return nn.functional.normalize(vector.float(), dim=-1).to(vector.dtype)

    def null_condition(self) -> tuple[Float[Tensor, "k d"], Float[Tensor, "e"]]:
        """Embeddings [k d] and vector [e] of the empty prompt, the null condition of guidance."""
        return self([""])[0][0], self.pooled([""])[0]

    @staticmethod
    def _tokenize(encoder: PretrainedText, prompts: Sequence[str], places: int | None) -> dict[str, Tensor]:
        max_length = min(encoder.max_words, places or encoder.max_words)
        if places is not None and max_length < places:
            raise ValueError(f"JointText: {places} places, but the token encoder takes {max_length} tokens at most")
        tokens = encoder.tokenizer(
            list(prompts), truncation=True, max_length=max_length, padding="max_length" if places else True, return_tensors="pt"
        )
        device = next(encoder.encoder.parameters()).device
        return {name: tokens[name].to(device) for name in ("input_ids", "attention_mask")}

    def save_pretrained(self, folder: "str | os.PathLike", **options: Any) -> None:
        """Save both encoders in subfolders, and a config beside them."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        for name in PARTS:
            getattr(self, name).save_pretrained(path / name, **options)
        kinds = {name: type(getattr(self, name)).__name__ for name in PARTS}
        atomic.write_text(
            path / CONFIG, json.dumps({"_class_name": "JointText", "places": self.places, **kinds}, indent=2) + "\n"
        )

    @classmethod
    def from_pretrained(cls, folder: "str | os.PathLike", **options: Any) -> "JointText":
        """Load what `save_pretrained` saved.

        Raises:
            ValueError: The folder has no config of a `JointText`.
        """
        path = Path(folder) / CONFIG
        config = json.loads(path.read_text()) if path.is_file() else {}
        if config.get("_class_name") != "JointText" or any(config.get(name) not in KINDS for name in PARTS):
            raise ValueError(f"{path}: no settings of a JointText there")
        words, vector = (KINDS[config[name]].from_pretrained(path.parent / name, **options) for name in PARTS)
        return cls(words, vector, config["places"])
