"""Recipes and their training."""

from sonovid.recipes.mmldm.continuation.config import (
    Before,
    ContinuationRecipe,
    paper,
    scenes,
    tiny,
)

__all__ = ["Before", "ContinuationRecipe", "paper", "scenes", "tiny"]
