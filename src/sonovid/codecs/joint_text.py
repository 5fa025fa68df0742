"""Prompts for a model of two text encoders: words for the pictures, and one vector for the sound (SVG)."""

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
    """Words [b k d] by one encoder, all `places` of them filled, and one vector [b e] of unit length by another.

    words: CLIP, as Stable Diffusion takes it: padding is attended to, and the encoder sees no mask. vector: CLAP. Either may be a
    HashedText, whose vector is the mean of its words.
    """

    def __init__(self, words: HashedText | PretrainedText, vector: HashedText | PretrainedText, places: int = 77):
        super().__init__()
        self.words, self.vector, self.places = words, vector, places

    @property
    def width(self) -> int:
        """Channels of a word."""
        return self.words.width

    @torch.no_grad()
    def forward(self, prompts: Sequence[str]) -> tuple[Float[Tensor, "b k d"], Bool[Tensor, "b k"]]:
        """Words, and which places hold them: all, or none where a prompt has no words."""
        if isinstance(self.words, HashedText):
            text, _ = self.words(prompts)
            text = nn.functional.pad(text[:, : self.places], (0, 0, 0, max(0, self.places - text.shape[1])))
        else:
            tokens = self._tokens(self.words, prompts, self.places)
            text = self.words.encoder(input_ids=tokens["input_ids"]).last_hidden_state
        spoken = torch.tensor([bool(prompt.strip()) for prompt in prompts], device=text.device)
        return text, spoken[:, None].expand(-1, self.places)

    @torch.no_grad()
    def pooled(self, prompts: Sequence[str]) -> Float[Tensor, "b e"]:
        """One vector for each prompt, of unit length; zeros where a HashedText has no words to take the mean of."""
        if isinstance(self.vector, HashedText):
            text, mask = self.vector(prompts)
            vector = (text * mask[..., None]).sum(1)
        else:
            tokens = self._tokens(self.vector, prompts, None)
            output = self.vector.encoder(**tokens)
            if getattr(output, "text_embeds", None) is None:
                raise ValueError("JointText: the sound's encoder gives no vector of a text; expected CLAP's with its projection")
            vector = output.text_embeds
        return nn.functional.normalize(vector.float(), dim=-1).to(vector.dtype)

    def null(self) -> tuple[Float[Tensor, "k d"], Float[Tensor, "e"]]:
        """What both encoders give for no words at all."""
        return self([""])[0][0], self.pooled([""])[0]

    @staticmethod
    def _tokens(encoder: PretrainedText, prompts: Sequence[str], places: int | None) -> dict[str, Tensor]:
        most = min(encoder.max_words, places or encoder.max_words)
        if places is not None and most < places:
            raise ValueError(f"JointText: {places} places, and the words' encoder takes {most} tokens at most")
        tokens = encoder.tokenizer(
            list(prompts), truncation=True, max_length=most, padding="max_length" if places else True, return_tensors="pt"
        )
        device = next(encoder.encoder.parameters()).device
        return {name: tokens[name].to(device) for name in ("input_ids", "attention_mask")}

    def save_pretrained(self, folder: "str | os.PathLike", **options: Any) -> None:
        """Write both encoders into folders of their own, and a config beside them."""
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
        """Read what `save_pretrained` wrote.

        Raises:
            ValueError: no settings there, or of something else.
        """
        path = Path(folder) / CONFIG
        config = json.loads(path.read_text()) if path.is_file() else {}
        if config.get("_class_name") != "JointText" or any(config.get(name) not in KINDS for name in PARTS):
            raise ValueError(f"{path}: no settings of a JointText there")
        words, vector = (KINDS[config[name]].from_pretrained(path.parent / name, **options) for name in PARTS)
        return cls(words, vector, config["places"])
