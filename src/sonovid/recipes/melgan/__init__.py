"""Recipes and their training."""

from sonovid.recipes.melgan.config import (
    WORLDS,
    Generator,
    Judge,
    Losses,
    MelGANRecipe,
    paper,
    scenes,
    tiny,
)

__all__ = ["WORLDS", "Generator", "Judge", "Losses", "MelGANRecipe", "paper", "scenes", "tiny"]
