"""Distillation of the guidance and of the sampling steps of a trained model, of any system."""

from sonovid.recipes.distillation.config import DistillationConfig, guidance, steps, tiny

__all__ = ["DistillationConfig", "guidance", "steps", "tiny"]
