"""Captions for pictures by any image-text model of transformers: BLIP-2, LLaVA-NeXT, Qwen-VL and their kin."""

import os
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

PROMPT = "Describe in one sentence what happens in this video and what can be heard."


class Captioner:
    """A model with its processor. One that talks is shown all frames, in order; one that only names a picture, the middle one.

    prompt: None is `PROMPT` for a model that talks, and no words at all for one that names. tokens: the longest answer.
    """

    def __init__(self, model: Any, processor: Any, *, prompt: str | None = None, tokens: int = 64):
        if tokens < 1:
            raise ValueError(f"Captioner: tokens={tokens}, expected at least one")
        self.model, self.processor, self.prompt, self.tokens = model.eval(), processor, prompt, tokens
        self.is_chat_model = bool(getattr(processor, "chat_template", None))

    @classmethod
    def from_pretrained(cls, model: "str | os.PathLike", *, device: str = "cpu", **options: Any) -> "Captioner":
        """From a hub id or a folder: safetensors alone, no code of the folder's own. On a GPU in bf16.

        Raises:
            ValueError: no such model, none that turns pictures to text, or one whose weights are not whole.
        """
        from transformers import AutoModelForImageTextToText, AutoProcessor

        how = {"use_safetensors": True, "torch_dtype": torch.float32 if device == "cpu" else torch.bfloat16}
        try:
            processor = AutoProcessor.from_pretrained(model, trust_remote_code=False)
            network, info = AutoModelForImageTextToText.from_pretrained(
                model, output_loading_info=True, trust_remote_code=False, **how
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ValueError(f"--model {model}: no image-text model of transformers can be had there: {reason}") from error
        if not hasattr(processor, "image_processor"):
            raise ValueError(f"--model {model}: its processor takes no pictures; expected an image-text model")
        if missing := sorted(info["missing_keys"]):
            raise ValueError(f"--model {model}: its weights are not whole: {missing[0]} and {len(missing) - 1} more are missing")
        return cls(network.to(device), processor, **options)

    @torch.inference_mode()
    def __call__(self, frames: UInt8[np.ndarray, "t h w 3"]) -> str:
        """One caption, in one line; the most likely words, so the same each time."""
        pictures = [Image.fromarray(frame) for frame in frames]
        inputs = self._chat_inputs(pictures) if self.is_chat_model else self._named(pictures[len(pictures) // 2])
        inputs = inputs.to(self.model.device)
        for name, value in inputs.items():
            if torch.is_tensor(value) and value.is_floating_point():
                inputs[name] = value.to(self.model.dtype)
        said = self.model.generate(**inputs, max_new_tokens=self.tokens, do_sample=False)[0]
        told = inputs.get("input_ids")
        # Some models give the question back before the answer.
        if told is not None and said[: told.shape[1]].equal(told[0]):
            said = said[told.shape[1] :]
        return " ".join(self.processor.decode(said, skip_special_tokens=True).split())

    def _chat_inputs(self, pictures: list[Image.Image]) -> Any:
        content: list[dict[str, str]] = [{"type": "image"}] * len(pictures)
        content = [*content, {"type": "text", "text": self.prompt or PROMPT}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        return self.processor(images=pictures, text=text, return_tensors="pt")

    def _named(self, picture: Image.Image) -> Any:
        words = {"text": self.prompt} if self.prompt else {}
        return self.processor(images=picture, return_tensors="pt", **words)
