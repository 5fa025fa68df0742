"""Recipes and their training."""

from sonovid.recipes.fine_tuning.config import (
    RELEASED,
    AudioPicture,
    Judge,
    TuningRecipe,
    paper,
    scenes,
    tiny,
)

__all__ = ["RELEASED", "AudioPicture", "Judge", "TuningRecipe", "paper", "scenes", "tiny"]
