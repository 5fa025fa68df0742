"""Video captioning with an image-text model of transformers, such as BLIP-2, LLaVA-NeXT or Qwen-VL."""

import os
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

PROMPT = "Describe in one sentence what happens in this video and what can be heard."


class Captioner:
    """An image-text model with its processor. A chat model gets all frames in order, an image captioning model the middle one.

    Args:
        model: the model.
        processor: its processor. A model whose processor has a chat template is a chat model.
        prompt: None: `PROMPT` for a chat model, no prompt for an image captioning model.
        tokens: the most new tokens.

    Raises:
        ValueError: `tokens` is below 1.
    """

    def __init__(self, model: Any, processor: Any, *, prompt: str | None = None, tokens: int = 64):
        if tokens < 1:
            raise ValueError(f"Captioner: tokens={tokens}; expected at least 1")
        self.model, self.processor, self.prompt, self.tokens = model.eval(), processor, prompt, tokens
        self.is_chat_model = bool(getattr(processor, "chat_template", None))

    @classmethod
    def from_pretrained(cls, model: "str | os.PathLike", *, device: str = "cpu", **options: Any) -> "Captioner":
        """Load a model from a Hub id or a folder, from safetensors only and without remote code; bfloat16 on a GPU.

        Args:
            model: the Hub id or folder.
            device: where it runs.
            **options: passed to the constructor.

        Raises:
            ValueError: no such model, not an image-text model, or incomplete weights.
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
            raise ValueError(f"--model {model}: cannot load an image-text model of transformers from it: {reason}") from error
        if not hasattr(processor, "image_processor"):
            raise ValueError(f"--model {model}: its processor takes no images; expected an image-text model")
        if missing := sorted(info["missing_keys"]):
            raise ValueError(f"--model {model}: its weights are incomplete: {missing[0]} and {len(missing) - 1} more are missing")
        return cls(network.to(device), processor, **options)

    @torch.inference_mode()
    def __call__(self, frames: UInt8[np.ndarray, "t h w 3"]) -> str:
        """Generate a caption in one line, by greedy decoding and therefore deterministic."""
        images = [Image.fromarray(frame) for frame in frames]
        inputs = self._chat_inputs(images) if self.is_chat_model else self._named(images[len(images) // 2])
        inputs = inputs.to(self.model.device)
        for name, value in inputs.items():
            if torch.is_tensor(value) and value.is_floating_point():
                inputs[name] = value.to(self.model.dtype)
        output = self.model.generate(**inputs, max_new_tokens=self.tokens, do_sample=False)[0]
        prompt_ids = inputs.get("input_ids")
        # Some models repeat the prompt before the answer.
        if prompt_ids is not None and output[: prompt_ids.shape[1]].equal(prompt_ids[0]):
            output = output[prompt_ids.shape[1] :]
        return " ".join(self.processor.decode(output, skip_special_tokens=True).split())

    def _chat_inputs(self, images: list[Image.Image]) -> Any:
        content: list[dict[str, str]] = [{"type": "image"}] * len(images)
        content = [*content, {"type": "text", "text": self.prompt or PROMPT}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        return self.processor(images=images, text=text, return_tensors="pt")

    def _named(self, image: Image.Image) -> Any:
        words = {"text": self.prompt} if self.prompt else {}
        return self.processor(images=image, return_tensors="pt", **words)
