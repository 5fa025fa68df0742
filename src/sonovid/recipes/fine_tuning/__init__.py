"""Fine-tuning of a frame codec's decoder on frames and audio images (MM-LDM, Sec. 3.1)."""

from sonovid.recipes.fine_tuning.config import DecoderFineTuningConfig, paper, scenes, tiny

__all__ = ["DecoderFineTuningConfig", "paper", "scenes", "tiny"]
